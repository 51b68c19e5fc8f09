"""The part of a film that a preview shows: which frames, and the faces in them, without analyzing the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vidsr.analysis.detector import Detector
from vidsr.analysis.tracks_file import Analysis
from vidsr.config import MAX_WINDOW, Analyze, Preview
from vidsr.errors import InputError
from vidsr.frame import Frame, Track
from vidsr.jobs import film_job
from vidsr.jobs.passes import analyze_part, detector_of
from vidsr.jobs.plan import Plan
from vidsr.picture import Rgb, small_rgb
from vidsr.previews import excerpt
from vidsr.video import Film
from vidsr.video.packets import promised_timeline
from vidsr.video.reader import picked

MARGIN_S = 1.0
"""Looked at on either side of the range: what bridges gaps and steadies faces in it sees no farther."""
MOST_FRAMES = 1500
"""A page holds each frame's time and each face's place in it."""

Stamps = NDArray[np.int64]


@dataclass(frozen=True, repr=False)
class Scene:
    """Frames `first` to `stop` of a film, and its analysis.

    Where `whole` is False, only the range and its margins were analyzed: numbers of tracks are not those of the film's.
    `chosen` says in words how the range was chosen.
    """

    analysis: Analysis
    first: int
    stop: int
    whole: bool
    chosen: str

    @property
    def span(self) -> tuple[int, int]:
        return self.first, self.stop

    @property
    def tracks(self) -> list[Track]:
        """The faces in the range, largest first."""
        inside = [t for t in self.analysis.tracks if t.first < self.stop and self.first < t.stop]
        return sorted(inside, key=lambda track: -track.height)


def scene(work: Plan, part: Preview, watch: film_job.Progress) -> Scene:
    """Settle the range and analyze no more than it needs; InputError where the film has no such frames."""
    if work.settings.tracks is None and (timeline := promised_timeline(work.film)) is not None:
        try:
            return _partial(work, part, timeline, watch)
        except _Outside:
            raise
        except InputError:
            pass  # its frames do not keep what its packets promise, or it is damaged: the whole is read, and tells
    analysis, _ = film_job.analysis_of(work, watch)
    span, chosen = _asked(work, part, analysis.timeline)
    span = span or excerpt.telling_of(analysis, work.film, part.duration, MAX_WINDOW)
    return Scene(analysis, *span, True, chosen)


def _partial(work: Plan, part: Preview, timeline: Stamps, watch: film_job.Progress) -> Scene:
    film, settings = work.film, work.settings
    span, chosen = _asked(work, part, timeline)
    detector = detector_of(settings)
    if span is None:
        watch.stage("choose", None)
        span = excerpt.telling(film, timeline, settings.analyze, detector, part.duration)
    margin = round(MARGIN_S * float(film.rate))
    first, stop = max(0, span[0] - margin), min(len(timeline), span[1] + margin)
    watch.stage("analyze", stop - first)
    found = analyze_part(film, timeline, (first, stop), settings, detector, watch)
    whole = (first, stop) == (0, len(timeline))
    return Scene(found, *span, whole, chosen)


class _Outside(InputError):
    """The film has no such frames."""


def _asked(work: Plan, part: Preview, timeline: Stamps) -> tuple[tuple[int, int] | None, str]:
    """The range that was asked for and how; no range where the film is to tell it."""
    span, how = part.frames, "as asked"
    if span is None and part.start is None:
        span, how = None, "chosen by faces, motion and cuts"
        _check(excerpt.frames_of(part.duration, work.film, len(timeline)), work)
    elif span is None:
        end = (part.start or 0.0) + part.duration
        span = film_job.frame_range(timeline, work.film, replace(work.settings, start=part.start, end=end))
    if span is not None and span[1] > len(timeline):
        count = len(timeline)
        raise _Outside(f"{work.film.path} has {count} frames; --frames {span[0]}:{span[1]} goes beyond")
    if span is not None:
        _check(span[1] - span[0], work)
    return span, how


def _check(frames: int, work: Plan) -> None:
    if frames > MOST_FRAMES:
        raise _Outside(
            f"{frames} frames of {work.film.path.name} are too many for a page: up to {MOST_FRAMES} can be previewed; "
            "`vidsr enhance` takes --start and --end"
        )


SAMPLES = 12
"""Places that are looked at where the film has not been analyzed."""
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
    """The range (first, stop) of about `seconds` around the best of a few places of a film that was not analyzed."""
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
    """The range (first, stop) that tells the most of a film that was analyzed: faces whose window is at most
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
