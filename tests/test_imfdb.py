"""IMFDB's layout with every oddity of the real one, on the real files and on small trees made of one face."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.faces import portrait
from tests.program import needs
from vidsr.data.faces import SIDES, Images
from vidsr.data.imfdb import common, find_imfdb, found_again, parse_row
from vidsr.errors import InputError

SHARED = Path(__file__).parents[2] / "shared/data"
TAIL = "Film\t22-05-1997\tActor\tMALE\tFEAR\tHAND\tBAD\tOLD\tLEFT\tPARTIAL\t"


def crop(x: int, y: int, width: int, height: int) -> Images:
    return np.ascontiguousarray(portrait()[y : y + height, x : x + width])


def movie(root: Path, pictures: dict[str, Images], rows: list[str] | None, name: str = "Film.txt") -> Path:
    """A movie of one actor; `rows` None for no annotation."""
    images = root / "Actor/Film/images"
    images.mkdir(parents=True)
    for file, image in pictures.items():
        cv2.imwrite(str(images / file), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])
    if rows is not None:
        (root / "Actor/Film" / name).write_bytes("\n".join(rows).encode())
    return root


def row(image: str, frame: int, tail: str = TAIL) -> str:
    return f"A film (1997) - CD1\t{frame:05}.jpg\t{image}\t10\t20\t150\t150\t{tail}"


def reasons(folder: Path) -> Counter[str]:
    return Counter(one.reason for one in find_imfdb(folder).skipped)


def test_a_row_is_typed() -> None:
    found = parse_row(row("Name_3.jpg", 1986))
    assert found is not None
    assert (found.video, found.frame, found.image) == ("A film (1997) - CD1", 1986, "Name_3.jpg")


@pytest.mark.parametrize(
    "line",
    [
        "Hello Brother (1994) - CD1 01833.jpg N_1.jpg 267 74 45 59",
        "\ufeffA b\t01833.jpg\tN_1.jpg\t267\t74\t45\t59\tFear\t2001\tX\tFEMALE\tANGER\r\n",
        "3Idiots 01833.jpg\tN_1.jpg\t267\t74\t45\t59\t3_Idiots\t2009\tX\tMALE\tNONE\tHIGH",
        "267\t74\t45\t59\tCD2\t01833.jpg\tN_1.jpg\tFilm\t10-09-1999\tX\tMALE",
        "video\t01833.jpg\tN_1.jpg\t267\t74\t45\t59\tMALE\tno year\tFEMALE\tNONSENSE",
    ],
    ids=["short and spaced", "mark and cr", "space among tabs", "box first", "words in the wrong place"],
)
def test_rows_that_people_typed_are_understood(line: str) -> None:
    found = parse_row(line)
    assert found is not None
    assert (found.frame, found.image) == (1833, "N_1.jpg")


def test_lines_that_name_no_picture_are_no_rows() -> None:
    assert parse_row("\ufeff") is None
    assert parse_row("Video\tFrame\tImage") is None


def test_numbers_that_follow_make_a_clip_in_one_square(tmp_path: Path) -> None:
    """Boxes that move and change their size around one face: the same pixels come out of every frame."""
    boxes = [(130, 20, 160, 180), (140, 14, 170, 190), (122, 30, 180, 176)]
    pictures = {f"N_{7 + i}.jpg": crop(*box) for i, box in enumerate(boxes)}
    rows = [row(name, 100 + i) for i, name in enumerate(pictures)]
    faces = find_imfdb(movie(tmp_path, pictures, rows))
    assert len(faces) == 1
    clip = faces[0]
    assert clip.shape == (3, 128, 128, 3)
    assert np.abs(clip[0].astype(int) - clip[1:]).mean() < 3  # JPEG only


def test_a_gap_or_another_picture_ends_a_clip(tmp_path: Path) -> None:
    face, hand = crop(130, 20, 180, 180), crop(0, 300, 180, 180)
    pictures = {f"N_{i}.jpg": image for i, image in enumerate([face, face, face, hand])}
    frames = [5, 6, 8, 9]
    faces = find_imfdb(movie(tmp_path, pictures, [row(f"N_{i}.jpg", frame) for i, frame in enumerate(frames)]))
    assert sorted(len(faces[i]) for i in range(len(faces))) == [1, 1, 2]


def test_without_an_annotation_the_pictures_own_numbers_count(tmp_path: Path) -> None:
    face = crop(130, 20, 180, 180)
    faces = find_imfdb(movie(tmp_path, {"N_9.jpg": face, "N_10.jpg": face, "N_12.jpg": face}, None))
    assert [len(faces[i]) for i in range(len(faces))] == [2, 1]
    assert reasons(tmp_path) == {"movie without an annotation: no labels": 1}


def test_everything_odd_is_counted_and_nothing_fails(tmp_path: Path) -> None:
    pictures = {"N_1.jpg": crop(130, 20, 180, 180), "N_2.jpeg": crop(0, 20, 180, 180), "N_3.jpg": crop(0, 0, 60, 180)}
    rows = ["\ufeff", "\ufeff" + row("N_1.jpg", 1) + "\r", row("N_1.jpg", 2), row("n_2.JPEG", 30), "rubbish\r",
            row("N_8.jpg", 4)]  # fmt: skip
    root = movie(tmp_path, pictures, rows, "Other name.txt")
    images = root / "Actor/Film/images"
    (images / ".DS_Store").write_bytes(b"x")
    (images / "N_4.jpg").write_bytes(b"")
    (images / "N_5.jpg").write_bytes((images / "N_1.jpg").read_bytes()[:200])  # torn before its size
    (root / "Actor/.DS_Store").write_bytes(b"x")
    faces = find_imfdb(root)
    assert len(faces) == 2
    assert reasons(root) == {
        "row that names a picture again": 1,
        "row that names no picture": 1,
        "row that names a picture which is not there": 1,
        "not a picture by its name": 1,
        "not a picture that can be read": 2,
        "smaller than 128 pixels": 1,
    }


def test_torn_pictures_are_passed_over_when_they_are_read(tmp_path: Path) -> None:
    face = crop(130, 20, 180, 180)
    root = movie(tmp_path, {"N_1.jpg": face, "N_5.jpg": face}, None)
    faces = find_imfdb(root)
    (root / "Actor/Film/images/N_1.jpg").write_bytes(b"torn")
    assert np.array_equal(faces[0], faces[1])
    assert faces.skipped[-1].path.name == "N_1.jpg"


def test_a_face_is_found_again_where_it_went() -> None:
    before, after = crop(130, 20, 160, 160), crop(121, 33, 180, 190)
    place, alike = found_again(before, after, (80, 80))
    assert place == (89, 67)
    assert alike > 0.99
    assert found_again(before, crop(130, 20, 40, 40), (80, 80))[1] == 0.0


def test_the_common_square_lies_inside_every_picture() -> None:
    corners, side = common([(100, 140), (120, 130)], [(50, 70), (80, 60)])
    assert side == 90  # 50 to the left, 40 to the right
    assert corners == ((0, 30), (30, 20))
    assert common([(200, 100)], [(100, 50)]) == (((50, 0),), 100)


@needs(SHARED)
def test_real_folders_give_faces_and_count_what_they_skip() -> None:
    faces = find_imfdb(SHARED / "train/imfdb")
    counted = Counter(one.reason for one in faces.skipped)
    assert counted["row that names a picture which is not there"] == 39
    assert counted["row that names a picture again"] == 78
    assert counted["movie without an annotation: no labels"] == 1
    used = sum(len(faces[i]) for i in range(len(faces)))
    assert used == 1220 - counted["smaller than 128 pixels"]
    assert any(len(faces[i]) > 1 for i in range(len(faces)))
    assert all(faces[i].shape[1] in SIDES for i in range(len(faces)))


@needs(SHARED)
def test_the_odd_folders_of_the_test_data_are_read() -> None:
    faces = find_imfdb(SHARED / "test/imfdb_mini")
    assert len(faces) == 9
    counted = Counter(one.reason for one in faces.skipped)
    assert counted == {"row that names a picture which is not there": 485, "smaller than 128 pixels": 23}


def test_folders_without_a_usable_face(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no usable face"):
        find_imfdb(movie(tmp_path, {"N_1.jpg": crop(0, 0, 60, 180)}, None))
