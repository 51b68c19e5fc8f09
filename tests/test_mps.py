"""Apple's GPU, stood in for: tensors on "mps" are the CPU's, but refuse what MPS refuses."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from tests.program import SAMPLE, thinned
from vidsr import enhance
from vidsr.errors import DeviceError
from vidsr.restore import restorer

MPS = torch.device("mps")
REFUSED = (torch.float64, torch.uint16)


class Mps(TorchFunctionMode):
    """What is asked of MPS is done by the CPU; `moved` counts what went there."""

    moved = 0

    def __torch_function__(self, function: Any, types: Any, words: Any = (), named: Any = None) -> Any:
        named = dict(named or {})
        asked = [*words, named.get("device")]
        if function is not torch.device and any(
            isinstance(one, torch.device | str) and str(one).startswith("mps") for one in asked
        ):
            self.moved += 1
            assert not named.get("pin_memory")
            assert not (isinstance(words[0] if words else None, torch.Tensor) and words[0].dtype in REFUSED)
            assert named.get("dtype") not in REFUSED
            words = tuple("cpu" if isinstance(one, torch.device | str) and str(one) == "mps" else one for one in words)
            if "device" in named:
                named["device"] = "cpu"
        return function(*words, **named)


def test_auto_takes_apples_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceError, match="no Apple GPU"):
        restorer.pick_device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert restorer.pick_device("auto") == restorer.pick_device("mps") == MPS
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert restorer.pick_device("auto").type == "cuda"
    assert restorer.pick_dtype("auto", MPS) is torch.float32


@pytest.mark.parametrize("pixels", thinned(["yuv420p10le", "yuv420p"]))
def test_a_film_is_enhanced_on_apples_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixels: str) -> None:
    film = tmp_path / "film.mkv"
    cut = ["ffmpeg", "-v", "error", "-i", SAMPLE, "-an", "-frames:v", "6", "-c:v", "ffv1", "-pix_fmt", pixels, film]
    subprocess.run(cut, check=True)
    options = {"scale": 1, "codec": "ffv1", "precision": "fp32", "quiet": True}
    enhance(film, tmp_path / "cpu.mkv", device="cpu", **options)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with Mps() as mode:
        assert enhance(film, tmp_path / "mps.mkv", device="mps", **options).restored == 6
    assert mode.moved > 5
    cpu, mps = (samples(tmp_path / name) for name in ("cpu.mkv", "mps.mkv"))
    assert cpu.size == mps.size == 6 * 240 * 180 * 3
    assert np.abs(cpu - mps).max() <= 2, "faces that are computed together differ in the last bits at most"


def samples(film: Path) -> np.ndarray:
    words = ["ffmpeg", "-v", "error", "-i", film, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(words, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).astype(int)
