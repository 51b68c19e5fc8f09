"""Where a face went between two frames: pyramidal Lucas-Kanade on points of the face, checked there and back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from vidsr.frame import LANDMARKS, Floats
from vidsr.picture import Gray

Points = NDArray[np.float64]

WORK_SIZE = 128.0
"""A larger face is reduced to about this many pixels, by a power of two, before its points are followed."""
MOST, FEWEST = 48, 8
"""Points that are sought on a face, and below which it counts as lost."""
MARGIN = 0.75
"""How far from its box a face is sought in the next frame, in units of the box's longer side."""
AGREE = 0.4
"""Share of a face's points that must move as one; below it the face counts as lost."""
TOLERANCE = 0.02
"""How far such a point may be off, in units of the face's size; at least half a pixel."""
THERE_AND_BACK = 0.02
"""How far a point may land from its start when followed there and back, in units of the box's longer side."""


@dataclass(frozen=True)
class Similarity:
    """z -> turn * z + shift, on points x + iy; `agree` is the share of points that move so."""

    turn: complex
    shift: complex
    agree: float

    def __call__(self, points: Points) -> Points:
        """Move points `(..., 2)`."""
        moved = self.turn * (points[..., 0] + 1j * points[..., 1]) + self.shift
        return np.stack([moved.real, moved.imag], axis=-1)

    def moved_box(self, box: Points) -> Points:
        """Move a box `(4,)` x0 y0 x1 y1: its centre moves, its sides grow, it stays upright."""
        centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * abs(self.turn)
        centre = self(centre)
        return np.concatenate([centre - half, centre + half])


class Patch:
    """The surroundings of a box in a gray picture, reduced if the face is large; for coordinates both ways."""

    def __init__(self, box: Points, shape: tuple[int, ...]) -> None:
        self.size = float(max(box[2] - box[0], box[3] - box[1], 1.0))
        low = np.floor(box[:2] - MARGIN * self.size).astype(int)
        high = np.ceil(box[2:] + MARGIN * self.size).astype(int)
        self._x0, self._y0 = np.clip(low, 0, [shape[1] - 1, shape[0] - 1]).tolist()
        self._x1, self._y1 = np.clip(high, [self._x0 + 1, self._y0 + 1], [shape[1], shape[0]]).tolist()
        self._step = 1 << max(0, round(np.log2(self.size / WORK_SIZE)))
        self.factor = 1 / self._step

    def cut(self, gray: Gray) -> Gray:
        part = gray[self._y0 : self._y1, self._x0 : self._x1]
        if self._step == 1:
            return np.ascontiguousarray(part)
        rows, columns = (max(1, side // self._step) for side in part.shape)
        whole = part[: rows * self._step, : columns * self._step]  # what is left over would turn this into slow work
        return np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)

    def inside(self, points: Points) -> Floats:
        # OpenCV's flow counts from the centre of the first pixel, which is at .5 here.
        return np.asarray((points - [self._x0, self._y0]) * self.factor - 0.5, np.float32)

    def outside(self, points: Floats) -> Points:
        return np.asarray((points.astype(np.float64) + 0.5) / self.factor + [self._x0, self._y0])


def seeds(gray: Gray, box: Points) -> Points:
    """Points `(n, 2)` of the face worth following: corners inside the ellipse of its box."""
    patch = Patch(box, gray.shape)
    image = patch.cut(gray)
    (x0, y0), (x1, y1) = patch.inside(box.reshape(2, 2)).tolist()
    mask = np.zeros(image.shape, np.uint8)
    axes = max(1, round((x1 - x0) * 0.45)), max(1, round((y1 - y0) * 0.45))
    cv2.ellipse(mask, (round((x0 + x1) / 2), round((y0 + y1) / 2)), axes, 0, 0, 360, 255, -1)
    spacing = max(2.0, patch.size * patch.factor / 14)
    found = cv2.goodFeaturesToTrack(image, MOST, 0.005, spacing, mask=mask, blockSize=5)
    if found is None:
        return np.empty((0, 2))
    return patch.outside(np.asarray(found, np.float32).reshape(-1, 2))


def follow(before: Gray, after: Gray, points: Points, box: Points) -> tuple[Points, NDArray[np.bool_]]:
    """Where points `(n, 2)` of the face in `box` went, and which of them `(n,)` came back when followed back."""
    patch = Patch(box, before.shape)
    one, two = patch.cut(before), patch.cut(after)
    size = patch.size * patch.factor
    side = int(np.clip(size / 12, 3, 10)) * 2 + 1
    # The top level's window should cover the margin in which the face is sought.
    levels = int(np.clip(np.ceil(np.log2(max(MARGIN * size / side, 1.0))), 1, 4))
    start = patch.inside(points)
    there, found = _lucas_kanade(one, two, start, side, levels)
    back, found_back = _lucas_kanade(two, one, there, side, levels)
    error = np.linalg.norm(back - start, axis=1)
    return patch.outside(there), found & found_back & (error < max(0.3, THERE_AND_BACK * size))


def _lucas_kanade(one: Gray, two: Gray, points: Floats, side: int, levels: int) -> tuple[Floats, NDArray[np.bool_]]:
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.01)
    guess = np.zeros_like(points)
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        one, two, points, guess, winSize=(side, side), maxLevel=levels, criteria=stop
    )
    return np.asarray(there, np.float32), np.asarray(found).ravel() == 1


