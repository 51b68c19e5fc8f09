"""The C library's memory: what was freed given back to the system, and shared by threads."""

from __future__ import annotations

import ctypes
from contextlib import suppress

M_ARENA_MAX = -8
"""glibc's number of this setting (malloc.h)."""


def shared() -> None:
    """Let threads that begin from now on take their memory from one place, where the C library can: glibc gives each a
    place of its own, and what one of them freed is of no use to the others. 50 MiB for two threads in a network."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def trim() -> None:
    """Give freed memory back, where the C library can: glibc keeps what a detector or a decoder no longer needs."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
