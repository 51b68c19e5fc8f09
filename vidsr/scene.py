"""The part of a film that a preview shows: which frames, and the faces in them, without analysing the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vidsr import highlight, jobs
from vidsr.analysis import Analysis
from vidsr.config import MAX_WINDOW, Preview
from vidsr.errors import InputError
from vidsr.frame import Track
from vidsr.passes import analyse_part, detector_of
from vidsr.plan import Plan
from vidsr.video.stamps import promised_timeline

MARGIN_S = 1.0
"""Looked at on either side of the range: what bridges gaps and steadies faces in it sees no farther."""
MOST_FRAMES = 1500
"""A page holds each frame's time and each face's place in it."""

Stamps = NDArray[np.int64]


@dataclass(frozen=True, repr=False)
class Scene:
    """Frames `first` to `stop` of a film, and its analysis.

    Where `whole` is False, only the range and its margins were analysed: numbers of tracks are not those of the film's.
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


def scene(work: Plan, part: Preview, watch: jobs.Watch) -> Scene:
    """Settle the range and analyse no more than it needs; InputError where the film has no such frames."""
    if work.settings.tracks is None and (timeline := promised_timeline(work.film)) is not None:
        try:
            return _partial(work, part, timeline, watch)
        except _Outside:
            raise
        except InputError:
            pass  # its frames do not keep what its packets promise, or it is damaged: the whole is read, and tells
    analysis, _ = jobs.analysis_of(work, watch)
    span, chosen = _asked(work, part, analysis.timeline)
    span = span or highlight.telling_of(analysis, work.film, part.duration, MAX_WINDOW)
    return Scene(analysis, *span, True, chosen)


def _partial(work: Plan, part: Preview, timeline: Stamps, watch: jobs.Watch) -> Scene:
    film, settings = work.film, work.settings
    span, chosen = _asked(work, part, timeline)
    detector = detector_of(settings)
    if span is None:
        watch.stage("choose", None)
        span = highlight.telling(film, timeline, settings.analyze, detector, part.duration)
    margin = round(MARGIN_S * float(film.rate))
    first, stop = max(0, span[0] - margin), min(len(timeline), span[1] + margin)
    watch.stage("analyse", stop - first)
    found = analyse_part(film, timeline, (first, stop), settings, detector, watch)
    whole = (first, stop) == (0, len(timeline))
    return Scene(found, *span, whole, chosen)


class _Outside(InputError):
    """The film has no such frames."""


def _asked(work: Plan, part: Preview, timeline: Stamps) -> tuple[tuple[int, int] | None, str]:
    """The range that was asked for and how; no range where the film is to tell it."""
    span, how = part.frames, "as asked"
    if span is None and part.start is None:
        span, how = None, "chosen by faces, motion and cuts"
        _check(highlight.frames_of(part.duration, work.film, len(timeline)), work)
    elif span is None:
        end = (part.start or 0.0) + part.duration
        span = jobs.frame_range(timeline, work.film, replace(work.settings, start=part.start, end=end))
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
