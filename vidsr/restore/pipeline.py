"""One range of the film, start to end: frames in, the same frames with restored faces out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, repeat
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from vidsr.frame import Floats, Frame, Track
from vidsr.networks.generator import SCALE
from vidsr.networks.transfer import OomBatching, PendingCopy, Transfer, one_thread
from vidsr.restore.blend import Patches, Restored, base_delta, differences, fineness, masks, merged, patches, shown
from vidsr.restore.crop import CropPath, Cut, Place, Planes, cut, window
from vidsr.restore.quality import measured
from vidsr.restore.quality_totals import JUDGED, Quality
from vidsr.restore.resample import narrowed, reduced
from vidsr.restore.restorer import Restorer
from vidsr.restore.temporal import DISTANCES, REACH, averaged
from vidsr.stream import in_batches

HELD_MIB = 96
"""Memory for source frames that wait while a batch fills."""
UNIT = 64
"""Side of the crop that counts as one face of a batch; larger ones count by their area."""
Tell = Callable[[int, int, Quality], None]
"""Told of a track's number, a frame, and how the face turned out in it."""


@dataclass(frozen=True)
class Job:
    """What every range of one film shares: where samples lie, who is restored, by what, in batches of how many.

    `denoise` averages faces over time.
    """

    planes: Planes
    tracks: Sequence[Track]
    restorer: Restorer
    batch: int
    denoise: bool = False

    @property
    def reach(self) -> int:
        """Frames to either side with whose faces a face is averaged."""
        return REACH if self.denoise else 0

    @property
    def halo(self) -> int:
        """Frames that a range needs on either side."""
        return self.reach + max(map(abs, self.restorer.offsets))


@dataclass(frozen=True)
class _Face:
    """One face of one frame, and what the network looks at, `clip (T, 3, h, w)`."""

    cut: Cut
    clip: Floats
    weight: float


F = TypeVar("F", _Face, Restored)


@dataclass(frozen=True)
class _WithFaces(Generic[F]):
    """A frame with its faces, before or after the network."""

    frame: Frame
    faces: list[F]


_Cropped = _WithFaces[_Face]
_Drawn = _WithFaces[Restored]


class _Windows:
    """Crops of the tracks, cut when they are asked for, from frames that are kept for as long as a window reaches."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.frames: dict[int, Frame] = {}
        self._cuts: dict[tuple[int, int, int], Cut] = {}
        self._paths: dict[int, CropPath] = {}

    def faces(self, index: int) -> list[_Face]:
        """The faces of frame `index`; at a track's ends the last frame stands for those that are not there."""
        found = []
        for track in self._job.tracks:
            weight = float(track.weight[index - track.first]) if track.first <= index < track.stop else 0.0
            if weight == 0.0:
                continue
            if track.id not in self._paths:
                shape, aligned = self.frames[index].luma.shape, self._job.restorer.aligned
                self._paths[track.id] = CropPath(track, shape, self._job.planes, aligned)
            side = self._paths[track.id].side(index)
            reach = (min(max(index + step, track.first), track.stop - 1) for step in self._job.restorer.offsets)
            near = [self._cut(track, other, side) for other in reach]
            middle = self._cut(track, index, side)
            found.append(_Face(middle, window(middle, near), weight))
        return found

    def _cut(self, track: Track, index: int, side: int) -> Cut:
        key = (index, track.id, side)
        if key not in self._cuts:
            place = self._paths[track.id].place(index, side)
            self._cuts[key] = cut(self.frames[index], track.id, place, self._job.planes)
        return self._cuts[key]

    def forget(self, index: int) -> None:
        """Leave frame `index`, and crops from it and from those before it."""
        for key in [key for key in self._cuts if key[0] <= index]:
            del self._cuts[key]
        self.frames.pop(index, None)


def _with_windows(frames: Iterable[Frame], wanted: range, job: Job) -> Iterator[_Cropped]:
    """Each wanted frame with its faces; `frames` begin and end up to a halo outside of what is wanted."""
    windows, half, last = _Windows(job), job.halo - job.reach, wanted.start
    for frame in chain(frames, repeat(None, half)):
        last = last + 1 if frame is None else frame.index
        if frame is not None:
            windows.frames[last] = frame
        middle = windows.frames.get(last - half)
        if middle is not None and middle.index in wanted:
            yield _WithFaces(middle, windows.faces(middle.index))
        windows.forget(last - 2 * half)


