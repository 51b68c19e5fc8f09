"""Is there a seam where a restored face ends? The gradient across the mask's edge beside the plain enlargement's.

    python -m tests.bench.seams FILM ... [--model NAME] [--frames N]

Needs no truth, so any film will do. Around each shown face lie rings: the ellipse of `alignment.RADII`, shrunk and
grown. The luma's step from one ring to the next, a pixel of the output, is measured in the restored frame and in the
plain enlargement; what they differ by is what blending put there.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vidsr.analysis.alignment import CENTRE, RADII
from vidsr.analysis.tracks_file import Analysis
from vidsr.config import Enhance
from vidsr.frame import Floats, Frame, Track
from vidsr.jobs import passes
from vidsr.jobs.events import Meter
from vidsr.jobs.plan import Plan, plan
from vidsr.networks import store
from vidsr.networks.model_file import Model, open_model
from vidsr.restore.enlarge import enlarged
from vidsr.restore.pipeline import Job
from vidsr.video import Reader

Grays = NDArray[np.float32]

ANGLES = 128
INSIDE, BEYOND = 0.6, 1.12
"""Radii between which the rings lie, 1 being the edge of the mask; inside of the first one all is shown."""
ALONG = 9
"""A seam runs along the edge: steps are averaged over so many of `ANGLES` before `rim` is taken of them."""
AT_EDGE = 1.5
"""Rings that are not farther from the mask's edge than this count as the edge, pixels."""


@dataclass(frozen=True)
class Seam:
    """Gray levels a pixel by which steps across rings differ from the plain enlargement's, means over faces and frames.

    `edge` is the mean absolute difference on the mask's edge; `rim` that of the worst ring between the mask's inside
    and beyond its edge, after averaging along the ring: a seam is what many neighbouring places have in common, while
    detail comes in every direction.
    """

    clip: str
    model: str
    faces: int
    edge: float
    rim: float


