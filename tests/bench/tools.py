"""What the trials share: the program as a child, the packets of its output, and lines that hold or do not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests/samples/portrait.mp4"
CLIPS = ROOT.parent / "shared/data/test/clips"
"""Clips of talking people, where they are at hand; the sample stands in for them elsewhere."""


def command(*words: object) -> list[str]:
    """The program's command line from this checkout."""
    return [sys.executable, str(ROOT / "cli.py"), *map(str, words)]


def vidsr(*words: object, limit_s: float = 300.0, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run the program to its end, with these changes of the environment."""
    return subprocess.run(
        command(*words),
        capture_output=True,
        text=True,
        errors="replace",
        env=os.environ | changes,
        timeout=limit_s,
        check=False,
    )


def ffmpeg(*words: object) -> None:
    """Run ffmpeg; it must succeed."""
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, words)], check=True)


def packets(path: Path) -> list[str]:
    """Every packet of every stream: stream, pts, hash."""
    show = ["-show_entries", "packet=stream_index,pts,data_hash", "-show_data_hash", "md5", "-of", "csv"]
    found = subprocess.run(["ffprobe", "-v", "error", *show, path], capture_output=True, text=True, check=True)
    return found.stdout.splitlines()


def orphans(name: Path, patience_s: float = 3.0) -> list[str]:
    """Processes whose command line still names `name` after this time."""
    deadline = time.monotonic() + patience_s
    while (left := _naming(str(name))) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def _naming(text: str) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if text in words and int(entry.name) != os.getpid():
            found.append(words)
    return found


class Trial:
    """Prints a line for each thing that was tried, and remembers whether all of them held."""

    def __init__(self, quiet: bool = False) -> None:
        self.failed = 0
        self.count = 0
        self._quiet = quiet

    def line(self, name: str, wrong: Sequence[str], figures: str = "") -> None:
        """`wrong` says what did not hold; nothing means that it held."""
        self.count += 1
        self.failed += bool(wrong)
        if wrong or not self._quiet:
            print(f"{'FAILS' if wrong else 'holds'}  {name:44} {figures} {'; '.join(wrong)}".rstrip(), flush=True)

    def end(self) -> None:
        """The sum, and an exit code."""
        print(f"{self.count - self.failed} of {self.count} hold", flush=True)
        sys.exit(bool(self.failed))
