"""Films in folders: found one by one, each with its own output, done once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.jobs import Silent, settings
from tests.jobs import film as film  # a fixture
from tests.program import tree
from vidsr.errors import AlreadyDone, InputError, OutputError
from vidsr.jobs import film_job
from vidsr.jobs.batch import Batch, Source, Sum, one_by_one, walk
from vidsr.jobs.scheduler import Ended
from vidsr.networks import model_file


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"film")


def test_folders_are_walked_by_name_and_not_into_what_is_no_archive(tmp_path: Path) -> None:
    touch(tmp_path, "films/b.mp4", "films/a/z.mkv", "films/a/deep/y.MOV", "films/c.txt", "films/.hidden/x.mp4")
    touch(tmp_path, "films/b.enhanced.mp4", "films/b.enhanced.mp4.vidsr/whole.mp4", "elsewhere/e.mp4", "one.avi")
    (tmp_path / "films/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "films/a/deep/loop").symlink_to(tmp_path / "films")
    found = list(walk([tmp_path / "films", tmp_path / "one.avi"]))
    assert [(source.path.relative_to(tmp_path).as_posix(), source.under.as_posix()) for source in found] == [
        ("films/a/deep/y.MOV", "a/deep"),
        ("films/a/z.mkv", "a"),
        ("films/b.mp4", "."),
        ("one.avi", "."),
    ]


def test_a_folder_is_read_when_its_turn_comes(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.mp4", "b/2.mp4")
    sources = walk([tmp_path])
    assert next(sources).path.name == "1.mp4"
    shutil.rmtree(tmp_path / "b")
    lost = next(sources)
    assert isinstance(lost.error, FileNotFoundError)
    batch = Batch(settings(), model_file.load("plain"), None, many=True, fresh=False)
    with pytest.raises(InputError, match="cannot be read"):
        batch.plan(lost)


def batch_of(output: Path, many: bool = True, **changes: object) -> Batch:
    return Batch(settings(**changes), model_file.load("plain"), output, many=many, fresh=False)


def ends(batch: Batch, folder: Path) -> list[Ended[Source]]:
    return [one_by_one(one, batch, lambda work: film_job.enhance(work, Silent())) for one in walk([folder])]


def test_inner_folders_get_their_own_and_what_is_done_is_kept(film: Path, tmp_path: Path) -> None:
    folder, out = tree(tmp_path, film, "a.mp4", "inner/a.mp4")
    (folder / "c.mp4").write_text("no film")
    first = ends(batch_of(out), folder)
    assert [type(end.error) for end in first] == [type(None), InputError, type(None)]
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.mp4")) == [
        "a.enhanced.mp4",
        "inner/a.enhanced.mp4",
    ]
    again = ends(batch_of(out), folder)
    assert [type(end.error) for end in again] == [AlreadyDone, InputError, AlreadyDone]
    os.utime(folder / "a.mp4", (2e9, 2e9))  # the film is newer than what was made of it
    assert type(ends(batch_of(out), folder)[0].error) is not AlreadyDone
    with pytest.raises(OutputError, match="--overwrite"):
        batch_of(out, many=False).plan(Source(folder / "inner/a.mp4", Path("inner")))


def test_two_films_never_get_one_output(film: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    shutil.copy(film, tmp_path / "a.avi")  # what is in it says what it is
    shutil.copy(film, tmp_path / "a.mkv")
    batch = batch_of(out)
    names = {batch.plan(Source(tmp_path / "a.avi")).output.name}
    if names == {"a.enhanced.mkv"}:
        with pytest.raises(OutputError, match="would both become"):
            batch.plan(Source(tmp_path / "a.mkv"))
    batch.plan(Source(tmp_path / "a.avi"))  # as where a watched film has changed


def test_the_sum_names_what_failed() -> None:
    total = Sum()
    for n in range(300):
        total = total.with_end(Ended(Source(Path(f"{n}.mp4")), error=InputError("bad")))
    total = total.with_end(Ended(Source(Path("kept.mp4")), error=AlreadyDone("there", Path("kept.enhanced.mp4"))))
    lines = list(total.lines())
    assert lines[0] == "0 of 301 films done: 0 frames, faces restored in 0"
    assert "1 outputs were there before" in lines[1]
    assert len(lines) == 1 + 1 + 1 + 100 + 1 and lines[-1] == "  and 200 more, named above"
