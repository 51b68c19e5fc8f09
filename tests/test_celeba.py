"""CelebA's layouts, made of one public-domain face: what is found, what is skipped, and where the face lies."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.faces import portrait
from vidsr.analysis.alignment import TEMPLATE
from vidsr.data.celeba import cut, find_celeba, find_layout
from vidsr.data.faces import Images
from vidsr.errors import InputError

POINTS = np.array([[202, 110], [241, 109], [219, 136], [204, 150], [238, 149]], np.float64)
"""Eyes, nose and mouth corners in the portrait, pixels."""


def picture(scale: float, shift: tuple[float, float], size: tuple[int, int]) -> tuple[Images, list[int]]:
    """The portrait at a scale and place in a picture of `size` (width, height), and its ten landmark numbers."""
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    image = cv2.warpAffine(portrait(), matrix, size, flags=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return np.asarray(image, np.uint8), np.rint(POINTS * scale + shift).astype(int).ravel().tolist()


ALIGNED = picture(1.0, (-133, 2), (178, 218))  # eyes 39 apart at 69 and 108, row 111: CelebA's own
WILD = picture(2.0, (0, 0), (900, 900))


def save(path: Path, image: Images) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image[..., ::-1])


def text(path: Path, header: str, rows: list[list[object]]) -> None:
    """A list as the official archive has it: a count, a header, columns set off by runs of spaces."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{row[0]}" + "".join(f"{value:>5}" for value in row[1:]) for row in rows]
    path.write_text("\n".join([*([f"{len(rows)}", header] if header else []), *lines]) + "\n")


def tree(root: Path, folder: str, made: tuple[Images, list[int]], lists: str, suffix: str = ".jpg") -> Path:
    """Six pictures: two of training, one of validation, one of test, one that is not there, one that is no picture."""
    image, points = made
    for number in (1, 2, 4, 5):
        save(root / folder / f"{number:06}{suffix}", image)
    (root / folder / f"000006{suffix}").write_bytes(b"no picture")
    names = [f"{number:06}.jpg" for number in range(1, 7)]
    text(root / "Anno" / lists, "lefteye_x lefteye_y righteye_x righteye_y", [[name, *points] for name in names])
    text(root / "Eval/list_eval_partition.txt", "", [[n, p] for n, p in zip(names, (0, 0, 0, 1, 2, 0), strict=True)])
    return root


def found(folder: Path) -> tuple[list[Images], dict[str, str]]:
    layout = find_layout(folder)
    assert layout is not None
    faces = find_celeba(layout)
    return [faces[i] for i in range(len(faces))], {one.path.name: one.reason for one in faces.skipped}


def test_aligned_pictures_give_truths_of_128(tmp_path: Path) -> None:
    tree(tmp_path, "img_align_celeba", ALIGNED, "list_landmarks_align_celeba.txt")
    faces, skipped = found(tmp_path)
    assert [face.shape for face in faces] == [(1, 128, 128, 3)] * 2
    assert skipped == {"000003.jpg": "named in the list, but not there", "000006.jpg": "not a picture that can be read"}


def test_faces_in_the_wild_are_larger_and_go_first(tmp_path: Path) -> None:
    tree(tmp_path, "img_align_celeba", ALIGNED, "list_landmarks_align_celeba.txt")
    tree(tmp_path, "img_celeba", WILD, "list_landmarks_celeba.txt")
    layout = find_layout(tmp_path)
    assert layout is not None and layout.name == "in the wild"
    assert found(tmp_path)[0][0].shape == (1, 256, 256, 3)
    assert found(tmp_path / "img_align_celeba")[0][0].shape == (1, 128, 128, 3)


