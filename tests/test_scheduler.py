"""Who does what next: films that fail, workers that die, and what is begun when."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests import scene
from vidsr.config import Enhance
from vidsr.errors import InputError, WorkerError
from vidsr.jobs import scheduler
from vidsr.jobs.events import Meter, Progress
from vidsr.jobs.film_job import Steps
from vidsr.jobs.plan import Plan
from vidsr.jobs.process_pool import Failed
from vidsr.jobs.scheduler import AHEAD, MOST_LOSSES, Ended, Schedule, longest_first
from vidsr.jobs.tasks import Answer, Join, Joined, Prepare, Ready, Rendered, Segment, Task
from vidsr.networks.lazy_model import model_for
from vidsr.report.report import VERSION, Report

REPORT = Report(VERSION, "", "", "plain", 1, 0, 1, (), (), ())


def plan_of(name: str) -> Plan:
    film = dataclasses.replace(scene.film(), path=Path(name), rate=Fraction(25))
    return Plan(film, Path(name + ".out"), Enhance(), 1, model_for("plain", None))


def told(frames: int) -> Progress:
    return Progress("", frames, None, 0.0, None, 1, "")


class Watched(Meter):
    """A meter that adds up."""

    frames = 0

    def advance(self, frames: int, faces: int) -> None:
        super().advance(frames, faces)
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
        work, count = plan_of(name), int(name.split(":")[1])
        try:
            ready = (yield [Prepare(work)])[0]
            assert isinstance(ready, Ready)
            answers = yield [Segment(work, (5 * n, 5 * n + 5)) for n in range(count)]
            assert len(answers) == count
            yield [Join(work, ready)]
            return REPORT
        finally:
            self.closed.append(name)


class Hand:
    """A worker, which does its task when the place says so."""

    def __init__(self, place: Hands) -> None:
        self.place = place
        self.heard: list[Progress] = []

    def submit(self, task: Task) -> Future[Answer | Failed]:
        future: Future[Answer | Failed] = Future()
        self.place.given.append(task)
        self.place.work[future] = self, task
        return future

    def told(self) -> list[Progress]:
        heard, self.heard = self.heard, []
        return heard


class Hands:
    """A place whose workers answer in the order in which they were asked; `fate` may name another end of a task."""

    def __init__(self, hands: int) -> None:
        self.hands = [Hand(self) for _ in range(hands)]
        self.given: list[Task] = []
        self.work: dict[Future[Answer | Failed], tuple[Hand, Task]] = {}
        self.is_closed = False

    def workers(self) -> Sequence[Hand]:
        return self.hands

    def lost(self, worker: object) -> str:
        assert isinstance(worker, Hand)
        self.hands[self.hands.index(worker)] = Hand(self)
        return "was ended by signal 9"

    def fate(self, hand: Hand, task: Task) -> Answer | Failed:
        """What a task ends with; an exception is the worker's death."""
        if isinstance(task, Prepare):
            return Ready((0, 1), ((0, 1),))
        if isinstance(task, Segment):
            hand.heard.append(told(5))
            return Rendered(True)
        return Joined(Path(), REPORT)

    def wait(self, given: Collection[object], *_: object) -> tuple[list[Future[Answer | Failed]], list[object]]:
        """In the place of `concurrent.futures.wait`: one task more is done."""
        assert set(given) == set(self.work) and given
        future = next(iter(self.work))
        try:
            future.set_result(self.fate(*self.work.pop(future)))
        except BrokenExecutor as death:
            future.set_exception(death)
        return [future], []

    def close(self) -> None:
        self.is_closed = True


class Died(BrokenExecutor):
    """A worker's end."""


