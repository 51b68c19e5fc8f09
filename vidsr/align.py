"""Frame and track to crop: a face's window, upright and at its own size, straight from the decoder's planes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vidsr.color import Color, rgb_from
from vidsr.config import CROP_SIZES
from vidsr.frame import Crop, Floats, Frame, PixelFormat, Samples, Track

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

    def overlaps(self, other: Box) -> bool:
        return self.x0 < other.x1 and other.x0 < self.x1 and self.y0 < other.y1 and other.y0 < self.y1


def crop_size(window: float) -> int:
    """The side of the crop for a face whose window is `window` source pixels wide: the nearest ratio wins."""
    return min(CROP_SIZES, key=lambda side: abs(np.log(side / window)))


def square(matrix: Floats, side: float) -> Floats:
    """A `(2, 3)` map to the unit square as a map to `side` pixels."""
    return np.asarray(matrix * side, np.float32)


def compose(outer: NDArray[np.float64], inner: NDArray[np.float64]) -> NDArray[np.float64]:
    """The affine map `(2, 3)` that does `inner` first."""
    return np.column_stack([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2] + outer[:, 2]])


def inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The way back of an affine map `(2, 3)`."""
    back = np.linalg.inv(matrix[:, :2])
    return np.column_stack([back, -back @ matrix[:, 2]])


def covered(matrix: NDArray[np.float64], side: float, shape: tuple[int, int], margin: int) -> Box:
    """The samples of a plane of `shape` under the square `side` of the crop that `matrix` maps to, and a margin."""
    corners = np.array([[0, side, 0, side], [0, 0, side, side], [1, 1, 1, 1]], float)
    x, y = inverse(matrix) @ corners
    height, width = shape
    return Box(
        max(0, int(np.floor(x.min())) - margin),
        max(0, int(np.floor(y.min())) - margin),
        min(width, int(np.ceil(x.max())) + margin),
        min(height, int(np.ceil(y.max())) + margin),
    )


def sample(source: Tensor, matrix: NDArray[np.float64], shape: tuple[int, int], outside: str) -> Tensor:
    """Look up `source (C, h, w)` at `matrix` times each pixel centre of a picture of `shape`: `(C, *shape)`, bicubic.

    `matrix (2, 3)` goes from the wanted picture's pixels to the source's. `outside` is 'border' or 'zeros'.
    """
    height, width = source.shape[-2:]
    to_unit = np.array([[2 / width, 0, -1], [0, 2 / height, -1]])
    of_unit = np.array([[shape[1] / 2, 0, shape[1] / 2], [0, shape[0] / 2, shape[0] / 2]])
    theta = torch.from_numpy(compose(to_unit, compose(matrix, of_unit))).float().to(source.device)
    grid = F.affine_grid(theta[None], [1, 1, *shape], align_corners=False)
    return F.grid_sample(source[None], grid, mode="bicubic", padding_mode=outside, align_corners=False)[0]


def _plane(samples: Samples, matrix: NDArray[np.float64], side: int, device: torch.device) -> Tensor:
    """Sample planes `(C, h, w)` under the window: `(C, side, side)` float32; edges repeat outside of the frame."""
    box = covered(matrix, side, samples.shape[-2:], REACH)
    if box.empty:  # the window has left the frame: what is nearest stands for it
        box = Box(0, 0, samples.shape[-1], samples.shape[-2])
    window = np.ascontiguousarray(samples[:, box.y0 : box.y1, box.x0 : box.x1]).astype(np.float32)
    shifted = compose(np.array([[1.0, 0, -box.x0], [0, 1.0, -box.y0]]), inverse(matrix))
    return sample(torch.from_numpy(window).to(device), shifted, (side, side), "border")


def crop(frame: Frame, track: Track, side: int, planes: Planes, device: torch.device) -> Crop:
    """Cut the face of `track` out of `frame` at `side` pixels, upright, as RGB on the device."""
    matrix = square(track.matrices[frame.index - track.first], side)
    luma_map = matrix.astype(np.float64)
    chroma_map = compose(luma_map, inverse(planes.chroma_from_luma()))
    luma = _plane(frame.luma[None], luma_map, side, device)
    chroma = _plane(frame.chroma, chroma_map, side, device)
    rgb = rgb_from(torch.cat([luma, chroma]), planes.color)
    return Crop(track.id, frame.index, matrix, rgb)
