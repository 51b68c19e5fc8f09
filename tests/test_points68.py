"""face-alignment's detectors: their real code with files where its downloads would lie, and no network."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.faces import FACE, portrait
from tests.test_package import ROOT
from vidsr.config import Analyze
from vidsr.detect import open_detector
from vidsr.errors import ModelError
from vidsr.points68 import five_of

FILES = ROOT.parent / "shared/data/weights"


def test_a_download_that_fails_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import urllib.error
    import urllib.request

    def offline(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    monkeypatch.setattr("torch.hub.urlopen", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("sfd", "blazeface"):
        with pytest.raises(ModelError, match=f"{name} is downloaded at first use.*centerface"):
            open_detector(Analyze(detector=name))


@pytest.mark.skipif(not FILES.is_dir(), reason="the detector's weights are not here")
def test_blazeface_finds_the_portraits_face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its detector is the real one; the 68-point network has random weights, so only the box is looked at."""
    from face_alignment.models import FAN

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub/checkpoints"
    folder.mkdir(parents=True)
    shutil.copy(FILES / "blazeface.pth", folder)
    shutil.copy(FILES / "blazeface_anchors.npy", folder / "anchors.npy")
    torch.manual_seed(1)
    torch.save(FAN(4).state_dict(), folder / "2DFAN4-11f355bf06.pth.tar")
    (faces,) = open_detector(Analyze(detector="blazeface"))([portrait()])
    assert len(faces) == 1
    x0, y0, x1, y1 = faces[0].box
    assert abs((x0 + x1) / 2 - FACE[0]) < 15
    assert abs((y0 + y1) / 2 - FACE[1]) < 25
    assert 60 < y1 - y0 < 160
    assert faces[0].landmarks.shape == (5, 2)


def test_five_points_out_of_68() -> None:
    points = np.zeros((68, 2), np.float32)
    points[36:42] = (10, 20)
    points[42:48] = (30, 20)
    points[30], points[48], points[54] = (20, 30), (12, 40), (28, 40)
    assert five_of(points).tolist() == [[10.5, 20.5], [30.5, 20.5], [20.5, 30.5], [12.5, 40.5], [28.5, 40.5]]
