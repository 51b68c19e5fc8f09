"""Two workers against one, each with one thread: frames a second, and what giving out the work costs.

    python -m tests.bench.workers [--seconds 20] [--films 1] [--film FILM] [--free]

The film is the sample, looped, four times in one picture: four small faces. Its analysis is one task, which nobody can
share; with several `--films` it is done while another film is rendered. Each worker is kept on a core of its own,
together with the ffmpeg processes that it starts (`--free` lets them use any). A run is timed from when its workers are
up until the outputs have their names; the same packets must come out. The cost of giving out work is the processor time
of the process that does so.
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
from vidsr.config import Encode, Enhance, Render
from vidsr.jobs.batch import Batch, Source, side_by_side
from vidsr.jobs.events import Meter
from vidsr.jobs.process_pool import Pool
from vidsr.networks.model_file import open_model

WANTED, MOST_COST = 1.6, 0.02
FOUR = "split=4[a][b][c][d];[a][b]hstack[e];[c][d]hstack[f];[e][f]vstack"


@dataclass(frozen=True)
class Run:
    """One run: its speed, its cost of giving out work as a share of its time, its packets."""

    fps: float
    cost: float
    packets: list[str]


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def run(films: list[Path], output: Path, count: int, free: bool) -> Run:
    """Enhance with so many workers."""
    settings = Enhance(render=Render(scale="1", device="cpu"), encode=Encode(preset="veryfast"))
    batch = Batch(settings, open_model("vidsr_x4", None), output, many=True, fresh=False)
    pool = Pool([None] * count, threads=1)
    for worker, core in zip(pool.workers(), sorted(os.sched_getaffinity(0)), strict=False):
        if not free:
            os.sched_setaffinity(worker.pid, {core})
        worker.up.result()
    began, cpu = time.monotonic(), cpu_s()
    ends = list(side_by_side(map(Source, films), batch, pool, lambda _: Meter()))
    seconds = time.monotonic() - began
    frames = sum(ended.report.stop for ended in ends if ended.report)
    if any(ended.error for ended in ends):
        raise SystemExit(f"{[ended.error for ended in ends]}")
    made = [packet for path in sorted(output.iterdir()) for packet in packets(path)]
    return Run(frames / seconds, (cpu_s() - cpu) / seconds, made)


def main() -> None:
    """Run and compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--films", type=int, default=1)
    parser.add_argument("--film", type=Path)
    parser.add_argument("--free", action="store_true")
    given = parser.parse_args()
    trial = Trial()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        films = [folder / f"film{number}.mp4" for number in range(given.films)]
        for film in films:
            if given.film is not None:
                film.symlink_to(given.film.resolve())
            else:
                ffmpeg(
                    "-stream_loop", "-1", "-i", SAMPLE, "-t", given.seconds, "-an", "-vf", FOUR, "-c:v", "libx264", film
                )
        runs = []
        for count in (1, 2):
            output = folder / f"by{count}"
            output.mkdir()
            runs.append(run(films, output, count, given.free))
    one, two = runs
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
