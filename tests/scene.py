"""Short films whose every face is known: NASA's portrait, cut out and moved over a quiet background."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.faces import YUV420, portrait
from vidsr.frame import Frame
from vidsr.video.probe import Film, Tags

WIDTH, HEIGHT, FPS = 480, 272, 25
Picture = NDArray[np.uint8]
Matrix = NDArray[np.float64]


@lru_cache(maxsize=1)
def head() -> Picture:
    """The portrait's head, `(240, 240, 3)`; the middle of the face is at (122, 132)."""
    return portrait()[0:240, 100:340]


@lru_cache(maxsize=8)
def backdrop(seed: int, width: int = WIDTH, height: int = HEIGHT) -> Picture:
    """Blurred patches of colour in which no detector sees a face."""
    patches = np.random.default_rng(seed).integers(40, 200, (height // 24, width // 24, 3)).astype(np.uint8)
    large = cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.GaussianBlur(large, (0, 0), 4), np.uint8)


@dataclass(frozen=True)
class Pose:
    """Where the middle of the head is, pixels with centres at .5; its scale; its angle in radians, clockwise."""

    x: float
    y: float = HEIGHT / 2
    scale: float = 0.6
    angle: float = 0.0

    @property
    def matrix(self) -> Matrix:
        """Pixels of `head()` to pixels of the film, `(2, 3)`, centres at .5 in both."""
        turn = self.scale * np.array(
            [[np.cos(self.angle), -np.sin(self.angle)], [np.sin(self.angle), np.cos(self.angle)]]
        )
        return np.column_stack([turn, np.array([self.x, self.y]) - turn @ [122.0, 132.0]])


def paste(picture: Picture, pose: Pose, face: Picture) -> Picture:
    """Put a head on a picture; its soft edge shows no seam."""
    mask = np.zeros(face.shape[:2], np.float32)
    cv2.ellipse(mask, (122, 132), (86, 100), 0, 0, 360, 1.0, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), 3)
    matrix = pose.matrix
    matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5  # OpenCV counts from the centre of the first pixel
    size = picture.shape[1], picture.shape[0]
    moved = cv2.warpAffine(face, matrix, size, flags=cv2.INTER_AREA)
    share = cv2.warpAffine(mask, matrix, size)[..., None]
    return np.asarray(picture * (1 - share) + moved * share, np.uint8)


def frames(count: int, draw: Callable[[int], Picture], noise: float = 3.0) -> list[Frame]:
    """`count` frames of what `draw` gives for each index, with sensor noise; pts in ticks of 1/90000 s."""
    rng = np.random.default_rng(7)
    grain = rng.normal(0, noise, (2 * HEIGHT, 2 * WIDTH, 3)).astype(np.float32)
    return [frame(draw(n), n, grain[rng.integers(HEIGHT) :, rng.integers(WIDTH) :]) for n in range(count)]


def frame(rgb: Picture, index: int, grain: NDArray[np.float32]) -> Frame:
    height, width = rgb.shape[:2]
    noisy = np.clip(rgb + grain[:height, :width], 0, 255).astype(np.uint8)
    planes = cv2.cvtColor(noisy, cv2.COLOR_RGB2YUV_I420)
    chroma = planes[height:].reshape(2, height // 2, width // 2)
    return Frame(index, index * 90000 // FPS, np.asarray(planes[:height], np.uint8), np.asarray(chroma, np.uint8))


def shown(faces: Sequence[tuple[Pose, Picture]], seed: int = 1) -> Picture:
    """Heads before a backdrop, the last in front."""
    picture = backdrop(seed)
    for pose, face in faces:
        picture = paste(picture, pose, face)
    return picture


def film(width: int = WIDTH, height: int = HEIGHT) -> Film:
    """What is known of such a film."""
    return Film(
        path=Path("scene.mp4"), container="mp4", index=0, codec="h264", width=width, height=height, rotation=0.0,
        pixels=YUV420, decoded="yuv420p", converted=False, time_base=Fraction(1, 90000), rate=Fraction(FPS),
        sample_aspect=None, matrix="bt601", full_range=False, tags=Tags(), start_s=0.0,
        duration_s=None, streams=(), chapters=0, warnings=(),
    )  # fmt: skip
