"""Films that come into a folder while the program runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.program import FAST, ROOT, names, vidsr
from vidsr.cli.main import cli
from vidsr.config import Watching
from vidsr.jobs import batch
from vidsr.jobs.batch import Source, rounds
from vidsr.networks import lazy_model


def test_a_film_is_given_once_it_has_rested(tmp_path: Path) -> None:
    now, copied = [0.0], tmp_path / "b.mp4"
    (tmp_path / "a.mp4").write_bytes(b"a")

    def sleep(seconds: float) -> None:
        now[0] += seconds
        if now[0] < 40:
            copied.write_bytes(bytes(int(now[0])))  # somebody is still copying
        if now[0] > 200:
            raise KeyboardInterrupt

    given = []
    with pytest.raises(KeyboardInterrupt):
        for films in rounds([tmp_path], Watching(look_s=5, rest_s=10), lambda: now[0], sleep):
            given.append((now[0], [one.path.name for one in films]))
            if now[0] >= 100 and len(given) == 2:
                break
    assert given == [(10.0, ["a.mp4"]), (45.0, ["b.mp4"])]


def test_a_film_that_is_changed_is_given_again(tmp_path: Path) -> None:
    now = [0.0]
    path = tmp_path / "a.mp4"
    path.write_bytes(b"a")
    looks = rounds([tmp_path], Watching(look_s=5, rest_s=10), lambda: now[0], lambda s: now.__setitem__(0, now[0] + s))
    assert [one.path for one in next(looks)] == [path]
    path.write_bytes(b"another")
    assert [one.path for one in next(looks)] == [path]
    assert now[0] >= 20


def test_a_watched_folder_is_enhanced_until_a_signal(film: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    code = (
        "import sys, vidsr.config as c\nc.Watching.__init__.__defaults__ = (False, 0.1, 0.3)\n"
        "from vidsr.cli.main import main\nmain()"
    )
    words = [sys.executable, "-c", code, "enhance", str(folder), "-o", str(out), "--watch", *FAST]
    run = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    time.sleep(1)
    (folder / "a.mp4").write_text("no film")
    film.rename(folder / "b.mp4")
    deadline = time.monotonic() + 120
    while names(out) != ["b.enhanced.mp4"] and time.monotonic() < deadline:  # its work folder goes last
        time.sleep(0.1)
    run.send_signal(signal.SIGTERM)
    _, said = run.communicate(timeout=90)
    assert run.returncode == 143, said
    assert names(out) == ["b.enhanced.mp4"]
    assert "a.mp4" in said and "Traceback" not in said


def test_a_watched_folder_opens_its_model_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class EnoughError(Exception):
        pass

    def twice(*_: object) -> Iterator[list[Source]]:
        yield [Source(tmp_path / "a.mp4")]
        yield [Source(tmp_path / "b.mp4")]
        raise EnoughError

    opened: list[object] = []
    monkeypatch.setattr(batch, "rounds", twice)
    monkeypatch.setattr(lazy_model, "model_for", lambda *name: opened.append(name))
    with pytest.raises(EnoughError):
        cli.main(["enhance", str(tmp_path), "-o", str(tmp_path), "--watch", "-q"], standalone_mode=False)
    assert len(opened) == 1


def test_only_folders_are_watched(film: Path) -> None:
    found = vidsr("enhance", film, "-o", film.parent, "--watch")
    assert found.returncode == 2 and "--watch takes folders" in found.stderr
