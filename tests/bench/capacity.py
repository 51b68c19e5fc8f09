"""What an archive costs, and whether a thousand nodes are kept busy: tables from measured costs, and a simulation.

    python -m tests.bench.capacity [--nodes 1000] [--films 4000] [--seed 1]

The simulation lets the program's own scheduler (`vidsr/jobs/scheduler.py`) give its own tasks to nodes that exist only
as a clock: they differ in speed, some are slow, some fail and come back. Whatever happens, every segment of every film
must be answered exactly once. Beside it, the same films given out whole, one film a node.
"""

from __future__ import annotations

import argparse
import heapq
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from unittest import mock

import numpy as np

from tests.bench.tools import Trial
from vidsr.config import Enhance
from vidsr.jobs import scheduler
from vidsr.jobs.events import Meter, Progress
from vidsr.jobs.film_job import Steps
from vidsr.jobs.plan import Plan
from vidsr.jobs.process_pool import Failed
from vidsr.jobs.scheduler import Schedule, longest_first
from vidsr.jobs.tasks import Answer, Join, Joined, Prepare, Ready, Rendered, Segment, Task
from vidsr.networks.lazy_model import model_for
from vidsr.report.report import VERSION, Report
from vidsr.video import Film
from vidsr.video.probe import Tags

REPORT = Report(VERSION, "", "", "plain", 1, 0, 1, (), (), ())
FPS, SEGMENT = 25, 250
SLOW_SHARE, SLOWNESS = 0.02, 4.0
"""Nodes that are so much slower than the others."""
FAILURE_S, REPAIR_S = 12 * 3600.0, 600.0
"""A node fails once in so long, at random; and is away for so long."""


@dataclass(frozen=True)
class Costs:
    """Seconds of one worker: to analyze a frame, to render one, to join one; and to begin a task."""

    analyze: float
    render: float
    join: float
    begin: float = 0.05


WORKER = Costs(analyze=1 / 40, render=1 / 60, join=1 / 440)
"""Of docs/capacity.md's processor times, with a share of a GPU, and four cores of which an analysis keeps two busy."""


@dataclass(frozen=True)
class Nodes:
    """What is simulated: how many nodes, how many films, from which seed."""

    nodes: int
    films: int
    seed: int
    whole: bool = False
    """Give films out whole, to compare with."""


def lengths(sizes: Nodes) -> list[int]:
    """Frames of each film: 12 minutes in the middle, a few of three hours."""
    rng = np.random.default_rng(sizes.seed)
    minutes = np.clip(rng.lognormal(np.log(12.0), 1.2, sizes.films), 0.2, 180.0)
    return [int(one * 60 * FPS) for one in minutes]


class Node:
    """A worker that exists only as its speed."""

    def __init__(self, clock: Clock, number: int) -> None:
        self._clock, self.number = clock, number

    def submit(self, task: Task) -> Future[Answer | Failed]:
        return self._clock.give(self, task)

    def told(self) -> list[Progress]:
        return []


@dataclass
class _Work:
    end: float
    task: Task
    seconds: float
    future: Future[Answer | Failed]


class Clock:
    """A place of nodes that exist only as times."""

    def __init__(self, sizes: Nodes, frames: Sequence[int], costs: Costs) -> None:
        rng = self._rng = np.random.default_rng(sizes.seed + 1)
        self.now = self.lost_s = 0.0
        self.failures = self.handed = 0
        self.answers: Counter[tuple[str, tuple[int, int]]] = Counter()
        self._frames, self._costs = frames, costs
        self.speed = rng.lognormal(0.0, 0.1, sizes.nodes)
        self.speed[rng.random(sizes.nodes) < SLOW_SHARE] /= SLOWNESS
        self._up = {number: Node(self, number) for number in range(sizes.nodes)}
        self._work: dict[int, _Work] = {}
        self._events: list[tuple[float, int, str, int]] = []
        self._order = 0
        for node in range(sizes.nodes):
            self._at(rng.exponential(FAILURE_S), "fails", node)

    def _at(self, after: float, what: str, node: int) -> None:
        self._order += 1
        heapq.heappush(self._events, (self.now + after, self._order, what, node))

    def workers(self) -> Sequence[Node]:
        return list(self._up.values())

    def seconds(self, task: Task) -> float:
        """What a task takes at speed 1."""
        frames, costs = self._frames[int(task.work.film.path.name)], self._costs
        if isinstance(task, Segment):
            return costs.begin + costs.render * (task.span[1] - task.span[0])
        return costs.begin + (costs.analyze if isinstance(task, Prepare) else costs.join) * frames

    def give(self, node: Node, task: Task) -> Future[Answer | Failed]:
        seconds = self.seconds(task) / float(self.speed[node.number])
        self.handed += 1
        self._work[node.number] = _Work(self.now + seconds, task, seconds, Future())
        self._at(seconds, "ends", node.number)
        return self._work[node.number].future

    def wait(self, given: Collection[object], *_: object) -> tuple[list[Future[Answer | Failed]], list[object]]:
        """In the place of `concurrent.futures.wait`: until a task is done, or a node has failed or come back."""
        assert len(given) == len(self._work)
        while True:
            self.now, _order, what, node = heapq.heappop(self._events)
            if what == "ends" and node in self._work and self._work[node].end == self.now:
                return [self._ended(self._work.pop(node))], []
            if what == "fails":
                return self._failed(node), []
            if what == "returns":
                self._up[node] = Node(self, node)
                self._at(self._rng.exponential(FAILURE_S), "fails", node)
                return [], []

    def _ended(self, work: _Work) -> Future[Answer | Failed]:
        task = work.task
        answer: Answer = Ready((0, 1), ((0, 1),))
        if isinstance(task, Segment):
            self.answers[task.work.film.path.name, task.span] += 1
            answer = Rendered(True)
        elif isinstance(task, Join):
            answer = Joined(Path(), REPORT)
        work.future.set_result(answer)
        return work.future

    def _failed(self, node: int) -> list[Future[Answer | Failed]]:
        self.failures += 1
        del self._up[node]
        self._at(REPAIR_S, "returns", node)
        work = self._work.pop(node, None)
        if work is None:
            return []
        self.lost_s += work.seconds - (work.end - self.now) * float(self.speed[node])
        work.future.set_exception(BrokenExecutor())
        return [work.future]

    def lost(self, _: object) -> str:
        return ""

    def close(self) -> None: ...


