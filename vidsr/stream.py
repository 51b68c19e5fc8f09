"""The only places where items wait: a bounded thread ahead of its consumer, one behind its maker, a batch being
filled."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")
K = TypeVar("K")
END = object()


@contextmanager
def prefetch(items: Iterable[T], depth: int) -> Iterator[Iterator[T]]:
    """Run `items` in a thread, at most `depth` items ahead; leaving the block ends the thread.

    An exception of `items` is raised, unchanged, at the place where its item would have come. The thread ends after
    the item in work, so the source must not wait for ever: close what it reads from first, or in its own block.
    """
    source = iter(items)
    with ThreadPoolExecutor(1, "vidsr-prefetch") as pool:
        waiting = deque(pool.submit(next, source, END) for _ in range(depth))

        def taken() -> Iterator[T]:
            while (item := waiting.popleft().result()) is not END:
                waiting.append(pool.submit(next, source, END))
                yield item  # type: ignore[misc]

        try:
            yield taken()
        finally:
            pool.shutdown(cancel_futures=True)


class Sink(Generic[T]):
    """Hands items to a consumer that runs in its own thread; see `drained`."""

    def __init__(self, consume: Callable[[T], None], depth: int, pool: ThreadPoolExecutor) -> None:
        self._consume = consume
        self._depth = depth
        self._pool = pool
        self._waiting: deque[Future[None]] = deque()
        self._failed = False

    def put(self, item: T) -> None:
        """Wait for room and hand over `item`; raises what the consumer raised."""
        self.finish(self._depth)
        self._waiting.append(self._pool.submit(self._take, item))

    def _take(self, item: T) -> None:
        if self._failed:
            return
        try:
            self._consume(item)
        except BaseException:
            self._failed = True
            raise

    def finish(self, left: int = 0) -> None:
        """Wait until all but `left` items handed over are consumed; raises what the consumer raised."""
        while self._waiting and (self._failed or len(self._waiting) > left or self._waiting[0].done()):
            self._waiting.popleft().result()


@contextmanager
def drained(consume: Callable[[T], None], depth: int) -> Iterator[Sink[T]]:
    """Give a sink whose items `consume` takes in its own thread, at most `depth` waiting; leaving the block drains it.

    If the block raises, what waits is dropped and the thread ends after the item in work.
    """
    with ThreadPoolExecutor(1, "vidsr-sink") as pool:
        sink = Sink(consume, depth, pool)
        try:
            yield sink
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        sink.finish()


class Behind:
    """Does one piece of work at a time in a thread of its own; see `behind`."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._piece: Future[object] | None = None

    def then(self, work: Callable[[], object]) -> None:
        """Wait for the piece before, then begin this one; raises what the piece before raised."""
        self.wait()
        self._piece = self._pool.submit(work)

    def wait(self) -> None:
        """Wait for the piece in work; raises what it raised."""
        piece, self._piece = self._piece, None
        if piece is not None:
            piece.result()


@contextmanager
def behind() -> Iterator[Behind]:
    """Give a place where pieces of work end while the next ones begin; leaving the block waits for the last.

    If the block raises, the piece in work is still waited for, and what it may raise is dropped.
    """
    with ThreadPoolExecutor(1, "vidsr-behind") as pool:
        pieces = Behind(pool)
        yield pieces
        pieces.wait()


def in_batches(items: Iterable[tuple[K, T]], size: int) -> Iterator[tuple[K, list[T]]]:
    """Gather items of equal key in lists of `size`; what is left comes at the end, in the order of first arrival."""
    waiting: dict[K, list[T]] = {}
    for key, item in items:
        waiting.setdefault(key, []).append(item)
        if len(waiting[key]) == size:
            yield key, waiting.pop(key)
    yield from waiting.items()
