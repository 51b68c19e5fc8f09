"""Real things before real faces: is the restored film nearer to the truth there, and beside them?

    python -m tests.bench.hands CLIPS_FOLDER [--model NAME] [--crf N] [-o PICTURES_FOLDER]

Four sharp clips are made poor (reduced by 4, H.264, crf 28) and enhanced; inside the face's outline, the error of the
luma is compared with the plain enlargement's, under the thing and beside it. Where things are was read off the frames
by eye: upright boxes in the sharp clip's pixels, each good from its frame to the next one's, with a hand's breadth of
what is around the thing inside. The pen of `lp_d12_glasses_pen` stays beside the face, so there the glasses are the
thing: a strip of the aligned face. Exits with 1 where a clip loses more than 0.2 dB under its things, or anything
beside them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vidsr.config import Encode, Enhance, Render
from vidsr.evaluate.degraded_copy import Coding, coded_copy, cut_copy, reduced_copy
from vidsr.frame import Floats, Frame, Track
from vidsr.jobs import passes
from vidsr.jobs.events import Meter
from vidsr.jobs.plan import Plan, plan
from vidsr.networks.model_file import open_model
from vidsr.picture import small_rgb
from vidsr.restore.blend import CENTRE, RADII, SOFT, enlarged
from vidsr.restore.pipeline import Job
from vidsr.video import Reader, probe

Box = tuple[int, int, int, int]
MOST_LOSS_DB = 0.2
SCALE = 4
SHOWN = 0.5
"""A pixel counts where the outline is above this."""
GLASSES = (0.2, 0.40, 0.8, 0.57)
"""Where glasses lie in the unit square of the template."""


@dataclass(frozen=True)
class Case:
    """A clip's frames `first` to `stop`, and where its thing is: boxes x0 y0 x1 y1 from a frame on; or in the square of
    the aligned face."""

    clip: str
    first: int
    stop: int
    boxes: dict[int, Box] = field(default_factory=dict)
    worn: tuple[float, float, float, float] | None = None

    def thing(self, index: int, matrix: Floats, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Where the thing is in a frame, `(h, w)`; `matrix` maps the sharp frame to the unit square."""
        y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
        if self.worn is None:
            x0, y0, x1, y1 = self.boxes[max((n for n in self.boxes if n <= index), default=min(self.boxes))]
            return np.asarray((x >= x0) & (x < x1) & (y >= y0) & (y < y1))
        u, v = _unit(matrix, x, y)
        x0, y0, x1, y1 = self.worn
        return np.asarray((u >= x0) & (u < x1) & (v >= y0) & (v < y1))


CASES = (
    Case("asl_bird_hand.mkv", 14, 43, {14: (283, 92, 349, 150), 39: (283, 102, 349, 150)}),
    Case(
        "asl_learn_hand.mkv", 22, 43,
        {22: (230, 125, 290, 180), 24: (230, 113, 286, 162), 27: (230, 98, 282, 130), 39: (230, 115, 278, 165)},
    ),
    Case("lp_d12_glasses_pen.mp4", 103, 123, worn=GLASSES),
    Case(
        "hamilton_cuts.mp4", 117, 147,
        {
            117: (224, 132, 275, 200), 119: (222, 124, 278, 200), 121: (220, 118, 272, 200), 123: (218, 128, 262, 200),
            125: (210, 128, 262, 200), 127: (190, 117, 248, 200), 129: (188, 102, 244, 200), 131: (178, 84, 236, 200),
            133: (155, 76, 222, 200), 135: (150, 74, 206, 200), 137: (120, 86, 196, 200), 139: (120, 94, 192, 200),
            141: (172, 100, 222, 200), 143: (222, 92, 264, 200), 145: (240, 96, 290, 200),
        },
    ),
)  # fmt: skip


def _unit(
    matrix: Floats, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    m = matrix.astype(np.float64)
    return m[0, 0] * x + m[0, 1] * y + m[0, 2], m[1, 0] * x + m[1, 1] * y + m[1, 2]


def outlined(matrix: Floats, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Where a face is restored at least in part."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    u, v = _unit(matrix, x, y)
    return np.asarray(np.hypot((u - CENTRE[0]) / RADII[0], (v - CENTRE[1]) / RADII[1]) < 1 - SHOWN * SOFT)


@dataclass
class Errors:
    """Summed squares of luma's differences `(3, 2)`: plain to truth, restored to truth, and plain to restored, under
    the thing and beside it; and of how many pixels."""

    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros((3, 2)))
    pixels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, np.int64))

    def add(self, truth: Frame, pair: tuple[Frame, Frame], places: list[NDArray[np.bool_]]) -> None:
        plain, restored = (frame.luma.astype(np.float64) for frame in pair)
        for row, difference in enumerate((plain - truth.luma, restored - truth.luma, restored - plain)):
            self.sums[row] += [(difference[place] ** 2).sum() for place in places]
        self.pixels += [int(place.sum()) for place in places]

    @property
    def gains_db(self) -> list[float]:
        return [float(10 * np.log10(max(a, 1e-9) / max(b, 1e-9))) for a, b in zip(*self.sums[:2], strict=True)]

    @property
    def best(self) -> list[float]:
        """The share of what was added that would have come nearest to the truth, under the thing and beside it."""
        plain, restored, added = np.maximum(self.sums, 1e-9)
        return [float(share) for share in (plain - restored + added) / (2 * added)]


