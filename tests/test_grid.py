"""A grid of four pixels is found where one was made, and the shipped models weave hardly any into a coded face."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from tests.bench.grid import grid
from tests.faces import FACE, portrait
from vidsr.color import luma
from vidsr.networks import model_file
from vidsr.networks.generator import SCALE


def test_a_made_grid_is_found() -> None:
    rng = np.random.default_rng(1)
    picture = cv2.GaussianBlur(rng.normal(128, 40, (256, 256)).astype(np.float32), (0, 0), 1)
    lattice = np.tile(rng.normal(0, 1, (SCALE, SCALE)), (64, 64)).astype(np.float32)
    assert grid(picture) == pytest.approx(1, abs=0.4)
    assert grid(picture + lattice) > 5


@pytest.mark.parametrize(("stage", "most"), [("fidelity", 2.5), ("gan", 2.0)])
def test_shipped_models_weave_no_grid(stage: str, most: float) -> None:
    x, y = (int(middle) for middle in FACE)
    face = cv2.resize(portrait()[y - 104 : y + 104, x - 104 : x + 104], (104, 104), interpolation=cv2.INTER_AREA)
    coded = cv2.imdecode(cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_COLOR)
    model = model_file.load_own(f"vidsr_x4_{stage}")
    clip = torch.from_numpy(coded).permute(2, 0, 1).float().div(255).expand(1, model.window, 3, 104, 104)
    with torch.inference_mode():
        restored = luma(model.network.float()(clip))[0, 0] * 255
    assert grid(restored[96:-96, 96:-96].numpy()) < most
