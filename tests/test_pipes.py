"""Films through pipes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.program import FAST, ROOT, SAMPLE, thinned, vidsr
from tests.test_system import frames
from vidsr.errors import InputError
from vidsr.video.pipes import spooled

PIPED = ("--scale", "1", "--model", "plain", "--preset", "ultrafast", "-q")


def made(folder: Path, name: str, *how: str) -> Path:
    path = folder / name
    subprocess.run(["ffmpeg", "-v", "error", "-i", SAMPLE, "-frames:v", "8", *how, path], check=True)
    return path


def through(film: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "vidsr", "enhance", "-", "-o", "-", *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with film.open("rb") as file:
        return subprocess.run(command, stdin=file, capture_output=True, env=environment, timeout=200, check=False)


@pytest.mark.parametrize(("name", "how"), thinned([("film.y4m", ("-an",)), ("film.nut", ("-c", "copy"))]))
def test_through_pipes_a_film_is_what_it_is_by_name(tmp_path: Path, name: str, how: tuple[str, ...]) -> None:
    film, out = made(tmp_path, name, *how), tmp_path / f"out{Path(name).suffix}"
    found = through(film, *PIPED)
    assert found.returncode == 0, found.stderr
    out.write_bytes(found.stdout)
    codec = ("--codec", "ffv1") if film.suffix == ".y4m" else ()
    by_name = tmp_path / "name.mkv"
    words = [word for word in PIPED if film.suffix != ".y4m" or word not in ("--preset", "ultrafast")]
    assert vidsr("enhance", film, *words, *codec, "-o", by_name).returncode == 0
    pictures = [[line.split(",")[-1] for line in frames(path) if line[0] != "#"] for path in (out, by_name)]
    assert len(pictures[0]) == 8 and pictures[0] == pictures[1]


def test_what_is_no_film_for_a_pipe_is_refused(tmp_path: Path) -> None:
    found = through(made(tmp_path, "film.mp4", "-c", "copy"), *FAST)
    assert found.returncode == 1 and found.stdout == b""
    assert b"neither Y4M nor NUT" in found.stderr


def test_a_film_beyond_the_limit_is_refused_and_nothing_stays(tmp_path: Path) -> None:
    film = io.BytesIO(b"YUV4MPEG2 W2 H2\n" + bytes(1 << 20))
    with pytest.raises(InputError, match="--spool-gib"), spooled(0.0005, str(tmp_path), film):
        pass
    assert list(tmp_path.iterdir()) == []
    film.seek(0)
    with spooled(1, str(tmp_path), film) as path:
        assert path.read_bytes() == film.getvalue()
    assert list(tmp_path.iterdir()) == []
