"""Training samples from sharp faces: stills become short clips that a camera might have taken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidsr import degrade
from vidsr.errors import InputError
from vidsr.network import SCALE

Images = NDArray[np.uint8]
Rng = np.random.Generator

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
SIDES = (256, 192, 128)
"""Sides of the truth, pixels: faces of several sizes, so that one network serves every crop."""
COLUMNS = 16
REACH = SCALE  # of the camera's motion, pixels of the truth


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


def resized(faces: Images, side: int) -> Images:
    """All faces at another side by area averaging."""
    if faces.shape[1] == side:
        return faces
    return np.stack([cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA) for face in faces]).astype(np.uint8)


@dataclass(frozen=True)
class Batch:
    """`clip (B, T, 3, h, w)` and its sharp middle frame `truth (B, 3, 4h, 4w)`, float32 in 0..1."""

    clip: Tensor
    truth: Tensor

    def __post_init__(self) -> None:
        b, _, c, h, w = self.clip.shape
        if self.truth.shape != (b, c, SCALE * h, SCALE * w):
            raise ValueError(f"a truth of {tuple(self.truth.shape)} does not fit a clip of {tuple(self.clip.shape)}")


@dataclass(frozen=True)
class Reel:
    """Faces that were filmed and coded together: `clips (N, T, h, w, 3)` and the index of each in the stills."""

    clips: Images
    faces: NDArray[np.int64]
    side: int


def shoot(faces: Images, side: int, frames: int, count: int, rng: Rng) -> Reel:
    """Film `count` random faces side by side and send them through H.264 as one picture."""
    from vidsr.video.codec import h264

    chosen = rng.integers(0, len(faces), count)
    small = side // SCALE
    truths = resized(faces[chosen], side)
    clips = np.stack([degrade.filmed(face, frames, rng) for face in truths])  # (N, T, h, w, 3)
    sheets = np.stack([degrade.mosaic(clips[:, t], COLUMNS) for t in range(frames)])
    coded = h264(sheets, int(rng.integers(16, 33)))
    back = np.stack([degrade.unmosaic(sheet, COLUMNS, small, small) for sheet in coded], axis=1)
    return Reel(back, chosen, side)


class StillClips:
    """Endless batches from stills: part clean (Pillow's bicubic reduction, still), part moving, part H.264 film.

    `faces (N, 256, 256, 3)`; `patch` is the side of the low-resolution patches; every draw comes from `rng`.
    """

    def __init__(self, faces: Images, window: int, patch: int, reels: int, rng: Rng) -> None:
        self._faces = {side: resized(faces, side) for side in SIDES}
        self._window = window
        self._patch = patch
        self._rng = rng
        self._reels = [self._shoot() for _ in range(reels)]
        self._drawn = 0

    def _shoot(self) -> Reel:
        side = int(self._rng.choice(SIDES, p=(0.5, 0.2, 0.3)))
        return shoot(self._faces[SIDES[0]], side, self._window, COLUMNS * 12, self._rng)

    def batches(self, size: int, film_share: float, move_share: float) -> Iterator[Batch]:
        """Batches of `size` with these shares of H.264 film and of clean moving clips; the rest is clean and still."""
        film = round(size * film_share) if self._reels else 0
        moving = round(size * move_share)
        while True:
            parts = [self._clean(size - film - moving, 0), self._clean(moving, REACH), self._filmed(film)]
            clips, truths = zip(*[p for p in parts if p is not None], strict=True)
            yield self._flipped(Batch(torch.cat(clips), torch.cat(truths)))
            self._drawn += 1
            if self._reels and self._drawn % 200 == 0:  # fresh film now and then, so that none is learnt by heart
                self._reels[int(self._rng.integers(len(self._reels)))] = self._shoot()

    def _flipped(self, batch: Batch) -> Batch:
        if self._rng.random() < 0.5:
            return batch
        return Batch(batch.clip.flip(-1), batch.truth.flip(-1))

    def _clean(self, count: int, reach: int) -> tuple[Tensor, Tensor] | None:
        if count == 0:
            return None
        drawn = [self._clean_one(reach) for _ in range(count)]
        frames = degrade.as_tensor(np.stack([clip for clip, _ in drawn]))  # (count, T or 1, 3, 4h, 4w)
        small = degrade.bicubic(frames.flatten(0, 1))
        small = small.reshape(*frames.shape[:3], *small.shape[-2:])
        if not reach:
            small = small.expand(-1, self._window, -1, -1, -1)
        return small, degrade.as_tensor(np.stack([truth for _, truth in drawn]))

    def _clean_one(self, reach: int) -> tuple[Images, Images]:
        side = int(self._rng.choice(SIDES, p=(0.5, 0.2, 0.3)))
        face = self._faces[side][int(self._rng.integers(len(self._faces[side])))]
        patch = min(self._patch * SCALE, side)
        padded = np.pad(face, ((reach, reach), (reach, reach), (0, 0)), "reflect") if reach else face
        y, x = (SCALE * int(self._rng.integers(0, (side - patch) // SCALE + 1)) for _ in range(2))
        truth = face[y : y + patch, x : x + patch]
        if not reach:
            return truth[None], truth
        path = np.rint(degrade.camera_path(self._rng, self._window, reach)).astype(int) + reach
        moved = [padded[y + dy : y + dy + patch, x + dx : x + dx + patch] for dx, dy in path]
        return np.stack(moved), truth

    def _filmed(self, count: int) -> tuple[Tensor, Tensor] | None:
        if count == 0:
            return None
        drawn = [self._filmed_one() for _ in range(count)]
        clips, truths = zip(*drawn, strict=True)
        return degrade.as_tensor(np.stack(clips)), degrade.as_tensor(np.stack(truths))

    def _filmed_one(self) -> tuple[Images, Images]:
        reel = self._reels[int(self._rng.integers(len(self._reels)))]
        n = int(self._rng.integers(len(reel.faces)))
        room = reel.side // SCALE - self._patch
        y, x = (int(self._rng.integers(0, room + 1)) for _ in range(2))
        clip = reel.clips[n, :, y : y + self._patch, x : x + self._patch]
        y, x, patch = y * SCALE, x * SCALE, self._patch * SCALE
        truth = self._faces[reel.side][reel.faces[n]][y : y + patch, x : x + patch]
        return clip, truth


def synthetic(rng: Rng, count: int = 32, side: int = SIDES[0]) -> Images:
    """Smooth blobs with edges `(count, side, side, 3)`, for a smoke run without any data."""
    coarse = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    blobs: Sequence[Images] = [cv2.resize(c, (side, side), interpolation=cv2.INTER_CUBIC) for c in coarse]
    return np.stack([np.where(b > 127, b, b // 2) for b in blobs]).astype(np.uint8)
