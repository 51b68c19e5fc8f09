"""Films of several people on known paths: they cross, hide, come back, and are exchanged; who is where is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.scene import HEIGHT, WIDTH, Picture, Pose, backdrop, head, paste

LENGTH = 75
FACE_HIGH = 108.0
"""Height of the face in `head()`, pixels."""
FACE_HALF, HEAD_HALF = (36.0, 50.0), (80.0, 94.0)
"""Half axes of the face, and of what `paste` covers."""
MIDDLE = np.array([122.0, 132.0])
WALL = 96
BRIDGED = 24
"""Frames for which a face may be away and be the same track again."""
Rng = np.random.Generator


@dataclass(frozen=True)
class Actor:
    """A person and where the head is in each frame; None where it is out of the picture."""

    face: Picture
    poses: tuple[Pose | None, ...]


@dataclass(frozen=True)
class Play:
    """Actors, the last in front, before them a wall from x to x (or none) in each frame, and the place's seed."""

    name: str
    actors: tuple[Actor, ...]
    walls: tuple[tuple[float, float] | None, ...] = (None,) * LENGTH
    places: tuple[int, ...] = (1,) * LENGTH

    def draw(self, n: int) -> Picture:
        """Frame `n`."""
        picture = backdrop(self.places[n])
        for actor in self.actors:
            pose = actor.poses[n]
            picture = picture if pose is None else paste(picture, pose, actor.face)
        wall = self.walls[n]
        if wall is not None:
            picture = picture.copy()
            picture[:, max(0, round(wall[0])) : max(0, round(wall[1]))] = WALL
        return picture

    def seen(self, who: int, n: int) -> float:
        """Which share of an actor's face can be seen in frame `n`, 0..1."""
        pose = self.actors[who].poses[n]
        if pose is None:
            return 0.0
        points = _disc(FACE_HALF) @ pose.matrix[:, :2].T + pose.matrix[:, 2]
        free = (points >= 0).all(1) & (points < [WIDTH, HEIGHT]).all(1)
        for other in self.actors[who + 1 :]:
            front = other.poses[n]
            if front is not None:
                own = np.linalg.solve(front.matrix[:, :2], (points - front.matrix[:, 2]).T).T
                free &= (((own - MIDDLE) / HEAD_HALF) ** 2).sum(1) > 1
        wall = self.walls[n]
        if wall is not None:
            free &= (points[:, 0] < wall[0]) | (points[:, 0] > wall[1])
        return float(free.mean())


def _disc(half: tuple[float, float]) -> NDArray[np.float64]:
    """Points `(n, 2)` on an ellipse around the middle of `head()`'s face."""
    y, x = np.mgrid[-1:1:15j, -1:1:15j]
    inside = x**2 + y**2 <= 1
    return MIDDLE + np.stack([x[inside], y[inside]], axis=1) * half


def of_still(still: Picture) -> Picture:
    """An aligned 256-pixel still as a head that `scene.paste` takes."""
    small = cv2.resize(still, (176, 176), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.copyMakeBorder(small, 34, 30, 34, 30, cv2.BORDER_REPLICATE), np.uint8)


def variants() -> list[Picture]:
    """Four heads of the portrait that can be told apart: itself; mirrored and darker; with dark glasses; in blue."""
    plain = head()
    dark = np.asarray(plain[:, ::-1] * 0.6, np.uint8)
    glasses = plain.copy()
    for x in (106, 146):
        cv2.circle(glasses, (x, 104), 17, (15, 15, 20), -1, cv2.LINE_AA)
    cv2.line(glasses, (106, 104), (146, 104), (15, 15, 20), 3, cv2.LINE_AA)
    blue = np.asarray(np.clip(plain[:, ::-1] * np.array([0.55, 0.85, 1.15]), 0, 255), np.uint8)
    return [plain, np.roll(dark, 3, axis=1), glasses, np.roll(blue, 3, axis=1)]


def _moving(face: Picture, xs: Iterable[float], y: float, scale: float) -> Actor:
    return Actor(face, tuple(Pose(float(x), y, scale) for x in xs))


