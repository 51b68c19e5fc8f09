"""Worker processes of this machine: each keeps its model, does one task at a time, and dies with the one it works for.

Each is a pool of one process of `concurrent.futures`, as one that dies there breaks its whole pool. Imports nothing
heavy: what it imports is imported before a worker's number of threads is set.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import active_children, get_context, resource_tracker
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING

from vidsr.system import deaf, processors, tie

if TYPE_CHECKING:
    if sys.platform == "win32":
        from multiprocessing.connection import PipeConnection as Connection
    else:
        from multiprocessing.connection import Connection
    from vidsr.jobs.events import Progress
    from vidsr.jobs.film_job import WorkerState
    from vidsr.jobs.scheduler import Worker
    from vidsr.jobs.tasks import Answer, Task


def use_threads(number: int) -> None:
    """Let the libraries of this process use so many threads; to be called before PyTorch is loaded."""
    os.environ["OMP_NUM_THREADS"] = str(number)
    import cv2

    cv2.setNumThreads(number)


class WorkerTrace(Exception):
    """Where an error came from in the worker that had it; the cause of that error here."""

    def __str__(self) -> str:
        return "\n" + str(self.args[0])


@dataclass(frozen=True)
class Failed:
    """A task's error as it can be sent to another process, and its traceback."""

    error: Exception
    trace: str

    @classmethod
    def of(cls, error: Exception) -> Failed:
        """An error that cannot be taken apart and put together, as other libraries' may not, becomes another one."""
        trace = "".join(traceback.format_exception(error))
        try:
            ForkingPickler.loads(ForkingPickler.dumps(error))
        except Exception:  # whatever that error may do then
            error = RuntimeError(f"{type(error).__name__}: {error}")
        return cls(error, trace)

    def raised(self) -> Exception:
        """The error, with the worker's traceback as its cause."""
        self.error.__cause__ = WorkerTrace(self.trace)
        return self.error


def attempt(task: Task, state: WorkerState, tell: Callable[[Progress], None]) -> Answer | Failed:
    """Do a task in a worker; what it gives, or its error."""
    from vidsr.jobs.events import Meter
    from vidsr.jobs.film_job import done

    meter = Meter("", tell)
    try:
        answer = done([task], state, meter)[0]
        meter.flush()
    except Exception as error:
        return Failed.of(error)
    return answer


_inside: tuple[WorkerState, Connection, Connection]
"""What a worker keeps: its state, the pipe for its progress, and the leash, only to hold it."""


def _begin(tell: Connection, leash: Connection, device: str | None, threads: int) -> None:
    """A worker's first act."""
    use_threads(threads)
    tie(leash.fileno(), os.getpid())
    if leash.poll():  # the one we work for ended before
        os._exit(1)
    from vidsr.files import use_unique_suffix
    from vidsr.jobs.film_job import WorkerState

    use_unique_suffix()
    global _inside
    _inside = WorkerState(device), tell, leash


def _do(task: Task) -> Answer | Failed:
    state, tell, _ = _inside
    return attempt(task, state, tell.send)


class Process:
    """A worker in a process of its own; `up` has its number once it can work."""

    def __init__(self, device: str | None, threads: int) -> None:
        self.device = device
        context = get_context("spawn")  # forks cannot use CUDA, nor the threads that we have
        self._told, tell = context.Pipe(duplex=False)
        watched, self._leash = context.Pipe(duplex=False)
        self._executor = ProcessPoolExecutor(1, context, _begin, (tell, watched, device, threads))
        before = set(active_children())
        if sys.platform != "win32":
            resource_tracker.ensure_running()  # which would let signals through again
        with deaf():  # Ctrl-C, which the terminal sends to all: we end it
            self.up = self._executor.submit(os.getpid)
        (self._process,) = set(active_children()) - before
        tell.close()
        watched.close()

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def submit(self, task: Task) -> Future[Answer | Failed]:
        try:
            return self._executor.submit(_do, task)
        except BrokenExecutor as error:  # it died with nothing to do
            gone: Future[Answer | Failed] = Future()
            gone.set_exception(error)
            return gone

    def told(self) -> Sequence[Progress]:
        found = []
        with suppress(EOFError, OSError):  # where it is dead
            while self._told.poll():
                found.append(self._told.recv())
        return found

    def end(self) -> str:
        """Kill it if it lives; how it ended, in words."""
        self._process.kill()
        self._executor.shutdown(cancel_futures=True)
        self._told.close()
        self._leash.close()
        code = self._process.exitcode or 0
        return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


class Pool:
    """One worker for each of `devices` (None: the one of the settings), with its share of the processors."""

    def __init__(self, devices: Sequence[str | None], threads: int | None = None) -> None:
        self._threads = threads or max(1, processors() // len(devices))
        self._workers = [Process(device, self._threads) for device in devices]

    def workers(self) -> Sequence[Process]:
        return self._workers

    def lost(self, worker: Worker) -> str:
        """Put another in the place of a dead worker."""
        assert isinstance(worker, Process)
        how = worker.end()
        self._workers[self._workers.index(worker)] = Process(worker.device, self._threads)
        return how

    def close(self) -> None:
        for worker in self._workers:
            worker.end()
        self._workers = []
