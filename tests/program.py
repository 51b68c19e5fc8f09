"""The program as tests run it: in a process of its own, with its exit code and with what it says."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "tests/samples/portrait.mp4"
PACKAGE = ROOT / "vidsr"
ABSENT = "needs ../shared/data"
LIGHT = ("--scale", "1", "--preset", "ultrafast", "-q")
"""For what is refused: with a shipped model that is known without loading torch."""
FAST = ("--model", "plain", *LIGHT)
LIMIT_S = 120.0
CAN_FORK = "forkserver" in multiprocessing.get_all_start_methods()


def beginning(folder: Path, seconds: float, *options: str) -> Path:
    """The first seconds of the sample, coded anew with these options, with their sound."""
    path = folder / "film.mp4"
    coding = ["-c:v", "libx264", "-preset", "ultrafast", *options, "-c:a", "copy"]
    subprocess.run(["ffmpeg", "-v", "error", "-i", SAMPLE, "-t", str(seconds), *coding, path], check=True)
    return path


def needs(data: Path) -> pytest.MarkDecorator:
    """Skips a test where research data that does not come with the project is not beside it."""
    return pytest.mark.skipif(not data.exists(), reason=f"{ABSENT}: {data.name}")


def tree(folder: Path, film: Path, *names: str) -> tuple[Path, Path]:
    """A folder in which copies of a film have these names, and an empty one for outputs."""
    films, out = folder / "films", folder / "out"
    out.mkdir()
    for name in names:
        (films / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(film, films / name)
    return films, out


def thinned(values: Iterable[Any], every: int = 3) -> list[Any]:
    """Cases of one kind: each `every`th runs always, the others are marked slow."""
    cases = [one if isinstance(one, tuple) else (one,) for one in values]
    return [pytest.param(*one, marks=pytest.mark.slow if n % every else ()) for n, one in enumerate(cases)]


def vidsr(*words: object, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run the program with these words and changes of the environment.

    It is forked from a process that has imported it, in a hundredth of a second instead of three; where systems have no
    forks, or what was found on the PATH would not hold, `spawned` does it.
    """
    if "PATH" in changes or not CAN_FORK:
        return spawned(*words, **changes)
    return forked("vidsr.cli.main", *words, **changes)


def forked(module: str, *words: object, limit_s: float = LIMIT_S, **changes: str) -> subprocess.CompletedProcess[str]:
    """Call `main` of a module in a process that has the program imported, with these words for its command line."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["tests.preloaded"])
    command, environment = [module, *map(str, words)], os.environ | changes
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder, "stdout"), Path(folder, "stderr")
        run = server.Process(target=_live, args=(command, environment, Path.cwd(), said))
        run.start()
        run.join(limit_s)
        if run.exitcode is None:
            run.kill()
            raise subprocess.TimeoutExpired(command, limit_s)
        return subprocess.CompletedProcess(command, run.exitcode, *(path.read_text(encoding="utf-8") for path in said))


def _live(command: list[str], environment: dict[str, str], folder: Path, said: tuple[Path, Path]) -> None:
    """The whole life of a fork."""
    main = importlib.import_module(command[0]).main
    for stream, path in enumerate(said, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = command
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
