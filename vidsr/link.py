"""Detections -> paths: which detection is which face, and how each face moved between two detections.

All coordinates here are pixels of the reduced picture.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from vidsr.config import Analyze
from vidsr.flow import Follower, Points
from vidsr.frame import LANDMARKS, Detection
from vidsr.picture import Gray
from vidsr.shots import Look

NEAR, FAR = 0.5, 1.0
"""How far from the expected place a detection may be, in units of the face's size: at once, and after a gap."""
GROWTH = 0.5
"""Largest change of the logarithm of the size between two detections of one face."""
OTHER, UNLIKE = 1.0, 0.75
"""A detection whose looks differ by more than this (see `Looks.unlike`) is another face: at once, and after a gap."""
DRIFT = 0.25
"""A flow that ends farther than this from the detection, in units of the face's size, followed something else."""
THUMB = 24
NEVER = 1e6


@dataclass(frozen=True, eq=False, repr=False)
class Key:
    """One detection on a path: `points (7, 2)` are the five landmarks and two corners of the box."""

    frame: int
    points: Points
    score: float

    @property
    def size(self) -> float:
        return float(np.sqrt(np.prod(np.maximum(self.points[-1] - self.points[-2], 1e-3))))


@dataclass(frozen=True, eq=False, repr=False)
class Looks:
    """What a face looks like, roughly: a normalised thumbnail, its mean and its contrast."""

    thumb: NDArray[np.float32]
    mean: float

    def unlike(self, other: Looks) -> float:
        """0 for the same picture, 1 for unrelated ones; the thumbnail counts for more than the brightness."""
        correlation = float(np.sum(self.thumb * other.thumb))
        return 1 - correlation + min(abs(self.mean - other.mean) / 100, 0.5)


def _looks(gray: Gray, points: Points) -> Looks:
    (x0, y0), (x1, y1) = points[LANDMARKS:]
    h, w = gray.shape
    left, top = int(np.clip(x0, 0, w - 1)), int(np.clip(y0, 0, h - 1))
    right, bottom = int(np.clip(np.ceil(x1), left + 1, w)), int(np.clip(np.ceil(y1), top + 1, h))
    part = cv2.resize(gray[top:bottom, left:right], (THUMB, THUMB), interpolation=cv2.INTER_AREA).astype(np.float32)
    centred = part - part.mean()
    return Looks(centred / max(float(np.linalg.norm(centred)), 1e-3), float(part.mean()))


@dataclass(frozen=True, eq=False, repr=False)
class Trail:
    """What flow saw between two detections `frames` apart.

    `ahead (m, 7, 2)` are the points in the frames after the first detection, and if flow did not lose the face, the
    last of them lies in the frame of the second. `back (k, 7, 2)` are those in the frames before the second, followed
    backward from there, where flow lost the face on its way ahead.
    """

    frames: int
    ahead: Points
    back: Points

    @property
    def whole(self) -> bool:
        return len(self.ahead) == self.frames


NOTHING: Points = np.empty((0, LANDMARKS + 2, 2))


@dataclass(eq=False, repr=False)
class Path:
    """One face in one shot: its detections, what flow saw between them, before the first, and after the last."""

    keys: list[Key]
    looks: tuple[Looks, Looks]
    """At the last detection, and at the surest: a hand that covers the face must not become its looks."""
    follower: Follower
    head: Points = field(default_factory=lambda: NOTHING)
    trails: list[Trail] = field(default_factory=list)
    missed: int | None = None
    """The first frame after the last detection in which the face was sought and not found."""

    @classmethod
    def begin(cls, key: Key, past: Sequence[Gray]) -> Path:
        """A new face in the newest of some frames, traced back through the others."""
        looks = _looks(past[-1], key.points)
        return cls([key], (looks, looks), Follower(past[-1], key.points), _traced(key, past, len(past)))

    def unlike(self, face: Looks) -> float:
        """How little a face looks like this one, now or at its best: see `Looks.unlike`."""
        return min(looks.unlike(face) for looks in self.looks)

    @property
    def age(self) -> int:
        """Frames since the last detection, as far as flow reached."""
        return len(self.follower.trail)

    @property
    def tail(self) -> Points:
        """The points after the last detection, up to where flow lost them or the face was sought in vain."""
        end = self.age if self.missed is None else self.missed - self.keys[-1].frame - 1
        return np.array(self.follower.trail[:end]) if self.follower.trail[:end] else NOTHING

    def expected(self, frame: int) -> list[Points]:
        """Where the face may be in `frame`: where flow is, and where its motion before the last detection leads."""
        last = self.keys[-1]
        gap = frame - last.frame
        places = [self.follower.points] if self.follower.alive and self.age == gap else []
        return [*places, last.points + self._velocity() * gap]

    def _velocity(self) -> Points:
        """Pixels a frame `(2,)`, over the last few detections."""
        recent = self.keys[-4:]
        frames = recent[-1].frame - recent[0].frame
        if frames == 0:
            return np.zeros(2)
        return np.asarray((recent[-1].points - recent[0].points).mean(axis=0) / frames)

    def extend(self, key: Key, past: Sequence[Gray]) -> None:
        """Add a detection of this face in the newest of some frames, and follow the face anew from there."""
        frames = key.frame - self.keys[-1].frame
        ahead = np.array(self.follower.trail) if self.follower.alive else NOTHING
        if len(ahead) < frames or _distance(ahead[-1], key) > DRIFT:
            ahead = self.tail[: frames - 1]
        back = NOTHING if len(ahead) == frames else _traced(key, past, frames - len(ahead))
        self.trails.append(Trail(frames, ahead, back))
        surest = key.score >= max(key.score for key in self.keys)
        looks = _looks(past[-1], key.points)
        self.looks = looks, looks if surest else self.looks[1]
        self.keys.append(key)
        self.follower, self.missed = Follower(past[-1], key.points), None


