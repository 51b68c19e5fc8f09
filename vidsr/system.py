"""What systems do differently: the one home of fcntl, msvcrt, resource and /proc, and of what is done without them.

Linux has all of it. macOS and Windows lack some; what they lack is looked for when it is needed, so that tests can take
it away here.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import IO

WINDOWS = os.name == "nt"
LOCKED_BYTE = 1 << 30
"""What is locked on Windows, where a locked byte cannot be read: far behind the few that the file has."""


def _module(name: str) -> ModuleType | None:
    try:
        return import_module(name)
    except ImportError:
        return None


fcntl, msvcrt, resource = _module("fcntl"), _module("msvcrt"), _module("resource")


def passes_descriptors() -> bool:
    """Whether a process that is started can be given open files beside its first three."""
    return not WINDOWS and fcntl is not None


def lock(file: IO[str]) -> None:
    """Lock an open file until it is closed or its process ends, however; BlockingIOError where another holds it."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    if msvcrt is None:
        raise OSError("this system has no locks for files")
    place = file.tell()
    file.seek(LOCKED_BYTE)
    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except OSError as error:
        raise BlockingIOError(*error.args) from error
    finally:
        file.seek(place)


def open_log(path: str) -> int:
    """Open a file to write at its end, and make it if need be; OSError where it is a link, if the system can say."""
    no_link: int = getattr(os, "O_NOFOLLOW", 0)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | no_link, 0o666)


def enlarge(pipe: int, size: int) -> None:
    """A frame in few calls; where it is not allowed, the pipe stays as it is."""
    with suppress(OSError, AttributeError):
        if fcntl is not None:
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, size)


def tie(leash: int, pid: int) -> None:
    """Let the kernel kill process `pid` when the other end of the pipe `leash`, which it holds, is closed.

    The other end is ours (and that of copies we fork), so it closes when we end, however we end. PR_SET_PDEATHSIG
    would fire when the thread that started the child ends, and must be set between fork and exec, which is unsafe in
    a process with threads. Elsewhere than on Linux, ffmpeg still ends by itself when the pipes that it reads or writes
    break.
    """
    if fcntl is None or not hasattr(fcntl, "F_SETSIG") or not hasattr(signal, "SIGKILL"):
        return
    with suppress(OSError):
        fcntl.fcntl(leash, fcntl.F_SETOWN, pid)
        fcntl.fcntl(leash, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(leash, fcntl.F_SETFL, fcntl.fcntl(leash, fcntl.F_GETFL) | os.O_ASYNC)  # type: ignore[attr-defined,unused-ignore]


@contextmanager
def deaf() -> Iterator[None]:
    """Processes that are started inside the block do not hear Ctrl-C, where the system can do that."""
    mask = getattr(signal, "pthread_sigmask", None)
    if mask is None:
        yield
        return
    before = mask(signal.SIG_BLOCK, [signal.SIGINT])  # type: ignore[attr-defined,unused-ignore]
    try:
        yield
    finally:
        mask(signal.SIG_SETMASK, before)  # type: ignore[attr-defined,unused-ignore]


def processors() -> int:
    """How many processors this process may use."""
    mine = getattr(os, "sched_getaffinity", None)
    return len(mine(0)) if mine is not None else os.cpu_count() or 1


def forks() -> bool:
    """Whether a process with threads can be copied: macOS has the call, and libraries that do not survive it."""
    return hasattr(os, "fork") and sys.platform != "darwin"


def allow_files() -> None:
    """As many open files as the system lets us have."""
    if resource is None:
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def processor_words() -> frozenset[str]:
    """What the processor says that it has; nothing where it cannot be asked."""
    try:
        return frozenset(Path("/proc/cpuinfo").read_text(errors="replace").split())
    except OSError:
        return frozenset()


RESERVED = {"con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(1, 10))}


def is_portable(name: str) -> bool:
    """Whether a file can have this name on every system."""
    clean = not set(name) & set('<>:"/\\|?*') and name.isprintable() and not name.endswith((".", " "))
    return clean and bool(name) and name.split(".")[0].lower() not in RESERVED


M_ARENA_MAX = -8
"""glibc's number of this setting (malloc.h)."""


def share_heap() -> None:
    """Let threads that begin from now on take their memory from one place, where the C library can: glibc gives each a
    place of its own, and what one of them freed is of no use to the others. 50 MiB for two threads in a network."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def trim_heap() -> None:
    """Give freed memory back, where the C library can: glibc keeps what a detector or a decoder no longer needs."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


NODES = ("nvidia[0-9]*", "dxg", "kfd")
"""Devices under /dev of NVIDIA's driver, of Windows's Linux, and of AMD's driver."""


def may_have_gpu() -> bool:
    """False only where torch would surely find none."""
    return not sys.platform.startswith("linux") or any(any(Path("/dev").glob(node)) for node in NODES)