def cross(faces: Sequence[Picture], rng: Rng) -> Play:
    """Two people walk past each other."""
    speeds, middle = rng.uniform(2.5, 6.5, 2), rng.uniform(200, 280)
    times = np.arange(LENGTH) - LENGTH / 2
    y, scale = rng.uniform(120, 150, 2), rng.uniform(0.45, 0.65, 2)
    behind = _moving(faces[0], middle + speeds[0] * times, y[0], scale[0])
    return Play("cross", (behind, _moving(faces[1], middle - speeds[1] * times, y[1], scale[1])))


def meet(faces: Sequence[Picture], rng: Rng) -> Play:
    """Two people come together until one hides the other in part or whole, and part again."""
    near, far = rng.uniform(0, 25), rng.uniform(70, 150)
    way = near + (far - near) * np.abs(np.linspace(-1, 1, LENGTH)) ** rng.uniform(1, 2)
    y, scale, middle = rng.uniform(120, 150, 2), rng.uniform(0.45, 0.65, 2), rng.uniform(210, 270)
    behind = _moving(faces[0], middle + way / 2, y[0], scale[0])
    return Play("meet", (behind, _moving(faces[1], middle - way / 2, y[1], scale[1])))


def _hidden(rng: Rng, longest: int) -> tuple[NDArray[np.float64], range, tuple[tuple[float, float] | None, ...]]:
    """A path, the frames in which it is hidden, and the wall before it, which goes with it, is drawn in from the right
    and drawn away to the right, over five frames each."""
    xs = rng.uniform(150, 240) + rng.uniform(-1, 2) * np.arange(LENGTH)
    begin = int(rng.integers(20, 28))
    hidden = range(begin, begin + int(rng.integers(10, longest)))
    walls: list[tuple[float, float] | None] = []
    for n in range(LENGTH):
        drawn = 1 - max(hidden.start - n, n - hidden.stop + 1, 0) / 6
        walls.append((xs[n] + 45 - 90 * drawn, xs[n] + 45) if drawn > 0 else None)
    return xs, hidden, tuple(walls)


def hide(faces: Sequence[Picture], rng: Rng) -> Play:
    """A face is covered for up to 0.9 s and comes back."""
    xs, _, walls = _hidden(rng, 23)
    return Play("hide", (_moving(faces[0], xs, rng.uniform(120, 150), rng.uniform(0.45, 0.65)),), walls)


def exchange(faces: Sequence[Picture], rng: Rng) -> Play:
    """A face is covered for up to 0.9 s, and it is another's that comes back at its place."""
    xs, hidden, walls = _hidden(rng, 23)
    y, scale = rng.uniform(120, 150), rng.uniform(0.45, 0.65)
    first = _moving(faces[0], xs, y, scale)
    second = _moving(faces[1], xs + rng.uniform(-8, 8), y + rng.uniform(-5, 5), scale * rng.uniform(0.9, 1.1))
    return Play("exchange", (_only(first, 0, hidden.stop), _only(second, hidden.start + 3, LENGTH)), walls)


def _only(actor: Actor, first: int, stop: int) -> Actor:
    return replace(actor, poses=tuple(p if first <= n < stop else None for n, p in enumerate(actor.poses)))


def passer(faces: Sequence[Picture], rng: Rng) -> Play:
    """Somebody walks past before a person who stands."""
    speed, x = rng.uniform(4, 10), rng.uniform(200, 280)
    y, scale = rng.uniform(125, 145, 2), rng.uniform(0.45, 0.65, 2)
    stands = _moving(faces[0], np.full(LENGTH, x) + rng.normal(0, 0.3, LENGTH), y[0], scale[0])
    walks = _moving(faces[1], x + speed * (np.arange(LENGTH) - LENGTH / 2), y[1], max(scale) + 0.1)
    return Play("passer", (stands, walks))


