"""What tells two faces apart that were seen at different times: shape, light and hue, roughly."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vidsr.analysis.upright_patch import BLACK_LUMA, View
from vidsr.picture import Gray, Small

SHAPE, LIGHT, HUE = 1.2, 1.6, 22.0
"""Weights of what makes faces unlike: a logistic regression on pairs of faces out of 18 clips, rounded, so that about 1
parts them. Of 2,215 pairs of one person, a fifth of a second to a second apart, 4.5 % are above 1; of 1,580 pairs of
two people in one clip 1.4 % are below, of 2,697 in two clips 0.4 %."""
THUMB = 24
TILTED = float(np.radians(30))
"""A face that is turned by more is turned back before it is compared; bit by bit, so that nothing jumps on the way."""
DARK = 10.0
"""Added to a mean luma, so that the logarithm of a black face is none of noise."""


@dataclass(frozen=True, eq=False, repr=False)
class Appearance:
    """What a face looks like, roughly: a normalised thumbnail, how light it is, and its mean chroma over its luma."""

    thumb: NDArray[np.float32]
    light: float
    hue: NDArray[np.float64]

    def unlike(self, other: Appearance) -> float:
        """0 for the same picture; two people are mostly above 1."""
        shape = 1 - float(np.sum(self.thumb * other.thumb))
        light = abs(float(np.log(self.light / other.light)))
        return SHAPE * shape + LIGHT * light + HUE * float(np.linalg.norm(self.hue - other.hue))


def appearance_of(small: Small, box: NDArray[np.float64], angle: float = 0.0) -> Appearance:
    """The looks of the face in a box `(2, 2)` of a reduced frame, x y of two corners, turned by an angle in radians."""
    back = float(np.sign(angle) * np.clip(2 * (abs(angle) - TILTED), 0, abs(angle)))
    cut = _righted(small.luma, box, back) if back else _cut(small.luma, box)
    part = cv2.resize(cut, (THUMB, THUMB), interpolation=cv2.INTER_AREA).astype(np.float32)
    centred = part - part.mean()
    thumb = centred / max(float(np.linalg.norm(centred)), 1e-3)
    light = float(part.mean()) + DARK
    fit = np.array(small.chroma.shape[:0:-1]) / small.luma.shape[::-1]
    hue = [(float(_cut(plane, box * fit).mean()) - 128) / light for plane in small.chroma]
    return Appearance(thumb, light, np.array(hue))


def _righted(luma: Gray, box: NDArray[np.float64], angle: float) -> Gray:
    """The square of a box's size around its middle, turned back by an angle."""
    (x, y), size = box.mean(axis=0), float(np.sqrt(np.prod(np.maximum(box[1] - box[0], 1.0))))
    view = View.around(complex(x, y), 2 * THUMB, 2 * THUMB / size, angle)
    return view.plane(luma, luma.shape, 2 * THUMB, BLACK_LUMA)


def _cut(plane: Gray, box: NDArray[np.float64]) -> Gray:
    """The samples of a box `(2, 2)`; at least one."""
    h, w = plane.shape
    (x0, y0), (x1, y1) = box
    left, top = int(np.clip(x0, 0, w - 1)), int(np.clip(y0, 0, h - 1))
    right, bottom = int(np.clip(np.ceil(x1), left + 1, w)), int(np.clip(np.ceil(y1), top + 1, h))
    return plane[top:bottom, left:right]
