"""What lies at a path is recognised, counted and said in one sentence; large sets are read on demand."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from tests.faces import portrait
from tests.program import needs
from tests.test_celeba import ALIGNED, tree
from vidsr.cli.main import cli
from vidsr.data.faces import Held, Images, Lazy, Skipped
from vidsr.data.sources import joined, open_all, open_faces
from vidsr.errors import InputError

SHARED = Path(__file__).parents[2] / "shared/data"


def stills(folder: Path, count: int, side: int = 200) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}.png"), portrait()[:side, number : number + side, ::-1])
    return folder


def said(source: Path | str, cache: Path) -> str:
    return str(open_faces(str(source), cache))


def test_every_kind_of_source_is_recognised(tmp_path: Path) -> None:
    folder = stills(tmp_path / "stills", 3)
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "film.mp4").write_bytes(b"")
    tree(tmp_path / "celeba", "img_align_celeba", ALIGNED, "list_landmarks_align_celeba.txt")
    shards = CliRunner().invoke(cli, ["shard", str(folder), "-o", str(tmp_path / "shards")])
    assert shards.exit_code == 0, shards.output
    assert said("synthetic", tmp_path) == "made-up pictures: 32 faces; skipped nothing"
    assert said(folder, tmp_path) == (
        f"{folder} (stills): 3 faces; skipped 1 film among stills, 1 not a picture that can be read"
    )
    assert said(tmp_path / "shards", tmp_path) == f"{tmp_path}/shards (1 shards): 3 faces; skipped nothing"
    assert said(f"{tmp_path}/shards/faces-{{000000..000000}}.tar", tmp_path).endswith("3 faces; skipped nothing")
    assert said(tmp_path / "celeba", tmp_path).startswith(f"{tmp_path}/celeba (CelebA, aligned, train): 2 faces")


@needs(SHARED)
def test_real_imfdb_and_films_are_recognised(tmp_path: Path) -> None:
    mini = SHARED / "test/imfdb_mini"
    assert said(mini, tmp_path).startswith(f"{mini} (IMFDB): 9 faces; skipped 485 row that names")
    film = SHARED / "train/clips/grid_pwij3p.mpg"
    assert said(film, tmp_path / "cache").startswith(f"{film} (films): ")
    assert open_faces(str(film), tmp_path / "cache").moving


def test_a_path_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no nothing"):
        open_faces("nothing", tmp_path)


def test_an_empty_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no shards"):
        open_faces(str(tmp_path), tmp_path)


def test_several_sources_are_one_set(tmp_path: Path) -> None:
    a, b = stills(tmp_path / "a", 3), stills(tmp_path / "b", 2, 256)
    material = open_all(f"{a}{os.pathsep}{b}", None, tmp_path, 100)
    assert material.films is None
    assert [material.stills[i].shape[1] for i in range(len(material.stills))] == [192, 192, 192, 256, 256]
    with pytest.raises(InputError):
        open_all(f"{a}{os.pathsep}{tmp_path}/c", None, tmp_path, 100)


@needs(SHARED)
def test_film_alone_gives_the_stills_too(tmp_path: Path) -> None:
    material = open_all(str(SHARED / "train/clips/grid_pwij3p.mpg"), None, tmp_path, 100)
    assert material.films is not None
    assert material.stills[0].shape == material.films[0].shape


class Watched:
    """Faces that count how often they are read."""

    def __init__(self) -> None:
        self.reads = 0

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Images:
        self.reads += 1
        return np.full((1, 512, 512, 3), index, np.uint8)  # 0.75 MiB


def test_memory_for_faces_is_bounded() -> None:
    faces = Watched()
    held = Held(faces, 2)
    for index in (0, 1, 2, 3, 0, 1):
        assert held[index][0, 0, 0, 0] == index
    assert faces.reads == 4
    assert held[2].shape
    assert faces.reads == 5


def test_joined_sets_keep_their_order() -> None:
    both = joined([Watched(), Watched()])
    assert len(both) == 8
    assert [both[i][0, 0, 0, 0] for i in range(8)] == [0, 1, 2, 3, 0, 1, 2, 3]


def test_reading_goes_round_what_is_damaged() -> None:
    def load(item: int) -> Images:
        if item > 1:
            raise InputError("torn")
        return np.full((1, 128, 128, 3), item, np.uint8)

    skipped: list[Skipped] = []
    faces = Lazy(range(4), load, skipped)
    assert [faces[i][0, 0, 0, 0] for i in (3, 2, 1, 3)] == [0, 0, 1, 0]
    assert len(skipped) == 2  # each is told once
    with pytest.raises(InputError, match="can be read"):
        Lazy([2, 3], load, [])[0]


def test_training_says_what_it_found(tmp_path: Path) -> None:
    folder = stills(tmp_path / "stills", 3, 256)
    (folder / "empty.jpg").write_bytes(b"")
    words = ["train", "--data", str(folder), "--steps", "1", "--features", "4", "--blocks", "1", "--device", "cpu"]
    words += ["--batch", "2"]
    result = CliRunner().invoke(cli, [*words, "-o", str(tmp_path / "m.safetensors")])
    assert result.exit_code == 0, result.output
    assert f"{folder} (stills): 3 faces; skipped 1 not a picture that can be read\n" in result.output
