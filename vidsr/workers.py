"""Worker processes of this machine: each keeps its model, does one task at a time, and dies with the one it works for.

Imports nothing heavy: what it imports is imported before a worker's number of threads is set.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context, resource_tracker
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING

from vidsr.errors import WorkerError
from vidsr.system import deaf, processors, tie

if TYPE_CHECKING:
    if sys.platform == "win32":
        from multiprocessing.connection import PipeConnection as Connection
    else:
        from multiprocessing.connection import Connection
    from vidsr.jobs import Bench
    from vidsr.schedule import Event, Relay
    from vidsr.tasks import Task

MOST_DEATHS = 6
"""Workers that die one after the other before any has answered: then something is wrong with all."""


class WorkerTrace(Exception):
    """Where an error came from in the worker that had it; the cause of that error here."""

    def __str__(self) -> str:
        return "\n" + str(self.args[0])


def portable(error: Exception) -> tuple[Exception, str]:
    """An error as it can be sent to another process, and its traceback."""
    trace = "".join(traceback.format_exception(error))
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:  # whatever another library's error may do when it is taken apart
        return RuntimeError(f"{type(error).__name__}: {error}"), trace
    return error, trace


def attempt(task: Task, bench: Bench, relay: Relay, ticket: int) -> Event | tuple[Exception, str]:
    """Do a task; what it gives, or its error with the traceback."""
    from vidsr.jobs import done
    from vidsr.schedule import Answered

    try:
        answer = done([task], bench, relay)[0]
    except Exception as error:
        return portable(error)
    finally:
        relay.flush()
    return Answered(ticket, answer)


def received(found: Event | tuple[Exception, str], ticket: int) -> Event:
    """What `attempt` gave in another process, as an event."""
    from vidsr.schedule import Failed

    if isinstance(found, tuple):
        error, trace = found
        error.__cause__ = WorkerTrace(trace)
        return Failed(ticket, error)
    return found


def use_threads(number: int) -> None:
    """Let the libraries of this process use so many threads; to be called before PyTorch is loaded."""
    os.environ["OMP_NUM_THREADS"] = str(number)
    import cv2

    cv2.setNumThreads(number)


def _serve(tasks: Connection, leash: Connection, device: str | None, threads: int) -> None:
    """A worker's life."""
    use_threads(threads)
    tie(leash.fileno(), os.getpid())
    from vidsr.files import set_apart
    from vidsr.jobs import Bench
    from vidsr.schedule import Relay

    set_apart()
    bench = Bench(device)
    with suppress(EOFError, BrokenPipeError):  # the one we work for has ended
        while True:
            if (given := tasks.recv()) is None:
                tasks.send(None)
                continue
            ticket, task = given
            tasks.send((ticket, attempt(task, bench, Relay(ticket, lambda told: tasks.send((None, told))), ticket)))


@dataclass(eq=False)
class _Worker:
    process: SpawnProcess
    tasks: Connection
    leash: Connection
    device: str | None
    ticket: int | None = None


class Pool:
    """One worker for each of `devices` (None: the one of the settings), with its share of the processors."""

    def __init__(self, devices: Sequence[str | None], threads: int | None = None) -> None:
        self._threads = threads or max(1, processors() // len(devices))
        self._deaths = 0
        self._workers = [self._started(device) for device in devices]

    def _started(self, device: str | None) -> _Worker:
        context = get_context("spawn")  # forks cannot use CUDA, nor the threads that we have
        ours, theirs = context.Pipe()
        watched, leash = context.Pipe(duplex=False)
        process = context.Process(
            target=_serve, args=(theirs, watched, device, self._threads), name="vidsr-worker", daemon=True
        )
        if sys.platform != "win32":
            resource_tracker.ensure_running()  # which would let signals through again
        with deaf():  # Ctrl-C, which the terminal sends to all: we end it
            process.start()
        theirs.close()
        watched.close()
        return _Worker(process, ours, leash, device)

    @property
    def hands(self) -> int:
        return len(self._workers)

    @property
    def free(self) -> int:
        return sum(worker.ticket is None for worker in self._workers)

    @property
    def doubles(self) -> bool:
        return False

    def drop(self, ticket: int) -> None:
        raise NotImplementedError(f"{ticket}: no task is given twice here")

    @property
    def pids(self) -> list[int]:
        """The workers' processes."""
        return [worker.process.pid or 0 for worker in self._workers]

    def greet(self) -> None:
        """Wait until every worker is up; a task may be given before that too."""
        for worker in self._workers:
            worker.tasks.send(None)
            worker.tasks.recv()

    def give(self, ticket: int, task: Task) -> None:
        worker = next(worker for worker in self._workers if worker.ticket is None)
        worker.ticket = ticket
        with suppress(BrokenPipeError):  # it is dead: `wait` will say so
            worker.tasks.send((ticket, task))

    def wait(self) -> Sequence[Event]:
        by_tasks = {worker.tasks: worker for worker in self._workers}
        return [event for found in connection.wait(list(by_tasks)) for event in self._heard(by_tasks[found])]  # type: ignore[index]

    def _heard(self, worker: _Worker) -> Iterator[Event]:
        try:
            ticket, found = worker.tasks.recv()
        except (EOFError, OSError):
            yield from self._buried(worker)
            return
        if ticket is None:
            yield found
            return
        worker.ticket = None
        self._deaths = 0
        yield received(found, ticket)

    def _buried(self, worker: _Worker) -> Iterator[Event]:
        """Put another in the place of a dead worker."""
        from vidsr.schedule import Lost

        worker.process.join()
        self._end(worker)
        self._deaths += 1
        code = worker.process.exitcode or 0
        why = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        if self._deaths > max(MOST_DEATHS, 2 * len(self._workers)):
            raise WorkerError(f"{self._deaths} worker processes died one after the other; the last {why}")
        self._workers[self._workers.index(worker)] = self._started(worker.device)
        if worker.ticket is not None:
            yield Lost(worker.ticket, why)

    def close(self) -> None:
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            self._end(worker)
        self._workers = []

    @staticmethod
    def _end(worker: _Worker) -> None:
        worker.tasks.close()
        worker.leash.close()
