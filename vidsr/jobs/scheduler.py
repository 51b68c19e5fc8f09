"""Who does what next: the tasks of many films, given one by one to workers that come and go."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, Protocol, TypeVar

from vidsr.errors import AlreadyDone, WorkerError
from vidsr.jobs.events import Meter, Progress
from vidsr.jobs.film_job import Steps
from vidsr.jobs.process_pool import Failed
from vidsr.jobs.tasks import Answer, Join, Prepare, Segment, Task
from vidsr.report.report import Report

AHEAD = 4
"""Tasks for each worker that should lie ready: analysis is one task a film, and must be done before they run out."""
WINDOW = 10_000
"""Films that are looked at ahead, for their size."""
MOST_LOSSES = 4
"""How many workers may die over one task before it is the film that is to blame."""
MOST_DEATHS = 6
"""Workers, or twice as many as there are, that die one after the other: then something is wrong with all."""
TURN_S = 0.2
"""How often progress is asked for."""
ORDER = (Join, Prepare, Segment)

T = TypeVar("T")


class Worker(Hashable, Protocol):
    """Whoever does one task at a time."""

    def submit(self, task: Task) -> Future[Answer | Failed]:
        """Begin a task. The future ends with an exception only where the worker has died."""

    def told(self) -> Sequence[Progress]:
        """What was told of the task since the last time."""


class Executor(Protocol):
    """Where workers are."""

    def workers(self) -> Sequence[Worker]:
        """Those that are up, busy or not; WorkerError where none is left and none will come."""

    def lost(self, worker: Worker) -> str:
        """A worker has died, the place may start another: says how it died, or nothing."""

    def close(self) -> None:
        """End every worker now, whatever it does; a second call does nothing."""


@dataclass(frozen=True)
class Ended(Generic[T]):
    """One film's end: its report, or its error."""

    film: T
    report: Report | None = None
    error: Exception | None = None

    @property
    def kept(self) -> bool:
        """Whether nothing was to be done, as an earlier run has."""
        return isinstance(self.error, AlreadyDone)


@dataclass(eq=False)
class _Course(Generic[T]):
    """A film under way: the answers that it waits for, and how many of its tasks are being done."""

    film: T
    number: int
    steps: Steps
    meter: Meter
    answers: list[Answer | None] = field(default_factory=list)
    under_way: int = 0
    error: Exception | None = None


@dataclass(order=True)
class _Job(Generic[T]):
    """A task that waits or is being done: joins come first, then analyses, then the film that began first."""

    kind: int
    film: int
    index: int
    course: _Course[T] = field(compare=False)
    task: Task = field(compare=False)
    losses: int = field(default=0, compare=False)
    told: Progress = field(default=Progress(), compare=False)


