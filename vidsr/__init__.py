"""Restore small and blurred faces in films. Importing this package loads nothing heavy.

In Python and in notebooks: `from vidsr import enhance, preview`; both take what the commands of that name take.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

# What Apple's GPU cannot compute, the CPU does; torch asks when it is loaded.
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")

if TYPE_CHECKING:
    from vidsr.api import enhance, preview

__all__ = ["__version__", "enhance", "preview"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name in ("enhance", "preview"):
        from vidsr import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