def _grouped(items: Iterable[_WithFaces[F]], batch: float) -> Iterator[list[_WithFaces[F]]]:
    """Frames that wait together until they hold as many faces or HELD_MIB are waiting."""
    group: list[_WithFaces[F]] = []
    size, held = 0.0, 0
    for one in items:
        group.append(one)
        size += sum((face.cut.place.side / UNIT) ** 2 for face in one.faces)
        held += one.frame.luma.nbytes + one.frame.chroma.nbytes
        if size >= batch or held > HELD_MIB << 20 or size == 0:
            yield group
            group, size, held = [], 0.0, 0
    if group:
        yield group


def _drawn(group: Sequence[_Cropped], job: Job) -> Iterator[_Drawn]:
    """Run all faces of some frames through the network, in one batch a crop's size."""
    done: dict[int, list[Restored]] = {}
    keyed = (((face.cut.place.side, face.cut.place.factor), face) for waiting in group for face in waiting.faces)
    for _, faces in in_batches(keyed, job.batch):
        with torch.inference_mode():
            with one_thread():
                clips, to_unit = job.restorer.lanes.bring(
                    [np.stack([face.clip for face in faces]), np.stack([face.cut.to_unit for face in faces])]
                )
            added = job.restorer.added(clips, to_unit)
            with one_thread():
                added = _on_the_output(added, clips[:, clips.shape[1] // 2], faces[0].cut.place, job)
        for face, extra in zip(faces, added, strict=True):
            back = torch.rot90(extra, -face.cut.place.turn, (1, 2))
            done.setdefault(face.cut.index, []).append(Restored(face.cut, back, face.weight))
    for waiting in group:
        yield _WithFaces(waiting.frame, done.get(waiting.frame.index, []))


def _on_the_output(added: Tensor, rgb: Tensor, place: Place, job: Job) -> Tensor:
    """What a network adds to crops `(N, 3, h, w)`, averaged down to what the output resolves, and added to what is
    there."""
    fine = fineness(place, job.planes)
    if place.factor > 1 or job.restorer.idle or job.restorer.aligned:
        return reduced(added, SCALE // fine)
    return narrowed(added, SCALE // fine) + base_delta(rgb, fine)


def _denoised(frames: Iterable[_Drawn], distance: int) -> Iterator[_Drawn]:
    """Each face averaged with itself `distance` frames before and after, as far as the stream has them."""
    held: deque[_Drawn] = deque(maxlen=2 * distance + 1)
    for drawn in chain(frames, repeat(None, distance)):
        held.append(drawn or _WithFaces(replace(held[-1].frame, index=held[-1].frame.index + 1), []))
        middle = held[-1 - distance] if len(held) > distance else None
        if middle is not None:
            near = [one for one in (held[0], held[-1]) if abs(one.frame.index - middle.frame.index) == distance]
            yield _WithFaces(middle.frame, [_averaged(face, near) for face in middle.faces])


def _averaged(face: Restored, near: Sequence[_Drawn]) -> Restored:
    """A face averaged with those of its track that have its size."""
    others = [
        other
        for drawn in near
        for other in drawn.faces
        if other.cut.track == face.cut.track and other.residual.shape == face.residual.shape
    ]
    with torch.inference_mode(), one_thread():
        return averaged(face, others) if others else face


@dataclass(frozen=True)
class _Sent:
    """Frames, and what comes to them from the device: of `faces` of one size each what `_spread` gives."""

    group: Sequence[_Drawn]
    faces: Sequence[Sequence[Restored]]
    parcel: PendingCopy


def _judged(face: Restored) -> bool:
    return face.cut.index % JUDGED == 0


def _spread(faces: Sequence[Restored], planes: Planes, lanes: Transfer) -> tuple[Tensor, Tensor, Tensor]:
    """What faces of one size add to luma and chroma of their frames' planes, and the quality `(M, 3)` of the judged
    among them."""
    judged = [number for number, face in enumerate(faces) if _judged(face)]
    to_unit, rgb, weights = lanes.bring(
        [
            np.stack([face.cut.to_unit for face in faces]),
            np.array([faces[number].cut.rgb.transpose(2, 0, 1) for number in judged], np.float32),
            np.array([faces[number].weight for number in judged], np.float32),
        ]
    )
    fine = faces[0].fine
    inside = masks(to_unit, faces[0].cut.place.side, fine)
    input_delta = [face.input_delta for face in faces if face.input_delta is not None]
    added = torch.stack([face.residual for face in faces])
    pictures = shown(added, inside, fine, torch.stack(input_delta) if input_delta else None)
    quality = measured(pictures[judged], rgb, weights, inside[judged]) if judged else pictures.new_empty(0, 3)
    return *differences(pictures, faces, planes, lanes), quality


def _sent(group: Sequence[_Drawn], job: Job) -> _Sent:
    """Send what is added to some frames to the host, in copies that nothing waits for."""
    lanes = job.restorer.lanes
    portions = OomBatching(lanes.together)
    spread: list[tuple[Sequence[Restored], tuple[Tensor, ...]]] = []
    with torch.inference_mode(), one_thread():
        keyed = ((_kind(face), face) for one in group for face in one.faces)
        for _, faces in in_batches(keyed, job.batch):
            spread += portions.run(
                len(faces),
                lambda part: (faces[part], _spread(faces[part], job.planes, lanes)),  # noqa: B023
            )
        parcel = lanes.fetch([tensor for _, tensors in spread for tensor in tensors])
        return _Sent(group, [faces for faces, _ in spread], parcel)


def _kind(face: Restored) -> tuple[int, tuple[int, ...], bool]:
    """What faces that are worked on together have in common."""
    return face.cut.place.covered, tuple(face.residual.shape), face.input_delta is None


def _finished(sent: _Sent, job: Job, tell: Tell) -> Iterator[Frame]:
    """The group's frames with their faces; the device is waited for here."""
    arrays, frames = iter(sent.parcel.open()), {drawn.frame.index: drawn.frame for drawn in sent.group}
    made: dict[int, dict[int, Patches]] = {index: {} for index in frames}
    for faces in sent.faces:
        luma, chroma, numbers = next(arrays), next(arrays), iter(next(arrays).tolist())
        for face, y, uv in zip(faces, luma, chroma, strict=True):
            track, index = face.cut.track, face.cut.index
            made[index][track] = patches(face.cut.place, y, uv, frames[index], job.planes)
            if _judged(face):
                tell(track, index, Quality(*next(numbers)))
    for index, found in made.items():
        yield merged(frames[index], [found[track] for track in sorted(found)], job.planes)


def unheard(track: int, frame: int, found: Quality) -> None:
    """For those who do not want to know."""


def render(frames: Iterable[Frame], first: int, stop: int, job: Job, tell: Tell = unheard) -> Iterator[Frame]:
    """Restore frames `first` to `stop` (excluded); `frames` bring the halo on both sides where the film has it.

    Gives the same frames as rendering the whole film and cutting the range out. Frames wait until a batch is full or
    HELD_MIB are waiting; on CUDA, the frames before them are in work meanwhile. `tell` hears how the faces of every
    `JUDGED`th frame turned out.
    """
    lanes = job.restorer.lanes
    waiting = _with_windows(frames, range(first - job.reach, stop + job.reach), job)
    drawn: Iterator[_Drawn] = (one for group in _grouped(waiting, job.batch) for one in _drawn(group, job))
    if job.denoise:
        for distance in DISTANCES:
            drawn = _denoised(drawn, distance)
        drawn = (one for one in drawn if first <= one.frame.index < stop)
    away: deque[_Sent] = deque()
    for group in _grouped(drawn, job.batch if lanes.together > 1 else 0):
        away.append(_sent(group, job))
        if len(away) > lanes.ahead:
            yield from _finished(away.popleft(), job, tell)
    for last in away:
        yield from _finished(last, job, tell)
