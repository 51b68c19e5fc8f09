"""Frame and track to crop: a window of whole pixels over a face, at the frame's own scale, straight from its planes.

The picture that is restored is never resampled: a warp by half a pixel cost more than the network gave back. Only
neighbouring frames are warped, by optical flow, to the middle one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil

import cv2
import numpy as np
from numpy.typing import NDArray

from vidsr.analysis.alignment import CENTRE, RADII, to_square
from vidsr.analysis.optical_flow import carried, dense_flow
from vidsr.color import Color, rgb_of
from vidsr.config import CROP_STEP, SMALLEST_CROP
from vidsr.frame import Floats, Frame, PixelFormat, Track
from vidsr.picture import Samples, png

RIM = 0.97
"""How much of the mask's radius a crop covers: beyond it less than a twentieth of anything is shown."""
CHROMA_MARGIN = 2
"""Chroma samples around a window that bicubic enlargement looks at."""
STEADY = 8
"""Frames to either side over which the crop's side does not change, so that the crops of a window have one size."""
HYSTERESIS = np.radians(10)
"""How far beyond 45 degrees a head must turn before its crop is turned by another quarter."""


@dataclass(frozen=True)
class Planes:
    """Where a film's chroma samples lie: subsampling, and whether they sit left of the middle (MPEG-2's place).

    `scale` is how many pixels of these planes a pixel of the source has become (1 for the source itself).
    """

    pixels: PixelFormat
    color: Color
    chroma_left: bool
    scale: int = 1

    @property
    def step(self) -> tuple[int, int]:
        """Luma pixels a chroma sample, across and down."""
        return 1 << self.pixels.shift_x, 1 << self.pixels.shift_y

    def chroma_from_luma(self) -> NDArray[np.float64]:
        """`(2, 3)`: position in luma pixels of these planes -> position in chroma samples, centres at .5 in both."""
        kx, ky = self.step
        # A sample sited at the left luma column has its centre at 0.5 luma pixels, not at kx / 2.
        left = (kx / 2 - 0.5) / kx if self.chroma_left and kx > 1 else 0.0
        return np.array([[1 / kx, 0, left], [0, 1 / ky, 0]])


@dataclass(frozen=True)
class Box:
    """A rectangle of samples: rows y0 to y1, columns x0 to x1, ends excluded."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def empty(self) -> bool:
        return self.x1 <= self.x0 or self.y1 <= self.y0

    @property
    def shape(self) -> tuple[int, int]:
        return self.y1 - self.y0, self.x1 - self.x0

    def intersection(self, other: Box) -> Box:
        return Box(max(self.x0, other.x0), max(self.y0, other.y0), min(self.x1, other.x1), min(self.y1, other.y1))

    def within(self, outer: Box) -> tuple[slice, slice]:
        """Rows and columns of a box inside an array that holds `outer`."""
        return slice(self.y0 - outer.y0, self.y1 - outer.y0), slice(self.x0 - outer.x0, self.x1 - outer.x0)


@dataclass(frozen=True)
class Place:
    """Where a crop lies: its corner and how many pixels of the frame each of its pixels is the mean of, along a side.

    `turn` quarter turns counter-clockwise, as `np.rot90` counts, bring the head upright. `to_unit (2, 3)` maps pixels
    of the frame to the unit square of the face's template.
    """

    x: int
    y: int
    side: int
    factor: int
    turn: int
    to_unit: Floats

    @property
    def covered(self) -> int:
        """Its side in pixels of the frame."""
        return self.side * self.factor


def crop_side(window: float, factor: int = 1) -> int:
    """The side of the crop for a face whose template's square is `window` pixels of the frame wide."""
    return max(SMALLEST_CROP, ceil(2 * RIM * max(RADII) * window / factor / CROP_STEP) * CROP_STEP)


class CropPath:
    """The places of one track's crops in all of its frames.

    Sides are multiples of CROP_STEP that cover the mask, the same for some frames on end; corners lie on whole chroma
    samples, inside the frame where it is large enough. For networks that align the face themselves the
    crop holds the template's whole square, and is not turned.
    """

    def __init__(self, track: Track, shape: tuple[int, int], planes: Planes, aligned: bool = False) -> None:
        factor = track.factor
        self._track, self._factor, self._shape, self._grid = track, factor, shape, planes.step
        squares, sides, angles = to_square(track.matrices)
        middle = np.array([CENTRE[0] - 0.5, CENTRE[1] - 0.5]) @ np.array([1, 1j])
        centres = squares + middle * sides * np.exp(1j * angles)
        self._centres = np.stack([centres.real, centres.imag], axis=1)
        reach = np.sqrt(2) * (1 + 2 * abs(CENTRE[1] - 0.5)) / (2 * RIM * max(RADII)) if aligned else 1.0
        self._sides = _steady(np.array([crop_side(side, factor) for side in reach * sides]))
        self._turns = np.zeros(len(angles), np.int64) if aligned else _quarter_turns(angles)

    def side(self, index: int) -> int:
        """The crop's side where frame `index` is the middle one of a window."""
        return int(self._sides[index - self._track.first])

    def place(self, index: int, side: int) -> Place:
        """The crop of frame `index` in a window of crops of this side."""
        n = index - self._track.first
        x, y = (
            _corner(float(centre), side * self._factor, length, grid)
            for centre, length, grid in zip(self._centres[n], self._shape[::-1], self._grid, strict=True)
        )
        return Place(x, y, side, self._factor, int(self._turns[n]), self._track.matrices[n])


