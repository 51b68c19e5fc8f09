"""Faces of CelebA (Liu et al., ICCV 2015) in its three layouts, aligned as the films' crops are.

`img_celeba/` (in the wild) gives truths of up to 256 pixels. In `img_align_celeba/` a picture of 178x218 holds a face
whose square is about 147 pixels wide: it gives truths of 128, as 192 would enlarge it by a third.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vidsr.analysis.alignment import similarity
from vidsr.data.faces import SUFFIXES, Images, Lazy, picture_size, read_picture, resized, side_for, taken
from vidsr.errors import InputError
from vidsr.frame import Floats

TRAIN = [0]  # of the partitions in `list_eval_partition`, the one that training may see
PLACES = (".", "Anno", "Eval", "Img")  # where the official archive keeps its parts
LISTS = (".txt", ".csv")  # of the official archive, of Kaggle's
ENLARGED = 1.1  # how much a face may be enlarged to reach a side
LAYOUTS = (
    ("in the wild", "img_celeba", "list_landmarks_celeba"),
    ("aligned", "img_align_celeba", "list_landmarks_align_celeba"),
    ("aligned", "img_align_celeba_png", "list_landmarks_align_celeba"),
)
CORNERS = np.array([[0, 1, 0, 1], [0, 0, 1, 1], [1, 1, 1, 1]], float)
OUTSIDE = 0.1  # of a face's square that may lie beyond the picture on one side; the picture is mirrored there


@dataclass(frozen=True)
class Layout:
    """How people call it, where its lists lie, its folder of pictures, and the file of their landmarks."""

    name: str
    root: Path
    pictures: Path
    landmarks: Path


@dataclass(frozen=True)
class Face:
    """One picture, the map `(2, 3)` from its pixels to the unit square, and the side of its truth."""

    path: Path
    matrix: Floats
    side: int

    def __str__(self) -> str:
        return str(self.path)


def _find(root: Path, name: str, kinds: Sequence[str] = ("",)) -> Path | None:
    candidates = (root / place / (name + kind) for kind in kinds for place in PLACES)
    return next((path for path in candidates if path.exists()), None)


def find_layout(folder: Path) -> Layout | None:
    """The layout at `folder`, in the wild first; or `folder` itself where it holds the pictures of one."""
    for root in (folder, folder.parent, folder.parent.parent):
        for name, pictures, landmarks in LAYOUTS:
            place, points = _find(root, pictures), _find(root, landmarks, LISTS)
            if place is None or points is None or (root != folder and place != folder):
                continue
            nested = place / pictures  # Kaggle's archive holds the folder twice
            return Layout(name, root, nested if nested.is_dir() else place, points)
    return None


def _rows(path: Path) -> Iterator[tuple[str, list[int]]]:
    """Name and numbers of each row; a count and a header, which begin with no picture's name, are passed over."""
    for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        name, *words = re.split(r"[\s,]+", line.strip().rstrip(","))
        if name.lower().endswith(SUFFIXES):
            try:
                yield name, [int(word) for word in words]
            except ValueError:
                yield name, []


def _face(path: Path | None, numbers: list[int]) -> Face:
    """The face whose landmarks are these ten numbers, or InputError with the reason why it cannot be cut out."""
    if len(numbers) != 10:
        raise InputError("without five landmarks")
    if path is None:
        raise InputError("named in the list, but not there")
    width, height = picture_size(path)
    (matrix,) = similarity(np.array(numbers, np.float32).reshape(1, 5, 2))
    corners = cv2.invertAffineTransform(matrix.astype(np.float64)) @ CORNERS
    across = 1 / float(np.hypot(*matrix[:, 0]))
    beyond = max(-corners.min(), corners[0].max() - width, corners[1].max() - height)
    if beyond > OUTSIDE * across:
        raise InputError("cut by the picture's edge")
    return Face(path, matrix, side_for(ENLARGED * across))


def cut(image: Images, matrix: Floats, side: int) -> Images:
    """The square that `matrix (2, 3)` maps to the unit square, out of a picture `(h, w, 3)`: `(side, side, 3)`.

    A larger face is sampled at a multiple of the side and averaged, so that nothing finer than the truth's pixels
    folds into it.
    """
    times = max(1, round(1 / float(np.hypot(*matrix[:, 0])) / side))
    exact = matrix.astype(np.float64) * (side * times)
    exact[:, 2] += exact[:, :2] @ (0.5, 0.5) - 0.5  # OpenCV counts from the first pixel's centre
    size = (side * times, side * times)
    found = cv2.warpAffine(image, exact, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(resized(np.asarray(found, np.uint8)[None], side)[0])


def find_celeba(layout: Layout) -> Lazy[Face]:
    """The training faces of `layout`; raises InputError where there are none, or no list of partitions."""
    partition = _find(layout.root, "list_eval_partition", LISTS)
    if partition is None:
        raise InputError(f"{layout.root} has no list_eval_partition: nothing says which faces are for tests only")
    members = {name for name, numbers in _rows(partition) if numbers == TRAIN}
    there = {path.stem: path for path in layout.pictures.iterdir() if path.suffix.lower() in SUFFIXES}
    rows = {layout.pictures / name: numbers for name, numbers in _rows(layout.landmarks) if name in members}
    faces, skipped = taken(rows, lambda path: _face(there.get(path.stem), rows[path]))
    if not faces:
        raise InputError(f"{layout.pictures} holds no usable face of the training partition")
    return Lazy(faces, lambda face: cut(read_picture(face.path), face.matrix, face.side)[None], skipped)
