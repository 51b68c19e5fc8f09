"""What a camera and a codec do to a sharp face: from truth to the network's input, seeded."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vidsr.network import SCALE

Images = NDArray[np.uint8]
Rng = np.random.Generator


def bicubic(truth: Tensor) -> Tensor:
    """Pillow's bicubic reduction by 4, rounded to 8 bits: `(N, 3, 4h, 4w) -> (N, 3, h, w)`, 0..1."""
    small = F.interpolate(truth, scale_factor=1 / SCALE, mode="bicubic", antialias=True)
    return (small.clamp(0, 1) * 255).round() / 255


def camera_path(rng: Rng, frames: int, reach: float) -> NDArray[np.float32]:
    """A smooth random walk `(frames, 2)` in pixels that is at the origin in the middle frame."""
    velocity = rng.normal(0, reach / 4, 2)
    shake = np.cumsum(rng.normal(0, reach / 8, (frames, 2)), axis=0)
    path = np.arange(frames)[:, None] * velocity + shake
    return np.asarray(np.clip(path - path[frames // 2], -reach, reach), np.float32)


@dataclass(frozen=True)
class Film:
    """Strengths drawn for one clip: one lens, one sensor, one codec."""

    blur: tuple[float, float]  # standard deviations along two axes, pixels of the truth
    turn: float  # angle of the blur, radians
    noise: float  # of the luma, 0..1
    kind: int  # OpenCV's resampling for the reduction


def draw_film(rng: Rng) -> Film:
    """Draw the strengths of one clip; a third of all clips has no blur, a third no noise."""
    wide = rng.uniform(0.4, 2.4) if rng.random() < 0.67 else 0.0
    return Film(
        blur=(wide, wide * rng.uniform(0.5, 1.0)),
        turn=float(rng.uniform(0, np.pi)),
        noise=float(rng.uniform(0.0, 0.03)) if rng.random() < 0.67 else 0.0,
        kind=int(rng.choice([cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC])),
    )


def _blurred(image: Images, film: Film) -> Images:
    if film.blur[0] == 0:
        return image
    radius = 7
    grid = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float32)
    cos, sin = np.cos(film.turn), np.sin(film.turn)
    along, across = cos * grid[1] + sin * grid[0], cos * grid[0] - sin * grid[1]
    kernel = np.exp(-0.5 * ((along / film.blur[0]) ** 2 + (across / film.blur[1]) ** 2))
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT), np.uint8)


def _reduced(image: Images, film: Film, shift: NDArray[np.float32], rng: Rng) -> Images:
    height, width = image.shape[0] // SCALE, image.shape[1] // SCALE
    move = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    moved = cv2.warpAffine(image, move, image.shape[1::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    if film.kind == cv2.INTER_AREA:
        small = cv2.resize(moved, (width, height), interpolation=film.kind)
    else:  # these look at few neighbours only: the lens must have filtered before
        small = cv2.resize(cv2.GaussianBlur(moved, (0, 0), 1.2), (width, height), interpolation=film.kind)
    if film.noise:
        gray = rng.normal(0, film.noise * 255, (height, width, 1))
        colour = rng.normal(0, film.noise * 128, (height, width, 3))
        return np.clip(np.rint(small + gray + colour), 0, 255).astype(np.uint8)
    return np.asarray(small, np.uint8)


def filmed(image: Images, frames: int, rng: Rng) -> Images:
    """Film one sharp face `(4h, 4w, 3)` with a moving, noisy camera: `(frames, h, w, 3)` uint8, before any codec.

    The middle frame shows the face at its place; each frame has noise of its own.
    """
    film = draw_film(rng)
    path = camera_path(rng, frames, SCALE * float(rng.choice([0.0, 0.5, 1.0])))
    soft = _blurred(image, film)
    return np.stack([_reduced(soft, film, shift, rng) for shift in path])


def mosaic(tiles: Images, columns: int) -> Images:
    """Lay faces `(N, h, w, 3)` out as one picture, `columns` a row; N must be a multiple of `columns`."""
    n, h, w, _ = tiles.shape
    grid = tiles.reshape(n // columns, columns, h, w, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(grid.reshape(n // columns * h, columns * w, 3))


def unmosaic(picture: Images, columns: int, height: int, width: int) -> Images:
    """Cut a mosaic into its faces again: `(N, height, width, 3)`."""
    rows = picture.shape[0] // height
    grid = picture.reshape(rows, height, columns, width, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(grid.reshape(rows * columns, height, width, 3))


def as_tensor(images: Images) -> Tensor:
    """`(..., h, w, 3)` uint8 -> `(..., 3, h, w)` float32 in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, -3))).float() / 255
