"""Sharp, aligned faces from picture files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vidsr.errors import InputError

Images = NDArray[np.uint8]
Rng = np.random.Generator

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
SIDES = (256, 192, 128)
"""Sides of the truth, pixels: faces of several sizes, so that one network serves every crop."""
UNREADABLE = "not a picture that can be read"


class Faces(Protocol):
    """Sharp faces by number; any set that training reads from."""

    def __len__(self) -> int: ...

    def read(self, index: int) -> Images:
        """One still, or neighbouring frames of one face: `(n, s, s, 3)` RGB, s at least the smallest of SIDES."""
        ...


@dataclass(frozen=True)
class Skipped:
    """A file that is not used, and why, in words that count together: 'not a picture that can be read'."""

    path: Path
    reason: str


def side_for(pixels: float) -> int:
    """The largest of SIDES that a square of `pixels` fills; InputError where it fills none."""
    for side in SIDES:
        if side <= pixels:
            return side
    raise InputError(f"smaller than {SIDES[-1]} pixels")


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height from a picture's header, without decoding it; InputError where there is none."""
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            return int(width), int(height)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(UNREADABLE) from error


def decoded(data: bytes) -> Images:
    """A coded picture as `(h, w, 3)` RGB; InputError where it is none."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise InputError(UNREADABLE)
    return np.ascontiguousarray(image[..., ::-1], np.uint8)


def read_picture(path: Path) -> Images:
    """A picture file as `(h, w, 3)` RGB; InputError where it is none."""
    try:
        return decoded(path.read_bytes())
    except OSError as error:
        raise InputError(UNREADABLE) from error


def fitted(image: Images) -> Images:
    """The middle square of a picture `(h, w, 3)`, reduced to the largest of SIDES that it fills: `(s, s, 3)`."""
    height, width = image.shape[:2]
    square = min(height, width)
    y, x = (height - square) // 2, (width - square) // 2
    return np.asarray(resized(image[None, y : y + square, x : x + square], side_for(square))[0])


def read_still(path: Path, side: int) -> Images:
    """An aligned face as `(side, side, 3)` RGB; raises InputError with the reason if it cannot be one."""
    image = read_picture(path)
    if min(image.shape[:2]) < side:
        raise InputError(f"smaller than {side} pixels")
    return np.asarray(resized(image[None], side)[0])


def pictures_below(folder: Path) -> list[Path]:
    """Every picture file below a folder, in the order of names."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())


def load_stills(folder: Path, side: int = SIDES[0]) -> tuple[Images, list[Skipped]]:
    """Every aligned face below `folder` in the order of names, `(N, side, side, 3)`, and what was skipped."""
    faces: list[Images] = []
    skipped: list[Skipped] = []
    for path in pictures_below(folder):
        try:
            faces.append(read_still(path, side))
        except InputError as error:
            skipped.append(Skipped(path, str(error)))
    if not faces:
        raise InputError(f"{folder} holds no face pictures ({', '.join(SUFFIXES)}) of {side} pixels or more")
    return np.stack(faces), skipped


@dataclass(frozen=True)
class Pictures:
    """Faces that are in memory, `(N, s, s, 3)`."""

    faces: Images

    def __len__(self) -> int:
        return len(self.faces)

    def read(self, index: int) -> Images:
        return self.faces[index : index + 1]


def resized(faces: Images, side: int) -> Images:
    """All faces at another side by area averaging."""
    if faces.shape[1] == side:
        return faces
    return np.stack([cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA) for face in faces]).astype(np.uint8)


def synthetic(rng: Rng, count: int = 32, side: int = SIDES[0]) -> Images:
    """Smooth blobs with edges `(count, side, side, 3)`, for a smoke run without any data."""
    coarse = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    blobs: Sequence[Images] = [cv2.resize(c, (side, side), interpolation=cv2.INTER_CUBIC) for c in coarse]
    return np.stack([np.where(b > 127, b, b // 2) for b in blobs]).astype(np.uint8)
