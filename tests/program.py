"""The program as tests run it: in a process of its own, with its exit code and with what it says."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "tests/samples/portrait.mp4"
LIGHT = ("--scale", "1", "--preset", "ultrafast", "-q")
"""For what is refused: with a shipped model that is known without loading torch."""
FAST = ("--model", "plain", *LIGHT)
LIMIT_S = 120.0


def vidsr(*words: object, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run the program with these words and changes of the environment.

    It is forked from a process that has imported it, in a hundredth of a second instead of three; where systems have no
    forks, or what was found on the PATH would not hold, `spawned` does it.
    """
    if "PATH" in changes or "forkserver" not in multiprocessing.get_all_start_methods():
        return spawned(*words, **changes)
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["tests.preloaded"])
    told, command = os.environ | changes, ["vidsr", *map(str, words)]
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder, "stdout"), Path(folder, "stderr")
        run = server.Process(target=_live, args=(command, told, Path.cwd(), said))
        run.start()
        run.join(LIMIT_S)
        if run.exitcode is None:
            run.kill()
            raise subprocess.TimeoutExpired(command, LIMIT_S)
        return subprocess.CompletedProcess(command, run.exitcode, *(path.read_text(encoding="utf-8") for path in said))


def _live(command: list[str], environment: dict[str, str], folder: Path, said: tuple[Path, Path]) -> None:
    """The whole life of a fork."""
    for stream, path in enumerate(said, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = command
    from vidsr.cli.main import main

    main()


def spawned(*words: object, **changes: str) -> subprocess.CompletedProcess[str]:
    """`vidsr` as a user starts it, which takes seconds."""
    command = [sys.executable, "-m", "vidsr", *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | changes
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=LIMIT_S, check=False)


def refused(found: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """One clear sentence and the exit code, never a traceback."""
    assert found.returncode == code, found.stderr
    assert "Traceback" not in found.stderr
    assert "rror: " in found.stderr
    for word in words:
        assert word in found.stderr


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
