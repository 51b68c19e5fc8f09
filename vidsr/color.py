"""Between a stream's own YUV samples and RGB in 0..1, by its own matrix and range."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor

from vidsr.frame import Floats
from vidsr.picture import LUMA_WEIGHTS, ycbcr


@dataclass(frozen=True)
class Color:
    """One stream's coding of colour: `matrix`, a key of LUMA_WEIGHTS, range, and bits a sample."""

    matrix: str
    full_range: bool
    depth: int

    @cached_property
    def offset(self) -> Tensor:
        """`(3,)`: the sample values of black without colour."""
        black = 0 if self.full_range else 16 << (self.depth - 8)
        grey = 1 << (self.depth - 1)
        return torch.tensor([black, grey, grey], dtype=torch.float32)

    @cached_property
    def to_rgb(self) -> Tensor:
        """`(3, 3)`: sample values less their offset -> RGB."""
        back: Tensor = torch.linalg.inv(self.to_yuv.double())
        return back.float()

    @cached_property
    def to_yuv(self) -> Tensor:
        """`(3, 3)`: RGB -> sample values less their offset; maps differences too."""
        peak, unit = float((1 << self.depth) - 1), float(1 << (self.depth - 8))
        # The distance from black to white, and across the chroma axis, in sample values.
        luma, chroma = (peak, peak) if self.full_range else (219 * unit, 224 * unit)
        return torch.from_numpy(ycbcr(self.matrix) * [[luma], [chroma], [chroma]]).float()


@lru_cache(maxsize=32)
def _to_yuv(color: Color, device: torch.device) -> Tensor:
    """`color.to_yuv` on a device: sent once, as sending what is not pinned waits for the device."""
    return color.to_yuv.to(device)


def luma(rgb: Tensor) -> Tensor:
    """BT.601's luma of RGB `(..., 3, h, w)`, full range: `(..., 1, h, w)`."""
    red, blue = LUMA_WEIGHTS["bt601"]
    r, g, b = torch.split(rgb, 1, -3)
    return red * r + (1 - red - blue) * g + blue * b


def rgb_of(samples: Floats, color: Color) -> Floats:
    """YUV sample values `(h, w, 3)` float32 on the host -> RGB in 0..1, clipped."""
    to_rgb = color.to_rgb.double().numpy()
    matrix = np.column_stack([to_rgb, -to_rgb @ color.offset.double().numpy()])
    return np.asarray(np.clip(cv2.transform(samples, matrix), 0, 1), np.float32)


def yuv_difference(rgb: Tensor, color: Color) -> Tensor:
    """A difference of RGB `(..., 3, h, w)` as a difference of YUV sample values; zero stays zero exactly."""
    return torch.einsum("ij,...jhw->...ihw", _to_yuv(color, rgb.device), rgb)
