"""Who does what next: films that fail, workers that die, and what is begun when."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import pytest

from tests import scene
from vidsr.config import Enhance
from vidsr.errors import InputError, WorkerError
from vidsr.jobs import Steps
from vidsr.report import VERSION, Report
from vidsr.schedule import AHEAD, MOST_LOSSES, Answered, Ended, Event, Failed, Lost, Schedule, Told, longest_first
from vidsr.tasks import Join, Joined, Order, Prepare, Ready, Rendered, Segment, Task

REPORT = Report(VERSION, "", "", "plain", 1, 0, 1, (), (), ())


def order_of(name: str) -> Order:
    film = dataclasses.replace(scene.film(), path=Path(name), rate=Fraction(25))
    return Order(film, Path(name + ".out"), Enhance(), 1, "")


class Watched:
    """A watch that adds up."""

    def __init__(self) -> None:
        self.frames = 0

    def stage(self, name: str, frames: int | None) -> None: ...

    def advance(self, frames: int, _: int) -> None:
        self.frames += frames


class Films:
    """Films `NAME:SEGMENTS` whose steps are real and whose work is not; notes which were begun and which closed."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.closed: list[str] = []
        self.watches: dict[str, Watched] = {}

    def begin(self, name: str) -> tuple[Steps, Watched]:
        self.begun.append(name)
        if name.startswith("unreadable"):
            raise InputError(name)
        self.watches[name] = Watched()
        return self._steps(name), self.watches[name]

    def _steps(self, name: str) -> Steps:
        order, count = order_of(name), int(name.split(":")[1])
        try:
            ready = (yield [Prepare(order)])[0]
            assert isinstance(ready, Ready)
            answers = yield [Segment(order, (5 * n, 5 * n + 5)) for n in range(count)]
            assert len(answers) == count
            yield [Join(order, ready)]
            return REPORT
        finally:
            self.closed.append(name)


class Hands:
    """A place whose workers answer in the order in which they were asked; `fate` may name another end of a task."""

    def __init__(self, hands: int) -> None:
        self.hands = hands
        self.given: list[Task] = []
        self.work: deque[tuple[int, Task]] = deque()
        self.is_closed = False
        self.doubles = False
        self.dropped: list[int] = []

    def drop(self, ticket: int) -> None:
        self.dropped.append(ticket)
        self.work = deque(entry for entry in self.work if entry[0] != ticket)

    @property
    def free(self) -> int:
        return self.hands - len(self.work)

    def give(self, ticket: int, task: Task) -> None:
        assert self.free
        self.given.append(task)
        self.work.append((ticket, task))

    def fate(self, ticket: int, task: Task) -> list[Event]:
        if isinstance(task, Prepare):
            return [Answered(ticket, Ready((0, 1), ((0, 1),)))]
        if isinstance(task, Segment):
            return [Told(ticket, None, 5, 1), Answered(ticket, Rendered(True))]
        return [Answered(ticket, Joined(Path(), REPORT))]

    def wait(self) -> Sequence[Event]:
        return self.fate(*self.work.popleft())

    def close(self) -> None:
        self.is_closed = True


def run(names: Sequence[str], place: Hands) -> tuple[dict[str, Ended[str]], Films]:
    films = Films()
    ends = {ended.film: ended for ended in Schedule(iter(names), films.begin, place).run()}
    assert place.is_closed
    return ends, films


def test_every_film_ends_once_and_every_segment_is_done_once() -> None:
    names = [f"film{n}:{n % 5 + 1}" for n in range(40)]
    place = Hands(3)
    ends, films = run(names, place)
    assert list(films.watches) == names and set(ends) == set(names)
    assert all(ended.report == REPORT for ended in ends.values())
    assert sum(isinstance(task, Segment) for task in place.given) == sum(n % 5 + 1 for n in range(40))
    assert films.watches["film4:5"].frames == 25


def test_a_film_that_fails_takes_no_other_with_it_and_waits_for_those_at_work_on_it() -> None:
    class Wrong(Hands):
        def fate(self, ticket: int, task: Task) -> list[Event]:
            if isinstance(task, Segment) and "bad" in task.order.film.path.name and task.span[0] == 0:
                return [Failed(ticket, ValueError("bug"))]
            if isinstance(task, Segment) and "bad" in task.order.film.path.name:
                assert "bad:9" not in films.closed  # nobody may be writing into a folder that is being removed
            return super().fate(ticket, task)

    films = Films()
    names = iter(["good:3", "bad:9", "unreadable:1", "fine:2"])
    ends = {ended.film: ended for ended in Schedule(names, films.begin, Wrong(4)).run()}
    assert [type(ends[name].error) for name in ("good:3", "bad:9", "unreadable:1", "fine:2")] == [
        type(None),
        ValueError,
        InputError,
        type(None),
    ]


