"""What a film shows of faces, found out whole or, of a long film, from samples of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vidsr.analysis.tracks_file import Analysis
from vidsr.errors import InputError
from vidsr.jobs import film_job
from vidsr.jobs.passes import analyze_part, detector_of
from vidsr.jobs.plan import Plan
from vidsr.video.packets import promised_timeline

WHOLE_S = 120.0
"""Films up to this length are analyzed whole; of longer ones SAMPLES pieces of SAMPLE_S, spread evenly."""
SAMPLES, SAMPLE_S = 12, 5.0

Stamps = NDArray[np.int64]
Span = tuple[int, int]


@dataclass(frozen=True, repr=False)
class Look:
    """What is known of a film's faces: `seen` are the ranges that were analyzed, `seconds` what a frame of it took."""

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


def sampled_analysis(work: Plan, watch: film_job.Progress) -> Look:
    """Analyze a film, or samples of it where that would take long and no `--tracks` are given; writes nothing."""
    film, settings = work.film, work.settings
    long = (film.duration_s or 0.0) > WHOLE_S
    timeline = promised_timeline(film) if long and settings.tracks is None else None
    if timeline is not None:
        try:
            return _sampled(work, timeline, watch)
        except InputError:
            pass  # its frames do not keep what its packets promise, or it is damaged: the whole is read, and tells
    began = time.monotonic()
    analysis, damage = film_job.analysis_of(work, watch)
    seconds = 0.0 if settings.tracks is not None else (time.monotonic() - began) / analysis.frames
    return Look(analysis, ((0, analysis.frames),), damage, seconds)


def _sampled(work: Plan, timeline: Stamps, watch: film_job.Progress) -> Look:
    """The analysis of a few pieces of the range, in the film's numbers; ids of faces are not the film's."""
    film = work.film
    # The whole is read where a piece is damaged, and told of.
    settings = replace(work.settings, keep_going=False)
    detector = detector_of(settings)
    pieces = _pieces(*film_job.frame_range(timeline, film, settings), round(SAMPLE_S * float(film.rate)))
    watch.stage("samples", sum(stop - first for first, stop in pieces))
    began = time.monotonic()
    parts = [analyze_part(film, timeline, piece, settings, detector, watch) for piece in pieces]
    seconds = (time.monotonic() - began) / sum(stop - first for first, stop in pieces)
    starts = [0, *(start for part in parts for start, _ in part.shots[1:])]
    shots = tuple(zip(starts, [*starts[1:], len(timeline)], strict=True))
    tracks = tuple(replace(track, id=n) for n, track in enumerate((t for part in parts for t in part.tracks), 1))
    return Look(replace(parts[0], shots=shots, tracks=tracks), tuple(pieces), "", seconds)


def _pieces(first: int, stop: int, length: int) -> list[Span]:
    """SAMPLES ranges of `length` frames, evenly spread; the whole where that is no more."""
    if SAMPLES * length >= stop - first:
        return [(first, stop)]
    step = (stop - first) / SAMPLES
    starts = [first + round(step * (n + 0.5) - length / 2) for n in range(SAMPLES)]
    return [(start, start + length) for start in starts]
