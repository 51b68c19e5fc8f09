"""face-alignment's detectors: their real code with files where its downloads would lie, and no network."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.faces import FACE, portrait
from tests.program import ROOT, needs
from vidsr.analysis import landmarks68
from vidsr.analysis.detector import open_detector
from vidsr.analysis.landmarks68 import five_of
from vidsr.config import LANDMARKERS, Analyze
from vidsr.errors import ModelError

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
    with pytest.raises(ModelError, match=r"--landmarks fan is downloaded at first use.*--landmarks detector"):
        open_detector(Analyze(landmarks="fan"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package would put its downloads, with a 68-point network of random weights in it."""
    from face_alignment.models import FAN

    folder = tmp_path_factory.mktemp("torch")
    (folder / "hub/checkpoints").mkdir(parents=True)
    torch.manual_seed(1)
    torch.save(FAN(4).state_dict(), folder / "hub/checkpoints/2DFAN4-11f355bf06.pth.tar")
    return folder


@pytest.mark.slow
def test_68_points_need_no_other_detector(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(home))
    picture = np.ascontiguousarray(portrait()[:240, 100:340])
    (plain,), (pointed,) = (open_detector(Analyze(landmarks=kind))([picture]) for kind in LANDMARKERS)
    assert np.array_equal(plain[0].box, pointed[0].box)
    assert plain[0].score == pytest.approx(pointed[0].score)
    assert not np.array_equal(plain[0].landmarks, pointed[0].landmarks)


class Middles:
    """A network whose 68 points all lie in the middle of the box."""

    def get_landmarks_from_image(self, _: object, detected_faces: list[list[float]]) -> list[np.ndarray]:
        return [np.tile([(x0 + x1) / 2, (y0 + y1) / 2], (68, 1)) for x0, y0, x1, y1, _ in detected_faces]


def test_68_points_go_with_their_own_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landmarks68, "_opened", lambda *_: Middles())
    both = np.concatenate([portrait()[:240, 100:340], portrait()[:240, 100:340] // 2], axis=1)
    found, nothing = open_detector(Analyze(landmarks="fan"))([both, both // 255])
    assert (len(found), nothing) == (2, [])
    for one in found:
        assert np.allclose(one.landmarks, one.box.reshape(2, 2).mean(axis=0) + 0.5, atol=1e-3)


@pytest.mark.slow
@needs(FILES)
def test_blazeface_finds_the_portraits_face(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its detector is the real one; the 68-point network has random weights, so only the box is looked at."""
    monkeypatch.setenv("TORCH_HOME", str(home))
    folder = home / "hub/checkpoints"
    shutil.copy(FILES / "blazeface.pth", folder)
    shutil.copy(FILES / "blazeface_anchors.npy", folder / "anchors.npy")
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
