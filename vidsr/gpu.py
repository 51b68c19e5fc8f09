"""Whether a GPU may be here, told without loading torch, which takes over a second."""

from __future__ import annotations

import sys
from pathlib import Path

NODES = ("nvidia[0-9]*", "dxg", "kfd")
"""Devices under /dev of NVIDIA's driver, of Windows's Linux, and of AMD's driver."""


def may_have_gpu() -> bool:
    """False only where torch would surely find none."""
    return not sys.platform.startswith("linux") or any(any(Path("/dev").glob(node)) for node in NODES)
