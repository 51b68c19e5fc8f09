"""Which seconds of a film tell the most: faces that are restored, motion, a cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vidsr.analysis import Analysis
from vidsr.config import Analyze
from vidsr.detect import Detector
from vidsr.frame import Frame
from vidsr.picture import Rgb, small_rgb
from vidsr.video import Film
from vidsr.video.pick import picked

SAMPLES = 12
"""Places that are looked at where the film has not been analysed."""
APART_S = 0.2
"""Between the two frames of a place whose difference is motion."""
MANY = 4  # faces: more tell no more
LARGEST = 200.0
"""Pixels: faces higher than about this are passed through, and tell little."""
TINY = 64  # long side of the pictures whose difference is motion or a cut
OTHER = 30.0
"""Mean difference, of 255, from which on two pictures are of different shots."""
BESIDE = 0.5
"""What a cut beside a place is worth, in faces."""
CUT = 0.6
"""Share of the range that lies before its cut."""

Stamps = NDArray[np.int64]


@dataclass(frozen=True, repr=False, eq=False)
class _Sample:
    """What one place of the film shows."""

    index: int
    tiny: Rgb
    worth: float


def frames_of(seconds: float, film: Film, count: int) -> int:
    """How many frames these seconds have, at least 1 and at most `count`."""
    return max(1, min(count, round(seconds * float(film.rate))))


def telling(film: Film, timeline: Stamps, settings: Analyze, detector: Detector, seconds: float) -> tuple[int, int]:
    """The range (first, stop) of about `seconds` around the best of a few places of a film that was not analysed."""
    length, count = frames_of(seconds, film, len(timeline)), len(timeline)
    if length >= count:
        return 0, count
    places = sorted({int((n + 0.5) * count / SAMPLES) for n in range(SAMPLES)})
    samples = list(_samples(film, timeline, places, settings, detector))
    best = max(samples, key=lambda sample: sample.worth + BESIDE * (_other(sample, samples) is not None))
    beyond = _other(best, samples)
    cut = None if beyond is None else _edge(film, timeline, best, beyond.index)
    first = best.index - length // 2 if cut is None else cut - round(CUT * length)
    first = max(0, min(first, count - length))
    return first, first + length


def _samples(
    film: Film, timeline: Stamps, places: Sequence[int], settings: Analyze, detector: Detector
) -> Iterator[_Sample]:
    apart = max(1, round(APART_S * float(film.rate)))
    after = {place: min(place + apart, len(timeline) - 1) for place in places}
    wanted = sorted({*places, *after.values()})
    tiny: dict[int, Rgb] = {}
    faces: dict[int, float] = {}
    for frame in picked(film, timeline, wanted):
        tiny[frame.index] = small_rgb(frame, film, TINY)
        if frame.index in after:
            faces[frame.index] = _faces(frame, film, settings, detector)
    for place in places:
        motion = min(1.0, difference(tiny[place], tiny[after[place]]) / OTHER)
        yield _Sample(place, tiny[place], faces[place] + motion)


def _faces(frame: Frame, film: Film, settings: Analyze, detector: Detector) -> float:
    """How many faces a frame shows that are restored, MANY at most; those that are too large count little."""
    picture = small_rgb(frame, film, settings.detect_side)
    scale = frame.luma.shape[0] / picture.shape[0]
    heights = [
        float(found.box[3] - found.box[1]) * scale
        for found in detector([picture])[0]
        if found.score >= settings.min_score
    ]
    worth = sum(1.0 if height <= LARGEST else 0.25 for height in heights if height >= settings.min_face)
    return min(float(MANY), worth)


def difference(one: Rgb, other: Rgb) -> float:
    """Mean absolute difference of two small pictures, of 255."""
    return float(np.mean(cv2.absdiff(one, other)))


def _other(sample: _Sample, samples: Sequence[_Sample]) -> _Sample | None:
    """The neighbour of a place that shows another shot; None where both are like it."""
    at = samples.index(sample)
    beside = (*samples[at + 1 : at + 2], *samples[max(0, at - 1) : at])
    return next((one for one in beside if difference(sample.tiny, one.tiny) > OTHER), None)


def _edge(film: Film, timeline: Stamps, best: _Sample, other: int) -> int:
    """Between `best` and the frame `other`, where the picture changes for good, to within half a second."""
    alike, changed = best.index, other
    while abs(changed - alike) > max(1.0, 0.5 * float(film.rate)):  # neighbours have nothing between them
        middle = (alike + changed) // 2
        picture = next(small_rgb(frame, film, TINY) for frame in picked(film, timeline, [middle]))
        if difference(best.tiny, picture) > OTHER:
            changed = middle
        else:
            alike = middle
    return changed


def telling_of(analysis: Analysis, film: Film, seconds: float, widest: float) -> tuple[int, int]:
    """The range (first, stop) that tells the most of a film that was analysed: faces whose window is at most
    `widest`, their motion, and a cut."""
    count = analysis.frames
    length = frames_of(seconds, film, count)
    faces, motion = np.zeros(count), np.zeros(count)
    for track in analysis.tracks:
        if track.window > widest:
            continue
        part = slice(track.first, track.stop)
        faces[part] += track.weight > 0
        middles = (track.boxes[:, :2] + track.boxes[:, 2:]) / 2
        steps = np.linalg.norm(np.diff(middles, axis=0, prepend=middles[:1]), axis=1)
        motion[part] = np.maximum(motion[part], steps / track.height * float(film.rate))
    cuts = np.zeros(count)
    for first, _ in analysis.shots[1:]:
        cuts[first] = 1.0
    worth = _sums(np.minimum(faces, MANY) + np.minimum(motion, 1.0), length) / length
    edge = length // 5  # a cut tells something where both sides of it are seen
    worth += np.minimum(_sums(cuts, length - 2 * edge)[edge : edge + len(worth)], 1.0)
    best = int(np.argmax(worth))
    return best, best + length


def _sums(values: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Of every run of `length` neighbours `(n - length + 1,)`."""
    whole = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray(whole[length:] - whole[:-length])
