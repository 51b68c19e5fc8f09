"""Stages: what each one takes of a run, and for how much of the run it waits for the others.

A stage's own time is measured inside the run: of decoding, the time in which its thread waits for ffmpeg's pictures; of
encoding, the time in which ffmpeg takes them; of the others, the time in their functions. Stages of one thread add up.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

from tests.bench.figures import Figure
from tests.bench.speed_films import Scene, looped, talking
from vidsr import config, jobs, weights
from vidsr.analysis import Analysis, save
from vidsr.detect import CenterFace
from vidsr.link import Linker
from vidsr.passes import Faces, make_restorer
from vidsr.plan import plan
from vidsr.tasks import Order, Segment
from vidsr.upscale import Restorer
from vidsr.video import Writer
from vidsr.video.decode import Decode

ANALYSE, RENDER = "stages of analysis", "stages of rendering"
CPU = config.Render(scale="1", device="cpu")


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
    ("reduce, cuts", "vidsr.shots", "reduce"),
    ("reduce, cuts", "vidsr.shots", "_tiny"),
    ("reduce, cuts", "vidsr.shots._Cuts", "add"),
    ("detect", CenterFace, "__call__"),
    ("flow, linking", Linker, "step"),
    ("crop", "vidsr.render", "crop"),
    ("network", Restorer, "added"),
    ("blend", "vidsr.render", "blend"),
    ("report", "vidsr.render", "verdict"),
    ("encode", Writer, "write"),
    ("encode", Writer, "_finish"),
)
"""The functions of each stage: where they are looked up when they are called."""
THREADS = (("decode",), ("encode",))
"""Stages with a thread of their own; all others share one."""


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


class Silent:
    """Tells nobody."""

    def stage(self, name: str, frames: int | None) -> None: ...
    def advance(self, frames: int, faces: int) -> None: ...


def _runs(part: str, name: str, frames: int, walls: list[float], clocks: list[dict[str, float]]) -> Iterator[Figure]:
    """A line for each stage, and one for the whole beside its busiest thread."""
    for stage in dict.fromkeys(stage for stage, _, _ in PLACES):
        taken = tuple(1000 * clock.get(stage, 0.0) / frames for clock in clocks)
        waits = median(1 - clock.get(stage, 0.0) / wall for clock, wall in zip(clocks, walls, strict=True))
        if any(taken):
            yield Figure(part, f"{name}: {stage}, waits {waits:.0%}", "ms/frame", taken)
    whole = tuple(1000 * wall / frames for wall in walls)
    busiest = tuple(1000 * _busiest(clock) / frames for clock in clocks)
    yield Figure(part, f"{name}: all", "ms/frame", whole, "the busiest thread", busiest, more=False)


def _busiest(clock: dict[str, float]) -> float:
    alone = [sum(clock.get(stage, 0.0) for stage in stages) for stages in THREADS]
    return max(*alone, sum(clock.values()) - sum(alone))


def _analyse(film: Path) -> Analysis:
    from vidsr.video import probe

    return jobs.analyse_film(probe(film), config.Enhance(render=CPU), Silent())[0]


def _render(film: Path, folder: Path, analysis: Analysis) -> None:
    """The film's segments, as `enhance` renders them."""
    work = plan(film, folder / "out.mp4", config.Enhance(render=CPU, overwrite=True), weights.load("vidsr_x4_fidelity"))
    work.folder.mkdir()
    save(analysis, work.folder / "tracks.json")
    tracks, _ = jobs.restorable(analysis.tracks, "all")
    faces = Faces(work, tracks, make_restorer)
    spans = jobs.segments(0, analysis.frames, work.film, work.settings, faces.none_in)
    try:
        jobs.done([Segment(Order.of(work), span) for span in spans], jobs.Bench(model=work.model), Silent())
    finally:
        for path in work.folder.iterdir():
            path.unlink()
        work.folder.rmdir()


def _measured(part: str, name: str, frames: int, runs: int, work: Callable[[], object]) -> Iterator[Figure]:
    walls, clocks = [], []
    for count in range(runs + 1):
        with clocked() as clock:
            began = time.perf_counter()
            work()
            wall = time.perf_counter() - began
        if count:  # the first run warms up
            walls.append(wall)
            clocks.append(dict(clock.seconds))
    yield from _runs(part, name, frames, walls, clocks)


def figures(quick: bool, folder: Path) -> Iterator[Figure]:
    """Analysis and rendering of films with and without faces."""
    runs = 1 if quick else 3
    films = {"talking": talking()}
    scenes = [Scene("360p", 1, 4)] if quick else [Scene("720p", 0, 12), Scene("720p", 1, 8), Scene("360p", 4, 4)]
    films |= {scene.name: scene.film(folder) for scene in scenes}
    if not quick:
        films["talking in a loop"] = looped(talking(), 40, folder)
    for name, film in films.items():
        analysis = _analyse(film)
        yield from _measured(ANALYSE, name, analysis.frames, runs, lambda film=film: _analyse(film))  # type: ignore[misc]
        yield from _measured(
            RENDER, name, analysis.frames, runs, lambda film=film, found=analysis: _render(film, folder, found)
        )  # type: ignore[misc]
