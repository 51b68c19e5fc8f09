"""Two workers against one, each with one thread: frames a second, and what giving out the work costs.

    python -m tests.bench.workers [--seconds 40] [--film FILM] [--free]

The film is the sample, whose face is small, looped. Each worker is kept on a core of its own, together with the ffmpeg
processes that it starts (`--free` lets them use any). A run is timed from when its workers are up until the output has
its name; the same packets must come out. The cost of giving out work is the processor time of the process that does so.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.tools import SAMPLE, Trial, ffmpeg, packets
from vidsr.archive import Batch, Source, side_by_side
from vidsr.config import Encode, Enhance, Render
from vidsr.weights import open_model
from vidsr.workers import Pool

WANTED, MOST_COST = 1.6, 0.02


class Silent:
    """A watch that says nothing."""

    def stage(self, name: str, _: int | None) -> None: ...
    def advance(self, frames: int, _: int) -> None: ...


@dataclass(frozen=True)
class Run:
    """One run: its speed, its cost of giving out work as a share of its time, its packets."""

    fps: float
    cost: float
    packets: list[str]


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def run(film: Path, output: Path, count: int, free: bool) -> Run:
    """Enhance with so many workers."""
    settings = Enhance(render=Render(scale="1", device="cpu"), encode=Encode(preset="veryfast"))
    batch = Batch(settings, open_model("vidsr_x4", None), output, many=False, fresh=False)
    pool = Pool([None] * count, threads=1)
    for pid, core in zip(pool.pids, sorted(os.sched_getaffinity(0)), strict=False):
        if not free:
            os.sched_setaffinity(pid, {core})
    pool.greet()
    began, cpu = time.monotonic(), cpu_s()
    (ended,) = side_by_side(iter([Source(film)]), batch, pool, lambda _: Silent())
    seconds = time.monotonic() - began
    if ended.report is None:
        raise SystemExit(f"{ended.error}")
    return Run(ended.report.stop / seconds, (cpu_s() - cpu) / seconds, packets(output))


def main() -> None:
    """Run and compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--film", type=Path)
    parser.add_argument("--free", action="store_true")
    given = parser.parse_args()
    trial = Trial()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        film = given.film or folder / "film.mp4"
        if given.film is None:
            ffmpeg("-stream_loop", "-1", "-i", SAMPLE, "-t", given.seconds, "-an", "-c:v", "libx264", film)
        one, two = (run(film, folder / f"{count}.mp4", count, given.free) for count in (1, 2))
    gain = two.fps / one.fps
    figures = f"{one.fps:.2f} and {two.fps:.2f} frames a second: x{gain:.2f}"
    trial.line("two workers against one", [] if gain >= WANTED else [f"less than {WANTED}"], figures)
    trial.line("the same packets", [] if one.packets == two.packets else ["they differ"], f"{len(one.packets)}")
    cost = max(one.cost, two.cost)
    wrong = [] if cost <= MOST_COST else [f"more than {MOST_COST:.0%}"]
    trial.line("giving out the work", wrong, f"{one.cost:.2%} and {two.cost:.2%} of the time")
    trial.end()


if __name__ == "__main__":
    main()
