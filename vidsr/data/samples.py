"""Training samples: sharp faces become short clips that a camera might have taken, and a codec has coded.

Sample j of batch k depends on the seed, on j and on k alone: a run that was stopped goes on with the batches it would
have seen, and several processes can each make their own part of one batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from typing import Generic, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vidsr.config import Train
from vidsr.data import degradation
from vidsr.data.faces import SIDES, Faces, Images, Rng, resized
from vidsr.data.occlusion import occluded
from vidsr.errors import InputError
from vidsr.networks.generator import SCALE
from vidsr.system import forks

Sample = tuple[Tensor, Tensor]
"""A clip and its truth."""

COLUMNS = 4  # of a reel's picture
TILES = COLUMNS * COLUMNS  # faces in a reel
FRAMES = 16  # of a reel
REACH = SCALE  # of the camera's motion between the frames of a window, pixels of the truth
FRESH = 16  # batches after which there is a new reel, and the oldest gives way
BEGIN = 2  # reels for the first batches
REAL = 0.5  # of the faces in a reel, those that come from real film, where there is some
SIDE_SHARES = (0.5, 0.2, 0.3)
CRF = (17, 34)


@dataclass(frozen=True)
class Batch:
    """`clip (B, T, 3, h, w)` and its sharp middle frame `truth (B, 3, 4h, 4w)`, float32 in 0..1.

    The last 2 * `pairs` samples are pairs of neighbouring frames of one film.
    """

    clip: Tensor
    truth: Tensor
    pairs: int = 0

    def __post_init__(self) -> None:
        b, _, c, h, w = self.clip.shape
        if self.truth.shape != (b, c, SCALE * h, SCALE * w):
            raise ValueError(f"a truth of {tuple(self.truth.shape)} does not fit a clip of {tuple(self.clip.shape)}")
        if 2 * self.pairs > b:
            raise ValueError(f"{self.pairs} pairs do not fit into a batch of {b}")


@dataclass(frozen=True)
class Reel:
    """Faces that were filmed and coded together: `clips (N, T, h, w, 3)`, `truths (N, T, 4h, 4w, 3)`."""

    clips: Images
    truths: Images


class Clips:
    """Batches without end from sharp stills, and from sharp films where there are some.

    `settings` say what a batch is made of: its size, and the shares of coded film and of clean moving clips; the rest
    is clean and still, reduced as the benchmarks do. Of several processes number `rank` makes its part of every batch;
    raises InputError where one of them would have nothing to make.
    """

    def __init__(self, stills: Faces, films: Faces | None, settings: Train, rank: int = 0, ranks: int = 1) -> None:
        self._stills = stills
        self._films = films
        self._settings = settings
        self._pairs = round(settings.batch * settings.film / 2) if settings.reels else 0
        self._part = slice(rank, None, ranks)
        if ranks > (draws := settings.batch - self._pairs):  # a pair is one draw
            raise InputError(f"--batch {settings.batch} is {draws} draws, too few for {ranks} processes; enlarge it")

    def batches(self, start: int) -> Iterator[Batch]:
        """Batch number `start` and those after it."""
        workers = self._settings.workers
        filming = workers // 2 if self._settings.reels else 0  # half of them film reels
        plain = ahead(self._plain, start, workers - filming)
        first = max(0, self._reels_after(start) - self._settings.reels)
        upcoming = ahead(self._reel, first, filming, depth=1)
        reels: deque[Reel] = deque(maxlen=self._settings.reels)
        for number, drawn in enumerate(plain, start):
            made = self._reels_after(number)
            reels.extend(islice(upcoming, made - first))
            first = made
            yield self._batch(number, drawn, reels)

    def _reels_after(self, number: int) -> int:
        """How many reels there have been for a batch: few in the beginning, as a run starts at once."""
        return number // FRESH + BEGIN if self._settings.reels else 0

    def _reel(self, number: int) -> Reel:
        rng = np.random.default_rng([self._settings.seed, 1, number])
        side = int(rng.choice(SIDES, p=SIDE_SHARES))
        real = round(TILES * REAL) if self._films is not None else 0
        clips = [sharp(self._films, side, FRAMES, rng) for _ in range(real) if self._films is not None]
        clips += [sharp(self._stills, side, FRAMES, rng) for _ in range(TILES - real)]
        return shoot(clips, min(side, *(clip.shape[1] for clip in clips)), rng, self._settings.occluded)

    def _plain(self, number: int) -> list[Sample]:
        """What of a batch is not film."""
        moving = round(self._settings.batch * self._settings.moving)
        kinds = [0] * (self._settings.batch - 2 * self._pairs - moving) + [REACH] * moving
        mine = list(enumerate(kinds))[self._part]
        return [sample for j, reach in mine for sample in self._drawn(partial(self._clean, reach), number, j)]

    def _batch(self, number: int, plain: Sequence[Sample], reels: Sequence[Reel]) -> Batch:
        size = self._settings.batch - self._pairs
        mine = [j for j in range(size)[self._part] if j >= size - self._pairs]
        film = [self._drawn(partial(self._filmed, reels), number, j) for j in mine]
        clips, truths = zip(*plain, *(sample for pair in film for sample in pair), strict=True)
        return Batch(torch.stack(clips), torch.stack(truths), len(film))

    def _drawn(self, draw: Callable[[Rng], list[Sample]], number: int, j: int) -> list[Sample]:
        """Draw number j of a batch, mirrored or not."""
        rng = np.random.default_rng([self._settings.seed, 0, number, j])
        drawn = draw(rng)
        return [(clip.flip(-1), truth.flip(-1)) for clip, truth in drawn] if rng.random() < 0.5 else drawn

    def _clean(self, reach: int, rng: Rng) -> list[Sample]:
        """A patch of one face, reduced by Pillow's bicubic only."""
        face = sharp(self._stills, int(rng.choice(SIDES, p=SIDE_SHARES)), 1, rng)[0]
        frames = degradation.moved(face, self._settings.window if reach else 1, reach, rng)
        frames = _passed(frames, self._settings.occluded, rng)
        side = frames.shape[1]
        patch = min(self._settings.patch * SCALE, side)
        y, x = (SCALE * int(rng.integers(0, (side - patch) // SCALE + 1)) for _ in range(2))
        truth = degradation.as_tensor(frames[:, y : y + patch, x : x + patch])
        small = degradation.bicubic(truth)
        clip = small if reach else small.expand(self._settings.window, -1, -1, -1)
        return [(clip, truth[len(truth) // 2])]

    def _filmed(self, reels: Sequence[Reel], rng: Rng) -> list[Sample]:
        """Two neighbouring windows of one coded clip, at one place."""
        reel = reels[int(rng.integers(len(reels)))]
        faces, frames, height = reel.clips.shape[:3]
        patch, window = min(self._settings.patch, height), self._settings.window
        n, first = int(rng.integers(faces)), int(rng.integers(frames - window))
        y, x = (int(rng.integers(0, height - patch + 1)) for _ in range(2))
        clips = reel.clips[n, :, y : y + patch, x : x + patch]
        y, x, patch = y * SCALE, x * SCALE, patch * SCALE
        truths = reel.truths[n, :, y : y + patch, x : x + patch]
        return [
            (degradation.as_tensor(clips[t : t + window]), degradation.as_tensor(truths[t + window // 2]))
            for t in (first, first + 1)
        ]


def sharp(faces: Faces, side: int, frames: int, rng: Rng) -> Images:
    """Up to `frames` neighbouring frames of a random face, `(n, s, s, 3)`; s is `side`, or less: nothing is enlarged.

    Looks a few times for a face that is large enough.
    """
    found = faces[int(rng.integers(len(faces)))]
    for _ in range(8):
        if found.shape[1] >= side:
            break
        found = faces[int(rng.integers(len(faces)))]
    start = int(rng.integers(max(1, len(found) - frames + 1)))
    return resized(found[start : start + frames], min(side, found.shape[1]))


def _passed(clip: Images, share: float, rng: Rng) -> Images:
    """A clip before whose face something passes, in this share of all cases."""
    return occluded(clip, rng)[0] if rng.random() < share else clip


def shoot(clips: Sequence[Images], side: int, rng: Rng, occluding: float = 0.0) -> Reel:
    """Film `TILES` sharp clips `(n, s, s, 3)` side by side and send them through H.264 as one picture.

    Where n is less than FRAMES, the first frame drifts before the camera; film moves by itself. Before a share
    `occluding` of the faces something passes, in the truth as well.
    """
    truths, smalls, films = [], [], []
    for source in clips:
        clip = resized(source, side)
        if len(clip) < FRAMES:
            clip = degradation.moved(clip[0], FRAMES, int(rng.choice([0, 1, 2, 4])) * REACH, rng)
        truths.append(_passed(clip, occluding, rng))
        films.append(degradation.draw_film(rng, side))
        smalls.append(degradation.filmed(truths[-1], films[-1], rng))
    small = side // SCALE
    sheets = np.stack([degradation.mosaic(tiles, COLUMNS) for tiles in np.stack(smalls, axis=1)])
    coded = degradation.h264(sheets, int(rng.integers(*CRF)), str(rng.choice(["veryfast", "medium"])))
    back = np.stack([degradation.unmosaic(sheet, COLUMNS, small, small) for sheet in coded], axis=1)
    return Reel(np.stack([degradation.upright(b, film) for b, film in zip(back, films, strict=True)]), np.stack(truths))


Made = TypeVar("Made")


@dataclass(frozen=True)
class _Numbered(Dataset[Made], Generic[Made]):
    make: Callable[[int], Made]

    def __getitem__(self, number: int) -> Made:
        return self.make(number)


def _begin(_: int) -> None:
    cv2.setNumThreads(0)  # its threads did not survive the fork


def ahead(make: Callable[[int], Made], start: int, workers: int, depth: int = 2) -> Iterator[Made]:
    """`make(start)`, `make(start + 1)` ... without end and in this order.

    Each of `workers` processes is at most `depth` results ahead; without any, each is made when it is asked for. What
    `make` gives must depend on the number alone.
    """
    if not workers:
        return map(make, count(start))
    loader: DataLoader[Made] = DataLoader(
        _Numbered(make),
        sampler=count(start),
        batch_size=None,  # what is made stays as it is
        num_workers=workers,
        prefetch_factor=depth,
        worker_init_fn=_begin,
        multiprocessing_context="fork" if forks() else "spawn",
    )
    return iter(loader)
