"""Faces of IMFDB, the Indian Movie Face Database (Setty et al., NCVPRIPG 2013): film frames, cut to the face.

`<Actor>/<Movie>/images/<Name>_<n>.jpg` beside one annotation `<Movie>/*.txt`, whatever its name. What people typed by
hand is read with patience: byte-order marks, any line end, tabs or spaces, the box before or after the names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from vidsr.data.faces import SIDES, SUFFIXES, Images, Lazy, Skipped, fitted, picture_size, read_picture, side_for, taken
from vidsr.errors import InputError

ALIKE = 0.85
"""Normalised correlation of two pictures' middles from which they are neighbours in time: below it there was a cut, or
too much time between them."""
MIDDLE = 0.6  # of a picture's side: the part of it that is looked for in the next picture
LONGEST = 24  # frames of a clip

Point = tuple[int, int]
"""x and y, or width and height, pixels."""

ROW = re.compile(
    r"(?P<before>(?:\d+\s+){4})?(?P<video>.*?)\s+(?P<frame>\S+\.jpe?g)\s+(?P<image>[^\t]+?\.jpe?g)"
    r"(?P<after>(?:\s+\d+){4})?(?P<labels>(?:\s.*)?)$",
    re.IGNORECASE,
)
NUMBERED = re.compile(r"(?P<name>.*?)(?P<number>\d+)$")


@dataclass(frozen=True)
class Row:
    """One line of an annotation: the film's file, the number of the frame in it, and the face's picture."""

    video: str
    frame: int | None
    image: str


@dataclass(frozen=True)
class Picture:
    """A face's picture, its width and height, and where it lies in time: in what sequence, at which number.

    `middle` is where in it the middle of the clip's face lies.
    """

    path: Path
    size: Point
    sequence: str
    number: int
    middle: Point


@dataclass(frozen=True)
class Clip:
    """Neighbouring pictures of one face, and the left and top of the square that they have in common."""

    paths: tuple[Path, ...]
    corners: tuple[Point, ...]
    side: int

    def __str__(self) -> str:
        return str(self.paths[0])


def parse_row(line: str) -> Row | None:
    """One line of an annotation; None if it names no picture."""
    found = ROW.match(line.strip("\ufeff \t\r\n"))
    if found is None:
        return None
    numbered = NUMBERED.match(found["frame"].rpartition(".")[0])
    return Row(found["video"].strip(), int(numbered["number"]) if numbered else None, found["image"].strip())


def _annotations(movie: Path, skipped: list[Skipped]) -> dict[str, Row]:
    """The rows of a movie by the names of their pictures, in small letters; the first row of a picture counts."""
    rows: dict[str, Row] = {}
    files = sorted(path for path in movie.glob("*.txt") if path.is_file())
    if not files:
        skipped.append(Skipped(movie, "movie without an annotation: no labels"))
    for path in files:
        for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines():
            row = parse_row(line)
            if row is None:
                if line.strip("\ufeff \t\r\n"):
                    skipped.append(Skipped(path, "row that names no picture"))
            elif row.image.lower() in rows:
                skipped.append(Skipped(path, "row that names a picture again"))
            else:
                rows[row.image.lower()] = row
    return rows


def _picture(path: Path, row: Row | None) -> Picture:
    """A picture that is large enough, or InputError with the reason why it is not used."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError("not a picture by its name")
    width, height = picture_size(path)
    side_for(min(width, height))
    if row is not None and row.frame is not None:
        sequence, number = row.video, row.frame
    else:
        numbered = NUMBERED.match(path.stem)
        name, number = (numbered["name"], int(numbered["number"])) if numbered else (path.stem, 0)
        sequence = f"picture {name}"
    return Picture(path, (width, height), sequence, number, (width // 2, height // 2))


def _usable(movie: Path, skipped: list[Skipped]) -> list[Picture]:
    """Pictures of a movie that are large enough, in the order of time."""
    rows = _annotations(movie, skipped)
    files = sorted(path for path in (movie / "images").iterdir() if path.is_file())
    there = {path.name.lower() for path in files}
    absent = [row.image for name, row in rows.items() if name not in there]
    skipped += [Skipped(movie / "images" / name, "row that names a picture which is not there") for name in absent]
    found, others = taken(files, lambda path: _picture(path, rows.get(path.name.lower())))
    skipped += others
    return sorted(found, key=lambda one: (one.sequence, one.number))


def found_again(before: Images, after: Images, middle: Point) -> tuple[Point, float]:
    """Where the middle of a face in one picture `(h, w, 3)` lies in the next, and how alike the two are around it.

    The measure is the normalised correlation, 1 at best; 0 where the next picture is too small to tell.
    """
    side = int(MIDDLE * min(before.shape[:2]))
    left, top = (max(0, place - side // 2) for place in middle)
    pattern = before[top : top + side, left : left + side]
    if pattern.size == 0 or pattern.shape[0] > after.shape[0] or pattern.shape[1] > after.shape[1]:
        return middle, 0.0
    _, best, _, (x, y) = cv2.minMaxLoc(cv2.matchTemplate(after, pattern, cv2.TM_CCOEFF_NORMED))
    return (x + middle[0] - left, y + middle[1] - top), float(best)


def common(sizes: Sequence[Point], middles: Sequence[Point]) -> tuple[tuple[Point, ...], int]:
    """The largest square that lies around the same place in all pictures: its left and top in each, and its side."""
    x, y = np.array(middles).T
    width, height = np.array(sizes).T
    left, right, above, below = x.min(), (width - x).min(), y.min(), (height - y).min()
    side = int(min(left + right, above + below))
    dx, dy = left - (left + right - side) // 2, above - (above + below - side) // 2
    return tuple((int(a), int(b)) for a, b in zip(x - dx, y - dy, strict=True)), side


def _clip(pictures: Sequence[Picture]) -> Clip:
    corners, side = common([one.size for one in pictures], [one.middle for one in pictures])
    return Clip(tuple(one.path for one in pictures), corners, side)


def _continued(clip: Sequence[Picture], following: Picture) -> Picture | None:
    """A picture as a clip's next one; None where it shows something else, would leave too small a square, or cannot be
    compared."""
    last = clip[-1]
    if (following.sequence, following.number) != (last.sequence, last.number + 1) or len(clip) == LONGEST:
        return None
    try:
        middle, alike = found_again(read_picture(last.path), read_picture(following.path), last.middle)
    except InputError:  # told when it is its turn to be read
        return None
    following = replace(following, middle=middle)
    return following if alike >= ALIKE and _clip([*clip, following]).side >= SIDES[-1] else None


def _clips(pictures: Sequence[Picture]) -> Iterator[Clip]:
    """Pictures in the order of time, cut where one does not go on from the one before."""
    clip: list[Picture] = []
    for picture in pictures:
        following = _continued(clip, picture) if clip else None
        if clip and following is None:
            yield _clip(clip)
            clip = []
        clip.append(following or picture)
    if clip:
        yield _clip(clip)


def read_clip(clip: Clip) -> Images:
    """The common square of neighbouring pictures, reduced to one of SIDES: `(n, s, s, 3)`."""
    frames = []
    for path, (x, y) in zip(clip.paths, clip.corners, strict=True):
        frames.append(read_picture(path)[y : y + clip.side, x : x + clip.side])
    if any(frame.shape[:2] != (clip.side, clip.side) for frame in frames):
        raise InputError("another picture than before")
    return np.stack([fitted(frame) for frame in frames])


def movies(root: Path) -> list[Path]:
    """Folders of `<Actor>/<Movie>` with pictures in `images/`, below `root` or below its `IMFDB_final`."""
    inner = root / "IMFDB_final"
    return sorted(path.parent for path in (inner if inner.is_dir() else root).glob("*/*/images") if path.is_dir())


def find_imfdb(root: Path) -> Lazy[Clip]:
    """Faces of the IMFDB at `root` as stills and, where consecutive numbers show one face, as clips; raises InputError
    where there are none."""
    skipped: list[Skipped] = []
    clips: list[Clip] = []
    for movie in movies(root):
        clips += _clips(_usable(movie, skipped))
    if not clips:
        raise InputError(f"{root} holds no usable face of {SIDES[-1]} pixels or more")
    return Lazy(clips, read_clip, skipped)
