"""Who does what next: the tasks of many films, given one by one to hands that come and go."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from statistics import median
from typing import Generic, Protocol, TypeVar

from vidsr.errors import WorkerError
from vidsr.jobs import Steps
from vidsr.report import Report
from vidsr.tasks import Answer, Join, Prepare, Segment, Task, Watch

AHEAD = 4
"""Segments for each hand that should lie ready: analysis is one task a film, and must be done before they run out."""
OPEN = 2
"""Films under way for each hand, at most, and at least OPEN_LEAST: each holds the lock of its work folder, a file."""
OPEN_LEAST = 16
WINDOW = 10_000
"""Films that are looked at ahead, for their size."""
MOST_LOSSES = 4
"""How many workers may die over one task before it is the film that is to blame."""
TOLD_EVERY_S = 0.5
PATIENCE_S = 120.0
"""How long a task may take before a hand that has nothing else to do takes it on as well."""
OVERDUE, LEAST_PACES = 2.0, 9
"""An analysis that goes so much slower than the median of those under way, of so many at least, is tried by another."""

T = TypeVar("T")


@dataclass(frozen=True)
class Told:
    """How far a task is: a stage begins (see `Watch.stage`), or so many frames and faces more are done."""

    ticket: int
    stage: str | None
    frames: int | None
    faces: int = 0


@dataclass(frozen=True)
class Answered:
    """A task is done."""

    ticket: int
    answer: Answer


@dataclass(frozen=True)
class Failed:
    """A task ended with an error."""

    ticket: int
    error: Exception


@dataclass(frozen=True)
class Lost:
    """Whoever had the task is gone; `why` says how."""

    ticket: int
    why: str


Event = Told | Answered | Failed | Lost


class Place(Protocol):
    """Where tasks are done. `give` takes one where there is a free hand; `wait` blocks until something is to be told.

    Raises VidsrError from `wait` where no hand is left and none will come.
    """

    @property
    def hands(self) -> int:
        """How many can work at once."""

    @property
    def free(self) -> int:
        """How many of them have nothing to do."""

    @property
    def doubles(self) -> bool:
        """Whether hands may try what another is slow with: they share no machine that this would slow down."""

    def give(self, ticket: int, task: Task) -> None:
        """Let a free hand do a task."""

    def drop(self, ticket: int) -> None:
        """End whoever has a task that another has done."""

    def wait(self) -> Sequence[Event]:
        """What has happened since."""

    def close(self) -> None:
        """End every worker now, whatever it does; a second call does nothing."""


class Relay:
    """A watch for a worker: tells, now and then, how far a task is."""

    def __init__(self, ticket: int, tell: Callable[[Told], None]) -> None:
        self._ticket = ticket
        self._tell = tell
        self._frames = self._faces = 0
        self._last = 0.0

    def stage(self, name: str, frames: int | None) -> None:
        """A stage begins."""
        self._tell(Told(self._ticket, name, frames))

    def advance(self, frames: int, faces: int) -> None:
        """So many frames more are done."""
        self._frames += frames
        self._faces += faces
        if time.monotonic() - self._last >= TOLD_EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Tell what was not told yet."""
        if self._frames:
            self._tell(Told(self._ticket, None, self._frames, self._faces))
        self._frames = self._faces = 0
        self._last = time.monotonic()


@dataclass(frozen=True)
class Ended(Generic[T]):
    """One film's end: its report, or its error."""

    film: T
    report: Report | None = None
    error: Exception | None = None


@dataclass(eq=False)
class _Course(Generic[T]):
    """A film under way: the answers that it waits for, and how many of its tasks are in some worker's hands."""

    film: T
    number: int
    steps: Steps
    watch: Watch
    answers: list[Answer | None] = field(default_factory=list)
    missing: int = 0
    in_hands: int = 0
    error: Exception | None = None


