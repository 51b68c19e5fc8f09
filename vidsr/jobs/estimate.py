"""What the work on a film will come to, from two seconds of it that are really done; nothing is written beside it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vidsr.analysis.tracks_file import Analysis
from vidsr.errors import InputError
from vidsr.frame import Track
from vidsr.jobs import passes
from vidsr.jobs.disk_space import mib
from vidsr.jobs.events import Meter
from vidsr.jobs.plan import Plan, copies_picture, output_spec
from vidsr.report.report import outside
from vidsr.restore.crop import crop_side
from vidsr.restore.pipeline import UNIT, Job
from vidsr.stream import drained
from vidsr.video import CRF, Film, Writer, passages, probe
from vidsr.video.packets import packet_sizes, promised_timeline
from vidsr.video.verify import check_decodes

TRIAL_S = 2.0
WHOLE_S = 120.0
"""Films up to this length are analyzed whole; of longer ones SAMPLES pieces of SAMPLE_S, spread evenly."""
SAMPLES, SAMPLE_S = 12, 5.0
MOST_LINES = 40  # faces that are listed

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


@dataclass(frozen=True)
class Cost:
    """Of rendering: seconds a frame without faces, a face of `UNIT` pixels and a segment, and of checking a frame;
    bytes of a frame and of a segment's first."""

    frame_s: float
    face_s: float
    segment_s: float
    check_s: float
    frame_bytes: float
    first_bytes: float


@dataclass(frozen=True, repr=False)
class Estimate:
    """A film's work before it is done: `span` is what is to be rendered, `trial` what was, in `trial_s` seconds.

    `reasons` say of each face that is passed through why; `seconds` and bytes are what the whole may take.
    """

    work: Plan
    look: Look
    span: Span
    reasons: dict[int, str]
    trial: Span
    trial_s: float
    seconds: float
    picture_bytes: float
    copied_bytes: float


def estimate(work: Plan, meter: Meter) -> Estimate:
    """Analyze the film, or samples of it, do its most telling two seconds, and reckon the rest from that."""
    look = sampled_analysis(work, meter)
    span = passes.frame_range(look.analysis.timeline, work.film, work.settings)
    tracks, reasons = passes.chosen(work, look.analysis.tracks)
    reasons |= outside(look.analysis.tracks, *span)
    units = _units(tracks, look.analysis.frames)
    inside = [(max(a, span[0]), min(b, span[1])) for a, b in look.seen if a < span[1] and span[0] < b]
    trial = _telling(units, inside or [span], max(2, round(TRIAL_S * float(work.film.rate))))
    meter.stage("trial", 2 * (trial[1] - trial[0]))
    cost, trial_s = _tried(work, passes.make_job(work, tracks), look.analysis.timeline, trial, units, meter)
    frames, pieces = span[1] - span[0], len(passes.segments(*span, work.film, work.settings))
    seen = sum(b - a for a, b in inside) or 1
    faces = sum(float(units[a:b].sum()) for a, b in inside) / seen * frames
    seconds = frames * (cost.frame_s + cost.check_s) + faces * cost.face_s + pieces * cost.segment_s
    return Estimate(
        work,
        look,
        span,
        reasons,
        trial,
        trial_s,
        seconds=seconds + look.seconds * look.analysis.frames,
        picture_bytes=(frames - pieces) * cost.frame_bytes + pieces * cost.first_bytes,
        copied_bytes=_copied(work) * frames / look.analysis.frames,
    )


def sampled_analysis(work: Plan, meter: Meter) -> Look:
    """Analyze a film, or samples of it where that would take long and no `--tracks` are given; writes nothing."""
    film, settings = work.film, work.settings
    long = (film.duration_s or 0.0) > WHOLE_S
    timeline = promised_timeline(film) if long and settings.tracks is None else None
    if timeline is not None:
        try:
            return _sampled(work, timeline, meter)
        except InputError:
            pass  # its frames do not keep what its packets promise, or it is damaged: the whole is read, and tells
    began = time.monotonic()
    analysis, damage = passes.analysis_of(work, meter)
    seconds = 0.0 if settings.tracks is not None else (time.monotonic() - began) / analysis.frames
    return Look(analysis, ((0, analysis.frames),), damage, seconds)


def _sampled(work: Plan, timeline: Stamps, meter: Meter) -> Look:
    """The analysis of a few pieces of the range, in the film's numbers; ids of faces are not the film's."""
    film = work.film
    # The whole is read where a piece is damaged, and told of.
    settings = replace(work.settings, keep_going=False)
    detector = passes.detector_of(settings)
    pieces = _pieces(*passes.frame_range(timeline, film, settings), round(SAMPLE_S * float(film.rate)))
    meter.stage("samples", sum(stop - first for first, stop in pieces))
    began = time.monotonic()
    parts = [passes.analyze_part(film, timeline, piece, settings, detector, meter) for piece in pieces]
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


def _units(tracks: Sequence[Track], frames: int) -> NDArray[np.float64]:
    """The network's work in each frame, faces of UNIT pixels `(frames,)`."""
    units = np.zeros(frames)
    for track in tracks:
        units[track.first : track.stop] += (track.weight > 0) * (crop_side(track.window, track.factor) / UNIT) ** 2
    return units


