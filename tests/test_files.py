"""Names that must fit, places that cannot be written, and what a run may leave where."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.faces import track_of
from tests.jobs import Silent, packets, run, settings
from tests.program import beginning, thinned
from vidsr.config import Encode
from vidsr.data.faces import synthetic
from vidsr.data.shards import write_shards
from vidsr.errors import InputError, OutputError
from vidsr.files import beside, check_writable, fitting, partial_of, write_atomic
from vidsr.jobs import disk_space, film_job
from vidsr.jobs.plan import plan
from vidsr.jobs.work_folder import locked
from vidsr.networks import model_file
from vidsr.report import contact_sheet


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six frames of the sample with their sound."""
    return beginning(tmp_path_factory.mktemp("files"), 0.24)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_name_fits_and_stays_its_own() -> None:
    assert fitting("film", ".vidsr") == "film.vidsr"
    long = [fitting("é" * 124 + letter, ".enhanced.mp4") for letter in "ab"]
    assert long[0] != long[1]
    assert all(len(os.fsencode(name)) <= 255 and name.endswith(".enhanced.mp4") for name in long)
    assert len(os.fsencode(partial_of(Path("x" * 255)).name)) == 255


NAMES = {
    "spaces": " a film  of  mine ",
    "quotes": 'it\'s "mine" `id` $(id)',
    "newline": "one\ntwo",
    "dash": "-y",
    "pattern": "%d %05d %s",
    "unicode": "фильм 映画 🎬 e\u0301",
    "not unicode": os.fsdecode(b"caf\xe9 \xff"),
    "250 bytes": "x" * 246,
    "250 bytes of unicode": "é" * 123,
    "filter": "[0:v]; ,=\\:'|concat:",
}


