"""Heads that are turned in the picture: found where an upright look finds no face, then looked at as if upright."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from vidsr.analysis.alignment import roll
from vidsr.analysis.cuts import Look
from vidsr.analysis.detector import Detector, intersection_over_union, suppress
from vidsr.analysis.upright_patch import View, quarters
from vidsr.frame import Detection, Floats
from vidsr.picture import Colour, Small, reduce, to_rgb

PATCH, FACE = 128, 56.0
"""Side of the square in which one face is looked at, and the face's size there (the root of its box's area)."""
TILTED, UPRIGHT = float(np.radians(45)), float(np.radians(35))
"""A head that is turned by more than the first is looked at in a square that is turned like it, until it is turned by
less than the second: beyond 45 degrees an upright look may be wrong about the roll by as much."""
REACH = float(np.radians(60))
"""A detection that is turned by more than this in its square says nothing of how the head is turned."""
VOTES = 8
"""Squares, evenly turned, in which a face is looked at whose roll is in doubt."""
AGREE = float(np.radians(25))
"""Two of these looks agree where their rolls differ by less."""
SURE = 0.7
"""A turned head begins with a score of this much in an upright square; upright ones have 0.8 to 0.95 there."""
SOUGHT, MOST = 320, 4
"""Long side of the picture in which turned heads are sought; how many places are looked at more closely then."""
SELDOM = 48
"""Looks after which they are sought again in a shot that shows no face; where one is turned, others are likely, and are
sought whenever the whole picture is looked at."""
PATIENCE = 6
"""Looks for which a turned head that is not found is waited for where it was."""
SAME = 0.3
"""A face is one that was seen before where their boxes overlap by more than this."""


@dataclass
class _Head:
    face: Detection
    missed: int = 0


class RotatedHeads:
    """Sets right what an upright detector finds in looks that come in order, and adds the heads that it cannot see.

    `faces` are the turned heads in the last look. `lost` says that one of them has just not been found again.
    """

    def __init__(self, detector: Detector, colour: Colour, min_score: float) -> None:
        self.detector = detector
        self._colour = colour
        self._min_score = min_score
        self._heads: list[_Head] = []
        self._past: deque[list[Detection]] = deque(maxlen=PATIENCE)
        self._since = SELDOM
        self.lost = False

    @property
    def faces(self) -> list[Detection]:
        return [head.face for head in self._heads if not head.missed]

    def __call__(self, look: Look, found: Sequence[Detection], whole: bool) -> list[Detection]:
        """Take what an upright look found, at the whole picture or not; give those of it that are upright faces."""
        self._since += 1
        if look.cut:
            self._heads, self._since = [], SELDOM
            self._past.clear()
        risen = self._follow(look.small)
        known = [*self.faces, *risen]
        upright = [*risen, *self._righted(look.small, [one for one in found if not is_among(one, known)])]
        due = bool(self._heads) or self._since >= SELDOM
        if whole and due and not any(map(self._strong, upright)):
            self._since = 0
            self._seek(look.small, upright)
            upright = [one for one in upright if not is_among(one, self.faces)]
        self._past.append([one for one in upright if self._strong(one) or self._is_known(one)])
        return upright

    def all(self, look: Look, found: Sequence[Detection]) -> list[Detection]:
        """The same where all looks are at the whole picture; gives upright and turned faces, strongest first."""
        upright = self(look, found, whole=True)
        return strongest_first([*upright, *self.faces])

    def _strong(self, one: Detection) -> bool:
        return one.score >= self._min_score

    def _is_known(self, one: Detection) -> bool:
        return any(is_among(one, past) for past in self._past)

    def _follow(self, small: Small) -> list[Detection]:
        """Find the turned heads again; those that are upright now are given away."""
        risen: list[Detection] = []
        self.lost = False
        for head in self._heads:
            again = self._seen_at(small, head.face, roll(head.face.landmarks))
            if again is None and not head.missed:
                again = self._voted(small, head.face)
            head.face, head.missed = (head.face, head.missed + 1) if again is None else (again, 0)
            self.lost = self.lost or head.missed == 1
        kept = [head for head in self._heads if head.missed <= PATIENCE]
        places = suppress(*_arrays([head.face for head in kept])) if kept else []
        self._heads = [kept[n] for n in places]
        for head in [head for head in self._heads if not head.missed and abs(roll(head.face.landmarks)) < UPRIGHT]:
            self._heads.remove(head)
            risen.append(head.face)
        return risen

    def _righted(self, small: Small, found: Iterable[Detection]) -> list[Detection]:
        """Those detections that are no turned heads; the others are known from now on."""
        upright: list[Detection] = []
        for one in found:
            true = self._true(small, one) if self._strong(one) else None
            if true is None:
                upright.append(one)
            elif not is_among(true, self.faces):
                self._heads.append(_Head(true))
        return upright

    def _true(self, small: Small, one: Detection) -> Detection | None:
        """The turned head that a detection is in truth; None where it is an upright face."""
        angle = roll(one.landmarks)
        tilted, known = abs(angle) > TILTED, self._is_known(one)
        width, height = (one.box[2:] - one.box[:2]).tolist()  # no upright face's box is wider than high
        if known:
            true = self._seen_at(small, one, angle) if tilted else None
        elif tilted or width > height or self._seen_at(small, one, angle + np.pi, SURE) is not None:
            true = self._voted(small, one)
        else:
            true = None
        return true if true is not None and abs(roll(true.landmarks)) > TILTED else None

    def _seek(self, small: Small, weak: Sequence[Detection]) -> None:
        """Look at the whole picture, reduced, in quarter turns, and more closely where there may be a turned head."""
        reduced = reduce(small, 8, SOUGHT)
        ratio = small.luma.shape[1] / reduced.luma.shape[1]
        found = list(weak)
        for picture, view in quarters(to_rgb(reduced, self._colour)):
            view = View(view.turn / ratio, view.shift)
            found += map(view.back, self.detector([picture])[0])
        for n in suppress(*_arrays(found))[:MOST] if found else []:
            if self._seen_at(small, found[n], roll(found[n].landmarks), self._min_score) is not None:
                true = self._voted(small, found[n])
                # Between the two an upright look often sees nothing, as here.
                if true is not None and not is_among(true, self.faces) and abs(roll(true.landmarks)) > UPRIGHT:
                    self._heads.append(_Head(true))

    def _voted(self, small: Small, face: Detection) -> Detection | None:
        """A face as it is turned by the looks in VOTES squares that agree; None where they do not, or it is none."""
        angles = [2 * np.pi * n / VOTES for n in range(VOTES)]
        seen = [face, *(one for angle in angles if (one := self._seen_at(small, face, angle)) is not None)]
        groups = [[one for one in seen if _apart(one, other) < AGREE] for other in seen]
        best = max(groups, key=lambda group: sum(one.score for one in group))
        if len(best) < 2:
            return None
        mean = np.angle(sum(one.score * np.exp(1j * roll(one.landmarks)) for one in best))
        return self._seen_at(small, max(best, key=lambda one: one.score), float(mean), SURE)

    def _seen_at(self, small: Small, face: Detection, angle: float, least: float = 0.0) -> Detection | None:
        """The face in the square around a known one in which what is turned by `angle` is upright."""
        x, y = face.landmarks.mean(axis=0).tolist()
        view = View.around(complex(x, y), PATCH, FACE / _size(face), angle)
        (found,) = self.detector([to_rgb(view.of(small, PATCH), self._colour)])
        for one in found:
            middle = one.landmarks.mean(axis=0) - PATCH / 2
            if one.score >= least and np.hypot(*middle) < FACE / 2 and abs(roll(one.landmarks)) < REACH:
                return view.back(one)
        return None


def strongest_first(faces: Iterable[Detection]) -> list[Detection]:
    """Detections in order of their scores."""
    return sorted(faces, key=lambda one: -one.score)


def _size(face: Detection) -> float:
    return float(np.sqrt(np.prod(np.maximum(face.box[2:] - face.box[:2], 1.0))))


def _apart(one: Detection, other: Detection) -> float:
    """The angle between two heads."""
    return float(abs(np.angle(np.exp(1j * (roll(one.landmarks) - roll(other.landmarks))))))


def is_among(one: Detection, known: Sequence[Detection]) -> bool:
    """Whether a detection is on one of some faces."""
    return bool(known) and bool(intersection_over_union(one.box, _arrays(known)[0]).max() > SAME)


def _arrays(faces: Sequence[Detection]) -> tuple[Floats, Floats]:
    """Their boxes `(n, 4)` and scores `(n,)`."""
    return np.array([one.box for one in faces]), np.array([one.score for one in faces], np.float32)
