"""One range of the film, start to end: frames in, the same frames with restored faces out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vidsr.align import Planes, crop, crop_size
from vidsr.blend import Restored, blend
from vidsr.calm import REACH, calmed
from vidsr.frame import Crop, Frame, Track
from vidsr.stream import in_batches
from vidsr.upscale import Restorer
from vidsr.verdict import Verdict, verdict

HELD_MIB = 96
"""Memory for source frames that wait while a batch fills."""
UNIT = 64
"""Side of the crop that counts as one face of a batch; larger ones count by their area."""
JUDGED = 5
"""Of so many frames one is looked at for the report: which ones does not depend on how the film was cut."""
Tell = Callable[[int, Verdict], None]
"""Told of a track's number and how its face turned out."""
MAX_WINDOW = 320.0
"""Faces whose window is wider than this many source pixels are passed through: the network does not help them."""


@dataclass(frozen=True)
class Job:
    """What every range of one film shares: where samples lie, who is restored, by what, in batches of how many.

    `calm` averages what stands still over time.
    """

    planes: Planes
    tracks: Sequence[Track]
    restorer: Restorer
    batch: int
    calm: bool = False

    @property
    def reach(self) -> int:
        """Frames to either side whose restored faces are averaged."""
        return REACH if self.calm else 0

    @property
    def halo(self) -> int:
        """Frames that a range needs on either side."""
        return self.reach + self.restorer.window // 2


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


@dataclass(frozen=True)
class _Drawn:
    """A frame with what the network adds to its faces, by track."""

    frame: Frame
    faces: dict[int, Restored]


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
        halo, found = self._job.restorer.window // 2, []
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


def _with_windows(frames: Iterable[Frame], wanted: range, job: Job) -> Iterator[_Waiting]:
    """Each wanted frame with its faces; `frames` begin and end up to half a window outside of what is wanted."""
    windows, half = _Windows(job), job.restorer.window // 2
    ahead: deque[Frame] = deque()

    def ready(frame: Frame) -> Iterator[_Waiting]:
        if frame.index in wanted:
            yield _Waiting(frame, windows.faces(frame.index))
        windows.forget(frame.index - half + 1)

    for frame in frames:
        windows.take(frame)
        ahead.append(frame)
        if len(ahead) > half:
            yield from ready(ahead.popleft())
    while ahead:
        yield from ready(ahead.popleft())


def _grouped(waiting: Iterable[_Waiting], batch: int) -> Iterator[list[_Waiting]]:
    """Frames that wait together until a batch of faces is full or HELD_MIB are waiting."""
    group: list[_Waiting] = []
    faces, held = 0.0, 0
    for one in waiting:
        group.append(one)
        faces += sum((face.clip.shape[-1] / UNIT) ** 2 for face in one.faces)
        held += one.frame.luma.nbytes + one.frame.chroma.nbytes
        if faces >= batch or held > HELD_MIB << 20 or faces == 0:
            yield group
            group, faces, held = [], 0.0, 0
    yield group


def _drawn(group: Sequence[_Waiting], job: Job) -> Iterator[_Drawn]:
    """Run all faces of some frames through the network, in one batch a crop size."""
    entries = [(number, face) for number, waiting in enumerate(group) for face in waiting.faces]
    keyed = ((face.clip.shape[-1], (number, face)) for number, face in entries)
    done: dict[int, dict[int, Restored]] = {}
    for _, batch in in_batches(keyed, job.batch):
        added = job.restorer.added(torch.stack([face.clip for _, face in batch]))
        for (number, face), extra in zip(batch, added, strict=True):
            done.setdefault(number, {})[face.crop.track] = Restored(face.crop, extra, face.weight)
    for number, waiting in enumerate(group):
        yield _Drawn(waiting.frame, done.get(number, {}))


def _calmed(frames: Iterable[_Drawn], reach: int) -> Iterator[_Drawn]:
    """Average each face over `reach` frames to either side, as far as the stream has them."""
    near: deque[_Drawn] = deque()  # up to `reach` frames before the one in question, and after it
    place = 0
    for drawn in frames:
        near.append(drawn)
        if len(near) - place > reach:
            yield _averaged(near, place)
            place += 1
        if place > reach:
            near.popleft()
            place -= 1
    while place < len(near):
        yield _averaged(near, place)
        place += 1
        if place > reach:
            near.popleft()
            place -= 1


def _averaged(near: Sequence[_Drawn], place: int) -> _Drawn:
    middle = near[place]
    faces = {}
    for track, face in middle.faces.items():
        others = [one.faces[track] for one in near if one is not middle and track in one.faces]
        added, settled = calmed(face.crop.rgb, face.added, [o.crop.rgb for o in others], [o.added for o in others])
        faces[track] = replace(face, added=added, settled=settled)
    return _Drawn(middle.frame, faces)


def unheard(track: int, found: Verdict) -> None:
    """For those who do not want to know."""


def render(frames: Iterable[Frame], first: int, stop: int, job: Job, tell: Tell = unheard) -> Iterator[Frame]:
    """Restore frames `first` to `stop` (excluded); `frames` bring the halo on both sides where the film has it.

    Gives the same frames as rendering the whole film and cutting the range out. `tell` hears how the faces of every
    `JUDGED`th frame turned out.
    """
    wanted = range(first - job.reach, stop + job.reach)
    waiting = _with_windows(frames, wanted, job)
    drawn = (one for group in _grouped(waiting, job.batch) for one in _drawn(group, job))
    for one in _calmed(drawn, job.reach) if job.reach else drawn:
        if not first <= one.frame.index < stop:
            continue
        faces = [one.faces[track] for track in sorted(one.faces)]
        if one.frame.index % JUDGED == 0:
            for face in faces:
                tell(face.crop.track, verdict(face))
        yield blend(one.frame, faces, job.planes)
