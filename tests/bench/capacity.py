"""What an archive costs, and whether a thousand nodes are kept busy: tables from measured costs, and a simulation.

    python -m tests.bench.capacity [--nodes 1000] [--films 4000] [--seed 1]

The simulation lets the program's own scheduler (`vidsr/schedule.py`) give its own tasks to nodes that exist only as a
clock: they differ in speed, some are slow, some fail and come back. Whatever happens, every segment of every film must
be answered exactly once. Beside it, the same films given out whole, one film a node.
"""

from __future__ import annotations

import argparse
import heapq
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from tests.bench.tools import Trial
from vidsr.config import Enhance
from vidsr.jobs import Steps
from vidsr.report import VERSION, Report
from vidsr.schedule import Answered, Event, Lost, Schedule, Told, longest_first
from vidsr.tasks import Join, Joined, Order, Prepare, Ready, Rendered, Segment, Silent, Task
from vidsr.video import Film
from vidsr.video.probe import Tags

REPORT = Report(VERSION, "", "", "plain", 1, 0, 1, (), (), ())
FPS, SEGMENT = 25, 250
SLOW_SHARE, SLOWNESS = 0.02, 4.0
"""Nodes that are so much slower than the others."""
TELLS_S = 60.0
"""How often a node says how far its analysis is."""
FAILURE_S, REPAIR_S = 12 * 3600.0, 600.0
"""A node fails once in so long, at random; and is away for so long."""


@dataclass(frozen=True)
class Costs:
    """Seconds of one worker: to analyse a frame, to render one, to join one; and to begin a task."""

    analyse: float
    render: float
    join: float
    begin: float = 0.05


WORKER = Costs(analyse=1 / 40, render=1 / 60, join=1 / 440)
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


@dataclass
class _Work:
    end: float
    node: int
    ticket: int
    task: Task
    seconds: float


class Clock:
    """A place of nodes that exist only as times."""

    def __init__(self, sizes: Nodes, frames: Sequence[int], costs: Costs) -> None:
        rng = self._rng = np.random.default_rng(sizes.seed + 1)
        self.now = self.busy_s = self.lost_s = 0.0
        self.failures = self.handed = 0
        self.answers: Counter[tuple[str, tuple[int, int]]] = Counter()
        self._frames, self._costs = frames, costs
        self.speed = rng.lognormal(0.0, 0.1, sizes.nodes)
        self.speed[rng.random(sizes.nodes) < SLOW_SHARE] /= SLOWNESS
        self._idle = deque(range(sizes.nodes))
        self._up = sizes.nodes
        self._work: dict[int, _Work] = {}
        self._events: list[tuple[float, int, str, int]] = []
        self._order = 0
        for node in range(sizes.nodes):
            self._at(rng.exponential(FAILURE_S), "fails", node)

    def _at(self, after: float, what: str, node: int) -> None:
        self._order += 1
        heapq.heappush(self._events, (self.now + after, self._order, what, node))

    @property
    def hands(self) -> int:
        return self._up

    @property
    def free(self) -> int:
        return len(self._idle)

    def seconds(self, task: Task) -> float:
        """What a task takes at speed 1."""
        frames, costs = self._frames[int(task.order.film.path.name)], self._costs
        if isinstance(task, Segment):
            return costs.begin + costs.render * (task.span[1] - task.span[0])
        return costs.begin + (costs.analyse if isinstance(task, Prepare) else costs.join) * frames

    def give(self, ticket: int, task: Task) -> None:
        node = self._idle.popleft()
        seconds = self.seconds(task) / float(self.speed[node])
        self.handed += 1
        self._work[node] = _Work(self.now + seconds, node, ticket, task, seconds)
        self._at(seconds, "ends", node)
        if isinstance(task, Prepare):
            self._at(TELLS_S, "tells", node)

    def wait(self) -> Sequence[Event]:
        while True:
            self.now, _, what, node = heapq.heappop(self._events)
            if what == "ends" and node in self._work and self._work[node].end == self.now:
                return self._ended(self._work.pop(node))
            if what == "tells" and node in self._work and isinstance(self._work[node].task, Prepare):
                self._at(TELLS_S, "tells", node)
                frames = TELLS_S * float(self.speed[node]) / self._costs.analyse
                return [Told(self._work[node].ticket, None, round(frames))]
            if what == "fails":
                return self._failed(node)
            if what == "returns":
                self._up += 1
                self._idle.append(node)
                self._at(self._rng.exponential(FAILURE_S), "fails", node)
                return []

    def _ended(self, work: _Work) -> list[Event]:
        self._idle.append(work.node)
        self.busy_s += work.seconds
        task = work.task
        if isinstance(task, Segment):
            self.answers[task.order.film.path.name, task.span] += 1
            return [Answered(work.ticket, Rendered(True))]
        if isinstance(task, Join):
            return [Answered(work.ticket, Joined(Path(), REPORT))]
        return [Answered(work.ticket, Ready((0, 1), ((0, 1),)))]

    def _failed(self, node: int) -> list[Event]:
        self.failures += 1
        self._up -= 1
        self._at(REPAIR_S, "returns", node)
        work = self._work.pop(node, None)
        if work is None:
            self._idle.remove(node)
            return []
        self.lost_s += work.seconds - (work.end - self.now) * float(self.speed[node])
        return [Lost(work.ticket, "failed")]

    @property
    def doubles(self) -> bool:
        return True

    def drop(self, ticket: int) -> None:
        node = next(node for node, work in self._work.items() if work.ticket == ticket)
        work = self._work.pop(node)
        self.lost_s += work.seconds - (work.end - self.now) * float(self.speed[node])
        self._idle.append(node)

    def close(self) -> None: ...


FILM = Film(
    path=Path("0"), container="mp4", index=0, codec="h264", width=1920, height=1080, rotation=0.0,
    pixels=None, decoded="yuv420p", converted=False, time_base=Fraction(1, FPS), rate=Fraction(FPS),  # type: ignore[arg-type]
    sample_aspect=None, matrix="bt709", full_range=False, tags=Tags(), start_s=0.0, duration_s=None,
    streams=(), chapters=0, warnings=(),
)  # fmt: skip


def steps(number: int, frames: int, whole: bool) -> Steps:
    """A film's tasks, without its work."""
    order = Order(replace(FILM, path=Path(str(number)), duration_s=frames / FPS), Path(), Enhance(), 1, "")
    length = frames if whole else SEGMENT
    spans = tuple((first, min(first + length, frames)) for first in range(0, frames, length))
    yield [Prepare(order)]
    yield [Segment(order, span) for span in spans]
    yield [Join(order, Ready((0, frames), spans))]
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
    films = Schedule(listed, lambda n: (steps(n, frames[n], sizes.whole), Silent()), clock, lambda: clock.now)
    ended = sum(end.report is REPORT for end in films.run())
    length = 1 << 60 if sizes.whole else SEGMENT
    wanted = sum(-(-count // length) for count in frames)
    wrong = wanted - len(clock.answers) + sum(count - 1 for count in clock.answers.values())
    each = costs.analyse + costs.render + costs.join
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
