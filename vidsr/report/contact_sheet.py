"""The faces of a range on one sheet, a row a face, at 1:1 and enlarged; and one face before and after as a loop."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from vidsr.files import storage_errors, write_atomic
from vidsr.frame import Track
from vidsr.picture import Rgb, png
from vidsr.report.side_by_side import DARK, written

TILE = 256  # side of a picture on the sheet, pixels
LINE = 24  # height of a line of words
AROUND = 0.75
"""Half the side of the square around a face, in heights of its box."""
THUMBNAIL = 160  # side of a face on a page, pixels
FRAMES = 25  # of a loop
QUALITY = 85  # of its WebP
GAP = 8  # pixels between its before and after


@dataclass(frozen=True, repr=False)
class View:
    """One picture of a face: its middle at 1:1 and the whole of it, both `(TILE, TILE, 3)` RGB."""

    exact: Rgb
    whole: Rgb

    @property
    def thumbnail(self) -> Rgb:
        return np.asarray(cv2.resize(self.whole, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA), np.uint8)


@dataclass(frozen=True, repr=False)
class Row:
    """A face in one frame: in the input, enlarged plainly, and restored in every way that was asked for."""

    track: Track
    frame: int
    views: tuple[View, ...]


def view(picture: Rgb, box: Sequence[float], scale: float, crisp: bool = False) -> View:
    """The square around the face whose `box` times `scale` is in pixels of `picture`; `crisp` enlarges without
    smoothing."""
    x, y, half = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, AROUND * (box[3] - box[1]))
    left, top, side = round((x - half) * scale), round((y - half) * scale), max(2, round(2 * half * scale))
    how = cv2.INTER_AREA if side > TILE else cv2.INTER_NEAREST if crisp else cv2.INTER_CUBIC
    square = _square(picture, left, top, side)
    whole = cv2.resize(square, (TILE, TILE), interpolation=how)
    if side >= TILE:
        exact = _square(picture, left + (side - TILE) // 2, top + (side - TILE) // 2, TILE)
    else:  # it stands on dark ground
        edge = ((TILE - side) // 2, TILE - side - (TILE - side) // 2)
        exact = np.pad(square, (edge, edge, (0, 0)), constant_values=DARK)
    return View(exact, np.asarray(whole, np.uint8))


def _square(picture: Rgb, left: int, top: int, side: int) -> Rgb:
    """A square of a picture, on dark ground where it goes beyond it."""
    height, width = picture.shape[:2]
    square = np.full((side, side, 3), DARK, np.uint8)
    rows, columns = (range(max(0, start), min(size, start + side)) for start, size in ((top, height), (left, width)))
    if rows and columns:
        square[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = picture[
            rows.start : rows.stop, columns.start : columns.stop
        ]
    return square


def _line(text: str, width: int) -> Rgb:
    return np.repeat(written(text, width, LINE)[..., None], 3, axis=2)


def sheet(rows: Sequence[Row], labels: Sequence[str]) -> Rgb:
    """All rows as one picture `(h, w, 3)`; `labels` name the views."""
    size = [f"{label}, {how}" for how in ("1:1", "enlarged") for label in labels]
    parts = [np.hstack([_line(text, TILE) for text in size])]
    for row in rows:
        words = f"face {row.track.id}, frame {row.frame}, {row.track.height:.0f} pixels high"
        parts.append(_line(words, TILE * len(size)))
        parts.append(np.hstack([*(one.exact for one in row.views), *(one.whole for one in row.views)]))
    return np.vstack(parts)


def save_sheet(rows: Sequence[Row], labels: Sequence[str], path: Path) -> None:
    """Write the sheet as PNG, whole; OutputError where that cannot be."""
    with storage_errors(path):
        write_atomic(path, png(sheet(rows, labels)))


@dataclass
class Loop:
    """A loop of `track` in the frames of `span`, around the one in which it is shown best; gathers its pictures."""

    track: Track
    span: tuple[int, int]
    pairs: list[Rgb] = field(default_factory=list)

    @property
    def frames(self) -> range:
        """The frames that it shows."""
        first, stop = max(self.track.first, self.span[0]), min(self.track.stop, self.span[1])
        begin = min(self.track.moment(first, stop) - FRAMES // 2, stop - FRAMES)
        return range(max(first, begin), min(stop, max(first, begin) + FRAMES))

    @property
    def box(self) -> list[float]:
        """Where the face is in all of them: a window that does not move does not shake."""
        there = slice(self.frames.start - self.track.first, self.frames.stop - self.track.first)
        return [float(edge) for edge in np.mean(self.track.boxes[there], axis=0)]

    def see(self, before: Rgb, after: Rgb, scale: float) -> None:
        """Take one frame, RGB, in its order."""
        sides = [view(picture, self.box, scale).whole for picture in (before, after)]
        gap = np.full((TILE, GAP, 3), DARK, np.uint8)
        self.pairs.append(np.hstack([sides[0], gap, sides[1]]))

    def save(self, path: Path, rate: Fraction) -> None:
        """Write the loop as WebP, at `rate` frames a second; it begins again at its end. OutputError as of a sheet."""
        first, *rest = [Image.fromarray(picture) for picture in self.pairs]
        made, pause_ms = io.BytesIO(), max(20, round(1000 / rate))
        first.save(made, "WEBP", save_all=True, append_images=rest, duration=pause_ms, loop=0, quality=QUALITY)
        with storage_errors(path):
            write_atomic(path, made.getvalue())
