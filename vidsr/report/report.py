"""What happened to every frame and every track of a film, for a program to read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
from msgspec import Meta

from vidsr.files import storage_errors, write_atomic
from vidsr.frame import Track
from vidsr.restore.quality_totals import Quality, QualityTotals, Sample

VERSION: Final = 1
CURVES = 200
"""Tracks whose curves are kept, the longest; of each as many samples as `QualityTotals` has."""
NO_FACE = "no face found"
HIDDEN = "the face is hidden, lost or in profile for the moment"
OUTSIDE = "outside of --start and --end"
COVERED = 0.85
"""Agreement below which a face is said to be covered, or too unclear."""
MOST_TOLD = 5
"""Faces that the summary names; the others are counted."""
TOO_SMALL = 24.0
"""Faces whose box is lower than this many pixels show mostly what the model has learnt, not who was there."""
Count = Annotated[int, Meta(ge=0, le=1 << 40)]
Place = tuple[int, int, int, int, int]
"""A frame, and a face's box in it: x0, y0, x1, y1, pixels of the input."""


@dataclass(frozen=True)
class Span:
    """Consecutive frames, `stop` excluded, that fared alike: `state` is "restored" or "passed", `reason` says why."""

    first: Count
    stop: Count
    state: str
    reason: str


@dataclass(frozen=True)
class TrackReport:
    """One track: where it was, how high its face (median pixels), and whether it was restored.

    `shown` is the share of its frames in which it was; `agreement` and the sharpness before and after are means of its
    measures (see `Quality`), None where no frame of it was judged. `place` has a frame in which it is shown well, and
    `curve` samples of agreement, and sharpness before and after; reports of earlier versions have neither.
    """

    id: Count
    first: Count
    stop: Count
    height: float
    score: float
    shown: float
    agreement: float | None
    sharpness_before: float | None
    sharpness_after: float | None
    state: str
    reason: str
    warning: str
    place: tuple[Place, ...] = ()
    curve: tuple[Sample, ...] = ()


@dataclass(frozen=True)
class Report:
    """One finished film. `frames` covers every frame of the output's range; `warnings` are sentences for the user.

    `rate` is in frames a second, `shots` are (first, stop) in the output's range, `command` are the words that make the
    film again, `copied` says that the picture is the input's own, not coded again, and `codec` by which encoder it was
    otherwise; reports of earlier versions lack them.
    """

    version: Literal[1]
    input: str
    output: str
    model: str
    scale: Annotated[int, Meta(ge=1, le=4)]
    first: Count
    stop: Count
    frames: tuple[Span, ...]
    tracks: tuple[TrackReport, ...]
    warnings: tuple[str, ...]
    rate: float | None = None
    shots: tuple[tuple[int, int], ...] = ()
    command: tuple[str, ...] = ()
    copied: bool = False
    codec: str = ""

    @property
    def restored(self) -> int:
        """How many frames had at least one face restored."""
        return sum(span.stop - span.first for span in self.frames if span.state == "restored")

    def save(self, path: Path) -> None:
        """Write the report as JSON, as `report.schema.json` describes it; OutputError where that cannot be."""
        with storage_errors(path):
            write_atomic(path, json.dumps(dataclasses.asdict(self), indent=1) + "\n")


def outside(tracks: Sequence[Track], first: int, stop: int) -> dict[int, str]:
    """The reason of every track that no frame of the range `first` to `stop` shows."""
    return {track.id: OUTSIDE for track in tracks if track.stop <= first or stop <= track.first}


