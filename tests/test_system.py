"""Systems that lack what Linux has: stand-ins for them, as far as one machine can tell."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.program import PACKAGE, ROOT, SAMPLE, vidsr
from tests.test_package import imports
from vidsr import system
from vidsr.jobs import work_folder
from vidsr.networks.store import check_name

HERE_ONLY = {"fcntl", "msvcrt", "resource", "pty", "termios", "pwd", "grp"}
LACKING = {
    *("SIGKILL", "SIGHUP", "SIGSTOP", "SIGCONT", "SIGUSR1", "pthread_sigmask", "SIGALRM", "setitimer", "alarm"),
    *("fork", "splice", "readv", "sched_getaffinity", "geteuid", "getuid", "O_NOFOLLOW", "mkfifo", "killpg"),
}


def without(code: str, *words: object, others: str = "()") -> subprocess.CompletedProcess[str]:
    """Run code in a process from which all is taken away that Windows lacks, once it has imported `others`."""
    whole = f"import sys\nfrom tests.without import ALL, FILM, take_away\ntake_away({others})\n{code}"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", whole, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=200, check=False)


def test_one_module_knows_what_systems_lack() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.name == "system.py":
            continue
        assert not imports(path) & HERE_ONLY, path
        used = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
        assert not used & LACKING, path
        assert "/proc" not in path.read_text(), path


def test_every_module_is_imported_without_what_windows_lacks() -> None:
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in PACKAGE.rglob("*.py")]
    wanted = [name for name in modules if not name.endswith(("__main__", "ray_cluster"))]  # Ray brings its own needs
    code = "from importlib import import_module\nfor name in sys.argv[1:]: import_module(name)"
    found = without(code, *wanted, others="ALL")
    assert found.returncode == 0, found.stderr


@pytest.mark.slow
def test_a_film_is_enhanced_without_what_windows_lacks(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    subprocess.run(["ffmpeg", "-v", "error", "-i", SAMPLE, "-frames:v", "8", "-c", "copy", film], check=True)
    words = ["enhance", film, "--scale", "1", "--model", "plain", "--preset", "ultrafast", "-q", "-o"]
    run = "from vidsr.cli.main import main\nmain()"
    found = without(run, *words, tmp_path / "there.mkv", others="FILM")
    assert found.returncode == 0, found.stderr
    assert vidsr(*words, tmp_path / "here.mkv").returncode == 0
    assert frames(tmp_path / "there.mkv") == frames(tmp_path / "here.mkv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mp4", "here.mkv", "there.mkv"]


def frames(film: Path) -> list[str]:
    """The time stamp and hash of each frame."""
    hashed = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", film, "-map", "0:v", "-fps_mode", "passthrough", "-f", "framehash", "-"],
        capture_output=True,
        text=True,
        check=True,
    )
    return hashed.stdout.splitlines()


def test_two_runs_do_not_share_a_folder_where_locks_are_windows_own(tmp_path: Path) -> None:
    code = (
        "from vidsr import files, system\nimport tempfile, os, subprocess\n"
        "file = open(sys.argv[1], 'a+')\nsystem.lock(file)\n"
        "other = 'import fcntl, sys; file = open(sys.argv[1], \"a+\"); '\n"
        "other += 'fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, %d)'\n"
        "found = subprocess.run([sys.executable, '-c', other % system.LOCKED_BYTE, sys.argv[1]], capture_output=True)\n"
        "assert b'BlockingIOError' in found.stderr, found.stderr"
    )
    found = without(code, tmp_path / "lock")
    assert found.returncode == 0, found.stderr


def test_what_is_open_goes_last_on_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "WINDOWS", True)
    (tmp_path / "work").mkdir()
    for name in ("lock", "log.txt"):
        (tmp_path / "work" / name).touch()
    work_folder._sweep(tmp_path / "work")
    assert not (tmp_path / "work").exists()
    (tmp_path / "work").mkdir()
    for name in ("lock", "log.txt", "manifest.json"):
        (tmp_path / "work" / name).touch()
    work_folder._sweep(tmp_path / "work")
    assert len(list((tmp_path / "work").iterdir())) == 3


@pytest.mark.parametrize("name", ["con", "nul.x", "LPT1", "a."])
def test_no_model_is_added_under_a_name_that_windows_refuses(name: str) -> None:
    assert not system.is_portable(name)
    with pytest.raises(Exception, match="cannot be a model's name"):
        check_name(name, set())


def test_names_in_a_work_folder_are_portable() -> None:
    for name in ("00000000-00000250.nut", "manifest.json", "tracks.sha256", "film.enhanced.mp4.vidsr", "log.txt"):
        assert system.is_portable(name)
    assert not any(system.is_portable(name) for name in ("a:b", "a?", "", "a ", "x/y", "aux.txt"))


def test_processes_that_are_started_do_not_hear_ctrl_c() -> None:
    code = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    with system.deaf():
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "True\n"
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
