"""One range of the film, start to end: frames in, the same frames with restored faces out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vidsr.align import Planes, crop, crop_size
from vidsr.blend import Restored, blend
from vidsr.frame import Crop, Frame, Track
from vidsr.stream import in_batches
from vidsr.upscale import Restorer
from vidsr.verdict import JUDGED, Verdict, verdict

HELD_MIB = 96
"""Memory for source frames that wait while a batch fills."""
UNIT = 64
"""Side of the crop that counts as one face of a batch; larger ones count by their area."""
Tell = Callable[[int, int, Verdict], None]
"""Told of a track's number, a frame, and how the face turned out in it."""
MAX_WINDOW = 320.0
"""Faces whose window is wider than this many source pixels are passed through: the network does not help them."""


@dataclass(frozen=True)
class Job:
    """What every range of one film shares: where samples lie, who is restored, by what, in batches of how many."""

    planes: Planes
    tracks: Sequence[Track]
    restorer: Restorer
    batch: int

    @property
    def halo(self) -> int:
        """Frames that a range needs on either side for the network's window."""
        return self.restorer.window // 2


@dataclass(frozen=True)
class _Face:
    """One face of one frame with its window of crops `(T, 3, h, w)`."""

    crop: Crop
    clip: Tensor
    weight: float


@dataclass(frozen=True)
class _Waiting:
    frame: Frame
    faces: list[_Face]


class _Windows:
    """Crops of the tracks, kept for as long as a window reaches."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._sizes = {track.id: crop_size(track.window) for track in job.tracks}
        self._crops: dict[tuple[int, int], Crop] = {}

    def take(self, frame: Frame) -> None:
        for track in self._job.tracks:
            if track.first <= frame.index < track.stop:
                found = crop(frame, track, self._sizes[track.id], self._job.planes, self._job.restorer.device)
                self._crops[track.id, frame.index] = found

    def faces(self, index: int) -> list[_Face]:
        """The faces of frame `index`; at a track's ends the last frame stands for those that are not there."""
        halo, found = self._job.halo, []
        for track in self._job.tracks:
            weight = float(track.weight[index - track.first]) if track.first <= index < track.stop else 0.0
            if weight == 0.0:
                continue
            reach = (min(max(index + step, track.first), track.stop - 1) for step in range(-halo, halo + 1))
            clip = torch.stack([self._crops[track.id, near].rgb for near in reach])
            found.append(_Face(self._crops[track.id, index], clip, weight))
        return found

    def forget(self, before: int) -> None:
        for key in [key for key in self._crops if key[1] < before]:
            del self._crops[key]


def _with_windows(frames: Iterable[Frame], first: int, stop: int, job: Job) -> Iterator[_Waiting]:
    """Each frame of the range with its faces; `frames` begin and end up to a halo outside of the range."""
    windows = _Windows(job)
    ahead: deque[Frame] = deque()

    def ready(frame: Frame) -> Iterator[_Waiting]:
        if first <= frame.index < stop:
            yield _Waiting(frame, windows.faces(frame.index))
        windows.forget(frame.index - job.halo + 1)

    for frame in frames:
        windows.take(frame)
        ahead.append(frame)
        if len(ahead) > job.halo:
            yield from ready(ahead.popleft())
    while ahead:
        yield from ready(ahead.popleft())


def _restored(group: Sequence[_Waiting], job: Job, tell: Tell) -> Iterator[Frame]:
    """Run all faces of some frames through the network, in one batch a crop size, and blend them."""
    entries = [(number, face) for number, waiting in enumerate(group) for face in waiting.faces]
    keyed = ((face.clip.shape[-1], (number, face)) for number, face in entries)
    done: dict[int, list[tuple[int, Restored]]] = {}
    for _, batch in in_batches(keyed, job.batch):
        added = job.restorer.added(torch.stack([face.clip for _, face in batch]))
        for (number, face), extra in zip(batch, added, strict=True):
            done.setdefault(number, []).append((face.crop.track, Restored(face.crop, extra, face.weight)))
    for number, waiting in enumerate(group):
        faces = sorted(done.get(number, []), key=lambda entry: entry[0])
        if waiting.frame.index % JUDGED == 0:
            for track, shown in faces:
                tell(track, waiting.frame.index, verdict(shown))
        yield blend(waiting.frame, [face for _, face in faces], job.planes)


def unheard(track: int, frame: int, found: Verdict) -> None:
    """For those who do not want to know."""


def render(frames: Iterable[Frame], first: int, stop: int, job: Job, tell: Tell = unheard) -> Iterator[Frame]:
    """Restore frames `first` to `stop` (excluded); `frames` bring the halo on both sides where the film has it.

    Gives the same frames as rendering the whole film and cutting the range out. Frames wait until a batch is full or
    HELD_MIB are waiting. `tell` hears how the faces of every `JUDGED`th frame turned out.
    """
    group: list[_Waiting] = []
    faces, held = 0.0, 0
    for waiting in _with_windows(frames, first, stop, job):
        group.append(waiting)
        faces += sum((face.clip.shape[-1] / UNIT) ** 2 for face in waiting.faces)
        held += waiting.frame.luma.nbytes + waiting.frame.chroma.nbytes
        if faces >= job.batch or held > HELD_MIB << 20 or faces == 0:
            yield from _restored(group, job, tell)
            group, faces, held = [], 0.0, 0
    yield from _restored(group, job, tell)
