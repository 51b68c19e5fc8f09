"""A thousand tiny films in one command: all there, one summary, and memory that does not grow.

    python -m tests.bench.thousand [--films 1000] [--workers 2] [--folder FOLDER] [--limit SECONDS]

The films are made by ffmpeg and lie in ten folders. The memory is that of the program and its workers together; its
peak over the last tenth of the films may be no more than 5 % above that over the second tenth. With `--limit` a run
that takes longer is stopped; given the same FOLDER again, it goes on with the films that are not done.
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from tests.bench.tools import Trial, command, ffmpeg

SIZES = ("96x64", "128x96", "64x64")
OPTIONS = ("--scale", "1", "--model", "plain", "--preset", "ultrafast")


def make(folder: Path, count: int) -> None:
    """`count` films of three kinds, in ten folders."""
    kinds = []
    for size in SIZES:
        kinds.append(folder / f"{size}.mp4")
        ffmpeg(
            "-f", "lavfi", "-i", f"testsrc2=s={size}:r=25:d=0.4", "-pix_fmt", "yuv420p", "-c:v", "libx264", kinds[-1]
        )
    contents = [path.read_bytes() for path in kinds]
    for path in kinds:
        path.unlink()
    for number in range(count):
        inner = folder / f"{number * 10 // count}"
        inner.mkdir(exist_ok=True)
        (inner / f"{number:04d}.mp4").write_bytes(contents[number % 3])


def family_mib(pid: int) -> float:
    """Resident memory that a process and its Python children do not share with others."""
    total = 0.0
    try:
        found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        total = int(found[1]) / 1024 if found else 0.0
        children = [
            int(one) for task in Path(f"/proc/{pid}/task").glob("*/children") for one in task.read_text().split()
        ]
        names = {child: Path(f"/proc/{child}/comm").read_text().strip() for child in children}
    except OSError:  # one has just ended
        return total
    return total + sum(family_mib(child) for child, name in names.items() if not name.startswith("ff"))


def watched(words: list[str], out: Path, log: Path, limit_s: float) -> tuple[int, dict[int, float]]:
    """Run; the exit code, and for each count of finished films the most memory seen while it stood so, MiB."""
    peaks: dict[int, float] = {}
    began = time.monotonic()
    with log.open("w") as file:
        run = subprocess.Popen(words, stderr=file, stdout=file)
        while run.poll() is None:
            done = sum(1 for _ in out.glob("*/*.mp4"))
            peaks[done] = max(peaks.get(done, 0.0), family_mib(run.pid))
            if time.monotonic() - began > limit_s:
                run.send_signal(signal.SIGTERM)
                run.wait()
            time.sleep(0.5)
    return run.returncode, peaks


def main() -> None:
    """Run and compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--films", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--limit", type=float, default=1e9)
    given = parser.parse_args()
    trial = Trial()
    with tempfile.TemporaryDirectory() as name:
        home = given.folder or Path(name)
        folder, out, log = home / "in", home / "out", home / "log"
        if not folder.is_dir():
            folder.mkdir(parents=True)
            out.mkdir()
            make(folder, given.films)
        words = command("enhance", folder, "-o", out, *OPTIONS, "--workers", given.workers)
        began = time.monotonic()
        code, peaks = watched(words, out, log, given.limit)
        seconds, said = time.monotonic() - began, log.read_text()
        there = sum(1 for _ in out.glob("*/*.enhanced.mp4"))
        trial.line("exit code", [] if code == 0 else [said[-300:]], f"{code} after {seconds:.0f} s")
        trial.line("outputs", [] if there == given.films else ["some are missing"], f"{there}")
        sums = re.findall(r"^\d+ of \d+ films done.*$", said, re.MULTILINE)
        trial.line("one summary", [] if len(sums) == 1 else [f"{len(sums)}"], "; ".join(sums))
        first, last = min(peaks), max(peaks)
        tenth = max(1, (last - first) // 10)
        early = max(mib for done, mib in peaks.items() if first + tenth <= done < first + 2 * tenth)
        late = max(mib for done, mib in peaks.items() if done >= last - tenth)
        growth = late / early - 1
        figures = f"{early:.0f} MiB over the second tenth, {late:.0f} MiB over the last ({growth:+.1%})"
        trial.line("memory", [] if growth <= 0.05 else ["it grows"], figures)
    trial.end()


if __name__ == "__main__":
    main()
