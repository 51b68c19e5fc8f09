"""One range of the film, start to end: frames in, the same frames with restored faces out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vidsr.align import Planes, crop_size, crops, cut
from vidsr.blend import Differences, Patches, Place, densities, differences, merged, shown
from vidsr.device import Parcel, Portions
from vidsr.frame import Crop, Floats, Frame, Track
from vidsr.stream import in_batches
from vidsr.upscale import Restorer
from vidsr.verdict import Verdict, verdicts

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
    """One face of one frame with the crops of its window, T pictures `(3, h, w)`."""

    crop: Crop
    window: tuple[Tensor, ...]
    weight: float

    @property
    def side(self) -> int:
        return self.crop.rgb.shape[-1]

    @property
    def judged(self) -> bool:
        return self.crop.index % JUDGED == 0


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
        job = self._job
        here = [track for track in job.tracks if track.first <= frame.index < track.stop]
        cuts = [cut(frame, track, self._sizes[track.id], job.planes) for track in here]
        with torch.inference_mode():
            for found in crops(cuts, job.planes, job.restorer.lanes):
                self._crops[found.track, frame.index] = found

    def faces(self, index: int) -> list[_Face]:
        """The faces of frame `index`; at a track's ends the last frame stands for those that are not there."""
        halo, found = self._job.halo, []
        for track in self._job.tracks:
            weight = float(track.weight[index - track.first]) if track.first <= index < track.stop else 0.0
            if weight == 0.0:
                continue
            reach = (min(max(index + step, track.first), track.stop - 1) for step in range(-halo, halo + 1))
            window = tuple(self._crops[track.id, near].rgb for near in reach)
            found.append(_Face(self._crops[track.id, index], window, weight))
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


@dataclass(frozen=True)
class _Worked:
    """Some faces on the device: what they add to their frames, and the numbers of the judged among them `(M, 3)`."""

    faces: Sequence[_Face]
    added: Differences
    numbers: Tensor

    def results(self, luma: Floats, chroma: Floats, numbers: Floats) -> Iterator[_Result]:
        """Face by face, from the same tensors on the host."""
        judged = iter(numbers.tolist())
        for face, patches in zip(self.faces, self.added.patches(luma, chroma), strict=True):
            yield _Result(face.crop, patches, Verdict(*next(judged)) if face.judged else None)


@dataclass(frozen=True)
class _Result:
    crop: Crop
    patches: Patches
    verdict: Verdict | None


@dataclass(frozen=True)
class _Started:
    """Frames whose faces are in work on the device."""

    group: Sequence[_Waiting]
    work: Sequence[_Worked]
    parcel: Parcel


def _worked(faces: Sequence[_Face], added: Tensor, place: Place) -> _Worked:
    showing = shown(added)
    found = differences([face.crop for face in faces], showing, [face.weight for face in faces], place)
    judged = [number for number, face in enumerate(faces) if face.judged]
    if not judged:
        return _Worked(faces, found, added.new_empty(0, 3))
    (weights,) = place.lanes.bring([np.array([faces[number].weight for number in judged], np.float32)])
    pictures = torch.stack([faces[number].crop.rgb for number in judged])
    return _Worked(faces, found, verdicts(torch.stack([showing[number] for number in judged]), pictures, weights))


def _start(group: Sequence[_Waiting], job: Job) -> _Started:
    """Run all faces of some frames through the network, in one batch a crop size, and towards their frames.

    Waits for nothing but memory; what comes of it is asked for in one copy.
    """
    lanes, scale = job.restorer.lanes, job.planes.scale
    height, width = group[0].frame.luma.shape if group else (0, 0)
    place = Place(job.planes, (height * scale, width * scale), lanes)
    keyed = (((face.side, densities(face.crop, job.planes)), face) for waiting in group for face in waiting.faces)
    portions = Portions(lanes.together, job.restorer.release)
    work: list[_Worked] = []
    with torch.inference_mode():
        for _, faces in in_batches(keyed, job.batch):
            clips = torch.stack([picture for face in faces for picture in face.window])
            added = job.restorer.added(clips.reshape(len(faces), -1, *clips.shape[1:]))
            work += portions.run(len(faces), lambda part: _worked(faces[part], added[part], place))  # noqa: B023
        tensors = [tensor for done in work for tensor in (done.added.luma, done.added.chroma, done.numbers)]
        return _Started(group, work, lanes.fetch(tensors))


def _finish(started: _Started, job: Job, tell: Tell) -> Iterator[Frame]:
    """The group's frames with their faces; the device is waited for here."""
    arrays = iter(started.parcel.open())
    done: dict[int, list[_Result]] = {}
    for work in started.work:
        for result in work.results(next(arrays), next(arrays), next(arrays)):
            done.setdefault(result.crop.index, []).append(result)
    for waiting in started.group:
        faces = sorted(done.get(waiting.frame.index, []), key=lambda result: result.crop.track)
        for face in faces:
            if face.verdict is not None:
                tell(face.crop.track, face.verdict)
        yield merged(waiting.frame, [face.patches for face in faces], job.planes)


def unheard(track: int, found: Verdict) -> None:
    """For those who do not want to know."""


def render(frames: Iterable[Frame], first: int, stop: int, job: Job, tell: Tell = unheard) -> Iterator[Frame]:
    """Restore frames `first` to `stop` (excluded); `frames` bring the halo on both sides where the film has it.

    Gives the same frames as rendering the whole film and cutting the range out. Frames wait until a batch is full or
    HELD_MIB are waiting; on CUDA, the frames before them are in work meanwhile. `tell` hears how the faces of every
    `JUDGED`th frame turned out.
    """
    started: deque[_Started] = deque()
    for group in _groups(frames, first, stop, job):
        started.append(_start(group, job))
        if len(started) > job.restorer.lanes.ahead:
            yield from _finish(started.popleft(), job, tell)
    for last in started:
        yield from _finish(last, job, tell)


def _groups(frames: Iterable[Frame], first: int, stop: int, job: Job) -> Iterator[list[_Waiting]]:
    """Frames with their faces, as many as fill a batch or HELD_MIB."""
    group: list[_Waiting] = []
    faces, held = 0.0, 0
    for waiting in _with_windows(frames, first, stop, job):
        group.append(waiting)
        faces += sum((face.side / UNIT) ** 2 for face in waiting.faces)
        held += waiting.frame.luma.nbytes + waiting.frame.chroma.nbytes
        if faces >= job.batch or held > HELD_MIB << 20 or faces == 0:
            yield group
            group, faces, held = [], 0.0, 0
    yield group
