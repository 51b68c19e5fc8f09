"""One hour of film: whether memory, open files and threads stay where they are.

    python -m tests.bench.endurance [--minutes 60] [--rate 1]

The sample film, small and looped, goes through `vidsr enhance --scale 1`. In each pass the resident memory, the open
files and the threads of the program at minute 50 of the film are compared with those at minute 5 (medians over two
minutes of film; for shorter films, at the same fractions of the length). Exits with 1 where memory has grown by more
than 5 %, or the number of files or threads has changed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from tests.bench.tools import SAMPLE, Trial, command, ffmpeg

EVERY_S = 0.25
PROGRESS = re.compile(r": (analyze|render): .*?(\d+)/(\d+) \[")


@dataclass(frozen=True)
class Sample:
    """The state of the program at a moment: resident memory, open files, threads."""

    at_s: float
    mib: float
    files: int
    threads: int


class Progress:
    """Reads the program's lines, in a thread, for when it was how far in each stage."""

    def __init__(self, run: subprocess.Popen[str]) -> None:
        self.last = ""
        self.seen: dict[str, list[tuple[float, float]]] = {"analyze": [], "render": []}
        self._run = run
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._run.stderr is not None
        for line in self._run.stderr:
            self.last = line
            if found := PROGRESS.search(line):
                self.seen[found[1]].append((time.monotonic(), int(found[2]) / int(found[3])))

    def part(self, stage: str, at_s: float) -> float:
        """How far the stage was at this time, between two lines at an even pace; -1 outside of it."""
        self._thread.join()
        times, parts = zip(*self.seen[stage], strict=True)
        return float(np.interp(at_s, times, parts, left=-1.0, right=-1.0))


def looped(folder: Path, minutes: float, rate: int) -> Path:
    """The sample at 160x120 and `rate` frames a second, repeated to this length, with its sound."""
    path = folder / "hour.mp4"
    shape = ["-vf", f"fps={rate},scale=160:120", "-c:v", "libx264", "-preset", "ultrafast", "-g", str(rate * 4)]
    once = folder / "once.mp4"
    ffmpeg("-i", SAMPLE, *shape, "-c:a", "copy", once)
    ffmpeg("-stream_loop", "-1", "-i", once, "-t", minutes * 60, "-c", "copy", path)
    return path


def watched(film: Path) -> tuple[list[Sample], Progress]:
    """Enhance the film and look at the program all the while."""
    words = command("enhance", film, "--scale", "1", "--preset", "ultrafast")
    run = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    progress, found = Progress(run), []
    while run.poll() is None:
        found += [sample] if (sample := _sample(run.pid)) else []
        time.sleep(EVERY_S)
    if run.returncode:
        raise SystemExit(f"the run ended with {run.returncode}: {progress.last}")
    return found, progress


def _sample(pid: int) -> Sample | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        files = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return None
    resident, threads = (re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE) for name in ("VmRSS", "Threads"))
    if resident is None or threads is None:
        return None
    return Sample(time.monotonic(), int(resident[1]) / 1024, files, int(threads[1]))


def near(samples: list[Sample], places: list[float], part: float, width: float) -> Sample:
    """Medians of the samples around a place in the film."""
    here = [one for one, place in zip(samples, places, strict=True) if abs(place - part) <= width]
    if not here:
        raise SystemExit(f"nothing was seen at {part:.0%}: the film is too short")
    files, threads = (round(median(values)) for values in ([s.files for s in here], [s.threads for s in here]))
    return Sample(here[0].at_s, median(one.mib for one in here), files, threads)


def judge(samples: list[Sample], progress: Progress, trial: Trial, width: float = 1 / 60) -> None:
    """Compare 5 sixtieths of each pass with 50 sixtieths."""
    for stage in ("analyze", "render"):
        places = [progress.part(stage, sample.at_s) for sample in samples]
        early, late = (near(samples, places, part / 60, width) for part in (5, 50))
        growth = late.mib / early.mib - 1
        wrong = [f"memory grew by {growth:.1%}"] if growth > 0.05 else []
        if (early.files, early.threads) != (late.files, late.threads):
            wrong.append("files or threads changed")
        figures = f"{early.mib:.0f} -> {late.mib:.0f} MiB ({growth:+.1%}), files {early.files} -> {late.files}, "
        trial.line(f"{stage}, minute 5 and minute 50", wrong, f"{figures}threads {early.threads} -> {late.threads}")


def main() -> None:
    """Make the film, run, compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=int, default=1)
    given = parser.parse_args()
    trial = Trial()
    with tempfile.TemporaryDirectory() as folder:
        film = looped(Path(folder), given.minutes, given.rate)
        began = time.monotonic()
        samples, progress = watched(film)
        frames = round(given.minutes * 60 * given.rate)
        print(f"{frames} frames in {time.monotonic() - began:.0f} s, {len(samples)} looks", flush=True)
    judge(samples, progress, trial)
    trial.end()


if __name__ == "__main__":
    sys.exit(main())
