"""Shards: written, found again sample by sample, split among processes, damaged."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.faces import portrait
from vidsr.data.faces import Images
from vidsr.data.shards import find_shards, mine, shard_paths, write_shards
from vidsr.errors import InputError, OutputError


class Few:
    """Eight stills and a clip of three frames, all different."""

    def __len__(self) -> int:
        return 9

    def __getitem__(self, index: int) -> Images:
        frames = 3 if index == 8 else 1
        return np.stack([portrait()[i : i + 128, 10 * index : 10 * index + 128] for i in range(frames)])


def written(folder: Path, size: int = 1 << 20) -> Path:
    write_shards(Few(), folder / "set", np.random.default_rng(1), size)
    return folder / "set"


def everything(folder: Path) -> list[Images]:
    faces = find_shards(shard_paths(str(folder)))
    return [faces[i] for i in range(len(faces))]


def foreign(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def jpeg(width: int = 200, height: int = 140) -> bytes:
    return bytes(cv2.imencode(".jpg", portrait()[:height, :width])[1])


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    found = everything(written(tmp_path))
    given = [Few()[i] for i in range(9)]
    assert len(found) == 9
    assert all(any(np.array_equal(f, g) for f in found) for g in given)
    assert any(not np.array_equal(f, g) for f, g in zip(found, given, strict=True))  # in another order


def test_shards_end_at_their_size(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    write_shards(Few(), folder, np.random.default_rng(1), 1)  # byte: one sample a shard
    assert len(list(folder.glob("*.tar"))) == 9
    assert len(everything(folder)) == 9


def test_a_folder_that_is_there_is_kept(tmp_path: Path) -> None:
    folder = written(tmp_path)
    with pytest.raises(OutputError, match="exists already"):
        write_shards(Few(), folder, np.random.default_rng(1))


def test_shards_of_others_are_read(tmp_path: Path) -> None:
    members = {"x/a.json": b"{}", "x/b.jpg": jpeg(), "x/b.cls": b"1", "x/c.png": b"no picture", "x/d.0.jpg": jpeg(),
               "x/d.1.jpg": jpeg(300, 300), "x/e.jpg": jpeg(90, 90)}  # fmt: skip
    foreign(tmp_path / "one.tar", members)
    faces = find_shards(shard_paths(str(tmp_path)))
    assert len(faces) == 4
    assert [faces[i].shape for i in range(4)] == [(1, 128, 128, 3)] * 4  # of d the first: the other is larger
    assert {one.reason for one in faces.skipped} == {"not a picture that can be read", "smaller than 128 pixels"}
    assert faces.skipped[0].path.name == "one.tar"


def test_damaged_shards_are_counted(tmp_path: Path) -> None:
    folder = written(tmp_path)
    whole = next(folder.glob("*.tar")).read_bytes()
    (folder / "torn.tar").write_bytes(whole[: len(whole) // 2])
    (folder / "text.tar").write_text("no tar")
    (folder / "packed.tar").write_bytes(gzip.compress(whole))
    faces = find_shards(shard_paths(str(folder)))
    assert 9 < len(faces) < 18
    assert sorted(one.path.name for one in faces.skipped) == ["packed.tar", "text.tar"]
    assert all(faces[i].shape[1:] == (128, 128, 3) for i in range(len(faces)))


def test_several_disks_by_a_pattern(tmp_path: Path) -> None:
    for disk in ("1", "2"):
        (tmp_path / f"disk{disk}").mkdir()
        for number in ("00", "01"):
            foreign(tmp_path / f"disk{disk}/f-{number}.tar", {f"{disk}{number}.jpg": jpeg()})
    paths = shard_paths(f"{tmp_path}/disk{{1,2}}/f-{{00..02}}.tar")
    assert len(paths) == 6
    faces = find_shards(paths)
    assert len(faces) == 4
    assert len(faces.skipped) == 2  # number 02 is on no disk


def test_every_process_has_its_own_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / f"{i}.tar" for i in range(5)]
    monkeypatch.setenv("WORLD_SIZE", "2")
    parts = []
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        parts.append(mine(paths))
    assert sorted(parts[0] + parts[1]) == paths
    assert [len(part) for part in parts] == [3, 2]
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(InputError, match="too few"):
        find_shards(paths[:1])


def test_shards_without_a_face_are_said(tmp_path: Path) -> None:
    foreign(tmp_path / "one.tar", {"a.json": b"{}"})
    with pytest.raises(InputError, match="holds a face"):
        find_shards(shard_paths(str(tmp_path)))
