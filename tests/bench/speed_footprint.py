"""What a run holds and how long it takes to begin: peak memory by resolution, start-up of the commands."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.figures import Figure, timed
from tests.bench.speed_films import Scene
from tests.bench.tools import command

PART = "memory and start-up"
EVERY_S = 0.05
"""Seconds between two looks at the memory of a run's processes."""


def peaks_mib(words: list[str]) -> tuple[float, float]:
    """The largest resident set of the program, and of it and its ffmpeg processes together (shared pages counted by
    their shares).

    The kernel's own account of a child's peak begins with that of the process that started it, so both are polled.
    """
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    alone = whole = 0.0
    while child.poll() is None:
        alone = max(alone, _mib(child.pid, "status", "VmHWM:"))
        whole = max(whole, sum(_mib(pid, "smaps_rollup", "Pss:") for pid in _tree(child.pid)))
        time.sleep(EVERY_S)
    if child.returncode:
        raise SystemExit(f"{' '.join(words)}: status {child.returncode}")
    return alone, whole


def _tree(root: int) -> list[int]:
    """A process and its children."""
    found = [root]
    for tasks in Path(f"/proc/{root}/task").glob("*/children"):
        try:
            found += [int(word) for word in tasks.read_text().split()]
        except OSError:
            continue
    return found


def _mib(pid: int, file: str, name: str) -> float:
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(name)), 0.0)


def figures(quick: bool, folder: Path) -> Iterator[Figure]:
    """Memory of whole runs; then commands that do little, beside Python itself."""
    target = folder / "out.mp4"
    for resolution, seconds in (("360p", 2), ("1080p", 2)) if quick else (("360p", 8), ("720p", 4), ("1080p", 4)):
        scene = Scene(resolution, 1, seconds)
        words = ["enhance", scene.film(folder), "-o", target, "--scale", "1", "--device", "cpu", "--overwrite", "-q"]
        program, whole = peaks_mib(command(*words))
        yield Figure(PART, f"peak of enhance, {resolution}, 1 face", "MiB", (program,), "with ffmpeg", (whole,))
    runs = 3 if quick else 5
    python = timed(lambda: subprocess.run([sys.executable, "-c", ""], check=True), runs)
    for words in (["--help"], ["models"], ["analyze", "--help"]):
        took = timed(lambda words=words: subprocess.run(command(*words), check=True, capture_output=True), runs)  # type: ignore[misc]
        yield Figure(PART, f"vidsr {' '.join(words)}", "s", took, "python alone", python, more=False)