def _frames(work: Plan, job: Job, case: Case, timeline: NDArray[np.int64]) -> Iterator[tuple[Frame, Frame]]:
    span = (case.first, case.stop)
    with Reader(work.film, first=case.first, stop=case.stop, timeline=timeline) as sources:
        for source, restored in zip(sources, passes.render_range(work, job, timeline, span, Meter()), strict=True):
            yield enlarged(source, work.planes), restored


def _sharp(track: Track, index: int) -> Floats:
    """The matrix of a poor film's track, for the sharp film's pixels."""
    matrix = track.matrices[index - track.first].copy()
    matrix[:, :2] /= SCALE
    return matrix


def measured(case: Case, folder: Path, name: str, crf: int, pictures: Path | None) -> Errors:
    """Make a clip poor, enhance it, and add up its errors."""
    with tempfile.TemporaryDirectory() as scratch:
        beginning, sharp, small, poor = (Path(scratch, name) for name in ("a.mkv", "sharp.mkv", "b.mkv", "poor.mp4"))
        cut_copy(probe(folder / case.clip), beginning, 0, case.stop)
        reduced_copy(probe(beginning), sharp, 1.0)
        reduced_copy(probe(sharp), small, 1 / SCALE, 2)
        coded_copy(probe(small), poor, Coding("x264", crf=crf))
        settings = Enhance(render=Render(scale=str(SCALE), model=name), encode=Encode(codec="ffv1"), overwrite=True)
        work = plan(poor, Path(scratch, "made.mkv"), settings, open_model(name, None))
        analysis, _ = passes.analyze_film(work.film, settings, Meter())
        there = [track for track in analysis.tracks if track.first < case.stop and case.first < track.stop]
        face = max(there, key=lambda track: len(track) * track.height)
        job, found, rows = passes.make_job(work, (face,)), Errors(), []
        with Reader(probe(sharp)) as truths:
            wanted = (truth for truth in truths if truth.index >= case.first)
            for truth, (plain, restored) in zip(wanted, _frames(work, job, case, analysis.timeline), strict=False):
                if not face.first <= truth.index < face.stop:
                    continue
                matrix, shape = _sharp(face, truth.index), truth.luma.shape
                thing, inside = case.thing(truth.index, matrix, shape), outlined(matrix, shape)
                found.add(truth, (plain, restored), [inside & thing, inside & ~thing])
                if pictures is not None and (truth.index - case.first) % 6 == 0:
                    rows.append(_row((truth, plain, restored), work, matrix, inside & thing))
        if pictures is not None:
            cv2.imwrite(str(pictures / f"{Path(case.clip).stem}.png"), np.concatenate(rows)[..., ::-1])
        return found


def _row(frames: tuple[Frame, Frame, Frame], work: Plan, matrix: Floats, thing: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Truth, plain and restored face, and where the thing is taken to be."""
    film = replace(work.film, width=frames[0].luma.shape[1], height=frames[0].luma.shape[0])
    pictures = [small_rgb(frame, film, max(film.width, film.height)) for frame in frames]
    marked = pictures[0].copy()
    marked[thing] = marked[thing] // 2 + np.array([127, 0, 0], np.uint8)
    square = matrix.astype(np.float64) * 256
    return np.concatenate([cv2.warpAffine(picture, square, (256, 256)) for picture in (*pictures, marked)], axis=1)


def line(name: str, found: Errors) -> str:
    (under, beside), (best_under, best_beside) = found.gains_db, found.best
    return f"{name:28} {under:10.2f} {beside:11.2f} {best_under:18.2f} {best_beside:7.2f}"


def main() -> None:
    """Run over the four clips."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default=Render.model)
    parser.add_argument("--crf", type=int, default=28)
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    failed, total = False, Errors()
    print(f"{'clip':28} {'under, dB':>10} {'beside, dB':>11} {'best share: under':>18} {'beside':>7}")
    for case in CASES:
        found = measured(case, given.folder, given.model, given.crf, given.output)
        under, beside = found.gains_db
        print(line(case.clip, found), flush=True)
        failed |= under < -MOST_LOSS_DB or beside < 0
        total.sums, total.pixels = total.sums + found.sums, total.pixels + found.pixels
    print(line("all", total))
    sys.exit(failed)


if __name__ == "__main__":
    main()