def _traced(key: Key, past: Sequence[Gray], frames: int) -> Points:
    """The points `(k, 7, 2)`, k < `frames`, before a detection in the newest frame, as far back as flow sees them."""
    follower = Follower(past[-1], key.points)
    for n in range(len(past) - 1, max(0, len(past) - frames), -1):
        follower.advance(past[n], past[n - 1])
    return np.array(follower.trail[::-1]) if follower.trail else NOTHING


def _distance(points: Points, key: Key) -> float:
    """Between landmarks and a detection's: root mean square in units of the detection's size."""
    off = points[:LANDMARKS] - key.points[:LANDMARKS]
    return float(np.sqrt(np.mean(np.sum(off**2, axis=1))) / key.size)


class Linker:
    """Gather the detections of one shot into paths. Call `step` for each of its frames in order, then `close`."""

    def __init__(self, settings: Analyze, bridge: int) -> None:
        self._settings = settings
        # Less than this would end each track at its next detection.
        self._bridge = max(bridge, settings.detect_every)
        self._open: list[Path] = []
        self._closed: list[Path] = []
        # A face that is found now may have come since the detector looked last.
        self._past: deque[Gray] = deque(maxlen=settings.detect_every)

    def step(self, look: Look, detections: Sequence[Detection] | None) -> None:
        """Take the next frame; `detections` is None where the detector did not look."""
        if self._past:
            for path in self._open:
                path.follower.advance(self._past[-1], look.small.luma)
        self._past.append(look.small.luma)
        if detections is not None:
            self._match(look, [_key(look.index, detection) for detection in detections])

    def close(self) -> list[Path]:
        """The shot ends: give its paths, in order of their beginning."""
        for path in self._open:
            # Just before a cut flow is believed, should the detector have missed the face once.
            if path.missed is not None and path.follower.alive and path.age <= self._settings.detect_every:
                path.missed = None
        paths = sorted(self._closed + self._open, key=lambda path: path.keys[0].frame)
        self._open, self._closed = [], []
        self._past.clear()
        return paths

    def _match(self, look: Look, keys: list[Key]) -> None:
        faces = [_looks(look.small.luma, key.points) for key in keys]
        cost = np.full((len(self._open), len(keys)), NEVER)
        for i, path in enumerate(self._open):
            for j, key in enumerate(keys):
                cost[i, j] = self._cost(path, key, faces[j])
        rows, columns = _assigned(cost)
        pairs = [(i, j) for i, j in zip(rows.tolist(), columns.tolist(), strict=True) if cost[i, j] < NEVER]
        for i, j in pairs:
            self._open[i].extend(keys[j], self._past)
        matched, used = {i for i, _ in pairs}, {j for _, j in pairs}
        self._miss([path for i, path in enumerate(self._open) if i not in matched], look.index)
        self._begin([key for j, key in enumerate(keys) if j not in used])

    def _cost(self, path: Path, key: Key, face: Looks) -> float:
        last = path.keys[-1]
        growth = abs(np.log(key.size / last.size))
        distance = min(_distance(place, key) for place in path.expected(key.frame))
        unlike = path.unlike(face)
        lost = path.missed is not None or not path.follower.alive
        near = distance <= NEAR and path.missed is None
        possible = near or (lost and distance <= FAR)
        too_late = key.frame - last.frame - 1 > self._bridge
        if too_late or not possible or growth > GROWTH or unlike > (OTHER if near else UNLIKE):
            return NEVER
        return float(distance + growth + 0.5 * unlike)

    def _miss(self, missed: list[Path], frame: int) -> None:
        for path in missed:
            path.missed = frame if path.missed is None else path.missed
            if frame - path.keys[-1].frame > self._bridge:
                self._open.remove(path)
                self._closed.append(path)

    def _begin(self, keys: list[Key]) -> None:
        for key in keys:
            if key.score >= self._settings.min_score:
                self._open.append(Path.begin(key, self._past))


def _assigned(cost: Points) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the cheapest assignment."""
    if cost.size == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    from scipy.optimize import linear_sum_assignment  # a third of a second, which films without faces need not wait

    rows, columns = linear_sum_assignment(cost)
    return rows, columns


def _key(frame: int, detection: Detection) -> Key:
    points = np.concatenate([detection.landmarks, detection.box.reshape(2, 2)]).astype(np.float64)
    return Key(frame, points, detection.score)
