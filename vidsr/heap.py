"""Memory that was freed, given back to the system."""

from __future__ import annotations

import ctypes
from contextlib import suppress


def trim() -> None:
    """Give freed memory back, where the C library can: glibc keeps what a detector or a decoder no longer needs."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