def mingle(faces: Sequence[Picture], rng: Rng) -> Play:
    """Four people on paths that cross again and again."""
    times = np.arange(LENGTH) / 25
    actors = []
    for face in faces[:4]:
        swing, rate, phase = rng.uniform(60, 150), rng.uniform(0.15, 0.4), rng.uniform(0, 2 * np.pi)
        xs = 240 + swing * np.sin(2 * np.pi * rate * times + phase)
        actors.append(_moving(face, xs, rng.uniform(90, 180), rng.uniform(0.35, 0.55)))
    return Play("mingle", tuple(actors))


def cut(faces: Sequence[Picture], rng: Rng) -> Play:
    """A cut to another person at the same place of the picture, elsewhere."""
    at = int(rng.integers(20, 50))
    places = tuple(1 if n < at else 2 for n in range(LENGTH))
    return replace(_recast(faces, rng, at), name="cut", places=places)


def recast(faces: Sequence[Picture], rng: Rng) -> Play:
    """From one frame to the next another person is at the same place, and the place is the same."""
    return _recast(faces, rng, int(rng.integers(20, 50)))


def _recast(faces: Sequence[Picture], rng: Rng, at: int) -> Play:
    xs, y, scale = rng.uniform(150, 300) + rng.uniform(-1, 1) * np.arange(LENGTH), 136.0, rng.uniform(0.45, 0.65)
    first, second = (_moving(face, xs, y, scale) for face in faces[:2])
    return Play("recast", (_only(first, 0, at), _only(second, at, LENGTH)))


PLAYS: tuple[Callable[[Sequence[Picture], Rng], Play], ...] = (
    cross, meet, hide, exchange, passer, mingle, cut, recast,
)  # fmt: skip


@dataclass(frozen=True)
class Casting:
    """How well tracks keep people apart: tracks that changed the person, people who got more than one track without
    need, and the share of frames with a visible face that had no track."""

    switches: int
    fragments: int
    missed: float


Places = dict[int, tuple[float, float]]
"""Frames of a track with the middle of its face."""


def casting(play: Play, tracks: Sequence[Places]) -> Casting:
    """Compare tracks with what is known of a play."""
    seen = {(who, n): play.seen(who, n) for who in range(len(play.actors)) for n in range(LENGTH)}
    casts = [[_who(play, seen, n, place) for n, place in sorted(track.items())] for track in tracks]
    switches = sum(_changes(cast) for cast in casts)
    on = [sum(cast.count(who) >= 5 for cast in casts) - _absences(seen, who) for who in range(len(play.actors))]
    covered = {(who, n) for track in tracks for n, p in track.items() if (who := _who(play, seen, n, p)) is not None}
    wanted = {key for key, share in seen.items() if share > 0.8}
    return Casting(switches, sum(max(0, n - 1) for n in on), len(wanted - covered) / max(1, len(wanted)))


def _who(play: Play, seen: dict[tuple[int, int], float], n: int, place: tuple[float, float]) -> int | None:
    """The visible actor whose face is nearest to a place, if it is near."""
    best, least = None, 0.5
    for who, actor in enumerate(play.actors):
        pose = actor.poses[n]
        if pose is None or seen[who, n] < 0.4:
            continue
        off = float(np.hypot(place[0] - pose.x, place[1] - pose.y)) / (FACE_HIGH * pose.scale)
        best, least = (who, off) if off < least else (best, least)
    return best


def _absences(seen: dict[tuple[int, int], float], who: int) -> int:
    """How often an actor is hidden for longer than tracks are bridged."""
    hidden = groupby(seen[who, n] < 0.7 for n in range(LENGTH))
    return sum(is_hidden and len(list(run)) > BRIDGED for is_hidden, run in hidden)


def _changes(cast: Sequence[int | None]) -> int:
    """How often a track goes from one actor to another; a frame or two beside a crossing do not count."""
    known = [who for who in cast if who is not None]
    runs: list[tuple[int, int]] = []
    for who in known:
        runs = [*runs[:-1], (who, runs[-1][1] + 1)] if runs and runs[-1][0] == who else [*runs, (who, 1)]
    steady = [who for who, length in runs if length >= 4]
    return sum(a != b for a, b in pairwise(steady))
