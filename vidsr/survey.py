"""What a film shows of faces, found out whole or, of a long film, from samples of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vidsr import jobs
from vidsr.analysis import Analysis
from vidsr.detect import open_detector
from vidsr.errors import InputError
from vidsr.frame import Frame, Track
from vidsr.plan import Plan
from vidsr.stream import prefetch
from vidsr.track import analyse
from vidsr.upscale import pick_device
from vidsr.video import Reader
from vidsr.video.stamps import promised_timeline

WHOLE_S = 120.0
"""Films up to this length are analysed whole; of longer ones SAMPLES pieces of SAMPLE_S, spread evenly."""
SAMPLES, SAMPLE_S = 12, 5.0

Stamps = NDArray[np.int64]
Span = tuple[int, int]


@dataclass(frozen=True, repr=False)
class Look:
    """What is known of a film's faces: `seen` are the ranges that were analysed, `seconds` what a frame of it took."""

    analysis: Analysis
    seen: tuple[Span, ...]
    damage: str
    seconds: float

    @property
    def frames(self) -> int:
        return sum(stop - first for first, stop in self.seen)

    @property
    def whole(self) -> bool:
        return self.frames == self.analysis.frames


def survey(work: Plan, watch: jobs.Watch) -> Look:
    """Analyse a film, or samples of it where that would take long and no `--tracks` are given; writes nothing."""
    film, settings = work.film, work.settings
    long = (film.duration_s or 0.0) > WHOLE_S
    timeline = promised_timeline(film) if long and settings.tracks is None else None
    if timeline is not None:
        try:
            return _sampled(work, timeline, watch)
        except InputError:
            pass  # its frames do not keep what its packets promise, or it is damaged: the whole is read, and tells
    began = time.monotonic()
    analysis, damage = jobs.analysis_of(work, watch)
    seconds = 0.0 if settings.tracks is not None else (time.monotonic() - began) / analysis.frames
    return Look(analysis, ((0, analysis.frames),), damage, seconds)


def _sampled(work: Plan, timeline: Stamps, watch: jobs.Watch) -> Look:
    """The analysis of a few pieces of the range, in the film's numbers; ids of faces are not the film's."""
    film, settings = work.film, work.settings.analyze
    detector = open_detector(settings, str(pick_device(work.settings.render.device)))
    pieces = _pieces(*jobs.frame_range(timeline, film, work.settings), round(SAMPLE_S * float(film.rate)))
    watch.stage("samples", sum(stop - first for first, stop in pieces))
    began = time.monotonic()
    starts, tracks = [0], list[Track]()
    for first, stop in pieces:
        with Reader(film, first=first, stop=stop, timeline=timeline) as reader, prefetch(reader, jobs.AHEAD) as frames:
            found = analyse(_renumbered(frames, first, watch), film, settings, detector)
        starts += [start + first for start, _ in found.shots[1:]]
        tracks += [
            replace(track, id=len(tracks) + n, first=track.first + first) for n, track in enumerate(found.tracks, 1)
        ]
    seconds = (time.monotonic() - began) / sum(stop - first for first, stop in pieces)
    shots = tuple(zip(starts, [*starts[1:], len(timeline)], strict=True))
    whole = Analysis(film.path.name, film.width, film.height, film.time_base, timeline, shots, tuple(tracks))
    return Look(whole, tuple(pieces), "", seconds)


def _pieces(first: int, stop: int, length: int) -> list[Span]:
    """SAMPLES ranges of `length` frames, evenly spread; the whole where that is no more."""
    if SAMPLES * length >= stop - first:
        return [(first, stop)]
    step = (stop - first) / SAMPLES
    starts = [first + round(step * (n + 0.5) - length / 2) for n in range(SAMPLES)]
    return [(start, start + length) for start in starts]


def _renumbered(frames: Iterator[Frame], first: int, watch: jobs.Watch) -> Iterator[Frame]:
    for frame in frames:
        watch.advance(1, 0)
        yield replace(frame, index=frame.index - first)
