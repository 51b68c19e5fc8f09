"""Signals that end a run: in order and within seconds, or at once where they come twice."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable

GRACE_S = 4.0
"""How long a run may take to end in order before it is ended."""


class Terminated(BaseException):
    """SIGTERM, on its way out through every block that has something to close."""

    exit_code = 143


def listen(farewell: Callable[[], None]) -> None:
    """Let SIGINT raise KeyboardInterrupt and SIGTERM raise Terminated in the main thread, as soon as it can hear.

    A second signal, or GRACE_S without an end, calls `farewell` from another thread and ends the process with 128 plus
    the number of the first; ffmpeg's processes die with it. To be called once, in the main thread.
    """
    read_end, write_end = socket.socketpair()  # Windows waits for sockets only
    write_end.setblocking(False)
    # Python's own handlers wait for the main thread, which may be inside the network for seconds; this does not.
    signal.set_wakeup_fd(write_end.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, _terminate)
    sys.unraisablehook = _report_unraisable
    threading.Thread(target=_guard, args=(read_end, farewell), name="signals", daemon=True).start()


def _terminate(*_: object) -> None:
    raise Terminated


def _report_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    # Raised in a callback of the interpreter (a weak reference's, a destructor), it ends there: the guard ends the run.
    if not isinstance(unraisable.exc_value, (KeyboardInterrupt, Terminated)):
        sys.__unraisablehook__(unraisable)


def _guard(read_end: socket.socket, farewell: Callable[[], None]) -> None:
    first = _next(read_end, None)
    _next(read_end, time.monotonic() + GRACE_S)
    farewell()
    os._exit(128 + (first or 0))


def _next(read_end: socket.socket, deadline: float | None) -> int | None:
    """The next signal that ends a run; None where `deadline` comes before it."""
    while True:
        patience_s = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not select.select([read_end], [], [], patience_s)[0]:
            return None
        number = read_end.recv(1)[0]
        if number in (signal.SIGINT, signal.SIGTERM):
            return int(number)
