"""The part of a film that a preview shows: which frames, and the faces in them, without analyzing the rest."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vidsr.analysis.tracks_file import Analysis
from vidsr.config import Preview
from vidsr.errors import InputError
from vidsr.frame import Track
from vidsr.jobs import passes
from vidsr.jobs.estimate import Span, frames_of, sampled_analysis, telling_of
from vidsr.jobs.events import Meter
from vidsr.jobs.plan import Plan
from vidsr.video.packets import promised_timeline

MARGIN_S = 1.0
"""Looked at on either side of the range: what bridges gaps and steadies faces in it sees no farther."""
MOST_FRAMES = 1500
"""A page holds each frame's time and each face's place in it."""
SAMPLE_S, SAMPLE_FRAMES = 0.24, 6
"""Length, at least, of the pieces that are looked at to choose a range where the film has not been analyzed: a track
that lasts 0.2 s is kept."""


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
    timeline = None if work.settings.tracks else promised_timeline(work.film)
    if timeline is not None:
        span, chosen = _asked(work, part, timeline)
        # Where its frames do not keep what its packets promise, or it is damaged, the whole is read, and tells.
        with suppress(InputError):
            return _partial(work, span or _telling(work, part.duration, meter), timeline, chosen, meter)
    analysis, _ = passes.analysis_of(work, meter)
    span, chosen = _asked(work, part, analysis.timeline)
    return Scene(analysis, *(span or telling_of(analysis, work.film, part.duration)), True, chosen)


def _telling(work: Plan, seconds: float, meter: Meter) -> Span:
    """The range of so many seconds around those that tell the most in samples of the film."""
    look = sampled_analysis(work, meter, max(SAMPLE_S, SAMPLE_FRAMES / float(work.film.rate)))
    first, stop = telling_of(look.analysis, work.film, seconds, look.seen)
    length = frames_of(seconds, work.film, look.analysis.frames)
    first = max(0, min((first + stop - length) // 2, look.analysis.frames - length))
    return first, first + length


def _partial(work: Plan, span: Span, timeline: NDArray[np.int64], chosen: str, meter: Meter) -> Scene:
    margin = round(MARGIN_S * float(work.film.rate))
    first, stop = max(0, span[0] - margin), min(len(timeline), span[1] + margin)
    meter.stage("analyze", stop - first)
    detector = passes.detector_of(work.settings)
    found = passes.analyze_part(work.film, timeline, (first, stop), work.settings, detector, meter)
    return Scene(found, *span, (first, stop) == (0, len(timeline)), chosen)


def _asked(work: Plan, part: Preview, timeline: NDArray[np.int64]) -> tuple[Span | None, str]:
    """The range that was asked for, None where the film is to tell it, and how it is chosen."""
    span, count = part.frames, len(timeline)
    if span is None and part.start is not None:
        settings = replace(work.settings, start=part.start, end=part.start + part.duration)
        span = passes.frame_range(timeline, work.film, settings)
    if span is not None and span[1] > count:
        raise InputError(f"{work.film.path} has {count} frames; --frames {span[0]}:{span[1]} goes beyond")
    frames = span[1] - span[0] if span is not None else frames_of(part.duration, work.film, count)
    if frames > MOST_FRAMES:
        raise InputError(
            f"{frames} frames of {work.film.path.name} are too many for a page: up to {MOST_FRAMES} can be previewed; "
            "`vidsr enhance` takes --start and --end"
        )
    return span, "as asked" if span is not None else "chosen by faces, motion and cuts"
