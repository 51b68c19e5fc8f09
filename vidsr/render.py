"""One range of the film, start to end: frames in, the same frames with restored faces out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, repeat
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from vidsr.align import Planes, crop_size, crops, cut
from vidsr.blend import Differences, Patches, Place, Restored, densities, differences, fineness, merged, showing
from vidsr.calm import REACH, calmed
from vidsr.device import Parcel, Portions, one_thread
from vidsr.frame import Crop, Floats, Frame, Track
from vidsr.network import SCALE
from vidsr.resize import reduced
from vidsr.stream import in_batches
from vidsr.tally import JUDGED, Verdict
from vidsr.upscale import Restorer
from vidsr.verdict import verdicts

HELD_MIB = 96
"""Memory for source frames that wait while a batch fills."""
UNIT = 64
"""Side of the crop that counts as one face of a batch; larger ones count by their area."""
Tell = Callable[[int, int, Verdict], None]
"""Told of a track's number, a frame, and how the face turned out in it."""


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
    """One face of one frame with the crops of its window, T pictures `(3, h, w)`."""

    crop: Crop
    window: tuple[Tensor, ...]
    weight: float
    fine: int

    @property
    def side(self) -> int:
        return self.crop.rgb.shape[-1]


@dataclass(frozen=True)
class _Waiting:
    """A frame with its faces."""

    frame: Frame
    faces: list[_Face]

    @property
    def size(self) -> float:
        """How many faces of UNIT pixels these are worth."""
        return sum((face.side / UNIT) ** 2 for face in self.faces)


@dataclass(frozen=True)
class _Drawn:
    """A frame with what the network adds to its faces, by track."""

    frame: Frame
    faces: dict[int, Restored]

    @property
    def size(self) -> float:
        """How many faces of UNIT pixels these are worth."""
        return sum((face.crop.rgb.shape[-1] / UNIT) ** 2 for face in self.faces.values())


W = TypeVar("W", _Waiting, _Drawn)


class _Windows:
    """Crops of the tracks, kept for as long as a window reaches."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._sizes = {track.id: crop_size(track.window) for track in job.tracks}
        self._fine = {track.id: fineness(track.matrices, self._sizes[track.id], job.planes) for track in job.tracks}
        self._crops: dict[tuple[int, int], Crop] = {}

    def take(self, frame: Frame) -> None:
        job = self._job
        here = [track for track in job.tracks if track.first <= frame.index < track.stop]
        cuts = [cut(frame, track, self._sizes[track.id], job.planes) for track in here]
        with torch.inference_mode(), one_thread():
            for found in crops(cuts, job.planes, job.restorer.lanes):
                self._crops[found.track, frame.index] = found

    def faces(self, index: int) -> list[_Face]:
        """The faces of frame `index`; at a track's ends the last frame stands for those that are not there."""
        halo, found = self._job.restorer.window // 2, []
        for track in self._job.tracks:
            weight = float(track.weight[index - track.first]) if track.first <= index < track.stop else 0.0
            if weight == 0.0:
                continue
            reach = (min(max(index + step, track.first), track.stop - 1) for step in range(-halo, halo + 1))
            window = tuple(self._crops[track.id, near].rgb for near in reach)
            found.append(_Face(self._crops[track.id, index], window, weight, self._fine[track.id]))
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


def _grouped(items: Iterable[W], batch: float) -> Iterator[list[W]]:
    """Frames that wait together until they hold as many faces or HELD_MIB are waiting."""
    group: list[W] = []
    size, held = 0.0, 0
    for one in items:
        group.append(one)
        size += one.size
        held += one.frame.luma.nbytes + one.frame.chroma.nbytes
        if size >= batch or held > HELD_MIB << 20 or size == 0:
            yield group
            group, size, held = [], 0.0, 0
    if group:
        yield group


