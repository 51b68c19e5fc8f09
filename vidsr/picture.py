"""A frame's small picture: the planes reduced first, then turned into RGB, for detectors and for people to look at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, cast

import cv2
import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.uint8] | NDArray[np.uint16]
Rgb = NDArray[np.uint8]
Gray = NDArray[np.uint8]

LUMA_WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}
"""The weights of red and of blue in luma: ITU-R BT.601-7, BT.709-6 and BT.2020-2, section on signal format."""


class SampleFormat(Protocol):
    """How a film's samples are stored."""

    @property
    def depth(self) -> int: ...


class Colour(Protocol):
    """What a film says about its samples: `matrix` is a key of `LUMA_WEIGHTS`."""

    @property
    def pixels(self) -> SampleFormat: ...
    @property
    def matrix(self) -> str: ...
    @property
    def full_range(self) -> bool: ...


class YuvPlanes(Protocol):
    """The samples of a frame: `luma (H, W)` and `chroma (2, h, w)`."""

    @property
    def luma(self) -> Samples: ...
    @property
    def chroma(self) -> Samples: ...


@dataclass(frozen=True, repr=False)
class Small:
    """A reduced frame in 8 bits: `luma (h, w)` and `chroma (2, h', w')`, h' <= h; coordinates times `scale` (x, y)
    are pixels of the frame."""

    luma: Gray
    chroma: Gray
    scale: tuple[float, float]


def reduced_size(width: int, height: int, side: int) -> tuple[int, int]:
    """Width and height after reducing the long side to `side`; never enlarged."""
    factor = min(1.0, side / max(width, height))
    return max(1, round(width * factor)), max(1, round(height * factor))


def _resize(plane: Samples, size: tuple[int, int]) -> Samples:
    if (plane.shape[1], plane.shape[0]) == size:
        return plane
    # INTER_AREA falls back to a nearest-like kernel when it enlarges.
    shrinks = plane.shape[1] >= size[0] and plane.shape[0] >= size[1]
    resized = cv2.resize(plane, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return cast(Samples, resized)


def _to_8_bits(plane: Samples, depth: int) -> Gray:
    return np.asarray(
        plane if plane.dtype == np.uint8 else cv2.convertScaleAbs(plane, alpha=2.0 ** (8 - depth)), np.uint8
    )


def reduce(frame: YuvPlanes, depth: int, side: int) -> Small:
    """Reduce a frame's planes to the long side `side`, 8 bits; a frame that is small enough keeps its size."""
    height, width = frame.luma.shape
    small_w, small_h = reduced_size(width, height, side)
    luma = _to_8_bits(_resize(frame.luma, (small_w, small_h)), depth)
    rows, columns = frame.chroma.shape[1:]
    # Chroma stays coarser than luma where it is: only the frames that are looked at in colour pay for enlarging it.
    chroma_size = min(columns, small_w), min(rows, small_h)
    if frame.chroma.dtype == np.uint8 and chroma_size == (columns, rows):
        chroma = np.asarray(frame.chroma, np.uint8)
    else:
        chroma = np.stack([_to_8_bits(_resize(plane, chroma_size), depth) for plane in frame.chroma])
    return Small(luma, chroma, (width / small_w, height / small_h))


def ycbcr(matrix: str) -> NDArray[np.float64]:
    """The map `(3, 3)` from RGB to Y in 0..1, U and V in -0.5..0.5; `matrix` is a key of `LUMA_WEIGHTS`."""
    red, blue = LUMA_WEIGHTS[matrix]
    green = 1 - red - blue
    return np.array(
        [
            [red, green, blue],
            [-red / (1 - blue) / 2, -green / (1 - blue) / 2, 0.5],
            [0.5, -green / (1 - red) / 2, -blue / (1 - red) / 2],
        ]
    )


@lru_cache(maxsize=8)
def rgb_matrix(matrix: str, full_range: bool) -> NDArray[np.float64]:
    """The affine map `(3, 4)` from 8-bit (Y, U, V, 1) to RGB in 0..255 (BT.601-7, 709-6, 2020-2)."""
    luma, chroma, black = (1.0, 1.0, 0.0) if full_range else (255 / 219, 255 / 224, 16.0)
    linear = np.linalg.inv(ycbcr(matrix)) * [luma, chroma, chroma]
    whole = np.column_stack([linear, -linear @ [black, 128, 128]])
    whole.setflags(write=False)  # one for all who ask
    return whole


def to_rgb(small: Small, colour: Colour) -> Rgb:
    """The reduced frame as RGB `(h, w, 3)`, uint8."""
    size = small.luma.shape[1], small.luma.shape[0]
    planes = [small.luma, *(_resize(plane, size) for plane in small.chroma)]
    return np.asarray(cv2.transform(cv2.merge(planes), rgb_matrix(colour.matrix, colour.full_range)), np.uint8)


def small_rgb(frame: YuvPlanes, colour: Colour, side: int) -> Rgb:
    """The frame as RGB `(h, w, 3)`, uint8, its long side reduced to `side`; never enlarged."""
    return to_rgb(reduce(frame, colour.pixels.depth, side), colour)


def png(rgb: Rgb) -> bytes:
    """A picture `(h, w, 3)` as a PNG file."""
    _, packed = cv2.imencode(".png", rgb[..., ::-1])
    return packed.tobytes()
