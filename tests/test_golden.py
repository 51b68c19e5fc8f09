"""The shipped models still make what they made when they were shipped."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.golden import FOLDER, restored
from vidsr.networks import store

MOST = 2
"""Grey levels that kernels of other processors and versions may differ by, after rounding."""


@pytest.mark.parametrize("name", store.shipped())
def test_the_golden_crop_comes_out_again(name: str) -> None:
    wanted = cv2.imread(str(FOLDER / f"{name}.png"))
    assert wanted is not None, "write it with: python -m tests.golden"
    errors = np.abs(restored(name)[..., ::-1].astype(int) - wanted)
    shares = ", ".join(f"{level}: {(errors == level).mean():.2%}" for level in np.unique(errors)[:12])
    assert errors.max() <= MOST, f"errors in grey levels: {shares}"
