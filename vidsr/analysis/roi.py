"""Where in a picture the detector looks: everywhere when something is new, else around the faces that it knows."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from vidsr.analysis.cuts import Look
from vidsr.analysis.detector import MULTIPLE, Detector
from vidsr.analysis.optical_flow import Points
from vidsr.analysis.rotated_heads import RotatedHeads, is_among, strongest_first
from vidsr.frame import Detection
from vidsr.picture import Colour, Gray, Small, to_rgb

AROUND, LEAST_AROUND = 0.5, 48.0
"""How far around the faces it looks, in units of the longer side of each box, and at least in pixels: the detector
judges a face by what is beside it, too."""
GRAIN = 64
"""Sides of such a part are multiples of this, as each new size costs the making of a net."""
WORTH = 0.7
"""A part of the picture larger than this share costs about as much as the whole."""
WITH_FACES, WITHOUT = 6, 24
"""The whole picture is looked at once in so many times, whether anything is new or not."""
SHIFT = 13
"""Side of the square in which each pixel's earlier grey levels are known: what moved by half of it is not new."""
BLOCK = 8
"""Pixels that are new must fill such a square by and large: a face of the least size does, noise does not."""
NEW, LEAST_NEW, MOST_NEW = 0.65, 6.0, 20.0
"""How far such a square must lie outside of what is known, on average: in units of the picture's standard deviation,
and in grey levels."""


class _Known:
    """What the last look at the whole picture showed: the range of grey levels around each pixel."""

    def __init__(self, gray: Gray) -> None:
        square = np.ones((SHIFT, SHIFT), np.uint8)
        self._low, self._high = cv2.erode(gray, square), cv2.dilate(gray, square)
        self._limit = float(np.clip(NEW * np.std(gray[::4, ::4]), LEAST_NEW, MOST_NEW))

    def shows(self, gray: Gray, but: Part | None) -> bool:
        """Whether a picture has nothing outside of the part `but` that was not there before, or not so bright or
        dark."""
        if gray.shape != self._low.shape:
            return False
        off = np.asarray(cv2.add(cv2.subtract(gray, self._high), cv2.subtract(self._low, gray)), np.uint8)
        if but is not None:
            off[but.y0 : but.y1, but.x0 : but.x1] = 0
        blocks = max(1, off.shape[1] // BLOCK), max(1, off.shape[0] // BLOCK)
        return float(np.max(cv2.resize(off, blocks, interpolation=cv2.INTER_AREA))) <= self._limit


class Part:
    """A rectangle of a picture whose corner lies on the grid of the detector, so that it sees the same there."""

    def __init__(self, points: Points, shape: tuple[int, ...]) -> None:
        low, high = points.reshape(-1, 2).min(axis=0), points.reshape(-1, 2).max(axis=0)
        limit = np.array(shape[1::-1])
        corner = np.clip(np.floor(low / MULTIPLE) * MULTIPLE, 0, None)
        size = np.ceil((high - corner) / GRAIN) * GRAIN
        end = np.minimum(corner + size, limit)
        # Beyond the picture's edge nothing is: there the part begins earlier instead.
        corner = np.minimum(corner, np.clip(np.floor((limit - size) / MULTIPLE) * MULTIPLE, 0, None))
        (self.x0, self.y0), (self.x1, self.y1) = corner.astype(int).tolist(), end.astype(int).tolist()
        self.share = (self.x1 - self.x0) * (self.y1 - self.y0) / (shape[0] * shape[1])

    def holds(self, points: Points, shape: tuple[int, ...]) -> bool:
        """Whether points `(n, 2)` lie inside, as far as they lie in the picture."""
        inside = np.clip(points, 0, shape[1::-1])
        return bool(np.all(inside >= [self.x0, self.y0]) and np.all(inside <= [self.x1, self.y1]))

    def cut(self, small: Small) -> Small:
        """This part of a picture; chroma to the nearest sample."""
        height, width = small.luma.shape
        down, across = small.chroma.shape[1] / height, small.chroma.shape[2] / width
        rows = slice(round(self.y0 * down), max(round(self.y1 * down), round(self.y0 * down) + 1))
        columns = slice(round(self.x0 * across), max(round(self.x1 * across), round(self.x0 * across) + 1))
        return Small(small.luma[self.y0 : self.y1, self.x0 : self.x1], small.chroma[:, rows, columns], small.scale)

    def moved(self, one: Detection) -> Detection:
        """A detection in this part as one in the picture."""
        corner = np.array([self.x0, self.y0], np.float32)
        return replace(one, box=one.box + np.tile(corner, 2), landmarks=one.landmarks + corner)


class RegionOfInterest:
    """Finds the faces of looks that come in order; looks between them need not come.

    The whole picture is looked at where a shot begins, where something outside of the known faces was not to be seen
    before, where a known face is not found again, and from time to time; else only the part around the known faces, or
    nothing where there are none. Heads that are turned are looked at one by one (see `RotatedHeads`).
    """

    def __init__(self, detector: Detector, colour: Colour, min_score: float) -> None:
        self._detector = detector
        self._turned = RotatedHeads(detector, colour, min_score)
        self._colour = colour
        self._known: _Known | None = None
        self._faces: list[Detection] = []
        self._part: Part | None = None
        self._times = 0

    def __call__(self, look: Look) -> list[Detection]:
        """The detections in a look, strongest first."""
        self._times += 1
        found = self._upright(look)
        self._faces = self._turned(look, found, whole=self._times == 0)
        return strongest_first([*self._faces, *self._turned.faces])

    def _upright(self, look: Look) -> list[Detection]:
        luma = look.small.luma
        seldom = WITH_FACES if self._faces or self._turned.faces else WITHOUT
        due = self._times >= seldom or self._turned.lost
        part = self._around(luma.shape)
        news = look.cut or self._known is None or not self._known.shows(luma, part)
        if not news and not due and not self._faces:
            return []
        if not news and not due and part is not None and part.share <= WORTH:
            found = [part.moved(one) for one in self._detector([to_rgb(part.cut(look.small), self._colour)])[0]]
            if all(is_among(face, found) for face in self._faces):
                return found
        self._known, self._times = _Known(luma), 0
        return self._detector([to_rgb(look.small, self._colour)])[0]

    def _around(self, shape: tuple[int, ...]) -> Part | None:
        """The part around the known faces: the last one as long as it will do, as each new size costs a network."""
        faces = [*self._faces, *self._turned.faces]
        if not faces:
            self._part = None
            return None
        boxes = np.array([one.box for one in faces], np.float64)
        sides = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])[:, None]
        near = np.maximum(AROUND * sides, LEAST_AROUND)
        wanted = np.concatenate([boxes[:, :2] - near, boxes[:, 2:] + near])
        if self._part is None or not self._part.holds(wanted, shape):
            self._part = Part(np.concatenate([boxes[:, :2] - 1.25 * near, boxes[:, 2:] + 1.25 * near]), shape)
        return self._part