@pytest.fixture(autouse=True)
def steered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduler waits for its place's answers, which come one by one."""

    def waiting(given: dict[Future[Answer | Failed], tuple[Hand, object]], *rest: object) -> object:
        return next(iter(given.values()))[0].place.wait(given, *rest)

    monkeypatch.setattr(scheduler, "wait", waiting)


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
        def fate(self, hand: Hand, task: Task) -> Answer | Failed:
            if isinstance(task, Segment) and "bad" in task.work.film.path.name and task.span[0] == 0:
                return Failed.of(ValueError("bug"))
            if isinstance(task, Segment) and "bad" in task.work.film.path.name:
                assert "bad:9" not in films.closed  # nobody may be writing into a folder that is being removed
            return super().fate(hand, task)

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

        def fate(self, hand: Hand, task: Task) -> Answer | Failed:
            if isinstance(task, Segment) and self.deaths < MOST_LOSSES - 1:
                self.deaths += 1
                hand.heard.append(told(3))
                raise Died
            return super().fate(hand, task)

    place = Mortal(1)
    ends, films = run(["film:2"], place)
    assert ends["film:2"].report == REPORT
    assert sum(isinstance(task, Segment) for task in place.given) == 2 + MOST_LOSSES - 1
    assert films.watches["film:2"].frames == 10


def test_a_task_that_every_worker_dies_of_fails_its_film_only() -> None:
    class Deadly(Hands):
        def fate(self, hand: Hand, task: Task) -> Answer | Failed:
            if isinstance(task, Segment) and "deadly" in task.work.film.path.name:
                raise Died
            return super().fate(hand, task)

    place = Deadly(2)
    ends, _ = run(["deadly:1", "film:2"], place)
    assert isinstance(ends["deadly:1"].error, WorkerError)
    told = str(ends["deadly:1"].error)
    assert "deadly" in told and "memory" in told and "the last was ended by signal 9" in told
    assert ends["film:2"].report == REPORT
    assert sum("deadly" in task.work.film.path.name for task in place.given) == 1 + MOST_LOSSES


def test_the_list_of_films_is_read_no_faster_than_they_are_done() -> None:
    films, place, read = Films(), Hands(2), 0

    def listed() -> Iterator[str]:
        nonlocal read
        for n in range(1000):
            read += 1
            yield f"film{n}:1"

    for done, _ in enumerate(Schedule(listed(), films.begin, place).run(), 1):
        assert read - done <= (AHEAD + 2) * 2


def test_a_long_film_is_shared_and_the_films_after_it_are_analyzed_meanwhile() -> None:
    place = Hands(2)
    ends, _ = run(["long:50", *(f"short{n}:1" for n in range(3))], place)
    assert len(ends) == 4
    at = [n for n, task in enumerate(place.given) if isinstance(task, Prepare)]
    last = max(n for n, task in enumerate(place.given) if isinstance(task, Segment) and "long" in str(task.work))
    assert all(n < last for n in at)


def test_workers_that_all_die_end_everything() -> None:
    class Deadly(Hands):
        def fate(self, *_: object) -> Answer | Failed:
            raise Died

    films, place = Films(), Deadly(2)
    with pytest.raises(WorkerError, match="7 workers died one after the other; the last was ended by signal 9"):
        list(Schedule(iter([f"film{n}:5" for n in range(99)]), films.begin, place).run())
    assert place.is_closed and sorted(films.closed) == sorted(films.begun)


def test_a_place_may_be_without_workers_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(Hands):
        turns = 0

        def workers(self) -> Sequence[Hand]:
            self.turns += 1
            return [] if self.turns < 4 else self.hands

    monkeypatch.setattr(scheduler, "TURN_S", 0.001)
    monkeypatch.setattr(scheduler, "wait", lambda given, *rest: place.wait(given, *rest) if given else ([], []))
    place = Late(1)
    assert run(["film:2"], place)[0]["film:2"].report == REPORT


def test_an_end_of_everything_closes_every_film() -> None:
    class Broken(Hands):
        def wait(self, *given: Any) -> Any:
            if len(self.given) > 6:
                raise KeyboardInterrupt
            return super().wait(*given)

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
