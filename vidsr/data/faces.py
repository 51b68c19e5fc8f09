"""Sharp, aligned faces: from picture files, read on demand, kept in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vidsr.errors import InputError

Images = NDArray[np.uint8]
Rng = np.random.Generator
Item = TypeVar("Item")
Made = TypeVar("Made")

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
SIDES = (256, 192, 128)
"""Sides of the truth, pixels: faces of several sizes, so that one network serves every crop."""
UNREADABLE = "not a picture that can be read"


class Faces(Protocol):
    """Sharp faces by number; any set that training reads from, as torch's `Dataset` of a length."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Images:
        """One still, or neighbouring frames of one face: `(n, s, s, 3)` RGB, s at least the smallest of SIDES."""
        ...


@dataclass(frozen=True)
class Skipped:
    """A file that is not used, and why, in words that count together: 'not a picture that can be read'."""

    path: Path
    reason: str


def taken(paths: Iterable[Path], make: Callable[[Path], Made]) -> tuple[list[Made], list[Skipped]]:
    """What `make` gives of each path, and those for which it raises InputError, with its reason."""
    found: list[Made] = []
    skipped: list[Skipped] = []
    for path in paths:
        try:
            found.append(make(path))
        except InputError as error:
            skipped.append(Skipped(path, str(error)))
    return found, skipped


class Lazy(Generic[Item]):
    """Faces that are read when they are asked for.

    A file that turns out to be damaged is noted in `skipped`, and the next one stands for it: reading never fails as
    long as one file is whole, and gives the same faces in every run.
    """

    def __init__(
        self,
        items: Sequence[Item],
        load: Callable[[Item], Images],
        skipped: list[Skipped],
        where: Callable[[Item], Path] = lambda item: Path(str(item)),
    ) -> None:
        self._items = items
        self._load = load
        self._where = where
        self._damaged: set[int] = set()
        self.skipped = skipped

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Images:
        for step in range(len(self._items)):
            number = (index + step) % len(self._items)
            if number in self._damaged:
                continue
            try:
                return self._load(self._items[number])
            except InputError as error:
                self._damaged.add(number)
                self.skipped.append(Skipped(self._where(self._items[number]), str(error)))
        raise InputError(f"none of {len(self._items)} faces can be read any more")


class Held:
    """Faces that stay in memory once they were read, up to `budget_mib`; the others are read anew each time.

    Faces are drawn at random, so what came first is as likely to be wanted again as what came last.
    """

    def __init__(self, faces: Faces, budget_mib: int) -> None:
        self._faces = faces
        self._left = budget_mib << 20
        self._held: dict[int, Images] = {}

    def __len__(self) -> int:
        return len(self._faces)

    def __getitem__(self, index: int) -> Images:
        if index in self._held:
            return self._held[index]
        found = self._faces[index]
        if found.nbytes <= self._left:
            self._left -= found.nbytes
            self._held[index] = found
        return found


def side_for(pixels: float, sides: Sequence[int] = SIDES) -> int:
    """The largest of `sides` that a square of `pixels` fills; InputError where it fills none."""
    for side in sides:
        if side <= pixels:
            return side
    raise InputError(f"smaller than {sides[-1]} pixels")


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


def fitted(image: Images, sides: Sequence[int] = SIDES) -> Images:
    """The middle square of a picture `(h, w, 3)`, reduced to the largest of `sides` that it fills: `(s, s, 3)`."""
    height, width = image.shape[:2]
    square = min(height, width)
    y, x = (height - square) // 2, (width - square) // 2
    return np.asarray(resized(image[None, y : y + square, x : x + square], side_for(square, sides))[0])


def resized(faces: Images, side: int) -> Images:
    """All faces `(n, s, s, 3)` at another side by area averaging."""
    if faces.shape[1] == side:
        return faces
    return np.stack([cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA) for face in faces]).astype(np.uint8)


def pictures_below(folder: Path) -> list[Path]:
    """Every picture file below a folder, in the order of names."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())


def find_stills(folder: Path) -> Lazy[Path]:
    """Every aligned face below `folder`, read when it is asked for, at the largest of SIDES that it fills."""

    def large(path: Path) -> Path:
        side_for(min(picture_size(path)))
        return path

    found, skipped = taken(pictures_below(folder), large)
    if not found:
        raise InputError(f"{folder} holds no face pictures ({', '.join(SUFFIXES)}) of {SIDES[-1]} pixels or more")
    return Lazy(found, lambda path: fitted(read_picture(path))[None], skipped)


def load_stills(folder: Path) -> tuple[Images, list[Skipped]]:
    """Every aligned face of 256 pixels or more below `folder`, in the order of names: `(N, 256, 256, 3)`, and what was
    skipped."""
    faces, skipped = taken(pictures_below(folder), lambda path: fitted(read_picture(path), SIDES[:1]))
    if not faces:
        raise InputError(f"{folder} holds no face pictures ({', '.join(SUFFIXES)}) of {SIDES[0]} pixels or more")
    return np.stack(faces), skipped


def synthetic(rng: Rng, count: int = 32, side: int = SIDES[0]) -> Images:
    """Smooth blobs with edges `(count, 1, side, side, 3)`, stills for a smoke run without any data."""
    coarse = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    blobs: Sequence[Images] = [cv2.resize(c, (side, side), interpolation=cv2.INTER_CUBIC) for c in coarse]
    return np.stack([np.where(b > 127, b, b // 2)[None] for b in blobs]).astype(np.uint8)
