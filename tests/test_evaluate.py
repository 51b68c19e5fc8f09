"""The measures' protocol, and the figures that are known for bicubic."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from tests.faces import portrait
from tests.test_package import ROOT
from vidsr import evaluate, weights

STILLS = ROOT.parent / "shared/data/test/stills"
FILES = ROOT.parent / "shared/data/weights"


def test_the_plain_model_scores_near_bicubic(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "face.png"), portrait()[20:276, 90:346, ::-1])
    scores = evaluate.stills(tmp_path, [weights.load("plain")])
    assert [(one.model, one.side) for one in scores] == [
        ("bicubic", 256),
        ("plain", 256),
        ("bicubic", 128),
        ("plain", 128),
    ]
    for ours, theirs in zip(scores[::2], scores[1::2], strict=True):
        assert ours.psnr_y == pytest.approx(theirs.psnr_y, abs=0.4)


@pytest.mark.skipif(not STILLS.is_dir(), reason="the test stills are not here")
def test_the_shipped_model_beats_bicubic_by_what_its_card_says() -> None:
    name = "vidsr_x4_fidelity"
    model = weights.load(name)
    plain, ours, _, _ = evaluate.stills(STILLS, [model])
    assert plain.psnr_y == pytest.approx(29.22, abs=0.005)
    assert plain.ssim_y == pytest.approx(0.817, abs=0.0005)
    assert ours.psnr_y > plain.psnr_y + 1.9
    assert ours.psnr_y == pytest.approx(model.card.metrics["psnr_y_64_256"], abs=0.02)


@pytest.mark.skipif(not FILES.is_dir(), reason="the weights for metrics are not here")
def test_lpips_of_bicubic_is_the_known_one() -> None:
    from vidsr.data.stills import load_stills
    from vidsr.metrics import Lpips

    lpips = Lpips(FILES / "squeezenet1_1_ft.pth", FILES / "lpips_squeeze_lin.pth")
    faces, _ = load_stills(STILLS)
    assert evaluate.score("bicubic", evaluate.bicubic, faces, lpips).lpips == pytest.approx(0.177, abs=0.0005)
    assert lpips(faces[0], faces[0]) == 0