def track_reports(
    tracks: Sequence[Track], passed: Mapping[int, str], totals: QualityTotals, span: tuple[int, int] | None = None
) -> tuple[TrackReport, ...]:
    """What became of each track; `passed` has the reasons of those not restored, `totals` how the others came out.

    The output shows the frames of `span`, or all.
    """
    longest = {track.id for track in sorted(tracks, key=len, reverse=True)[:CURVES]}
    reports = []
    for track in tracks:
        reason, found = passed.get(track.id), totals.mean(track.id)
        report = TrackReport(
            track.id,
            track.first,
            track.stop,
            height=round(track.height, 1),
            score=round(float(track.score.mean()), 3),
            shown=round(float((track.weight > 0).mean()), 3) if reason is None else 0.0,
            agreement=round(found.agreement, 3) if found else None,
            sharpness_before=round(found.before, 2) if found else None,
            sharpness_after=round(found.after, 2) if found else None,
            state="restored" if reason is None else "passed",
            reason=reason or "",
            warning=_warning(track, found) if reason is None else "",
            place=(_place_of(track, span),),
            curve=tuple(sorted(totals.samples.get(track.id, []))) if track.id in longest else (),
        )
        reports.append(report)
    return tuple(reports)


def _place_of(track: Track, span: tuple[int, int] | None) -> Place:
    """Where the face is shown best in the frames of the output, or in all of its own where it is in none of them."""
    first, stop = (max(track.first, span[0]), min(track.stop, span[1])) if span else (0, 0)
    frame = track.moment(first, stop) if first < stop else track.moment(track.first, track.stop)
    x0, y0, x1, y1 = (round(value) for value in track.boxes[frame - track.first].tolist())
    return frame, x0, y0, x1, y1


def _warning(track: Track, found: Quality | None) -> str:
    words = []
    if track.height < TOO_SMALL:
        words.append(f"reconstructed from a face {track.height:.0f} pixels high: do not use it to identify a person")
    if found is not None and found.agreement < COVERED:
        words.append(f"the input contradicts {1 - found.agreement:.0%} of the restored face, and was kept there")
    return "; ".join(words)


def spans_of(first: int, stop: int, tracks: Sequence[Track], passed: Mapping[int, str]) -> tuple[Span, ...]:
    """The range `first` to `stop` as runs of frames that fared alike."""
    restored = np.zeros(stop - first, bool)
    kinds = sorted({*passed.values(), HIDDEN})
    why = np.zeros((stop - first, len(kinds)), bool)
    for track in tracks:
        begin, end = max(track.first, first), min(track.stop, stop)
        if begin >= end:
            continue
        shown = track.weight[begin - track.first : end - track.first] > 0
        here = slice(begin - first, end - first)
        if track.id in passed:
            why[here, kinds.index(passed[track.id])] = True
        else:
            restored[here] |= shown
            why[here, kinds.index(HIDDEN)] |= ~shown
    why[restored] = False
    states = np.column_stack([restored, why])
    edges = [0, *(np.flatnonzero((states[1:] != states[:-1]).any(axis=1)) + 1).tolist(), stop - first]
    spans = []
    for a, b in pairwise(edges):
        reasons = [kind for kind, on in zip(kinds, why[a], strict=True) if on]
        fate = ("restored", "") if restored[a] else ("passed", "; ".join(reasons) or NO_FACE)
        spans.append(Span(first + a, first + b, *fate))
    return tuple(spans)


def _told(track: TrackReport) -> Iterator[str]:
    if track.warning:
        yield f"  face {track.id}: {track.warning}"
    elif track.state == "passed" and track.reason != OUTSIDE:
        yield f"  face {track.id}: passed through, {track.reason}"


def summary(report: Report) -> Iterator[str]:
    """What a user wants to read at the end of a film."""
    total = report.stop - report.first
    coded = f", {report.codec}" if report.codec and not report.copied else ""
    yield f"{report.output}: {total} frames at x{report.scale}{coded}, faces restored in {report.restored}"
    if report.copied:
        yield "  nothing is changed in the picture: it is copied, not coded again"
    told = [line for track in report.tracks for line in _told(track)]
    yield from told[:MOST_TOLD]
    if len(told) > MOST_TOLD:
        yield f"  and {len(told) - MOST_TOLD} more faces; --report tells of each"
    outside = sum(track.reason == OUTSIDE for track in report.tracks)
    if outside:
        yield f"  {outside} faces are {OUTSIDE}"
    for warning in report.warnings:
        yield f"  warning: {warning}"