@dataclass(order=True)
class _Job(Generic[T]):
    """A task that waits or is being done; those of the film that began first come first."""

    course: _Course[T] = field(compare=False)
    task: Task = field(compare=False)
    film: int
    index: int
    losses: int = field(default=0, compare=False)
    told: tuple[int, int] = field(default=(0, 0), compare=False)
    since: float = field(default=0.0, compare=False)
    tickets: list[int] = field(default_factory=list, compare=False)


Begin = Callable[[T], tuple[Steps, Watch]]


def longest_first(films: Iterator[T], size: Callable[[T], float], window: int = WINDOW) -> Iterator[T]:
    """The films, the largest of the next `window` first: a long one that comes last would hold up the end."""
    waiting: list[tuple[float, int, T]] = []
    for number, film in enumerate(films):
        heapq.heappush(waiting, (-size(film), number, film))
        if len(waiting) > window:
            yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]


class Schedule(Generic[T]):
    """Films, one after the other from `films`, done by a place; `begin` opens one, and may raise.

    A film that can be joined goes first, as that frees its segments. Then comes the analysis of the next film, for as
    long as less than AHEAD segments a hand lie ready; then the segments of the film that began first. So a long film
    is rendered by all, and the analyses, which cannot be shared, are done while there is other work. A hand that finds
    nothing takes on what another has had for long, where the place allows it: the first answer counts.
    """

    def __init__(
        self, films: Iterator[T], begin: Begin[T], place: Place, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._films = films
        self._begin = begin
        self._place = place
        self._clock = clock
        self._looks_at = 0.0
        self._queues: dict[type, list[_Job[T]]] = {Prepare: [], Segment: [], Join: []}
        self._given: dict[int, _Job[T]] = {}
        self._open: set[_Course[T]] = set()
        self._ended: list[Ended[T]] = []
        self._tickets, self._numbers = count(), count()
        self._more = True

    def run(self) -> Iterator[Ended[T]]:
        """Each film's end, as it comes. Leaving early, or an error of the place, ends every worker."""
        try:
            while True:
                self._hand_out()
                while self._ended:
                    yield self._ended.pop(0)
                if not self._open and not self._more:
                    return
                for event in self._place.wait():
                    self._hear(event)
        finally:
            self._place.close()
            for course in self._open:
                course.steps.close()

    def _hand_out(self) -> None:
        while (job := self._next()) is not None:
            ticket = next(self._tickets)
            self._given[ticket] = job
            job.tickets.append(ticket)
            job.since = self._clock()
            job.course.in_hands += 1
            self._place.give(ticket, job.task)

    def _next(self) -> _Job[T] | None:
        """The task to give next; None where nothing can be done before an answer comes."""
        if not self._place.free:
            return None
        if (job := self._first(Join) or self._now_and_then()) is not None:
            return job
        if len(self._queues[Segment]) < AHEAD * self._place.hands:
            while self._more and not self._queues[Prepare] and self._may_open():
                self._begin_next()
            if (job := self._first(Prepare)) is not None:
                return job
        return self._first(Segment) or self._first(Prepare) or self._slowest(self._late)

    def _slowest(self, late: Callable[[_Job[T]], bool]) -> _Job[T] | None:
        """The task that one hand alone has had for longest, of those that are late."""
        if not self._place.doubles:
            return None
        alone = (job for job in self._given.values() if len(job.tickets) == 1 and job.course.error is None)
        return min((job for job in alone if late(job)), key=lambda job: job.since, default=None)

    def _late(self, job: _Job[T]) -> bool:
        return self._clock() - job.since > PATIENCE_S

    def _pace(self, job: _Job[T]) -> float:
        """Seconds that an analysis has taken for each second of its film so far; 0 where that is too little to tell."""
        elapsed_s, done_s = self._clock() - job.since, job.told[0] / float(job.task.order.film.rate)
        return elapsed_s / done_s if isinstance(job.task, Prepare) and done_s and elapsed_s > PATIENCE_S else 0.0

    def _now_and_then(self) -> _Job[T] | None:
        """An analysis that is far slower than others: too long to wait until somebody has nothing else to do."""
        if self._clock() < self._looks_at:
            return None
        self._looks_at = self._clock() + PATIENCE_S / 4
        paces = [pace for job in self._given.values() if (pace := self._pace(job))]
        if len(paces) < LEAST_PACES:
            return None
        usual = median(paces)
        return self._slowest(lambda job: self._pace(job) > OVERDUE * usual)

    def _may_open(self) -> bool:
        return len(self._open) < max(OPEN_LEAST, OPEN * self._place.hands)

    def _first(self, kind: type) -> _Job[T] | None:
        queue = self._queues[kind]
        while queue:
            job = heapq.heappop(queue)
            if job.course.error is None:
                return job
        return None

    def _begin_next(self) -> None:
        try:
            film = next(self._films)
        except StopIteration:
            self._more = False
            return
        try:
            steps, watch = self._begin(film)
        except Exception as error:
            self._ended.append(Ended(film, error=error))
            return
        course = _Course(film, next(self._numbers), steps, watch)
        self._open.add(course)
        self._go_on(course, lambda: next(steps))

    def _go_on(self, course: _Course[T], step: Callable[[], Sequence[Task]]) -> None:
        """Take a film to where it wants its next tasks done, or to its end."""
        try:
            tasks = step()
        except StopIteration as end:
            self._end(Ended(course.film, report=end.value), course)
        except Exception as error:
            self._end(Ended(course.film, error=error), course)
        else:
            course.answers, course.missing = [None] * len(tasks), len(tasks)
            for index, task in enumerate(tasks):
                self._queue(_Job(course, task, course.number, index))

    def _queue(self, job: _Job[T]) -> None:
        heapq.heappush(self._queues[type(job.task)], job)

    def _end(self, ended: Ended[T], course: _Course[T]) -> None:
        self._open.remove(course)
        self._ended.append(ended)

    def _hear(self, event: Event) -> None:
        if event.ticket not in self._given:  # it was dropped
            return
        if isinstance(event, Told):
            self._tell(self._given[event.ticket], event)
            return
        job = self._taken_back(event.ticket)
        course = job.course
        if isinstance(event, Lost):
            self._lost(job, event.why)
        else:
            for other in list(job.tickets):
                self._place.drop(other)
                self._taken_back(other)
            if isinstance(event, Answered):
                course.answers[job.index] = event.answer
                course.missing -= 1
                if isinstance(job.task, Segment):
                    first, stop = job.task.span
                    course.watch.advance(stop - first - job.told[0], 0)  # what another had told, or nobody
            else:
                course.error = course.error or event.error
        self._settle(course)

    def _taken_back(self, ticket: int) -> _Job[T]:
        job = self._given.pop(ticket)
        job.tickets.remove(ticket)
        job.course.in_hands -= 1
        return job

    def _settle(self, course: _Course[T]) -> None:
        """Go on with a film all of whose answers are here; throw its error once nobody is at work on it any more."""
        error = course.error
        if error is not None and not course.in_hands:
            self._go_on(course, lambda: course.steps.throw(error))
        elif error is None and not course.missing:
            answers = [answer for answer in course.answers if answer is not None]
            self._go_on(course, lambda: course.steps.send(answers))

    def _tell(self, job: _Job[T], told: Told) -> None:
        if told.ticket != job.tickets[0]:
            return
        if told.stage is not None:
            job.course.watch.stage(told.stage, told.frames)
        elif told.frames is not None:
            job.told = job.told[0] + told.frames, job.told[1] + told.faces
            job.course.watch.advance(told.frames, told.faces)

    def _lost(self, job: _Job[T], why: str) -> None:
        """Give the task of a dead worker to another, and take back what it had told."""
        if isinstance(job.task, Segment):
            job.course.watch.advance(-job.told[0], -job.told[1])
        job.told, job.losses = (0, 0), job.losses + 1
        if job.tickets:
            return
        if job.losses < MOST_LOSSES:
            self._queue(job)
        elif job.course.error is None:
            words = f"{MOST_LOSSES} workers died over the same part of {job.task.order.film.path} (the last {why})"
            job.course.error = WorkerError(f"{words}; there may be too little memory: use fewer workers")
