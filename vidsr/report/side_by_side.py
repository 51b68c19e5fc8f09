"""Several pictures of one frame in one: side by side, each under its name, as every player shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vidsr.frame import Frame, PixelFormat
from vidsr.picture import Gray, reduce

PIXELS = PixelFormat("yuv420p", 8, 1, 1)
"""What every browser plays."""
WIDE = 7680  # pixels: wider rows are broken, because players' decoders have limits
DARK, BRIGHT, NEUTRAL = 24, 225, 128  # samples of luma and chroma


def even(value: int) -> int:
    """The next even number: chroma has half the lines."""
    return value + value % 2


@dataclass(frozen=True)
class Mosaic:
    """Pictures of `width` x `height` in a grid, each under a strip with its label."""

    width: int
    height: int
    labels: tuple[str, ...]

    @property
    def strip(self) -> int:
        """Height of a label's strip."""
        return even(min(64, max(20, self.height // 18)))

    @property
    def columns(self) -> int:
        n = len(self.labels)
        return n if n * self.width <= WIDE else max(2, int(np.ceil(np.sqrt(n))))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the whole, even."""
        rows = -(-len(self.labels) // self.columns)
        return even(self.width) * self.columns, (even(self.height) + self.strip) * rows

    @property
    def corners(self) -> tuple[tuple[int, int], ...]:
        """Left and upper edge of each picture."""
        across, down = even(self.width), even(self.height) + self.strip
        places = (divmod(n, self.columns) for n in range(len(self.labels)))
        return tuple((column * across, row * down + self.strip) for row, column in places)

    def joined(self, pictures: Sequence[Frame], depth: int) -> Frame:
        """One frame of all `pictures`, whose samples have `depth` bits, in 8 bits and 4:2:0."""
        luma, chroma = _ground(self).copy(), np.full((2, self.size[1] // 2, self.size[0] // 2), NEUTRAL, np.uint8)
        high, wide = even(self.height), even(self.width)
        for (x, y), picture in zip(self.corners, pictures, strict=True):
            small = reduce(picture, depth, max(picture.luma.shape))
            luma[y : y + high, x : x + wide] = np.pad(
                small.luma, ((0, high - self.height), (0, wide - self.width)), "edge"
            )
            half = [cv2.resize(plane, (wide // 2, high // 2), interpolation=cv2.INTER_AREA) for plane in small.chroma]
            chroma[:, y // 2 : (y + high) // 2, x // 2 : (x + wide) // 2] = np.stack(half)
        return Frame(pictures[0].index, pictures[0].pts, luma, chroma)


@lru_cache(maxsize=2)
def _ground(mosaic: Mosaic) -> Gray:
    """The luma of a mosaic without its pictures: the labels on their strips."""
    width, height = mosaic.size
    luma = np.full((height, width), DARK, np.uint8)
    for label, (x, y) in zip(mosaic.labels, mosaic.corners, strict=True):
        luma[y - mosaic.strip : y, x : x + even(mosaic.width)] = written(label, even(mosaic.width), mosaic.strip)
    return luma


def written(text: str, width: int, height: int) -> Gray:
    """One line of text, bright on dark, `(height, width)`; made smaller where it would not fit."""
    picture = Image.new("L", (width, height), DARK)
    brush = ImageDraw.Draw(picture)
    size = 0.62 * height
    long = brush.textlength(text, font=_font(size))
    size *= min(1.0, max(0.3, (width - height / 2) / max(long, 1.0)))
    brush.text((height / 4, height / 2), text, BRIGHT, font=_font(size), anchor="lm")
    return np.asarray(picture, np.uint8)


def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(max(6.0, size))
