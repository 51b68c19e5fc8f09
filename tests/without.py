"""A system that lacks what Windows lacks: to be run before the package is imported, in a process of its own.

Without fcntl, resource and pty, /proc, polling, passed descriptors and the signals of POSIX; with stand-ins for
Windows's locks (here those of POSIX).
"""

from __future__ import annotations

import fcntl as real
import os
import pathlib
import select
import signal
import subprocess
import sys
import types
from importlib import import_module
from typing import Any

FILM = ("torch", "cv2", "scipy", "platformdirs", "tqdm")
ALL = (*FILM, "spandrel", "webdataset", "onnx2torch", "torchvision")
"""Other projects' packages that look for what this system has when they are imported: a film's, and all."""


def _locking(handle: int, _: int, size: int) -> None:
    try:
        real.lockf(handle, real.LOCK_EX | real.LOCK_NB, size, os.lseek(handle, 0, os.SEEK_CUR))
    except BlockingIOError as error:
        raise PermissionError(*error.args) from None


def _no_proc(self: pathlib.Path, *words: Any, **named: Any) -> Any:
    if str(self).startswith("/proc"):
        raise FileNotFoundError(2, "there is no /proc", str(self))
    return open(self, *words, **named)  # noqa: PTH123


class _Popen(subprocess.Popen[bytes]):
    def __init__(self, *words: Any, pass_fds: tuple[int, ...] = (), **named: Any) -> None:
        if pass_fds:
            raise ValueError("pass_fds not supported on Windows")
        super().__init__(*words, **named)

    def kill(self) -> None:
        self.send_signal(9)  # type: ignore[arg-type]


def take_away(others: tuple[str, ...] = ()) -> None:
    """Take it all away from this process, once it has imported `others`."""
    for name in others:
        import_module(name)  # they may look for what they like
    for name in ("fcntl", "resource", "pty"):
        sys.modules[name] = None  # type: ignore[assignment]
    sys.modules["msvcrt"] = types.SimpleNamespace(locking=_locking, LK_NBLCK=2)  # type: ignore[assignment]
    for module, names in (
        (select, ("poll", "epoll")),
        (signal, ("SIGKILL", "SIGHUP", "pthread_sigmask")),
        (os, ("splice", "readv", "sched_getaffinity", "geteuid", "getuid", "set_blocking", "O_NOFOLLOW", "fork")),
    ):
        for name in names:
            delattr(module, name)
    pathlib.Path.open = _no_proc  # type: ignore[method-assign,assignment]
    subprocess.Popen = _Popen  # type: ignore[misc]