@pytest.mark.parametrize("kind", thinned(NAMES))
def test_a_film_of_any_name_is_enhanced_beside_itself(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(f"{NAMES[kind]}.mp4")
    shutil.copy(film, path)
    work = plan(path, None, settings(keep_work=True), model_file.load("plain"))
    report = film_job.enhance(work, Silent())
    report.save(partial_of(path))  # as long as a name can be
    made = {Path(report.output).name, work.folder.name}
    assert {path.name, partial_of(path).name} | made == set(names(tmp_path))
    assert packets(Path(report.output)) != []


def test_places_that_cannot_be_written_are_named(film: Path, tmp_path: Path) -> None:
    folder, pipe, loop = tmp_path / "folder.mp4", tmp_path / "pipe.mp4", tmp_path / "loop.mp4"
    folder.mkdir()
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    for path in (folder, pipe, Path("/dev/null"), Path("/dev/full")):
        with pytest.raises(OutputError, match="is not a file"):
            check_writable(path, overwrite=True)
    with pytest.raises(OutputError, match="does not exist"):
        check_writable(tmp_path / "none" / "out.mp4", overwrite=True)
    with pytest.raises(OutputError, match="too long"):
        plan(film, tmp_path / f"{'x' * 300}.mp4", settings(), model_file.load("plain"))
    with pytest.raises(InputError, match="too long"):
        plan(tmp_path / f"{'x' * 300}.mp4", None, settings(), model_file.load("plain"))
    with pytest.raises(OutputError, match=r"--work-dir"):
        plan(film, tmp_path / "out.mp4", settings(work_dir=str(tmp_path / "none")), model_file.load("plain"))
    for path in (tmp_path / "nothing.json", tmp_path, pipe, Path("/dev/zero")):
        with pytest.raises(InputError):
            plan(film, tmp_path / "out.mp4", settings(tracks=str(path)), model_file.load("plain"))


def test_a_link_is_replaced_and_what_it_points_to_is_kept(film: Path, tmp_path: Path) -> None:
    target, link = tmp_path / "target.mp4", tmp_path / "link.mp4"
    target.write_text("precious")
    link.symlink_to(target)
    with pytest.raises(OutputError, match="exists"):
        run(film, link, settings())
    run(film, link, settings(overwrite=True))
    assert target.read_text() == "precious"
    assert not link.is_symlink()


@pytest.mark.parametrize("kind", ["file", "link", "link inside"])
def test_what_is_in_the_place_of_the_work_folder_is_left_alone(film: Path, tmp_path: Path, kind: str) -> None:
    folder, precious = tmp_path / "out.mp4.vidsr", tmp_path / "precious"
    precious.mkdir()
    if kind == "file":
        folder.write_text("precious")
    elif kind == "link":
        folder.symlink_to(precious)
    else:
        folder.mkdir()
        (precious / "victim").write_text("precious")
        (folder / "manifest.json.partial").symlink_to(precious / "victim")
    before = names(precious)
    with pytest.raises(OutputError, match="move it away"):
        run(film, tmp_path / "out.mp4", settings())
    assert names(precious) == before
    assert all(path.read_text() == "precious" for path in precious.iterdir())


def test_the_work_folder_lies_where_it_is_told(film: Path, tmp_path: Path) -> None:
    home, out, other = tmp_path / "home", tmp_path / "out", tmp_path / "other"
    for folder in (home, out, other):
        folder.mkdir()
    what = settings(work_dir=str(home))
    with pytest.raises(KeyboardInterrupt):
        run(film, out / "film.mp4", what, Silent(1))
    assert names(out) == []
    assert len(names(home)) == 1
    run(film, other / "film.mp4", what)  # of the same name, and yet another work folder
    assert len(names(home)) == 1
    watch = Silent()
    run(film, out / "film.mp4", what, watch)
    assert "analyze" not in watch.stages
    assert names(home) == []
    assert packets(out / "film.mp4") == packets(other / "film.mp4")


def test_a_work_folder_that_is_kept_spares_the_work(film: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    report = run(film, output, settings(keep_work=True))
    assert names(tmp_path) == ["out.mp4", "out.mp4.vidsr"]
    output.unlink()
    watch = Silent()
    run(film, output, settings(keep_work=True), watch)
    assert "analyze" not in watch.stages
    watch = Silent()
    assert run(film, output, settings(), watch) == report
    assert watch.stages == []
    assert names(tmp_path) == ["out.mp4"]


def test_a_run_killed_while_it_cleaned_up_is_told_done(film: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    report = run(film, output, settings(keep_work=True))
    folder = tmp_path / "out.mp4.vidsr"
    for path in folder.iterdir():
        if path.name != "delivered":
            path.unlink()
    assert run(film, output, settings()) == report
    folder.mkdir()
    with pytest.raises(OutputError, match="exists"):
        run(film, output, settings())
    assert names(tmp_path) == ["out.mp4"]
    run(film, output, settings(keep_work=True, overwrite=True))
    output.write_text("another file")
    with pytest.raises(OutputError, match="exists"):  # the note speaks of a file that is no more
        run(film, output, settings())


def test_a_film_that_changes_under_our_hands_is_not_published(film: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "film.mp4", tmp_path / "out.mp4"
    shutil.copy(film, source)

    class Meddling(Silent):
        def stage(self, name: str, frames: int | None) -> None:
            super().stage(name, frames)
            if name == "publish":
                os.utime(source, ns=(0, 0))

    with pytest.raises(InputError, match="was changed"):
        run(source, output, settings(), Meddling())
    assert not output.exists()
    assert (tmp_path / "out.mp4.vidsr").is_dir()  # the work of a night is not dropped
    with pytest.raises(OutputError, match=r"input\.modified_ns"):
        run(source, output, settings())


def test_a_disk_without_room_is_told_before_and_on_the_way(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = plan(film, tmp_path / "out.mp4", settings(), model_file.load("plain"))
    typical = disk_space.picture_bytes(work, 6)
    assert 2e3 < typical < 2e4
    finer = plan(film, tmp_path / "out.mp4", settings(encode=Encode(crf=11)), model_file.load("plain"))
    assert disk_space.picture_bytes(finer, 6) == pytest.approx(2 * typical)
    free = [0]
    monkeypatch.setattr(disk_space.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, free[0]))
    with pytest.raises(OutputError, match="--work-dir"):
        film_job.enhance(work, Silent())
    assert names(tmp_path) == []
    free[0] = 1000
    disk_space.require_segment(tmp_path, [])
    disk_space.require_segment(tmp_path, [600, 400])
    with pytest.raises(OutputError, match="next segment"):
        disk_space.require_segment(tmp_path, [700, 400])
    with pytest.raises(OutputError, match="joining"):
        disk_space.require_join(tmp_path, [700, 400])


def test_nothing_half_written_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(tmp_path / "note", "text")
    monkeypatch.setattr(shutil, "copyfile", full)
    (tmp_path / "whole").write_text("film")
    assert beside(tmp_path / "whole", tmp_path / "out") == tmp_path / "whole"
    if Path("/dev/shm").is_dir() and Path("/dev/shm").stat().st_dev != tmp_path.stat().st_dev:
        with pytest.raises(OSError, match="No space"):
            beside(tmp_path / "whole", Path("/dev/shm/vidsr test"))
        assert not list(Path("/dev/shm").glob(".vidsr*"))
    assert names(tmp_path) == ["whole"]


def _sheet(path: Path) -> None:
    view = contact_sheet.View(np.zeros((256, 256, 3), np.uint8), np.zeros((256, 256, 3), np.uint8))
    contact_sheet.save_sheet([contact_sheet.Row(track_of(3, (50.0, 50.0), 40.0), 1, (view,))], ("input",), path)


def _model(path: Path) -> None:
    model = model_file.load("vidsr_x4_gan")
    model_file.save(path, model.network, model.card)


def _shards(path: Path) -> None:
    write_shards(synthetic(np.random.default_rng(1), 3, 128), path, np.random.default_rng(1))


@pytest.mark.parametrize("write", [_sheet, _model, _shards])
def test_what_gets_its_name_is_on_the_disk_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None]
) -> None:
    on_disk: set[int] = set()
    sync, rename = os.fsync, Path.replace

    def synced(handle: int) -> None:
        on_disk.add(os.fstat(handle).st_ino)
        sync(handle)

    def renamed(self: Path, target: Path) -> Path:
        inside = list(self.rglob("*")) if self.is_dir() else [self]
        assert {one.stat().st_ino for one in inside} <= on_disk
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    write(tmp_path / "made")
    assert (tmp_path / "made").exists()
    assert tmp_path.stat().st_ino in on_disk


def test_a_lock_that_its_holder_removed_is_not_taken_for_ours(film: Path, tmp_path: Path) -> None:
    work = plan(film, tmp_path / "out.mp4", settings(), model_file.load("plain"))
    with locked(work) as folder:
        assert (folder / "lock").read_text() == str(os.getpid())
        with pytest.raises(OutputError, match=f"process {os.getpid()} is working"), locked(work):
            pass
