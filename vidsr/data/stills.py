"""Sharp, aligned faces from picture files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vidsr.errors import InputError

Images = NDArray[np.uint8]
Rng = np.random.Generator

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
SIDES = (256, 192, 128)
"""Sides of the truth, pixels: faces of several sizes, so that one network serves every crop."""


class Faces(Protocol):
    """Sharp faces by number; any set that training reads from."""

    def __len__(self) -> int: ...

    def read(self, index: int) -> Images:
        """One still, or neighbouring frames of one face: `(n, s, s, 3)` RGB, s at least the smallest of SIDES."""
        ...


@dataclass(frozen=True)
class Skipped:
    """A file that could not be read, and why."""

    path: Path
    reason: str


def read_still(path: Path, side: int) -> Images:
    """An aligned face as `(side, side, 3)` RGB; raises InputError with the reason if it cannot be one."""
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) if path.stat().st_size else None
    if image is None:
        raise InputError(f"{path} is not a picture that can be read")
    if min(image.shape[:2]) < side:
        raise InputError(f"{path} is smaller than {side} pixels")
    if image.shape[:2] != (side, side):
        image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image[..., ::-1], np.uint8)


def load_stills(folder: Path, side: int = SIDES[0]) -> tuple[Images, list[Skipped]]:
    """Every aligned face below `folder` in the order of names, `(N, side, side, 3)`, and what was skipped."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    faces: list[Images] = []
    skipped: list[Skipped] = []
    for path in paths:
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
