"""Does a network weave a grid into faces? What repeats every four pixels beside what does not.

    python -m tests.bench.grid FILM ... [--model NAME] [--frames N]

Networks that end in a pixel shuffle can give each of its 16 places another brightness (Odena 2016, "Deconvolution and
checkerboard artifacts"), and a perceptual loss that looks through strided layers does not mind. Needs no truth, so any
film will do. 1 is what true film has, the plain enlargement less.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import cv2
import numpy as np

from tests.bench.seams import Grays, grays, pairs
from vidsr.config import Enhance
from vidsr.jobs import passes
from vidsr.jobs.events import Meter
from vidsr.jobs.plan import plan
from vidsr.networks import store
from vidsr.networks.generator import SCALE
from vidsr.networks.model_file import Model, open_model

NEAR, FROM, TO = 1, 3, 6
"""Steps of the spectrum about each of the grid's frequencies: its own are up to `NEAR`, its surroundings between."""


def grid(luma: Grays) -> float:
    """The spectrum's power at a grid of `SCALE` pixels, times that around it; luma `(h, w)` of one face."""
    high, wide = (side // (2 * SCALE) * 2 * SCALE for side in luma.shape)
    fine = (luma - cv2.GaussianBlur(luma, (0, 0), 3))[:high, :wide]
    power = np.abs(np.fft.fft2(fine * np.outer(np.hanning(high), np.hanning(wide)))) ** 2
    steps = np.arange(-TO, TO + 1)
    far = np.maximum(np.abs(steps)[:, None], np.abs(steps))
    shares = []
    for down, across in product(range(SCALE), repeat=2):
        if down or across:
            about = power[np.ix_((down * high // SCALE + steps) % high, (across * wide // SCALE + steps) % wide)]
            shares.append(about[far <= NEAR].mean() / about[far >= FROM].mean())
    return float(np.mean(shares))


def grids(paths: Sequence[Path], models: Sequence[Model], frames: int) -> Iterator[tuple[str, str, int, float, float]]:
    """Film, model, how many faces, and their mean `grid`: enlarged plainly and restored; NaN without a face."""
    base = Enhance()
    settings = replace(base, overwrite=True, render=replace(base.render, scale=float(SCALE)))
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            works = [plan(path, Path(folder) / "grid.mkv", settings, model) for model in models]
            analysis, _ = passes.analyze_film(works[0].film, settings, Meter())
            tracks, _ = passes.restorable(analysis.tracks, settings.render.faces)
            for work in works:
                peak, found = work.planes.pixels.peak, []
                for plain, restored in pairs(work, passes.make_job(work, tracks), analysis, frames):
                    for track in tracks:
                        if not track.first <= restored.index < track.stop:
                            continue
                        left, top, right, bottom = (work.scale * track.boxes[restored.index - track.first]).astype(int)
                        there = (slice(max(0, top), bottom), slice(max(0, left), right))
                        found.append([grid(grays(frame, peak)[there]) for frame in (plain, restored)])
                before, after = np.mean(found, axis=0) if found else (np.nan, np.nan)
                yield path.name, work.model.name, len(found), float(before), float(after)


def main() -> None:
    """A line for each film and model."""
    parser = argparse.ArgumentParser()
    parser.add_argument("films", type=Path, nargs="+")
    parser.add_argument("--model", action="append")
    parser.add_argument("--frames", type=int, default=4, help="of each film, spread over it")
    given = parser.parse_args()
    models = [open_model(name, None) for name in given.model or [*store.shipped(), Enhance().render.model]]
    for film, model, faces, plain, restored in grids(given.films, models, given.frames):
        print(f"{film:24} {model:40} {faces:3} faces: plain {plain:.2f}, restored {restored:.2f}", flush=True)


if __name__ == "__main__":
    main()
