"""Does a network weave a grid into faces? What repeats every four pixels beside what does not.

    python -m tests.bench.grid FILM ... [--model NAME] [--frames N]

Networks that end in a pixel shuffle can give each of its 16 places another brightness (Odena 2016, "Deconvolution and
checkerboard artifacts"), and a perceptual loss that looks through strided layers does not mind. Needs no truth, so any
film will do. Sharp film has 1 in the mean; coded film enlarged plainly had 1.0 to 1.4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import cv2
import numpy as np

from tests.bench.seams import Grays, asked, shown_faces
from vidsr.config import Enhance
from vidsr.networks.generator import SCALE
from vidsr.networks.model_file import Model

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
    settings = Enhance()
    settings = replace(settings, render=replace(settings.render, scale=float(SCALE)))
    for film, work, faces in shown_faces(paths, models, frames, settings):
        found = []
        for face in faces:
            left, top, right, bottom = (work.scale * face.track.boxes[face.at]).astype(int)
            there = (slice(max(0, top), bottom), slice(max(0, left), right))
            found.append([grid(luma[there]) for luma in (face.plain, face.restored)])
        before, after = np.mean(found, axis=0) if found else (np.nan, np.nan)
        yield film, work.model.name, len(found), float(before), float(after)


def main() -> None:
    """A line for each film and model."""
    for film, model, faces, plain, restored in grids(*asked(4)):
        print(f"{film:24} {model:40} {faces:3} faces: plain {plain:.2f}, restored {restored:.2f}", flush=True)


if __name__ == "__main__":
    main()