Begin = Callable[[T], tuple[Steps, Meter]]


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
    """Films, one after the other from `films`, done by the workers of a place; `begin` opens one, and may raise.

    A film that can be joined goes first, as that frees its segments. A next film is opened and analyzed where fewer
    than AHEAD tasks a worker lie ready; else the segments of the film that began first are rendered. So a long film is
    shared by all, and the analyses, which cannot be shared, are done while there is other work.
    """

    def __init__(self, films: Iterator[T], begin: Begin[T], place: Executor) -> None:
        self._films = films
        self._begin = begin
        self._place = place
        self._waiting: list[_Job[T]] = []
        self._given: dict[Future[Answer | Failed], tuple[Worker, _Job[T]]] = {}
        self._busy: set[Worker] = set()
        self._open: set[_Course[T]] = set()
        self._ended: list[Ended[T]] = []
        self._numbers = count()
        self._more = True
        self._deaths = self._most = 0
        self._due = 0.0

    def run(self) -> Iterator[Ended[T]]:
        """Each film's end, as it comes. Leaving early, or an error of the place, ends every worker."""
        try:
            while True:
                self._hand_out()
                while self._ended:
                    yield self._ended.pop(0)
                if not self._open and not self._more:
                    return
                self._listen()
        finally:
            self._place.close()
            for course in self._open:
                course.steps.close()

    def _hand_out(self) -> None:
        """Give every worker that has nothing to do the next task."""
        workers = self._place.workers()
        self._most = max(self._most, len(workers))
        for worker in workers:
            if worker not in self._busy:
                if (job := self._next(AHEAD * len(workers))) is None:
                    return
                job.course.under_way += 1
                self._busy.add(worker)
                self._given[worker.submit(job.task)] = worker, job

    def _next(self, ready: int) -> _Job[T] | None:
        """The task to give next, after opening a film where fewer than `ready` lie there; None where there is none."""
        while True:
            while self._waiting and self._waiting[0].course.error is not None:
                heapq.heappop(self._waiting)
            urgent = self._waiting and not isinstance(self._waiting[0].task, Segment)
            if urgent or len(self._waiting) >= ready or not self._more:
                return heapq.heappop(self._waiting) if self._waiting else None
            self._begin_next()

    def _begin_next(self) -> None:
        try:
            film = next(self._films)
        except StopIteration:
            self._more = False
            return
        try:
            steps, meter = self._begin(film)
        except Exception as error:
            self._ended.append(Ended(film, error=error))
            return
        course = _Course(film, next(self._numbers), steps, meter)
        self._open.add(course)
        self._go_on(course, lambda: next(steps))

    def _go_on(self, course: _Course[T], step: Callable[[], Sequence[Task]]) -> None:
        """Take a film to where it wants its next tasks done, or to its end."""
        try:
            tasks = step()
        except StopIteration as end:
            self._ended.append(Ended(course.film, report=end.value))
            self._open.remove(course)
        except Exception as error:
            self._ended.append(Ended(course.film, error=error))
            self._open.remove(course)
        else:
            course.answers = [None] * len(tasks)
            for index, task in enumerate(tasks):
                job = _Job(ORDER.index(type(task)), course.number, index, course, task)
                heapq.heappush(self._waiting, job)

    def _listen(self) -> None:
        """Wait for an answer, for a turn at most, and hear how far all are."""
        if not self._given:  # the place has no worker at the moment
            time.sleep(TURN_S)
        done, _ = wait(self._given, TURN_S, FIRST_COMPLETED)
        due = time.monotonic() > self._due
        for worker, job in [self._given[future] for future in (self._given if due else done)]:
            for told in worker.told():
                self._tell(job, told)
        self._due = time.monotonic() + TURN_S if due else self._due
        for future in done:
            self._hear(future, *self._given.pop(future))

    def _tell(self, job: _Job[T], told: Progress) -> None:
        meter = job.course.meter
        if told.phase != job.told.phase:
            meter.stage(told.phase, told.of)
            job.told = Progress()
        meter.advance(told.frame - job.told.frame, told.faces - job.told.faces)
        job.told = told

    def _hear(self, future: Future[Answer | Failed], worker: Worker, job: _Job[T]) -> None:
        """A task was done, or failed, or its worker died; go on with a film all of whose answers are here, and throw
        its error in once nobody is at work on it any more."""
        course = job.course
        course.under_way -= 1
        self._busy.remove(worker)
        if future.exception() is not None:
            self._lost(job, self._place.lost(worker))
        elif isinstance(found := future.result(), Failed):
            self._deaths = 0
            course.error = course.error or found.raised()
        else:
            self._deaths = 0
            course.answers[job.index] = found
            if isinstance(job.task, Segment):
                first, stop = job.task.span
                course.meter.advance(stop - first - job.told.frame, 0)  # what was not told any more
        error, answers = course.error, [answer for answer in course.answers if answer is not None]
        if error is not None and not course.under_way:
            self._go_on(course, lambda: course.steps.throw(error))
        elif error is None and len(answers) == len(course.answers):
            self._go_on(course, lambda: course.steps.send(answers))

    def _lost(self, job: _Job[T], how: str) -> None:
        """Give the task of a dead worker to another, and take back what was told of it."""
        self._deaths += 1
        if self._deaths > max(MOST_DEATHS, 2 * self._most):
            raise WorkerError(f"{self._deaths} workers died one after the other{how and f'; the last {how}'}")
        if isinstance(job.task, Segment):
            job.course.meter.advance(-job.told.frame, -job.told.faces)
        job.told = Progress()
        job.losses += 1
        if job.losses < MOST_LOSSES:
            heapq.heappush(self._waiting, job)
        elif job.course.error is None:
            last = how and f" (the last {how})"
            words = f"{MOST_LOSSES} workers died over the same part of {job.task.work.film.path}{last}"
            job.course.error = WorkerError(f"{words}; there may be too little memory: use fewer workers")
