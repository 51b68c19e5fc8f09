"""What passes before a face in a film: drawn, seeded, moving on a path of its own, and known to the pixel.

Input and truth show the same thing, so a network learns to keep a hand a hand; a measure can leave the face under it
out, or look at it alone.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vidsr.data.degradation import camera_path
from vidsr.data.faces import Images, Rng

Point = tuple[float, float]
"""x and y in sides of the face's square: (0, 0) is its left top corner, (1, 1) its right bottom one."""
Color = NDArray[np.float32]
Mask = NDArray[np.float32]
Shape = NDArray[np.uint8]
"""A part of a thing on the canvas `(2s, 2s)`, 0 or 255."""

SKINS = ((236, 200, 176), (214, 168, 136), (178, 126, 92), (128, 84, 58), (84, 54, 40))
HELD, FIXED = 0.12, 0.015  # how far a thing moves in a clip, sides: before a face, or as a title
EDGE, ROOM = 0.7, 3  # standard deviation of an outline's softness, and how far it reaches, pixels


@dataclass(frozen=True)
class Occluder:
    """A thing on a canvas of twice the face's side: `paint (2s, 2s, 3)` 0..255, `cover (2s, 2s)` 0..1, and the whole
    pixels `path (T, 2)` by which it is moved in each frame."""

    kind: str
    paint: NDArray[np.float32]
    cover: Mask
    path: NDArray[np.int64]


class Canvas:
    """Where a thing is painted, part over part; half a side of room around the face on every edge."""

    def __init__(self, side: int, rng: Rng) -> None:
        self.side = side
        self.paint = np.zeros((2 * side, 2 * side, 3), np.float32)
        self.cover = np.zeros((2 * side, 2 * side), np.float32)
        coarse = rng.normal(0, 8, (12, 12)).astype(np.float32)
        self._grain = cv2.resize(coarse, (2 * side, 2 * side), interpolation=cv2.INTER_CUBIC)
        self._grain = self._grain + np.asarray(rng.normal(0, 2, self.cover.shape), np.float32)

    def pixel(self, point: Point) -> tuple[int, int]:
        return round((point[0] + 0.5) * self.side), round((point[1] + 0.5) * self.side)

    def pixels(self, length: float) -> int:
        return max(1, round(length * self.side))

    def line(self, points: Sequence[Point], width: float) -> Shape:
        """A round-ended stroke through points, `width` in sides."""
        shape = np.zeros(self.cover.shape, np.uint8)
        path = np.array([self.pixel(point) for point in points], np.int32)
        cv2.polylines(shape, [path], False, 255, self.pixels(width))
        return shape

    def add(self, shape: Shape, color: Color, alpha: float = 1.0, roundness: float = 0.0) -> None:
        """Paint a part over what is there; `roundness` darkens it towards its outline, as a limb in soft light."""
        x, y, width, height = cv2.boundingRect(shape)
        box = np.s_[max(0, y - ROOM) : y + height + ROOM, max(0, x - ROOM) : x + width + ROOM]
        part, tone = shape[box], np.broadcast_to(color, (*shape[box].shape, 3))
        if roundness:
            depth = cv2.distanceTransform(part, cv2.DIST_L2, 3)
            tone = tone * (1 - roundness * (1 - np.sqrt(depth / max(1.0, float(depth.max())))))[..., None]
        over = np.float32(alpha / 255) * cv2.GaussianBlur(part.astype(np.float32), (0, 0), EDGE)
        together = over + self.cover[box] * (1 - over)
        share = (over / np.maximum(together, 1e-6))[..., None]
        self.paint[box] += share * (tone + self._grain[box][..., None] - self.paint[box])
        self.cover[box] = together


def _color(rng: Rng, choices: Sequence[tuple[int, int, int]], spread: float = 10) -> Color:
    """One of several colors, lighter or darker, its hue hardly changed."""
    chosen = np.array(choices[int(rng.integers(len(choices)))]) + rng.normal(0, spread)
    return np.asarray(np.clip(chosen + rng.normal(0, spread / 4, 3), 0, 255), np.float32)


def _towards(start: Point, angle: float, length: float) -> Point:
    return start[0] + length * float(np.cos(angle)), start[1] + length * float(np.sin(angle))


