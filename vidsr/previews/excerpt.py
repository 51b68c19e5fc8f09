"""The part of a film that a preview shows: which frames, and the faces in them, without analyzing the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vidsr.analysis.detector import Detector
from vidsr.analysis.tracks_file import Analysis
from vidsr.config import MAX_WINDOW, Analyze, Preview
from vidsr.errors import InputError
from vidsr.frame import Frame, Track
from vidsr.jobs import passes
from vidsr.jobs.events import Meter
from vidsr.jobs.passes import analyze_part, detector_of
from vidsr.jobs.plan import Plan
from vidsr.picture import Rgb, small_rgb
from vidsr.video import Film
from vidsr.video.packets import promised_timeline
from vidsr.video.reader import picked

MARGIN_S = 1.0
"""Looked at on either side of the range: what bridges gaps and steadies faces in it sees no farther."""
MOST_FRAMES = 1500
"""A page holds each frame's time and each face's place in it."""

SAMPLES = 12
"""Places that are looked at where the film has not been analyzed."""
APART_S = 0.2
"""Between the two frames of a place whose difference is motion."""
MANY = 4.0  # faces: more tell no more
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


def scene(work: Plan, part: Preview, meter: Meter) -> Scene:
    """Settle the range and analyze no more than it needs; InputError where the film has no such frames."""
    if work.settings.tracks is None and (timeline := promised_timeline(work.film)) is not None:
        try:
            return _partial(work, part, timeline, meter)
        except _Outside:
            raise
        except InputError:
            pass  # its frames do not keep what its packets promise, or it is damaged: the whole is read, and tells
    analysis, _ = passes.analysis_of(work, meter)
    span, chosen = _asked(work, part, analysis.timeline)
    span = span or telling_of(analysis, work.film, part.duration)
    return Scene(analysis, *span, True, chosen)


def _partial(work: Plan, part: Preview, timeline: Stamps, meter: Meter) -> Scene:
    film, settings = work.film, work.settings
    span, chosen = _asked(work, part, timeline)
    detector = detector_of(settings)
    if span is None:
        meter.stage("choose", None)
        span = telling(film, timeline, settings.analyze, detector, part.duration)
    margin = round(MARGIN_S * float(film.rate))
    first, stop = max(0, span[0] - margin), min(len(timeline), span[1] + margin)
    meter.stage("analyze", stop - first)
    found = analyze_part(film, timeline, (first, stop), settings, detector, meter)
    whole = (first, stop) == (0, len(timeline))
    return Scene(found, *span, whole, chosen)


class _Outside(InputError):
    """The film has no such frames."""


def _asked(work: Plan, part: Preview, timeline: Stamps) -> tuple[tuple[int, int] | None, str]:
    """The range that was asked for and how; no range where the film is to tell it."""
    span, how = part.frames, "as asked"
    if span is None and part.start is None:
        span, how = None, "chosen by faces, motion and cuts"
        _check(frames_of(part.duration, work.film, len(timeline)), work)
    elif span is None:
        end = (part.start or 0.0) + part.duration
        span = passes.frame_range(timeline, work.film, replace(work.settings, start=part.start, end=end))
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


def frames_of(seconds: float, film: Film, count: int) -> int:
    """How many frames these seconds have, at least 1 and at most `count`."""
    return max(1, min(count, round(seconds * float(film.rate))))


def telling(film: Film, timeline: Stamps, settings: Analyze, detector: Detector, seconds: float) -> tuple[int, int]:
    """The range (first, stop) of about `seconds` around the best of a few places of a film that was not analyzed."""
    length, count = frames_of(seconds, film, len(timeline)), len(timeline)
    if length >= count:
        return 0, count
    places = sorted({int((n + 0.5) * count / SAMPLES) for n in range(SAMPLES)})
    pictures, worth = _looked_at(film, timeline, places, settings, detector)

    def other(at: int) -> int | None:
        """The neighbor of a place that shows another shot."""
        beside = (*places[at + 1 : at + 2], *places[max(0, at - 1) : at])
        return next((n for n in beside if difference(pictures[places[at]], pictures[n]) > OTHER), None)

    at = max(range(len(places)), key=lambda at: worth[at] + BESIDE * (other(at) is not None))
    best, beyond = places[at], other(at)
    cut = None if beyond is None else _edge(film, timeline, best, beyond, pictures[best])
    first = best - length // 2 if cut is None else cut - round(CUT * length)
    first = max(0, min(first, count - length))
    return first, first + length


def _looked_at(
    film: Film, timeline: Stamps, places: Sequence[int], settings: Analyze, detector: Detector
) -> tuple[dict[int, Rgb], list[float]]:
    """Small pictures of these frames and those soon after, and what each place is worth: its faces and its motion."""
    apart = max(1, round(APART_S * float(film.rate)))
    after = [min(place + apart, len(timeline) - 1) for place in places]
    pictures: dict[int, Rgb] = {}
    faces: dict[int, float] = {}
    for frame in picked(film, timeline, sorted({*places, *after})):
        pictures[frame.index] = small_rgb(frame, film, TINY)
        if frame.index in places:
            faces[frame.index] = _faces(frame, film, settings, detector)
    moved = [min(1.0, difference(pictures[a], pictures[b]) / OTHER) for a, b in zip(places, after, strict=True)]
    return pictures, [faces[place] + motion for place, motion in zip(places, moved, strict=True)]


def _faces(frame: Frame, film: Film, settings: Analyze, detector: Detector) -> float:
    """How many faces a frame shows that are restored, MANY at most; those that are too large count little."""
    picture = small_rgb(frame, film, settings.detect_side)
    scale = frame.luma.shape[0] / picture.shape[0]
    found = [one for one in detector([picture])[0] if one.score >= settings.min_score]
    heights = [float(one.box[3] - one.box[1]) * scale for one in found]
    return min(MANY, sum(1.0 if height <= LARGEST else 0.25 for height in heights if height >= settings.min_face))


def difference(one: Rgb, other: Rgb) -> float:
    """Mean absolute difference of two small pictures, of 255."""
    return float(np.mean(cv2.absdiff(one, other)))


def _edge(film: Film, timeline: Stamps, alike: int, changed: int, picture: Rgb) -> int:
    """Between `alike`, which shows `picture`, and `changed`, where the picture changes for good, to half a second."""
    while abs(changed - alike) > max(1.0, 0.5 * float(film.rate)):  # neighbors have nothing between them
        middle = (alike + changed) // 2
        seen = next(small_rgb(frame, film, TINY) for frame in picked(film, timeline, [middle]))
        if difference(picture, seen) > OTHER:
            changed = middle
        else:
            alike = middle
    return changed


def telling_of(analysis: Analysis, film: Film, seconds: float) -> tuple[int, int]:
    """The range (first, stop) that tells the most of a film that was analyzed: faces that are not too large to be
    restored, their motion, and a cut."""
    count = analysis.frames
    length = frames_of(seconds, film, count)
    faces, motion = np.zeros(count), np.zeros(count)
    for track in analysis.tracks:
        if track.window / track.factor > MAX_WINDOW:
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
    """Of every run of `length` neighbors `(n - length + 1,)`."""
    whole = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray(whole[length:] - whole[:-length])
