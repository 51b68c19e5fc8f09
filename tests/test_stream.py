"""Waiting: order, errors and ends of the prefetch thread, the sink, and the batches."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from vidsr.stream import behind, drained, in_batches, prefetch


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("vidsr")]


def numbers(stop: int, fail_at: int | None = None) -> Iterator[int]:
    for number in range(stop):
        if number == fail_at:
            raise RuntimeError(f"at {number}")
        yield number


def test_prefetch_keeps_the_order() -> None:
    with prefetch(numbers(100), 3) as items:
        assert list(items) == list(range(100))
    assert threads() == []


@pytest.mark.parametrize("place", [0, 5, 9])
def test_an_error_crosses_the_thread_at_its_place(place: int) -> None:
    seen = []
    with pytest.raises(RuntimeError, match=f"at {place}"), prefetch(numbers(10, place), 2) as items:
        seen.extend(items)
    assert threads() == []


def test_a_consumer_that_stops_early_ends_the_thread() -> None:
    began = time.monotonic()
    with prefetch(numbers(10**9), 2) as items:
        assert next(items) == 0
    assert threads() == []
    assert time.monotonic() - began < 2


def test_prefetch_runs_no_further_ahead_than_its_depth() -> None:
    made = []

    def slow() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            yield number

    with prefetch(slow(), 2) as items:
        next(items)
        time.sleep(0.3)
        assert len(made) <= 5


def test_a_sink_is_drained_at_the_end_of_its_block() -> None:
    taken: list[int] = []
    with drained(taken.append, 2) as sink:
        for number in range(30):
            sink.put(number)
    assert taken == list(range(30))
    assert threads() == []


@pytest.mark.parametrize("place", [0, 7, 19])
def test_an_error_of_the_sink_reaches_the_producer(place: int) -> None:
    def consume(number: int) -> None:
        if number == place:
            raise RuntimeError(f"at {number}")

    with pytest.raises(RuntimeError, match=f"at {place}"), drained(consume, 2) as sink:
        for number in range(20):
            sink.put(number)
    assert threads() == []


def test_an_error_in_the_block_drops_what_waits() -> None:
    with pytest.raises(KeyError), drained(lambda _: time.sleep(0.05), 100) as sink:
        for number in range(100):
            sink.put(number)
        raise KeyError
    assert threads() == []


def test_batches_gather_equal_keys_and_lose_nothing() -> None:
    items = [(number % 3, number) for number in range(20)]
    batches = list(in_batches(iter(items), 4))
    assert all(len(batch) <= 4 for _, batch in batches)
    assert sorted(n for _, batch in batches for n in batch) == list(range(20))
    assert all(n % 3 == key for key, batch in batches for n in batch)


def test_one_piece_ends_while_the_next_begins() -> None:
    ended: list[int] = []
    go = threading.Event()

    def first() -> None:
        go.wait(5)
        ended.append(1)

    with behind() as endings:
        endings.then(first)
        assert ended == []
        go.set()
        endings.then(lambda: ended.append(2))
    assert ended == [1, 2]
    assert threads() == []


def test_what_a_piece_raises_comes_before_the_next_piece() -> None:
    began: list[int] = []
    with pytest.raises(RuntimeError, match="at 0"), behind() as endings:
        endings.then(lambda: list(numbers(1, 0)))
        endings.then(lambda: began.append(1))
    assert began == []
    assert threads() == []


def test_what_the_last_piece_raises_comes_at_the_end() -> None:
    with pytest.raises(RuntimeError, match="at 0"), behind() as endings:
        endings.then(lambda: list(numbers(1, 0)))


def test_an_error_beside_a_piece_waits_for_it_and_goes_first() -> None:
    ended: list[int] = []

    def piece() -> None:
        time.sleep(0.1)
        ended.append(1)
        raise RuntimeError("later")

    with pytest.raises(ValueError, match="first"), behind() as endings:
        endings.then(piece)
        raise ValueError("first")
    assert ended == [1]
    assert threads() == []
