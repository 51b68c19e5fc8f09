"""How good a restored face is, by measures of the field."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

BORDER = 4
"""Pixels cut from every edge before measuring, as is usual at a factor of 4."""


def luma(rgb: Image) -> NDArray[np.float64]:
    """BT.601 studio-range luma of `(h, w, 3)` uint8 RGB, 16..235, not rounded (Matlab's rgb2ycbcr)."""
    r, g, b = (rgb[..., i].astype(np.float64) for i in range(3))
    return 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255


def _inside(image: NDArray[np.float64]) -> NDArray[np.float64]:
    return image[BORDER:-BORDER, BORDER:-BORDER]


def psnr_y(a: Image, b: Image) -> float:
    """Peak signal-to-noise ratio of luma in dB between two `(h, w, 3)` uint8 pictures, border cut; inf if equal."""
    error = float(np.mean(_inside(luma(a) - luma(b)) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def ssim_y(a: Image, b: Image) -> float:
    """Structural similarity of luma, 11x11 Gaussian of 1.5, valid region, border cut (Wang 2004, section III-B)."""
    x, y = _inside(luma(a)), _inside(luma(b))

    def mean(image: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.GaussianBlur(image, (11, 11), 1.5)[5:-5, 5:-5])

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    ssim = (2 * mx * my + c1) * (2 * cov + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return float(ssim.mean())