def rings(matrix: Floats, scale: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points on rings around a face, `(rings, angles, 2)` x y of the output, at most a pixel apart; and how far each
    ring is from the mask's edge, `(rings,)`, pixels.

    `matrix (2, 3)` maps the source's pixels to the unit square of the template.
    """
    turn = 2 * np.pi * np.arange(ANGLES) / ANGLES
    back = np.asarray(np.linalg.inv(matrix[:, :2].astype(np.float64)))
    outward = (np.stack([np.cos(turn), np.sin(turn)], axis=1) * RADII) @ back.T * scale
    middle = back @ (np.array(CENTRE) - matrix[:, 2]) * scale
    longest = float(np.linalg.norm(outward, axis=1).max())
    radii = np.linspace(INSIDE, BEYOND, int(np.ceil((BEYOND - INSIDE) * longest)) + 2)
    return middle + radii[:, None, None] * outward, (radii - 1) * longest


def _at(luma: Grays, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The luma at points; NaN outside of the picture."""
    x, y = (np.asarray(points[..., i] - 0.5, np.float32) for i in (0, 1))
    found = cv2.remap(luma, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=float("nan"))
    return np.asarray(found, np.float64)


def seam(plain: Grays, restored: Grays, matrix: Floats, scale: int) -> tuple[float, float]:
    """`edge` and `rim` of one face in one frame, whose lumas `(h, w)` in gray levels are given."""
    points, far = rings(matrix, scale)
    differs = np.diff(_at(restored - plain, points), axis=0)
    known = np.isfinite(differs)
    if not known.any():
        return 0.0, 0.0
    share, found = known.astype(np.float64), np.where(known, differs, 0.0)
    near = np.abs(far[1:] + far[:-1]) / 2 <= AT_EDGE
    edge = np.abs(found).sum(1) / np.maximum(share.sum(1), 1.0)
    counts = _along(share) > 0.5
    together = np.abs(_along(found) / np.maximum(_along(share), 1e-9)) * counts
    rim = together.sum(1) / np.maximum(counts.sum(1), 1.0)
    return float(edge[near].max(initial=0.0)), float(rim.max())


def _along(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Averages along each ring over `ALONG` neighbouring angles."""
    half = ALONG // 2
    return np.asarray(np.mean([np.roll(values, by, axis=1) for by in range(-half, half + 1)], axis=0))


@dataclass(frozen=True, repr=False)
class Shown:
    """A face that is shown in one frame: which of its track's it is, and the frame's luma `(h, w)` in gray levels,
    enlarged plainly and restored."""

    track: Track
    at: int
    plain: Grays
    restored: Grays


def _grays(frame: Frame, peak: int) -> Grays:
    return np.asarray(frame.luma * np.float32(255 / peak), np.float32)


def _moments(analysis: Analysis, tracks: Sequence[Track], frames: int) -> list[int]:
    """So many frames in which a face is shown, spread over the film."""
    shown = {track.first + int(n) for track in tracks for n in np.flatnonzero(track.weight > 0)}
    there = sorted(shown & set(range(analysis.frames)))
    chosen = np.linspace(0, len(there) - 1, min(frames, len(there))).round().astype(int) if there else []
    return sorted({there[int(i)] for i in chosen})


def _pairs(work: Plan, job: Job, analysis: Analysis, frames: int) -> Iterator[tuple[Frame, Frame]]:
    """Frames enlarged plainly and restored."""
    for index in _moments(analysis, job.tracks, frames):
        span = (index, index + 1)
        (restored,) = passes.render_range(work, job, analysis.timeline, span, Meter())
        with Reader(work.film, first=index, stop=index + 1, timeline=analysis.timeline) as sources:
            (source,) = sources
        yield enlarged(source, work.planes), restored


def _shown(work: Plan, job: Job, analysis: Analysis, frames: int) -> Iterator[Shown]:
    for pair in _pairs(work, job, analysis, frames):
        plain, restored = (_grays(frame, work.planes.pixels.peak) for frame in pair)
        for track in job.tracks:
            at = pair[1].index - track.first
            if 0 <= at < len(track) and track.weight[at] > 0:
                yield Shown(track, at, plain, restored)


def shown_faces(
    paths: Sequence[Path], models: Sequence[Model], frames: int, settings: Enhance
) -> Iterator[tuple[str, Plan, Iterator[Shown]]]:
    """For each film and model its name, its plan, and the faces of `frames` frames; a film may show none."""
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            output = Path(folder) / "restored.mkv"
            works = [plan(path, output, replace(settings, overwrite=True), model) for model in models]
            analysis, _ = passes.analyze_film(works[0].film, settings, Meter())
            tracks, _ = passes.restorable(analysis.tracks, settings.render.faces)
            for work in works:
                yield path.name, work, _shown(work, passes.make_job(work, tracks), analysis, frames)


def seams(paths: Sequence[Path], models: Sequence[Model], frames: int, settings: Enhance) -> Iterable[Seam]:
    """A row for each film and model, over `frames` frames with faces; films without a face give `faces` 0 and zeros."""
    for clip, work, faces in shown_faces(paths, models, frames, settings):
        found = [seam(face.plain, face.restored, face.track.matrices[face.at], work.scale) for face in faces]
        edge, rim = np.mean(found, axis=0) if found else (0.0, 0.0)
        yield Seam(clip, work.model.name, len(found), float(edge), float(rim))


def asked(frames: int) -> tuple[list[Path], list[Model], int]:
    """The films, the models, and how many frames the command line asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("films", type=Path, nargs="+")
    parser.add_argument("--model", action="append")
    parser.add_argument("--frames", type=int, default=frames, help="of each film, spread over it")
    given = parser.parse_args()
    models = [open_model(name, None) for name in given.model or [*store.shipped(), Enhance().render.model]]
    return given.films, models, given.frames


def main() -> None:
    """A line for each film and model: gray levels a pixel at the edge, and along the worst ring near it."""
    for row in seams(*asked(8), Enhance()):
        print(f"{row.clip:24} {row.model:40} {row.faces:3} faces: edge {row.edge:.3f}, rim {row.rim:.3f}")


if __name__ == "__main__":
    main()