def _steady(sides: NDArray[np.int64]) -> NDArray[np.int64]:
    """The largest side among the frames around each."""
    padded = np.pad(sides, STEADY, mode="edge")
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, 2 * STEADY + 1).max(axis=1))


def _quarter_turns(angles: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each frame how many quarter turns bring a head of this roll upright: the last ones for as long as they do."""
    exact = np.unwrap(angles) / (np.pi / 2)
    turn, found = round(float(exact[0])), np.empty(len(angles), np.int64)
    for n, value in enumerate(exact):
        if abs(value - turn) > 0.5 + HYSTERESIS / (np.pi / 2):
            turn = round(float(value))
        found[n] = turn % 4
    return found


def _corner(centre: float, covered: int, length: int, grid: int) -> int:
    """The first pixel of a window of `covered` pixels around `centre`, on the grid, inside of `length` if it fits."""
    corner = round((centre - covered / 2) / grid) * grid
    last = (length - covered) // grid * grid
    return min(max(corner, 0), last) if last >= 0 else last // (2 * grid) * grid


@dataclass(frozen=True, repr=False)
class Cut:
    """A face's crop: `rgb (side, side, 3)` float32 in 0..1 and `luma8 (side, side)`, which flow is found in."""

    track: int
    index: int
    place: Place
    rgb: Floats
    luma8: NDArray[np.uint8]
    _flows: dict[int, Floats] = field(default_factory=dict, init=False, compare=False)

    def flow_to(self, other: Cut) -> Floats:
        """Where each pixel lies in the crop of the same face and size in another frame, `(side, side, 2)` x y.

        Found once: what a network looks at and what is averaged over time are the same neighbours.
        """
        if other.index not in self._flows:
            self._flows[other.index] = dense_flow(self.luma8, other.luma8)
        return self._flows[other.index]

    def _repr_png_(self) -> bytes:
        """For a notebook: the face as it is, a pixel for a pixel."""
        return png(np.asarray(np.rint(255 * self.rgb), np.uint8))

    @property
    def to_unit(self) -> Floats:
        """`(2, 3)`: pixels of the crop -> the unit square of the face's template, centres at .5."""
        moved = self.place.to_unit.astype(np.float64).copy()
        moved[:, 2] += moved[:, :2] @ [self.place.x, self.place.y]
        moved[:, :2] *= self.place.factor
        return np.asarray(moved, np.float32)


def _part(plane: Samples, x: int, y: int, width: int, height: int) -> Samples:
    """A part of a plane; beyond its edges what is nearest stands for it."""
    rows, columns = plane.shape
    if x >= 0 and y >= 0 and x + width <= columns and y + height <= rows:
        return plane[y : y + height, x : x + width]
    across = np.clip(np.arange(x, x + width), 0, columns - 1)
    down = np.clip(np.arange(y, y + height), 0, rows - 1)
    return plane[np.ix_(down, across)]


def _chroma(plane: Samples, place: Place, planes: Planes) -> Floats:
    """One chroma plane under a place, enlarged once to the luma's grid from where its samples lie."""
    (kx, ky), side, margin = planes.step, place.covered, CHROMA_MARGIN
    part = _part(
        plane, place.x // kx - margin, place.y // ky - margin, side // kx + 2 * margin, side // ky + 2 * margin
    ).astype(np.float32)
    if kx == ky == 1:
        return np.asarray(part[margin:-margin, margin:-margin], np.float32)
    there = planes.chroma_from_luma()
    there[:, 2] += there[:, :2] @ [0.5, 0.5] - 0.5 + margin  # OpenCV counts from the centre of the first sample
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(part, there, (side, side), flags=flags), np.float32)


def cut(frame: Frame, track: int, place: Place, planes: Planes) -> Cut:
    """The crop at a place of a frame."""
    luma = _part(frame.luma, place.x, place.y, place.covered, place.covered)
    chroma = [_chroma(plane, place, planes) for plane in frame.chroma]
    rgb = rgb_of(np.dstack([luma.astype(np.float32), *chroma]), planes.color)
    luma8 = np.asarray(luma if luma.dtype == np.uint8 else luma >> (planes.pixels.depth - 8), np.uint8)
    if place.factor > 1:
        size = (place.side, place.side)
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.float32)
        luma8 = np.asarray(cv2.resize(luma8, size, interpolation=cv2.INTER_AREA), np.uint8)
    return Cut(track, frame.index, place, rgb, np.ascontiguousarray(luma8))


def window(middle: Cut, near: Sequence[Cut]) -> Floats:
    """What a network looks at, `(T, 3, side, side)`: `near`, in order, each warped to `middle`, which may be one of
    them, by optical flow; turned by quarters so that the head is upright."""
    pictures = [one.rgb if one.index == middle.index else carried(one.rgb, middle.flow_to(one)) for one in near]
    upright = np.rot90(np.stack(pictures), middle.place.turn, (1, 2))
    return np.ascontiguousarray(upright.transpose(0, 3, 1, 2))
