"""A turned look at a picture, and the way back: quarter turns of the whole, squares in which one face is upright."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vidsr.frame import Detection
from vidsr.picture import Gray, Rgb, Small

BLACK_LUMA, BLACK_CHROMA = 16, 128
"""What lies beyond the picture's edge."""


@dataclass(frozen=True)
class View:
    """How a picture is seen: its points z = x + iy, centres of pixels at .5, are at `turn * z + shift` there."""

    turn: complex
    shift: complex

    @classmethod
    def around(cls, centre: complex, side: int, scale: float, angle: float) -> View:
        """A square of `side` pixels around a point, in which what is turned by `angle` (radians, clockwise) is upright
        and `scale` times as large."""
        turn = complex(scale * np.exp(-1j * angle))
        return cls(turn, (0.5 + 0.5j) * side - turn * centre)

    def back(self, one: Detection) -> Detection:
        """A detection in this view as one in the picture; the ellipse that fills its box fills the new one, too."""
        points = (one.landmarks[:, 0] + 1j * one.landmarks[:, 1] - self.shift) / self.turn
        x0, y0, x1, y1 = one.box.tolist()
        centre = (complex(x0 + x1, y0 + y1) / 2 - self.shift) / self.turn
        width, height = (x1 - x0) / 2 / abs(self.turn), (y1 - y0) / 2 / abs(self.turn)
        cos, sin = self.turn.real / abs(self.turn), self.turn.imag / abs(self.turn)
        half = np.array([np.hypot(width * cos, height * sin), np.hypot(width * sin, height * cos)])
        middle = np.array([centre.real, centre.imag])
        box = np.concatenate([middle - half, middle + half]).astype(np.float32)
        return Detection(box, np.stack([points.real, points.imag], axis=1).astype(np.float32), one.score)

    def of(self, small: Small, side: int) -> Small:
        """The square of `side` pixels that this view shows of a picture."""
        luma = self.plane(small.luma, small.luma.shape, side, BLACK_LUMA)
        chroma = np.stack([self.plane(plane, small.luma.shape, side, BLACK_CHROMA) for plane in small.chroma])
        return Small(luma, chroma, small.scale)

    def plane(self, plane: Gray, shape: tuple[int, ...], side: int, beyond: int) -> Gray:
        """The same of one plane, which may be coarser than the picture, whose shape is given."""
        fine = np.array(plane.shape[::-1]) / shape[1::-1]
        # What is made much smaller is averaged first.
        step = max(1, int(fine.min() / abs(self.turn)))
        if step > 1:
            rows, columns = (max(1, length // step) for length in plane.shape)
            even = plane[: rows * step, : columns * step]
            plane = np.asarray(cv2.resize(even, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
        linear = np.array([[self.turn.real, -self.turn.imag], [self.turn.imag, self.turn.real]]) * (step / fine)
        # OpenCV counts from the centre of the first pixel.
        shift = [self.shift.real, self.shift.imag] + linear @ [0.5, 0.5] - 0.5
        matrix = np.column_stack([linear, shift])
        return np.asarray(cv2.warpAffine(plane, matrix, (side, side), borderValue=beyond), np.uint8)


def quarters(picture: Rgb) -> list[tuple[Rgb, View]]:
    """A picture turned by one, two and three quarters, counter-clockwise."""
    height, width = picture.shape[:2]
    views = View(-1j, 1j * width), View(-1 + 0j, complex(width, height)), View(1j, complex(height))
    return [(np.ascontiguousarray(np.rot90(picture, n)), view) for n, view in enumerate(views, 1)]