def test_what_a_dead_worker_had_is_given_to_another_and_its_progress_taken_back() -> None:
    class Mortal(Hands):
        deaths = 0

        def fate(self, ticket: int, task: Task) -> list[Event]:
            if isinstance(task, Segment) and self.deaths < MOST_LOSSES - 1:
                self.deaths += 1
                return [Told(ticket, None, 3, 1), Lost(ticket, "was ended by signal 9")]
            return super().fate(ticket, task)

    place = Mortal(1)
    ends, films = run(["film:2"], place)
    assert ends["film:2"].report == REPORT
    assert sum(isinstance(task, Segment) for task in place.given) == 2 + MOST_LOSSES - 1
    assert films.watches["film:2"].frames == 10


def test_a_task_that_every_worker_dies_of_fails_its_film_only() -> None:
    class Deadly(Hands):
        def fate(self, ticket: int, task: Task) -> list[Event]:
            if isinstance(task, Segment) and "deadly" in task.order.film.path.name:
                return [Lost(ticket, "was ended by signal 9")]
            return super().fate(ticket, task)

    place = Deadly(2)
    ends, _ = run(["deadly:1", "film:2"], place)
    assert isinstance(ends["deadly:1"].error, WorkerError)
    assert "deadly" in str(ends["deadly:1"].error) and "memory" in str(ends["deadly:1"].error)
    assert ends["film:2"].report == REPORT
    assert sum("deadly" in task.order.film.path.name for task in place.given) == 1 + MOST_LOSSES


def test_the_list_of_films_is_read_no_faster_than_they_are_done() -> None:
    films, place, read = Films(), Hands(2), 0

    def listed() -> Iterator[str]:
        nonlocal read
        for n in range(1000):
            read += 1
            yield f"film{n}:1"

    for done, _ in enumerate(Schedule(listed(), films.begin, place).run(), 1):
        assert read - done <= (AHEAD + 2) * 2


def test_a_long_film_is_shared_and_the_films_after_it_are_analysed_meanwhile() -> None:
    place = Hands(2)
    ends, _ = run(["long:50", *(f"short{n}:1" for n in range(3))], place)
    assert len(ends) == 4
    at = [n for n, task in enumerate(place.given) if isinstance(task, Prepare)]
    last = max(n for n, task in enumerate(place.given) if isinstance(task, Segment) and "long" in str(task.order))
    assert all(n < last for n in at)


def test_who_has_nothing_to_do_takes_on_what_another_is_slow_with() -> None:
    class Slow(Hands):
        now = 0.0

        def wait(self) -> Sequence[Event]:
            """The first worker never answers; time goes on."""
            self.now += 100.0
            return self.fate(*self.work.pop()) if len(self.work) > 1 else []

    films, place = Films(), Slow(2)
    place.doubles = True
    ends = list(Schedule(iter(["film:3"]), films.begin, place, clock=lambda: place.now).run())
    assert ends[0].report == REPORT
    assert films.watches["film:3"].frames == 15
    assert len(place.dropped) == 3  # the analysis, a segment and the joining had each been with the slow one
    assert sum(isinstance(task, Segment) for task in place.given) == 4


def test_an_end_of_everything_closes_every_film() -> None:
    class Broken(Hands):
        def wait(self) -> Sequence[Event]:
            if len(self.given) > 6:
                raise KeyboardInterrupt
            return super().wait()

    films, place = Films(), Broken(2)
    with pytest.raises(KeyboardInterrupt):
        list(Schedule(iter([f"film{n}:5" for n in range(9)]), films.begin, place).run())
    assert place.is_closed
    assert sorted(films.closed) == sorted(films.begun)


def test_of_the_films_in_sight_the_longest_begins_first() -> None:
    sizes = [3, 9, 1, 7, 8, 2]
    assert list(longest_first(iter(sizes), float, window=10)) == [9, 8, 7, 3, 2, 1]
    assert list(longest_first(iter(sizes), float, window=2)) == [9, 7, 8, 3, 2, 1]
    endless = longest_first(iter(range(1 << 60)), float, window=5)
    assert [next(endless) for _ in range(3)] == [5, 6, 7]