def _hand(canvas: Canvas, rng: Rng) -> None:
    """A palm, a thumb and four fingers on an arm that comes from below or from a side."""
    skin = _color(rng, SKINS)
    palm = float(rng.uniform(0.25, 0.75)), float(rng.uniform(0.6, 0.95))
    up = float(rng.uniform(-np.pi * 0.8, -np.pi * 0.2))
    size = float(rng.uniform(0.14, 0.2))
    turn = 1 if rng.random() < 0.5 else -1
    canvas.add(canvas.line([palm, _towards(palm, up + np.pi, 2.0)], 1.25 * size), skin, roundness=0.45)
    spread = float(rng.uniform(0.08, 0.22))
    for finger, length in ((-1.5, 1.6), (-0.5, 1.9), (0.5, 1.85), (1.5, 1.5)):
        root = _towards(_towards(palm, up, 0.45 * size), up + np.pi / 2, finger * 0.44 * size)
        tip = _towards(root, up + finger * spread * turn, length * size * float(rng.uniform(0.8, 1.05)))
        canvas.add(canvas.line([root, tip], 0.42 * size), skin + np.float32(rng.normal(0, 4)), roundness=0.4)
    canvas.add(canvas.line([palm, _towards(palm, up, 0.2 * size)], 1.9 * size), skin, roundness=0.2)
    joint = _towards(palm, up + turn * np.pi / 2, 0.75 * size)
    canvas.add(canvas.line([joint, _towards(joint, up + turn * 0.7, 1.1 * size)], 0.48 * size), skin, roundness=0.4)


def _bar(canvas: Canvas, rng: Rng) -> None:
    """A pole, a rail or a branch across the face, out of the frame at both ends."""
    color = _color(rng, ((60, 60, 64), (150, 150, 155), (92, 64, 40), (30, 70, 50), (170, 40, 36)))
    middle = float(rng.uniform(0.2, 0.8)), float(rng.uniform(0.3, 0.8))
    angle = float(rng.uniform(0, np.pi))
    ends = [_towards(middle, angle, -2.0), _towards(middle, angle, 2.0)]
    canvas.add(canvas.line(ends, float(rng.uniform(0.03, 0.12))), color, roundness=0.6)


def _text(canvas: Canvas, rng: Rng) -> None:
    """Letters of a subtitle or a title with a dark outline, sometimes on a band."""
    words = ["".join(rng.choice(list(string.ascii_letters), int(rng.integers(2, 9)))) for _ in range(4)]
    height = float(rng.uniform(0.05, 0.12))
    scale, thick = height * canvas.side / 22, max(1, canvas.pixels(height / 8))  # OpenCV's capitals: 22 px
    place = canvas.pixel((float(rng.uniform(-0.4, 0.1)), float(rng.uniform(0.3, 0.95))))
    if rng.random() < 0.3:
        y = (place[1] / canvas.side) - 0.5 - height / 2
        canvas.add(canvas.line([(-0.5, y), (1.5, y)], 2 * height), _color(rng, ((20, 20, 24), (30, 40, 90))), 0.7)
    letters = np.zeros(canvas.cover.shape, np.uint8)
    cv2.putText(letters, " ".join(words), place, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thick, cv2.LINE_AA)
    outline = cv2.dilate(letters, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * thick + 3, 2 * thick + 3)))
    canvas.add(np.asarray(outline, np.uint8), _color(rng, ((8, 8, 8),), 2))
    canvas.add(letters, _color(rng, ((245, 245, 240), (235, 220, 70))))


PAINTERS: dict[str, tuple[Callable[[Canvas, Rng], None], float]] = {
    "hand": (_hand, HELD),
    "bar": (_bar, HELD),
    "text": (_text, FIXED),
}
"""What can pass before a face, who paints it, and how far it moves."""


def draw(rng: Rng, side: int, frames: int, kind: str | None = None) -> Occluder:
    """Draw a thing for a clip of `frames` faces of `side` pixels; a random one where no kind of PAINTERS is given.

    It is at its drawn place in the middle frame.
    """
    drawn = kind or str(rng.choice(list(PAINTERS)))
    painter, reach = PAINTERS[drawn]
    canvas = Canvas(side, rng)
    painter(canvas, rng)
    path = np.rint(camera_path(rng, frames, reach * side)).astype(np.int64)
    return Occluder(drawn, np.clip(canvas.paint, 0, 255), canvas.cover, path)


def paste(clip: Images, occluder: Occluder) -> tuple[Images, Mask]:
    """Put a thing before the faces of a clip `(T, s, s, 3)`, in the light of the clip's first frame: the new clip, and
    how much of each pixel is covered, `(T, s, s)` in 0..1."""
    side = clip.shape[1]
    light = 1.0 if occluder.kind == "text" else float(np.clip(clip[0].mean() / 110, 0.3, 1.2))
    frames, masks = [], []
    for frame, (dx, dy) in zip(clip, occluder.path, strict=True):
        window = np.s_[side // 2 - dy : side // 2 - dy + side, side // 2 - dx : side // 2 - dx + side]
        mask = occluder.cover[window]
        paint = np.minimum(light * occluder.paint[window], 255)
        frames.append(np.rint(frame + mask[..., None] * (paint - frame)).astype(np.uint8))
        masks.append(mask)
    return np.stack(frames), np.stack(masks)


def occluded(clip: Images, rng: Rng, kind: str | None = None) -> tuple[Images, Mask]:
    """As `paste`, of a drawn thing; the clip itself is left as it is."""
    return paste(clip, draw(rng, clip.shape[1], len(clip), kind))