def test_the_face_lies_where_the_films_crops_have_it(tmp_path: Path) -> None:
    """A bright dot on each landmark comes out at the template's places."""
    for scale in (1.5, 2.4):
        image, points = picture(scale, (0, 0), (1300, 1300))
        dots = np.zeros_like(image)
        middles = np.array(points).reshape(5, 2)
        for x, y in middles:
            cv2.circle(dots, (int(x), int(y)), 5, (255, 255, 255), -1)
        tree(tmp_path / str(scale), "img_celeba", (dots, points), "list_landmarks_celeba.txt", ".png")
        face = found(tmp_path / str(scale))[0][0][0, ..., 0]
        _, _, _, centres = cv2.connectedComponentsWithStats((face > 100).astype(np.uint8))
        for place in TEMPLATE:
            errors = np.linalg.norm((centres[1:] + 0.5) / face.shape[0] - place, axis=1)
            assert errors.min() < 0.05  # this face's own proportions


def test_a_square_at_its_own_size_is_cut_out_pixel_by_pixel() -> None:
    matrix = np.array([[1 / 128, 0, -40 / 128], [0, 1 / 128, -70 / 128]], np.float32)
    assert np.array_equal(cut(portrait(), matrix, 128), portrait()[70:198, 40:168])


def test_an_enlarged_square_stays_in_its_place() -> None:
    matrix = np.array([[1 / 64, 0, -40 / 64], [0, 1 / 64, -70 / 64]], np.float32)
    wide = cv2.resize(portrait()[62:142, 32:112], (160, 160), interpolation=cv2.INTER_CUBIC)[16:-16, 16:-16]
    assert np.abs(cut(portrait(), matrix, 128).astype(int) - wide).mean() < 1


def test_kaggles_csv_and_nested_folder(tmp_path: Path) -> None:
    image, points = ALIGNED
    for number in (1, 2, 3):
        save(tmp_path / f"img_align_celeba/img_align_celeba/{number:06}.jpg", image)
    places = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
    header = ",".join(["image_id", *(f"{place}_{axis}" for place in places for axis in "xy")])
    rows = [",".join(map(str, [f"{number:06}.jpg", *points])) for number in (1, 2, 3)]
    (tmp_path / "list_landmarks_align_celeba.csv").write_text("\r\n".join([header, *rows]) + "\r\n")
    partition = "image_id,partition\r\n000001.jpg,0\r\n000002.jpg,1\r\n000003.jpg,2\r\n"
    (tmp_path / "list_eval_partition.csv").write_text(partition)
    assert len(found(tmp_path)[0]) == 1


def test_training_never_sees_the_other_partitions(tmp_path: Path) -> None:
    tree(tmp_path, "img_align_celeba", ALIGNED, "list_landmarks_align_celeba.txt")
    assert len(found(tmp_path)[0]) == 2  # of six
    (tmp_path / "Eval/list_eval_partition.txt").unlink()
    with pytest.raises(InputError, match="list_eval_partition"):
        found(tmp_path)


def test_small_cut_and_unmarked_faces_are_skipped_with_their_reasons(tmp_path: Path) -> None:
    tree(tmp_path, "img_celeba", WILD, "list_landmarks_celeba.txt")
    points = WILD[1]
    rows = [
        ["000001.jpg", *points],
        ["000002.jpg", *(p // 4 for p in points)],
        ["000004.jpg", *points],
        ["000005.jpg", *(p - 300 for p in points)],
        ["000006.jpg", "?", 2],
    ]
    text(tmp_path / "Anno/list_landmarks_celeba.txt", "header", rows)
    text(tmp_path / "Eval/list_eval_partition.txt", "", [[row[0], 0] for row in rows])
    faces, skipped = found(tmp_path)
    assert len(faces) == 2
    assert skipped == {
        "000002.jpg": "smaller than 128 pixels",
        "000005.jpg": "cut by the picture's edge",
        "000006.jpg": "without five landmarks",
    }


def test_a_picture_that_breaks_later_is_replaced_and_told(tmp_path: Path) -> None:
    tree(tmp_path, "img_celeba", WILD, "list_landmarks_celeba.txt")
    layout = find_layout(tmp_path)
    assert layout is not None
    faces = find_celeba(layout)
    whole = faces[1]
    (tmp_path / "img_celeba/000001.jpg").write_bytes(b"torn")
    assert np.array_equal(faces[0], whole)
    assert faces.skipped[-1].path.name == "000001.jpg"
