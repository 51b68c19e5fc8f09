"""Frame and track to crop: a face's window, upright and at its own size, straight from the decoder's planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vidsr.color import Color, rgb_from
from vidsr.config import CROP_SIZES
from vidsr.device import Lanes
from vidsr.frame import Crop, Floats, Frame, PixelFormat, Samples, Track
from vidsr.stream import in_batches

REACH = 3  # pixels beyond the window that bicubic sampling may look at


@dataclass(frozen=True)
class Planes:
    """Where a film's chroma samples lie: subsampling, and whether they sit left of the middle (MPEG-2's place).

    `scale` is how many pixels of these planes a pixel of the source has become (1 for the source itself).
    """

    pixels: PixelFormat
    color: Color
    chroma_left: bool
    scale: int = 1

    def chroma_from_luma(self) -> NDArray[np.float64]:
        """`(2, 3)`: position in luma pixels of these planes -> position in chroma samples, centres at .5 in both."""
        kx, ky = 1 << self.pixels.shift_x, 1 << self.pixels.shift_y
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

    def overlaps(self, other: Box) -> bool:
        return not self.intersection(other).empty

    def within(self, outer: Box) -> tuple[slice, slice]:
        """Rows and columns of a box inside an array that holds `outer`."""
        return slice(self.y0 - outer.y0, self.y1 - outer.y0), slice(self.x0 - outer.x0, self.x1 - outer.x0)


def crop_size(window: float) -> int:
    """The side of the crop for a face whose window is `window` source pixels wide: the nearest ratio wins."""
    return min(CROP_SIZES, key=lambda side: abs(np.log(side / window)))


def square(matrix: Floats, side: float) -> Floats:
    """A `(2, 3)` map to the unit square as a map to `side` pixels."""
    return np.asarray(matrix * side, np.float32)


def compose(outer: NDArray[np.float64], inner: NDArray[np.float64]) -> NDArray[np.float64]:
    """The affine map `(2, 3)` that does `inner` first; in plain numbers, four times faster than arrays of this size."""
    (a, b, c), (d, e, f) = outer.tolist()
    (g, h, i), (j, k, m) = inner.tolist()
    x = [a * g + b * j, a * h + b * k, a * i + b * m + c]
    return np.array([x, [d * g + e * j, d * h + e * k, d * i + e * m + f]])


def inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The way back of an affine map `(2, 3)`."""
    (a, b, c), (d, e, f) = matrix.tolist()
    area = a * e - b * d
    g, h, i, j = e / area, -b / area, -d / area, a / area
    return np.array([[g, h, -(g * c + h * f)], [i, j, -(i * c + j * f)]])


def _extent(a: float, b: float, c: float, side: float, margin: int, length: int) -> tuple[int, int]:
    """Along one axis: the first sample and the one after the last of `length` that `a u + b v + c` reaches in a square
    of this side, and a margin."""
    low, high = min(0.0, a * side) + min(0.0, b * side) + c, max(0.0, a * side) + max(0.0, b * side) + c
    return max(0, floor(low) - margin), min(length, ceil(high) + margin)


def covered(matrix: NDArray[np.float64], side: float, shape: tuple[int, int], margin: int) -> Box:
    """The samples of a plane of `shape` under the square `side` of the crop that `matrix` maps to, and a margin."""
    (a, b, c), (d, e, f) = inverse(matrix).tolist()
    x0, x1 = _extent(a, b, c, side, margin, shape[1])
    y0, y1 = _extent(d, e, f, side, margin, shape[0])
    return Box(x0, y0, x1, y1)


def look_up_map(matrix: NDArray[np.float64], source: tuple[int, int], shape: tuple[int, int]) -> Floats:
    """`matrix (2, 3)`, from a wanted picture's pixels to a source's, in the unit squares that `look_up` counts in."""
    to_unit = np.array([[2 / source[1], 0, -1], [0, 2 / source[0], -1]])
    of_unit = np.array([[shape[1] / 2, 0, shape[1] / 2], [0, shape[0] / 2, shape[0] / 2]])
    return compose(to_unit, compose(matrix, of_unit)).astype(np.float32)