def _drawn(group: Sequence[_Waiting], job: Job) -> Iterator[_Drawn]:
    """Run all faces of some frames through the network, in one batch a crop size and fineness."""
    done: dict[int, dict[int, Restored]] = {}
    keyed = (((face.side, face.fine), face) for waiting in group for face in waiting.faces)
    for (_, fine), faces in in_batches(keyed, job.batch):
        with torch.inference_mode():
            with one_thread():
                clips = torch.stack([picture for face in faces for picture in face.window])
            added = job.restorer.added(clips.reshape(len(faces), -1, *clips.shape[1:]))
            with one_thread():
                added = reduced(added, SCALE // fine)
        for face, extra in zip(faces, added, strict=True):
            done.setdefault(face.crop.index, {})[face.crop.track] = Restored(face.crop, extra, face.weight)
    for waiting in group:
        yield _Drawn(waiting.frame, done.get(waiting.frame.index, {}))


def _calmed(frames: Iterable[_Drawn], reach: int) -> Iterator[_Drawn]:
    """Each face averaged over `reach` frames to either side, as far as the stream has them."""
    past: deque[dict[int, Restored]] = deque(maxlen=reach)
    ahead: deque[_Drawn] = deque()  # the one in question, and those after it
    for drawn in chain(frames, repeat(None, reach)):
        if drawn is not None:
            ahead.append(_halved(drawn))
        if ahead and (drawn is None or len(ahead) > reach):
            middle = ahead.popleft()
            yield _averaged(middle, [*past, *(one.faces for one in ahead)])
            past.append(middle.faces)


def _halved(drawn: _Drawn) -> _Drawn:
    """The same in half the memory: what waits for its neighbours is rounded by a fiftieth of a grey level at most."""
    with one_thread():
        faces = {track: replace(face, added=face.added.half()) for track, face in drawn.faces.items()}
    return _Drawn(drawn.frame, faces)


def _averaged(middle: _Drawn, near: Sequence[dict[int, Restored]]) -> _Drawn:
    faces = {}
    with torch.inference_mode(), one_thread():
        for track, face in middle.faces.items():
            others = [one[track] for one in near if track in one]
            own = face.added.float()
            added, settled = calmed(face.crop.rgb, own, [o.crop.rgb for o in others], [o.added for o in others])
            faces[track] = replace(face, added=added, settled=settled)
    return _Drawn(middle.frame, faces)


@dataclass(frozen=True)
class _Spread:
    """Some faces on the device: what they add to their frames, and the verdicts `(M, 3)` on the judged among them."""

    faces: Sequence[Restored]
    differences: Differences
    verdicts: Tensor

    def results(self, luma: Floats, chroma: Floats, numbers: Floats) -> Iterator[_Result]:
        """Face by face, from the same tensors on the host."""
        judged = iter(numbers.tolist())
        for face, patches in zip(self.faces, self.differences.patches(luma, chroma), strict=True):
            yield _Result(face.crop, patches, Verdict(*next(judged)) if _judged(face) else None)


@dataclass(frozen=True)
class _Result:
    crop: Crop
    patches: Patches
    verdict: Verdict | None


@dataclass(frozen=True)
class _Sent:
    """Frames, and what comes to them from the device."""

    group: Sequence[_Drawn]
    spread: Sequence[_Spread]
    parcel: Parcel


def _judged(face: Restored) -> bool:
    return face.crop.index % JUDGED == 0


def _spread(faces: Sequence[Restored], place: Place) -> _Spread:
    """Bring the differences of faces of one size and density to their frames' planes, and judge some."""
    pictures = showing(faces)
    found = differences([face.crop for face in faces], pictures, [face.weight for face in faces], place)
    judged = [number for number, face in enumerate(faces) if _judged(face)]
    if not judged:
        return _Spread(faces, found, pictures.new_empty(0, 3))
    (weights,) = place.lanes.bring([np.array([faces[number].weight for number in judged], np.float32)])
    rgb = torch.stack([faces[number].crop.rgb for number in judged])
    return _Spread(faces, found, verdicts(torch.stack([pictures[number] for number in judged]), rgb, weights))


def _sent(group: Sequence[_Drawn], job: Job) -> _Sent:
    """Send what is added to some frames to the host, in one copy that nothing waits for."""
    lanes, scale = job.restorer.lanes, job.planes.scale
    height, width = group[0].frame.luma.shape
    place = Place(job.planes, (height * scale, width * scale), lanes)
    portions = Portions(lanes.together, job.restorer.release)
    spread: list[_Spread] = []
    with torch.inference_mode(), one_thread():
        keyed = ((_kind(face, job.planes), face) for one in group for face in one.faces.values())
        for _, faces in in_batches(keyed, job.batch):
            spread += portions.run(len(faces), lambda part: _spread(faces[part], place))  # noqa: B023
        tensors = [t for one in spread for t in (one.differences.luma, one.differences.chroma, one.verdicts)]
        return _Sent(group, spread, lanes.fetch(tensors))


def _kind(face: Restored, planes: Planes) -> tuple[int, int, tuple[int, int]]:
    """What faces that are worked on together have in common."""
    return face.crop.rgb.shape[-1], face.fine, densities(face.crop, planes)


def _finished(sent: _Sent, job: Job, tell: Tell) -> Iterator[Frame]:
    """The group's frames with their faces; the device is waited for here."""
    arrays = iter(sent.parcel.open())
    done: dict[int, list[_Result]] = {}
    for spread in sent.spread:
        for result in spread.results(next(arrays), next(arrays), next(arrays)):
            done.setdefault(result.crop.index, []).append(result)
    for drawn in sent.group:
        faces = sorted(done.get(drawn.frame.index, []), key=lambda result: result.crop.track)
        for face in faces:
            if face.verdict is not None:
                tell(face.crop.track, drawn.frame.index, face.verdict)
        yield merged(drawn.frame, [face.patches for face in faces], job.planes)


def unheard(track: int, frame: int, found: Verdict) -> None:
    """For those who do not want to know."""


def render(frames: Iterable[Frame], first: int, stop: int, job: Job, tell: Tell = unheard) -> Iterator[Frame]:
    """Restore frames `first` to `stop` (excluded); `frames` bring the halo on both sides where the film has it.

    Gives the same frames as rendering the whole film and cutting the range out. Frames wait until a batch is full or
    HELD_MIB are waiting; on CUDA, the frames before them are in work meanwhile. `tell` hears how the faces of every
    `JUDGED`th frame turned out.
    """
    lanes = job.restorer.lanes
    waiting = _with_windows(frames, range(first - job.reach, stop + job.reach), job)
    drawn = (one for group in _grouped(waiting, job.batch) for one in _drawn(group, job))
    calm = (one for one in _calmed(drawn, job.reach) if first <= one.frame.index < stop) if job.reach else drawn
    away: deque[_Sent] = deque()
    for group in _grouped(calm, job.batch if lanes.together > 1 else 0):
        away.append(_sent(group, job))
        if len(away) > lanes.ahead:
            yield from _finished(away.popleft(), job, tell)
    for last in away:
        yield from _finished(last, job, tell)
