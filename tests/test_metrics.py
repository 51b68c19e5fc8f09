"""The measures, against scikit-image's and against arithmetic."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.color import rgb2ycbcr
from skimage.metrics import structural_similarity

from tests.faces import portrait
from vidsr.metrics import luma, psnr_y, ssim_y


def pair() -> tuple[np.ndarray, np.ndarray]:
    sharp = portrait()[50:178, 150:278]
    return sharp, cv2.GaussianBlur(sharp, (0, 0), 1.5)


def test_luma_is_matlabs() -> None:
    image = portrait()
    assert np.abs(luma(image) - rgb2ycbcr(image)[..., 0]).max() < 0.01


def test_psnr_of_a_known_error() -> None:
    a, _ = pair()
    grey = np.full_like(a, 100)
    assert psnr_y(grey, grey) == float("inf")
    step = np.full_like(a, 100 + 10)
    change = 10 * (65.481 + 128.553 + 24.966) / 255
    assert psnr_y(grey, step) == pytest.approx(20 * np.log10(255 / change), abs=1e-6)


def test_ssim_is_scikit_images() -> None:
    a, b = pair()
    x, y = luma(a)[4:-4, 4:-4], luma(b)[4:-4, 4:-4]
    theirs = structural_similarity(
        x, y, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, win_size=11
    )
    assert ssim_y(a, b) == pytest.approx(theirs, abs=2e-3)
    assert ssim_y(a, a) == pytest.approx(1.0)
