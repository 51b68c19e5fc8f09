"""What the trials share: the program as a child, the packets of its output, and lines that hold or do not."""

from __future__ import annotations

import importlib
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Outcome:
    """How a run ended: exit code (negative: a signal), what it said, seconds, the most memory of any process (MiB)."""

    code: int
    said: str
    seconds: float
    mib: float


def warm() -> None:
    """Import what a run imports: forks of this process then begin at once."""
    for name in ("cli.main", "jobs.film_job", "previews.preview", "cli.progress", "networks.model_file"):
        importlib.import_module(f"vidsr.{name}")


def program(*words: object, log: Path, limit_s: float = 300.0) -> Outcome:
    """`vidsr` with these words in a fork of this process, killed after `limit_s`; what it says goes to `log`."""
    return forked(lambda: _main([str(word) for word in words]), log, limit_s)


def _main(words: list[str]) -> None:
    from vidsr.cli.main import main

    sys.argv = ["vidsr", *words]
    main()


def forked(action: Callable[[], object], log: Path, limit_s: float = 300.0) -> Outcome:
    """Do something in a fork of this process, which must have no threads."""
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _live(action, log)
    pidfd = os.pidfd_open(child)
    try:
        if not select.select([pidfd], [], [], limit_s)[0]:
            os.kill(child, signal.SIGKILL)
    finally:
        os.close(pidfd)
    _, status, usage = os.wait4(child, 0)
    said = log.read_text(encoding="utf-8", errors="replace")
    return Outcome(os.waitstatus_to_exitcode(status), said, time.monotonic() - began, usage.ru_maxrss / 1024)


def _live(action: Callable[[], object], log: Path) -> None:
    """The whole life of a fork."""
    code = 0
    try:
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(target, 1)
        os.dup2(target, 2)
        action()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except BaseException:
        traceback.print_exc()
        code = 70
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


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