FILM = Film(
    path=Path("0"), container="mp4", index=0, codec="h264", width=1920, height=1080, rotation=0.0,
    pixels=None, decoded="yuv420p", converted=False, time_base=Fraction(1, FPS), rate=Fraction(FPS),  # type: ignore[arg-type]
    sample_aspect=None, matrix="bt709", full_range=False, tags=Tags(), start_s=0.0, duration_s=None,
    streams=(), chapters=0, warnings=(),
)  # fmt: skip


def steps(number: int, frames: int, whole: bool) -> Steps:
    """A film's tasks, without its work."""
    film = replace(FILM, path=Path(str(number)), duration_s=frames / FPS)
    work = Plan(film, Path(), Enhance(), 1, model_for("plain", None))
    length = frames if whole else SEGMENT
    spans = tuple((first, min(first + length, frames)) for first in range(0, frames, length))
    yield [Prepare(work)]
    yield [Segment(work, span) for span in spans]
    yield [Join(work, Ready((0, frames), spans))]
    return REPORT


@dataclass(frozen=True)
class Found:
    """What a simulation showed."""

    hours: float
    ideal_hours: float
    tasks: int
    failures: int
    lost_hours: float
    wrong: int
    ended: int

    @property
    def efficiency(self) -> float:
        """The least time that these nodes could take, over the time that they took."""
        return self.ideal_hours / self.hours


def simulate(sizes: Nodes, costs: Costs = WORKER) -> Found:
    """Let the scheduler work through the films; every segment must be answered once."""
    frames = lengths(sizes)
    clock = Clock(sizes, frames, costs)
    listed = longest_first(iter(range(sizes.films)), frames.__getitem__)
    films = Schedule(listed, lambda n: (steps(n, frames[n], sizes.whole), Meter()), clock)
    with mock.patch.object(scheduler, "wait", clock.wait):
        ended = sum(end.report is REPORT for end in films.run())
    length = 1 << 60 if sizes.whole else SEGMENT
    wanted = sum(-(-count // length) for count in frames)
    wrong = wanted - len(clock.answers) + sum(count - 1 for count in clock.answers.values())
    each = costs.analyze + costs.render + costs.join
    work = sum(count * each for count in frames) + costs.begin * (wanted + 2 * sizes.films)
    ideal = work / float(clock.speed.sum()) / 3600
    return Found(clock.now / 3600, ideal, clock.handed, clock.failures, clock.lost_s / 3600, wrong, ended)


def main() -> None:
    """Simulate, compare with films given out whole, and say what held."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--films", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    sizes = Nodes(given.nodes, given.films, given.seed)
    trial = Trial()
    for name, one in (("by segments", sizes), ("films whole, to compare", replace(sizes, whole=True))):
        found = simulate(one)
        wrong = [f"{found.wrong} segments not answered once"] if found.wrong else []
        wrong += [f"{given.films - found.ended} films did not end"] if found.ended != given.films else []
        figures = f"{found.hours:.2f} h, of which {found.efficiency:.1%} was needed; {found.tasks} tasks; "
        trial.line(name, wrong, figures + f"{found.failures} failures; {found.lost_hours:.2f} node hours in vain")
    trial.end()


if __name__ == "__main__":
    main()
