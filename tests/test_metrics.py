"""The measures, against scikit-image's and against arithmetic."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.color import rgb2ycbcr
from skimage.metrics import structural_similarity

from tests.faces import portrait
from vidsr.errors import ModelError
from vidsr.evaluate import metrics
from vidsr.evaluate.metrics import luma, psnr, psnr_y, ssim_y


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


def test_psnr_under_a_mask_knows_nothing_of_what_lies_beside_it() -> None:
    a = np.full((8, 8), 100, np.uint8).astype(np.float32)
    b, mask = a.copy(), np.zeros((8, 8), bool)
    b[:4], mask[2:] = 110, True  # two of six rows differ by 10
    assert psnr(a, b, mask) == pytest.approx(10 * np.log10(255**2 / (100 / 3)))
    assert psnr(a, b, ~mask) == pytest.approx(20 * np.log10(255 / 10))
    assert psnr(a, a, mask) == 99


def test_dlibs_distance_is_nothing_for_one_picture_and_grows_with_blur() -> None:
    pytest.importorskip("dlib", reason="the recogniser needs dlib")
    recogniser = metrics.Distance()
    side = metrics.CHIP
    face = cv2.resize(portrait()[40:190, 148:298], (side, side), interpolation=cv2.INTER_AREA)
    soft, softer = (cv2.GaussianBlur(face, (0, 0), sigma) for sigma in (1.5, 5))
    same, near, far = (
        np.linalg.norm(recogniser.embed(face) - recogniser.embed(other)) for other in (face, soft, softer)
    )
    assert same == 0
    assert 0.02 < near < far


def test_without_dlib_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "find_spec", lambda _: None)
    with pytest.raises(ModelError, match="pip install dlib-bin"):
        metrics.Distance()