def fit(origin: Points, now: Points, tolerance: float) -> Similarity:
    """The similarity that most of the points `(n, 2)` follow, by iteratively re-weighted least squares (Tukey).

    Unlike a fit to a random sample, it changes smoothly when the points do. `tolerance` in pixels: points farther off
    than this count for nothing.
    """
    a, b = origin[:, 0] + 1j * origin[:, 1], now[:, 0] + 1j * now[:, 1]
    step = np.median((b - a).real) + 1j * np.median((b - a).imag)
    turn, shift = 1 + 0j, complex(step)
    # The first rounds forgive more, so that a turn or a zoom is not taken for outliers.
    for reach in (8.0, 4.0, 2.0, 1.0, 1.0, 1.0):
        error = np.abs(turn * a + shift - b) / (tolerance * reach)
        weight = np.where(error < 1, (1 - np.minimum(error, 1) ** 2) ** 2, 0) + 1e-9
        weight /= weight.sum()
        mean_a, mean_b = (weight * a).sum(), (weight * b).sum()
        spread = (weight * np.abs(a - mean_a) ** 2).sum()
        turn = complex((weight * np.conj(a - mean_a) * (b - mean_b)).sum() / max(spread, 1e-9))
        shift = complex(mean_b - turn * mean_a)
    return Similarity(turn, shift, float(np.mean(np.abs(turn * a + shift - b) < tolerance)))


class Follower:
    """Carries a face from the frame in which it was detected to the next, and the next, until flow loses it.

    `trail` holds its points `(7, 2)`, the five landmarks and two corners of the box, in the frames after the first.
    """

    def __init__(self, gray: Gray, points: Points) -> None:
        self._start = points
        self._origin = self._now = seeds(gray, points[LANDMARKS:].ravel())
        self.trail: list[Points] = []
        self.alive = True

    @property
    def points(self) -> Points:
        """Where flow has brought the face."""
        return self.trail[-1] if self.trail else self._start

    def advance(self, before: Gray, after: Gray) -> None:
        """Follow the face from the frame where it is to the next one, if it is not lost."""
        if self.alive:
            moved = self._moved(before, after)
            self.alive = moved is not None
            self.trail += [moved] if moved is not None else []

    def _moved(self, before: Gray, after: Gray) -> Points | None:
        if len(self._origin) < FEWEST:
            return None
        there, good = follow(before, after, self._now, self.points[LANDMARKS:].ravel())
        self._origin, self._now = self._origin[good], there[good]
        if len(self._origin) < FEWEST:
            return None
        start = self._start[LANDMARKS:].ravel()
        size = float(np.sqrt(np.prod(np.maximum(start[2:] - start[:2], 1.0))))
        move = fit(self._origin, self._now, max(0.5, TOLERANCE * size))
        if move.agree < AGREE or not 0.5 < abs(move.turn) < 2:
            return None
        return np.concatenate([move(self._start[:LANDMARKS]), move.moved_box(start).reshape(2, 2)])


FLOW_SIDE = 96
"""Flow is found in crops of up to this side: of larger ones in half or a quarter of their pixels."""


def dense_flow(here: NDArray[np.uint8], there: NDArray[np.uint8]) -> Floats:
    """Where each pixel of `here (h, w)` lies in `there`, as displacements `(h, w, 2)` x y (DIS, Kroeger 2016)."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(0)  # the presets stop at half of the pixels, which costs small faces 0.06 dB at crf 1
    dis.setPatchStride(4)
    dis.setGradientDescentIterations(12)
    side, factor = here.shape[0], 1
    while side // factor > FLOW_SIDE:
        factor *= 2
    if factor == 1:
        return np.asarray(dis.calc(here, there, None), np.float32)  # type: ignore[call-overload]
    size = (side // factor, side // factor)
    small = [cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in (here, there)]
    found = dis.calc(small[0], small[1], None)  # type: ignore[call-overload]
    return np.asarray(factor * cv2.resize(found, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)


@lru_cache(maxsize=32)
def _pixels(side: int) -> Floats:
    """The place of each pixel of a square picture, `(side, side, 2)` x y."""
    places = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).astype(np.float32)
    places.setflags(write=False)  # one for all who ask
    return places


def carried(picture: Floats, flow: Floats) -> Floats:
    """A square picture with each thing where `flow (side, side, 2)` came from, by bicubic; see `dense_flow`."""
    there = _pixels(len(flow)) + flow
    return np.asarray(
        cv2.remap(picture, there, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE),  # type: ignore[call-overload]
        np.float32,
    )
