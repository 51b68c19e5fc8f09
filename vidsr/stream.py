"""The only places where items wait: a bounded thread ahead of its consumer, one behind its maker, a batch being
filled."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Generic, TypeVar

T = TypeVar("T")
K = TypeVar("K")


class _End:
    """What the thread leaves behind: the exception that stopped it, or None."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class _Pump(Generic[T]):
    def __init__(self, items: Iterable[T], depth: int) -> None:
        self._items = items
        self._queue: queue.Queue[T | _End] = queue.Queue(depth)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vidsr-prefetch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._items:
                if not self._put(item):
                    break
        except BaseException as caught:  # it crosses the thread unchanged, whatever it is
            error = caught
        self._put(_End(error))

    def _put(self, item: T | _End) -> bool:
        # A plain put() would wait for ever once the consumer has gone.
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=0.05)
                return True
            except queue.Full:
                continue
        return False

    def items(self) -> Iterator[T]:
        while True:
            item = self._queue.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()


@contextmanager
def prefetch(items: Iterable[T], depth: int) -> Iterator[Iterator[T]]:
    """Run `items` in a thread, at most `depth` items ahead; leaving the block ends the thread.

    An exception of `items` is raised, unchanged, at the place where its item would have come. The thread ends after
    the item in work, so the source must not wait for ever: close what it reads from first, or in its own block.
    """
    pump = _Pump(items, depth)
    pump.start()
    try:
        yield pump.items()
    finally:
        pump.stop()


class Sink(Generic[T]):
    """Hands items to a consumer that runs in its own thread; see `drained`."""

    def __init__(self, consume: Callable[[T], None], depth: int) -> None:
        self._consume = consume
        self._queue: queue.Queue[T | _End] = queue.Queue(depth)
        self._error: BaseException | None = None
        self._failed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vidsr-sink", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not isinstance(item := self._queue.get(), _End):
            try:
                self._consume(item)
            except BaseException as caught:
                self._error = caught
                self._failed.set()
                return

    def put(self, item: T) -> None:
        """Wait for room and hand over `item`; raises what the consumer raised."""
        self._offer(item)
        if self._error is not None:
            raise self._error

    def _offer(self, item: T | _End) -> None:
        while not self._failed.is_set():
            try:
                self._queue.put(item, timeout=0.05)
                return
            except queue.Full:
                continue

    def finish(self) -> None:
        """Wait until everything handed over is consumed; raises what the consumer raised."""
        self._offer(_End(None))
        self._thread.join()
        if self._error is not None:
            raise self._error

    def abandon(self) -> None:
        """End the thread after the item in work; what waits is dropped."""
        self._failed.set()
        try:
            while True:
                self._queue.get_nowait()
        except queue.Empty:
            pass
        self._queue.put(_End(None))
        self._thread.join()


@contextmanager
def drained(consume: Callable[[T], None], depth: int) -> Iterator[Sink[T]]:
    """Give a sink whose items `consume` takes in its own thread, at most `depth` waiting; leaving the block drains it.

    If the block raises, what waits is dropped and the thread ends after the item in work.
    """
    sink = Sink(consume, depth)
    try:
        yield sink
    except BaseException:
        sink.abandon()
        raise
    sink.finish()


class Behind:
    """Does one piece of work at a time in a thread of its own; see `behind`."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def then(self, work: Callable[[], object]) -> None:
        """Wait for the piece before, then begin this one; raises what the piece before raised."""
        self.wait()
        self._thread = threading.Thread(target=self._run, args=(work,), name="vidsr-behind", daemon=True)
        self._thread.start()

    def _run(self, work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as caught:  # it crosses the thread unchanged, whatever it is
            self._error = caught

    def wait(self) -> None:
        """Wait for the piece in work; raises what it raised."""
        if self._thread is not None:
            self._thread.join()
        self._thread, error = None, self._error
        self._error = None
        if error is not None:
            raise error


@contextmanager
def behind() -> Iterator[Behind]:
    """Give a place where pieces of work end while the next ones begin; leaving the block waits for the last.

    If the block raises, the piece in work is still waited for, and what it may raise is dropped.
    """
    pieces = Behind()
    try:
        yield pieces
    except BaseException:
        with suppress(BaseException):
            pieces.wait()
        raise
    pieces.wait()


def in_batches(items: Iterable[tuple[K, T]], size: int) -> Iterator[tuple[K, list[T]]]:
    """Gather items of equal key in lists of `size`; what is left comes at the end, in the order of first arrival."""
    waiting: dict[K, list[T]] = {}
    for key, item in items:
        waiting.setdefault(key, []).append(item)
        if len(waiting[key]) == size:
            yield key, waiting.pop(key)
    yield from waiting.items()