def _telling(units: NDArray[np.float64], ranges: Sequence[Span], length: int) -> Span:
    """Of all runs of `length` frames inside the ranges, one with the most work."""
    best, most = ranges[len(ranges) // 2], -1.0
    for first, stop in ranges:
        run = min(length, stop - first)
        sums = np.convolve(units[first:stop], np.ones(run), "valid")
        if sums.max() > most:
            at = first + int(sums.argmax())
            best, most = (at, at + run), float(sums.max())
    return best


def _tried(
    work: Plan, job: Job, timeline: Stamps, span: Span, units: NDArray[np.float64], meter: Meter
) -> tuple[Cost, float]:
    """Render and code the span without faces, then with them: what a frame costs, and what a face adds."""
    frames, load = span[1] - span[0], float(units[span[0] : span[1]].sum())
    job.restorer.added(torch.zeros(1, job.restorer.window, 3, UNIT, UNIT))  # the first call of a device takes longer
    with tempfile.TemporaryDirectory(prefix="vidsr-") as folder:
        path = Path(folder) / "trial.nut"
        bare, first = _timed(path, work, replace(job, tracks=()), timeline, span, meter)
        frame_s = (bare - first) / max(1, frames - 1)
        full, _ = _timed(path, work, job, timeline, span, meter)
        began = time.monotonic()
        check_decodes(probe(path), frames)
        check_s = (time.monotonic() - began) / frames
        head, *rest = packet_sizes(path)[0]
    return Cost(
        frame_s,
        face_s=max(0.0, full - bare) / load if load else 0.0,
        segment_s=max(0.0, bare - frames * frame_s),
        check_s=check_s,
        frame_bytes=sum(rest) / max(1, len(rest)),
        first_bytes=head,
    ), full


def _timed(path: Path, work: Plan, job: Job, timeline: Stamps, span: Span, meter: Meter) -> tuple[float, float]:
    """Seconds that one segment takes, and those until its first frame."""
    began, first = time.monotonic(), 0.0
    with (
        Writer(path, output_spec(work), timeline[slice(*span)]) as writer,
        drained(writer.write, passes.AHEAD) as sink,
        closing(passes.render_range(work, job, timeline, span, meter)) as frames,
    ):
        for frame in frames:
            first = first or time.monotonic() - began
            sink.put(frame)
    return time.monotonic() - began, first


def _copied(work: Plan) -> float:
    """Bytes of all streams that are copied as they are."""
    sizes = packet_sizes(work.film.path)
    kept, _ = passages(work.film, work.output.suffix)
    return float(sum(sum(sizes.get(one.stream.index, [])) for one in kept if one.stream.index != work.film.index))


def lines(found: Estimate) -> Iterator[str]:
    """The plan in words."""
    work, look, film = found.work, found.look, found.work.film
    count = found.span[1] - found.span[0]
    length = "" if film.duration_s is None else f", {film.duration_s:.1f} s"
    yield f"{film.path}: {film.codec} {film.width}x{film.height}{length}, {count} of {look.analysis.frames} frames"
    yield from _seen(look, film)
    yield from _faces(found)
    spec, encode = output_spec(work), work.settings.encode
    crf = "" if encode.codec not in CRF else f" crf {CRF[encode.codec] if encode.crf is None else encode.crf:g}"
    size = f"x{work.scale}, {spec.width}x{spec.height}"
    yield f"  output: {work.output}, {size}, {encode.codec}{crf}, model {work.model.name}"
    _, lost = passages(film, work.output.suffix)
    for warning in [*([look.damage] if look.damage else []), *film.warnings, *spec.warnings, *lost]:
        yield f"  warning: {warning}"
    trial = f"frames {found.trial[0]} to {found.trial[1] - 1} took {found.trial_s:.1f} s"
    yield f"  trial: {trial}; by that, this machine needs some {_duration(found.seconds)} for the film"
    yield f"  size: some {mib(found.picture_bytes)} of picture, and {mib(found.copied_bytes)} of what is copied"
    restored = any(track.id not in found.reasons for track in look.analysis.tracks)
    if found.span == (0, look.analysis.frames) and not restored and copies_picture(work):
        yield "  if no face is restored in the whole film, its picture is copied, which takes little but the analysis"


def _seen(look: Look, film: Film) -> Iterator[str]:
    if look.whole:
        yield f"  {len(look.analysis.shots)} shots, {len(look.analysis.tracks)} faces"
        return
    cuts = len(look.analysis.shots) - 1
    pieces, seconds = len(look.seen), look.frames / float(film.rate)
    what = f"{cuts} cuts and {len(look.analysis.tracks)} faces"
    yield f"  looked at {pieces} samples, {seconds:.0f} s in all, with {what}"
    yield "  (to know all of it, `vidsr analyze` first, and give what it writes as --tracks)"


def _faces(found: Estimate) -> Iterator[str]:
    tracks = found.look.analysis.tracks
    for track in tracks[:MOST_LINES]:
        fate = f"passed through, {found.reasons[track.id]}" if track.id in found.reasons else _crop(track)
        yield f"  face {track.id}: frames {track.first} to {track.stop - 1}, {track.height:.0f} px high: {fate}"
    if len(tracks) > MOST_LINES:
        yield f"  ... and {len(tracks) - MOST_LINES} faces more"


def _crop(track: Track) -> str:
    side = crop_side(track.window, track.factor)
    reduced = f" at 1/{track.factor} of the size" if track.factor > 1 else ""
    return f"restored from crops of {side}x{side}{reduced}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
