"""VapourSynth and ComfyUI: what comes out is what `vidsr enhance` makes of the same frames."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.program import ROOT, SAMPLE
from vidsr.errors import VidsrError

VAPOURSYNTH = os.environ.get("VIDSR_VAPOURSYNTH_PYTHON", sys.executable)
"""A Python that has VapourSynth: this one, or another, as it needs 3.12."""

SCRIPT = """
import sys
import numpy as np
import vapoursynth as vs
import vidsr_vs

raw = np.fromfile(sys.argv[1], np.uint8).reshape(-1, 180 * 240 * 3 // 2)
blank = vs.core.std.BlankClip(width=240, height=180, format=vs.YUV420P8, length=len(raw), fpsnum=25, fpsden=1)
shapes = [(180, 240), (90, 120), (90, 120)]

def filled(n, f):
    frame, at = f.copy(), 0
    for plane, (h, w) in enumerate(shapes):
        np.copyto(np.asarray(frame[plane]), raw[n, at : at + h * w].reshape(h, w))
        at += h * w
    frame.props["_Number"] = n
    return frame

clip = blank.std.ModifyFrame(blank, filled)
out = vidsr_vs.enhance(clip, program=sys.argv[3:], scale=1, model="plain")
made = []
for n in (5, 0, 3, *range(len(raw))):
    frame = out.get_frame(n)
    assert frame.props["_Number"] == n
    made.append(b"".join(np.asarray(frame[plane]).tobytes() for plane in range(3)))
open(sys.argv[2], "wb").write(b"".join(made[3:]))
assert made[:3] == [made[8], made[3], made[6]]
try:
    vidsr_vs.enhance(clip, program=sys.argv[3:], scale=3)
except vs.Error as error:
    assert "scale" in str(error)
else:
    raise AssertionError("a wrong option was taken")
"""


def has_vapoursynth() -> bool:
    wanted = [VAPOURSYNTH, "-c", "import vapoursynth, numpy"]
    return subprocess.run(wanted, capture_output=True, check=False).returncode == 0


def raw(film: Path, count: int) -> bytes:
    words = ["ffmpeg", "-v", "error", "-i", film, "-frames:v", str(count), "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]
    return subprocess.run(words, capture_output=True, check=True).stdout


@pytest.mark.skipif(not has_vapoursynth(), reason="VapourSynth is not installed: it needs Python 3.12")
def test_a_vapoursynth_clip_is_what_enhance_makes_of_its_frames(tmp_path: Path) -> None:
    given, made, film = tmp_path / "in.raw", tmp_path / "out.raw", tmp_path / "film.mkv"
    given.write_bytes(raw(SAMPLE, 8))
    shape = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", "240x180", "-r", "25", "-i", given]
    subprocess.run(["ffmpeg", "-v", "error", *shape, "-c:v", "ffv1", film], check=True)
    program = [sys.executable, str(ROOT / "cli.py")]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "integrations")}
    words = [VAPOURSYNTH, "-c", SCRIPT, str(given), str(made), *program]
    found = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    words = ["enhance", film, "--scale", "1", "--model", "plain", "--codec", "ffv1", "-q", "-o", tmp_path / "name.mkv"]
    subprocess.run([*program, *map(str, words)], check=True)
    assert made.read_bytes() == raw(tmp_path / "name.mkv", 8)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The node as ComfyUI loads it: the folder's `__init__.py`, by its path."""
    path = ROOT / "integrations/comfyui_vidsr/__init__.py"
    spec = importlib.util.spec_from_file_location("custom_nodes.comfyui_vidsr", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def images(count: int) -> Any:
    import torch

    words = ["ffmpeg", "-v", "error", "-i", SAMPLE, "-frames:v", str(count), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    pixels = np.frombuffer(subprocess.run(words, capture_output=True, check=True).stdout, np.uint8)
    return torch.from_numpy(pixels.reshape(count, 180, 240, 3).astype(np.float32) / 255)


def test_the_comfyui_node_keeps_its_contract(node: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    (name,) = node.NODE_CLASS_MAPPINGS
    kind = node.NODE_CLASS_MAPPINGS[name]
    assert set(node.NODE_DISPLAY_NAME_MAPPINGS) == {name}
    asked = kind.INPUT_TYPES()["required"]
    values = {key: given[1]["default"] for key, given in asked.items() if key != "images"}
    before = images(6)
    (after,) = getattr(kind(), kind.FUNCTION)(images=before, **values)
    assert kind.RETURN_TYPES == ("IMAGE",)
    assert after.shape == before.shape and after.dtype == before.dtype
    assert float(after.min()) >= 0 and float(after.max()) <= 1
    difference = (after - before).abs().mean(dim=3)
    assert float(difference.max()) > 0.05, "no face was restored"
    assert float(difference[:, :8].max()) < 0.02, "the corner is no face"

    class Interrupted(Exception):
        pass

    def stop() -> None:
        raise Interrupted

    comfy = types.ModuleType("comfy.model_management")
    comfy.throw_exception_if_processing_interrupted = stop  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "comfy", types.ModuleType("comfy"))
    monkeypatch.setitem(sys.modules, "comfy.model_management", comfy)
    with pytest.raises(Interrupted):
        kind().restore(before, 25.0)
    with pytest.raises(VidsrError):
        kind().restore(before, 25.0, scale="3")