def look_up(sources: Tensor, maps: Tensor, shape: tuple[int, int], outside: str) -> Tensor:
    """Look up sources `(N, C, h, w)` at the pixel centres of pictures of `shape`: `(N, C, *shape)`, bicubic.

    `maps (N, 2, 3)` are those of `look_up_map`. `outside` is 'border' or 'zeros'.
    """
    grid = F.affine_grid(maps, [len(maps), 1, *shape], align_corners=False)
    return F.grid_sample(sources, grid, mode="bicubic", padding_mode=outside, align_corners=False)


@dataclass(frozen=True, repr=False)
class Cut:
    """What a crop is made of: the decoder's samples under a face's window, views of the frame's planes.

    `matrix (2, 3)` maps frame pixels to the crop's, `maps` the crop's pixels to those of each of `windows (C, h, w)`:
    luma, chroma.
    """

    track: int
    index: int
    side: int
    matrix: Floats
    windows: tuple[Samples, Samples]
    maps: tuple[NDArray[np.float64], NDArray[np.float64]]


def _window(samples: Samples, matrix: NDArray[np.float64], side: int) -> tuple[Samples, NDArray[np.float64]]:
    """The part of planes `(C, h, w)` under a crop's window, and the map from the crop to it."""
    height, width = samples.shape[-2:]
    box = covered(matrix, side, (height, width), REACH)
    # Where the window has left the frame, what is nearest stands for it.
    x0, y0 = min(box.x0, width - 1), min(box.y0, height - 1)
    part = samples[:, y0 : max(box.y1, y0 + 1), x0 : max(box.x1, x0 + 1)]
    return part, compose(np.array([[1.0, 0, -x0], [0, 1.0, -y0]]), inverse(matrix))


def cut(frame: Frame, track: Track, side: int, planes: Planes) -> Cut:
    """Find the samples of `frame` that a crop of `track` at `side` pixels is made of; computes nothing."""
    matrix = square(track.matrices[frame.index - track.first], side)
    luma_map = matrix.astype(np.float64)
    luma = _window(frame.luma[None], luma_map, side)
    chroma = _window(frame.chroma, compose(luma_map, inverse(planes.chroma_from_luma())), side)
    return Cut(track.id, frame.index, side, matrix, (luma[0], chroma[0]), (luma[1], chroma[1]))


def _stacked(windows: Sequence[Samples]) -> Samples:
    """Windows `(C, h, w)` of several sizes in one array, filled up with their last row and column."""
    height, width = (max(window.shape[axis] for window in windows) for axis in (1, 2))
    stack = np.empty((len(windows), len(windows[0]), height, width), windows[0].dtype)
    for place, window in zip(stack, windows, strict=True):
        rows, columns = window.shape[1:]
        place[:, :rows, :columns] = window
        place[:, rows:, :columns] = window[:, -1:]
        place[:, :, columns:] = place[:, :, columns - 1 : columns]
    return stack


def _equal(cuts: Sequence[Cut], planes: Planes, lanes: Lanes) -> list[Crop]:
    """Crops of cuts that have one side."""
    shape = (cuts[0].side, cuts[0].side)
    stacks = [_stacked([cut.windows[plane] for cut in cuts]) for plane in (0, 1)]
    maps = [
        np.stack([look_up_map(cut.maps[plane], stack.shape[-2:], shape) for cut in cuts])
        for plane, stack in enumerate(stacks)
    ]
    luma, chroma, luma_maps, chroma_maps = lanes.bring([*stacks, *maps])
    samples = [
        look_up(luma.float(), luma_maps, shape, "border"),
        look_up(chroma.float(), chroma_maps, shape, "border"),
    ]
    pictures = rgb_from(torch.cat(samples, 1), planes.color)
    return [Crop(cut.track, cut.index, cut.matrix, rgb) for cut, rgb in zip(cuts, pictures, strict=True)]


def crops(cuts: Sequence[Cut], planes: Planes, lanes: Lanes) -> list[Crop]:
    """Sample cuts on the device, upright, as RGB: those of one side together. Not in the order of the cuts."""
    batches = in_batches(((cut.side, cut) for cut in cuts), lanes.together)
    return [found for _, batch in batches for found in _equal(batch, planes, lanes)]
