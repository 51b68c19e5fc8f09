"""Stages: what each one takes of a run, and for how much of the run it waits for the others.

A stage's own time is measured inside the run: of decoding, the time in which its thread waits for ffmpeg's pictures; of
encoding, the time in which ffmpeg takes them; of the others, the time in their functions. Stages of one thread add up.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

from tests.bench.figures import Figure
from tests.bench.speed_films import Scene, looped, talking
from vidsr import config
from vidsr.analysis.detector import CenterFace
from vidsr.analysis.linking import Linker
from vidsr.jobs import film_job
from vidsr.jobs.events import Meter
from vidsr.jobs.plan import plan
from vidsr.networks import model_file
from vidsr.restore.restorer import Restorer
from vidsr.video import Writer, probe
from vidsr.video.decoder import Decode

CODED = config.Encode(crf=17.0)  # asked for, so that a film in which nothing changes is coded too
SETTINGS = config.Enhance(render=config.Render(scale="1", device="cpu"), encode=CODED, overwrite=True)


class Clock:
    """Adds up the seconds that are spent inside functions."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def around(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""

        def run(*words: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*words, **named)
            finally:
                self.seconds[stage] += time.perf_counter() - began

        return run


PLACES = (
    ("decode", Decode, "picture"),
    ("decode", Decode, "landing"),
    ("reduce, cuts", "vidsr.analysis.cuts", "reduce"),
    ("reduce, cuts", "vidsr.analysis.cuts", "_tiny"),
    ("reduce, cuts", "vidsr.analysis.cuts._Cuts", "add"),
    ("detect", CenterFace, "__call__"),
    ("flow, linking", Linker, "step"),
    ("crop", "vidsr.restore.pipeline", "cut"),
    ("align", "vidsr.restore.pipeline", "window"),
    ("network", Restorer, "added"),
    ("average", "vidsr.restore.pipeline", "_averaged"),
    ("blend", "vidsr.restore.pipeline", "shown"),
    ("blend", "vidsr.restore.pipeline", "patches"),
    ("blend", "vidsr.restore.pipeline", "differences"),
    ("blend", "vidsr.restore.pipeline", "merged"),
    ("report", "vidsr.restore.pipeline", "measured"),
    ("encode", Writer, "write"),
    ("encode", Writer, "receive"),
    ("encode", Writer, "_finish"),
)
"""The functions of each stage: where they are looked up when they are called."""
THREADS = {
    "analyze": (("decode",), ("reduce, cuts",), ("detect",), ("flow, linking",)),
    "render": (("decode",), ("crop", "align", "network", "average", "blend", "report"), ("encode",)),
    "publish": (),
}
"""The stages of each thread."""


@contextmanager
def clocked() -> Iterator[Clock]:
    """Time every stage inside the block."""
    clock = Clock()
    with ExitStack() as stack:
        for stage, home, name in PLACES:
            place = _found(home) if isinstance(home, str) else home
            stack.enter_context(patch.object(place, name, clock.around(stage, getattr(place, name))))
        yield clock


def _found(name: str) -> object:
    from pkgutil import resolve_name

    return resolve_name(name)


class Split(Meter):
    """Told of the stages of a run, it notes when each began, and what the clock said then."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._stages = clock
        self._marks: list[tuple[str, float, dict[str, float]]] = []

    def stage(self, name: str, frames: int | None) -> None:  # noqa: ARG002
        self._marks.append((name, time.perf_counter(), dict(self._stages.seconds)))

    def advance(self, frames: int, faces: int) -> None: ...

    def parts(self) -> dict[str, tuple[float, dict[str, float]]]:
        """Seconds that each part of the run took, and those of its stages."""
        self.stage("end", None)
        return {
            name: (after - began, {stage: known[stage] - before.get(stage, 0.0) for stage in known})
            for (name, began, before), (_, after, known) in pairwise(self._marks)
        }


def _run(film: Path, folder: Path) -> dict[str, tuple[float, dict[str, float]]]:
    work = plan(film, folder / "out.mp4", SETTINGS, model_file.load("vidsr_x4_fidelity"))
    with clocked() as clock:
        split = Split(clock)
        film_job.enhance(work, split)
        return split.parts()


def _figures(name: str, frames: int, runs: list[dict[str, tuple[float, dict[str, float]]]]) -> Iterator[Figure]:
    """For each part a line for each stage, and one for the whole beside its busiest thread."""
    for part, threads in THREADS.items():
        walls, clocks = [run[part][0] for run in runs], [run[part][1] for run in runs]
        for stage in dict.fromkeys(stage for stage, _, _ in PLACES):
            taken = tuple(1000 * clock.get(stage, 0.0) / frames for clock in clocks)
            waits = median(1 - clock.get(stage, 0.0) / wall for clock, wall in zip(clocks, walls, strict=True))
            if any(one > 0.005 for one in taken):
                yield Figure(f"stages: {part}", f"{name}: {stage}, waits {waits:.0%}", "ms/frame", taken)
        whole = tuple(1000 * wall / frames for wall in walls)
        busiest = tuple(1000 * _busiest(clock, threads) / frames for clock in clocks) if threads else ()
        yield Figure(f"stages: {part}", f"{name}: all", "ms/frame", whole, "busiest thread", busiest, more=False)


def _busiest(clock: dict[str, float], threads: Sequence[Sequence[str]]) -> float:
    return max(sum(clock.get(stage, 0.0) for stage in stages) for stages in threads)


def figures(quick: bool, folder: Path) -> Iterator[Figure]:
    """Analysis and rendering of films with and without faces."""
    runs = 1 if quick else 3
    films = {"talking": looped(talking(), 4, folder) if quick else talking()}
    scenes = [Scene("360p", 1, 4)] if quick else [Scene("720p", 0, 12), Scene("720p", 1, 24), Scene("360p", 4, 4)]
    films |= {scene.name: scene.film(folder) for scene in scenes}
    if not quick:
        films["talking in a loop"] = looped(talking(), 40, folder)
    for name, film in films.items():
        made = probe(film)
        found = [_run(film, folder) for _ in range(runs + 1)][1:]  # the first run warms up
        yield from _figures(name, round((made.duration_s or 0) * made.rate), found)
