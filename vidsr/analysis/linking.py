"""Detections -> paths: which detection is which face, and how each face moved between two detections.

All coordinates here are pixels of the reduced picture.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vidsr.analysis.alignment import roll
from vidsr.analysis.appearance import Appearance, appearance_of
from vidsr.analysis.cuts import Look
from vidsr.analysis.optical_flow import Follower, Points
from vidsr.config import Analyze
from vidsr.frame import LANDMARKS, Detection
from vidsr.picture import Gray

NEAR, FAR = 0.5, 1.0
"""How far from the expected place a detection may be, in units of the face's size: at once, and after a gap."""
GROWTH = 0.5
"""Largest change of the logarithm of the size between two detections of one face."""
CARRIED, OTHER, UNLIKE = 2.5, 1.5, 0.9
"""A detection that looks more unlike than this (see `Appearance.unlike`) is another face: where flow arrives at it; at
once, but without flow; and after a gap."""
DOUBT = 1.2
"""Largest sum of the distance and half of `unlike` after a gap: what is far away must look the same."""
DRIFT = 0.25
"""A flow that ends farther than this from the detection, in units of the face's size, followed something else."""
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
class Tracklet:
    """One face in one shot: its detections, what flow saw between them, before the first, and after the last."""

    keys: list[Key]
    looks: tuple[Appearance, Appearance]
    """At the last detection, and at the surest: a hand that covers the face must not become its looks."""
    follower: Follower
    head: Points = field(default_factory=lambda: NOTHING)
    trails: list[Trail] = field(default_factory=list)
    missed: int | None = None
    """The first frame after the last detection in which the face was sought and not found."""

    @classmethod
    def begin(cls, key: Key, looks: Appearance, past: Sequence[Gray]) -> Tracklet:
        """A new face in the newest of some frames, traced back through the others."""
        return cls([key], (looks, looks), Follower(past[-1], key.points), _traced(key, past, len(past)))

    def unlike(self, face: Appearance) -> float:
        """How little a face looks like this one, now or at its best: see `Appearance.unlike`."""
        return min(looks.unlike(face) for looks in self.looks)

    @property
    def age(self) -> int:
        """Frames since the last detection, as far as flow reached."""
        return len(self.follower.trail)

    @property
    def tail(self) -> Points:
        """The points after the last detection, up to where flow lost them or the face was sought in vain."""
        seen = self.follower.trail
        if self.missed is not None:
            seen = seen[: self.missed - self.keys[-1].frame - 1]
        return np.array(seen) if seen else NOTHING

    def flows_to(self, frame: int) -> bool:
        """Whether flow has followed the face up to `frame`."""
        return self.follower.alive and self.age == frame - self.keys[-1].frame

    def distance(self, key: Key) -> float:
        """From where the face may be to a detection, in units of its size: from where flow is, where the face was last,
        and where its motion over the last few detections leads."""
        first, last = self.keys[-4:][0], self.keys[-1]
        velocity = (last.points - first.points).mean(axis=0) / max(1, last.frame - first.frame)
        places = [self.follower.points] if self.flows_to(key.frame) else []
        places += [last.points, last.points + velocity * (key.frame - last.frame)]
        return min(_distance(place, key) for place in places)

    def growth(self, key: Key) -> float:
        """The change of the size's logarithm since the last detection."""
        return abs(float(np.log(key.size / self.keys[-1].size)))

    @property
    def ends(self) -> int:
        """The frame after the last one in which the face was seen."""
        return self.keys[-1].frame + 1 + len(self.tail)

    def absorb(self, later: Tracklet) -> None:
        """Go on as another path, which began after this one was lost."""
        frames = later.keys[0].frame - self.keys[-1].frame
        ahead = self.tail[: frames - 1]
        back = later.head[max(0, len(later.head) - (frames - 1 - len(ahead))) :]
        self.trails += [Trail(frames, ahead, back), *later.trails]
        self.keys += later.keys
        self.looks, self.follower, self.missed = later.looks, later.follower, later.missed

    def extend(self, key: Key, looks: Appearance, past: Sequence[Gray]) -> None:
        """Add a detection of this face in the newest of some frames, and follow the face anew from there."""
        frames = key.frame - self.keys[-1].frame
        ahead = np.array(self.follower.trail) if self.follower.alive else NOTHING
        if len(ahead) < frames or _distance(ahead[-1], key) > DRIFT:
            ahead = self.tail[: frames - 1]
        back = NOTHING if len(ahead) == frames else _traced(key, past, frames - len(ahead))
        self.trails.append(Trail(frames, ahead, back))
        surest = key.score >= max(key.score for key in self.keys)
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
        self._open: list[Tracklet] = []
        self._closed: list[Tracklet] = []
        # A face that is found now may have come since the detector looked last.
        self._past: deque[Gray] = deque(maxlen=settings.detect_every)

    def step(self, look: Look, detections: Sequence[Detection] | None) -> None:
        """Take the next frame; `detections` is None where the detector did not look."""
        if self._past:
            for path in self._open:
                path.follower.advance(self._past[-1], look.small.luma)
        self._past.append(look.small.luma)
        if detections is not None:
            points = (np.concatenate([one.landmarks, one.box.reshape(2, 2)]).astype(np.float64) for one in detections)
            scores = (one.score for one in detections)
            self._match(look, [Key(look.index, *pair) for pair in zip(points, scores, strict=True)])

    def close(self) -> list[Tracklet]:
        """The shot ends: give its paths, in order of their beginning."""
        for path in self._open:
            # Just before a cut flow is believed, should the detector have missed the face once.
            if path.missed is not None and path.follower.alive and path.age <= self._settings.detect_every:
                path.missed = None
        paths = self._joined(sorted(self._closed + self._open, key=lambda path: path.keys[0].frame))
        self._open, self._closed = [], []
        self._past.clear()
        return paths

    def _joined(self, paths: list[Tracklet]) -> list[Tracklet]:
        """Let a path that was lost go on as one that began soon after it.

        A face that comes out from behind something is often half covered when it is found again, and taken for
        another one; now its best looks are known.
        """
        kept: list[Tracklet] = []
        recent: list[Tracklet] = []
        for path in paths:
            soonest = path.keys[0].frame - self._settings.detect_every - self._bridge
            recent = [one for one in recent if one.ends >= soonest]
            cost, n = min(((self._break(one, path), n) for n, one in enumerate(recent)), default=(NEVER, 0))
            if cost < NEVER:
                recent[n].absorb(path)
            else:
                kept.append(path)
                recent.append(path)
        return kept

    def _break(self, path: Tracklet, later: Tracklet) -> float:
        """What it costs to take two paths for one face; NEVER where they are two."""
        key = later.keys[0]
        gap = key.frame - len(later.head) - path.ends
        if not 0 <= gap <= self._bridge or key.frame <= path.keys[-1].frame or path.growth(key) > GROWTH:
            return NEVER
        distance, unlike = path.distance(key), min(path.unlike(looks) for looks in later.looks)
        if unlike > UNLIKE or not _same_again(distance, unlike):
            return NEVER
        return distance + 0.5 * unlike

    def _match(self, look: Look, keys: list[Key]) -> None:
        faces = [appearance_of(look.small, key.points[LANDMARKS:], roll(key.points[:LANDMARKS])) for key in keys]
        seen = list(zip(keys, faces, strict=True))
        cost = np.array([[self._cost(path, key, face) for key, face in seen] for path in self._open])
        matched: dict[int, int] = {}
        if cost.size:
            # A third of a second, which films without faces need not wait.
            from scipy.optimize import linear_sum_assignment

            pairs = zip(*(places.tolist() for places in linear_sum_assignment(cost)), strict=True)
            matched = {i: j for i, j in pairs if cost[i, j] < NEVER}
        for i, j in matched.items():
            self._open[i].extend(*seen[j], self._past)
        self._miss([path for i, path in enumerate(self._open) if i not in matched], look.index)
        used = set(matched.values())
        for j, (key, face) in enumerate(seen):
            if j not in used and key.score >= self._settings.min_score:
                self._open.append(Tracklet.begin(key, face, self._past))

    def _cost(self, path: Tracklet, key: Key, face: Appearance) -> float:
        distance = path.distance(key)
        unlike = path.unlike(face)
        near = distance <= NEAR and path.missed is None
        lost = path.missed is not None or not path.follower.alive
        possible = near or (lost and _same_again(distance, unlike))
        # The face may have come back since the detector looked last.
        too_late = key.frame - path.ends >= self._bridge + self._settings.detect_every
        carried = near and path.flows_to(key.frame) and _distance(path.follower.points, key) <= DRIFT
        most_unlike = CARRIED if carried else OTHER if near else UNLIKE
        if too_late or not possible or unlike > most_unlike or path.growth(key) > GROWTH:
            return NEVER
        return distance + path.growth(key) + 0.5 * unlike

    def _miss(self, missed: list[Tracklet], frame: int) -> None:
        for path in missed:
            path.missed = frame if path.missed is None else path.missed
            if frame - path.ends >= self._bridge + self._settings.detect_every:
                self._open.remove(path)
                self._closed.append(path)


def _same_again(distance: float, unlike: float) -> bool:
    """Whether a face that was lost may be this one."""
    return distance <= FAR and distance + 0.5 * unlike <= DOUBT
