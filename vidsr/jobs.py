"""The work on one film: analysed, rendered segment by segment, published; the output appears whole or not at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vidsr import space
from vidsr.analysis import Analysis, load, save, select
from vidsr.config import Enhance
from vidsr.delivery import delivered, note
from vidsr.detect import open_detector
from vidsr.errors import InputError, OutputError, VidsrError
from vidsr.files import beside, durable, partial_of, settle, told
from vidsr.frame import Frame, Track
from vidsr.plan import Plan, checked_output, output_spec
from vidsr.render import MAX_WINDOW, Job, Tell, render, unheard
from vidsr.repeat import command
from vidsr.report import HIDDEN, VERSION, Report, fates
from vidsr.report import spans as spans_of
from vidsr.stream import drained, prefetch
from vidsr.tally import Tally
from vidsr.track import analyse
from vidsr.upscale import Restorer, pick_device, pick_dtype
from vidsr.video import Film, Reader, Writer, probe, publish
from vidsr.weights import sha256
from vidsr.workfolder import agree, check_unchanged, has_segments, opened, remove, whole, worth_keeping

AHEAD = 4  # frames that the decoder may be ahead of the network, and the network of the encoder
DISK_FULL = "No space left on device"
"""What ffmpeg's last lines say then."""
TALLY = ".tally.json"
MOST_IN_SEGMENT = 2000
"""Frames: as many irregular time stamps as one segment's expression can hold."""


class Watch(Protocol):
    """Who is told how far the work has come."""

    def stage(self, name: str, frames: int | None) -> None:
        """A stage begins; `frames` is None where their number is not known yet."""

    def advance(self, frames: int, faces: int) -> None:
        """So many frames more are done, with so many faces in them."""


def counted(frames: Iterable[Frame], watch: Watch) -> Iterator[Frame]:
    """The same frames, each of them told to the watch."""
    for frame in frames:
        watch.advance(1, 0)
        yield frame


def analyse_film(film: Film, settings: Enhance, watch: Watch) -> tuple[Analysis, str]:
    """The first pass over a whole film; also what is damaged in it, '' if nothing is."""
    finder = open_detector(settings.analyze, str(pick_device(settings.render.device)))
    watch.stage("analyse", _promised_frames(film) or None)
    with (
        Reader(film, keep_going=settings.keep_going) as reader,
        prefetch(reader, AHEAD) as frames,
    ):
        analysis = analyse(counted(frames, watch), film, settings.analyze, finder)
        repaired = f"{reader.repaired} frames without a usable time stamp got one" if reader.repaired else ""
        return analysis, " ".join(filter(None, (reader.damage, repaired)))


def _fitting(path: Path, film: Film) -> Analysis:
    analysis = load(path)
    if (analysis.width, analysis.height, analysis.time_base) != (film.width, film.height, film.time_base):
        raise InputError(f"{path} was made from another film ({analysis.name}, {analysis.width}x{analysis.height})")
    return analysis


def _analysis(work: Plan, folder: Path, watch: Watch) -> tuple[Analysis, str]:
    """The analysis: left by an earlier run, or as the plan says."""
    path, damage = folder / "tracks.json", folder / "damage"
    if whole(path) and damage.exists():
        return _fitting(path, work.film), damage.read_text(encoding="utf-8", errors="surrogateescape")
    analysis, found = analysis_of(work, watch)
    partial = partial_of(path)
    save(analysis, partial)
    durable(damage, found)
    durable(path.with_suffix(".sha256"), sha256(partial))
    settle(partial, path)
    return analysis, found


def analysis_of(work: Plan, watch: Watch) -> tuple[Analysis, str]:
    """The analysis that a plan asks for, without a work folder; also what is damaged in the film."""
    if work.settings.tracks is not None:
        return _fitting(Path(work.settings.tracks), work.film), ""
    return analyse_film(work.film, work.settings, watch)


def frame_range(timeline: NDArray[np.int64], film: Film, settings: Enhance) -> tuple[int, int]:
    """`--start` and `--end`, seconds from the first frame, as frame numbers, end excluded."""
    seconds = (timeline - timeline[0]) * float(film.time_base)
    first = int(np.searchsorted(seconds, settings.start or 0.0, "left"))
    stop = len(timeline) if settings.end is None else int(np.searchsorted(seconds, settings.end, "left"))
    if first >= stop:
        raise InputError(f"no frame of {film.path} lies between --start and --end; it lasts {seconds[-1]:.1f} s")
    return first, stop


def segments(first: int, stop: int, film: Film, settings: Enhance) -> list[tuple[int, int]]:
    """The range cut into pieces of about `segment_s`, on a grid that does not depend on where the range begins."""
    length = min(max(1, round(settings.segment_s * float(film.rate))), MOST_IN_SEGMENT)
    edges = [first, *range((first // length + 1) * length, stop, length), stop]
    return list(pairwise(edges))


def restorable(tracks: tuple[Track, ...], chosen: str) -> tuple[tuple[Track, ...], dict[int, str]]:
    """The tracks to restore, and for each other one the reason why it is passed through."""
    wanted = {track.id for track in select(tracks, chosen)}
    reasons = {track.id: "not chosen by --faces" for track in tracks if track.id not in wanted}
    reasons |= {
        track.id: f"its window is wider than the {MAX_WINDOW:.0f} pixels that the model helps"
        for track in tracks
        if track.id in wanted and track.window > MAX_WINDOW
    }
    reasons |= {track.id: HIDDEN for track in tracks if track.id not in reasons and not track.weight.any()}
    return tuple(track for track in tracks if track.id not in reasons), reasons


def render_range(
    work: Plan, job: Job, timeline: NDArray[np.int64], span: tuple[int, int], watch: Watch, tell: Tell = unheard
) -> Iterator[Frame]:
    """Frames of a range of the film, restored: the one path that films, resumed films and previews share."""
    first, stop = span
    halo = (max(0, first - job.halo), min(len(timeline), stop + job.halo))
    near = [track for track in job.tracks if track.first < halo[1] and halo[0] < track.stop]
    job = dataclasses.replace(job, tracks=near)
    with (
        Reader(
            work.film, first=halo[0], stop=halo[1], timeline=timeline, keep_going=work.settings.keep_going
        ) as reader,
        prefetch(reader, AHEAD) as frames,
    ):
        for frame in render(frames, first, stop, job, tell):
            active = sum(t.first <= frame.index < t.stop for t in job.tracks)
            yield frame
            watch.advance(1, active)


def _segment(
    path: Path, work: Plan, job: Job, timeline: NDArray[np.int64], span: tuple[int, int], watch: Watch
) -> None:
    """Render one segment to `path`, with its checksum beside it; nothing half-done keeps either name."""
    partial = partial_of(path)
    spec = output_spec(work)
    tally = Tally()
    with Writer(partial, spec, timeline[span[0] : span[1]]) as writer, drained(writer.write, AHEAD) as sink:
        for frame in render_range(work, job, timeline, span, watch, tally.hear):
            sink.put(frame)
    durable(path.with_suffix(TALLY), tally.dump())
    settle(partial, path)
    durable(path.with_suffix(".sha256"), sha256(path))


def _part(first: int, stop: int, analysis: Analysis) -> range | None:
    """The range to publish, or None where it is the whole film."""
    return None if (first, stop) == (0, analysis.frames) else range(first, stop)


def make_job(work: Plan, tracks: tuple[Track, ...]) -> Job:
    """Put the model on its device."""
    render_settings = work.settings.render
    device = pick_device(render_settings.device)
    restorer = Restorer(work.model, device, pick_dtype(render_settings.precision, device))
    return Job(work.planes, tracks, restorer, render_settings.batch)


def enhance(work: Plan, watch: Watch) -> Report:
    """Make the enhanced film: analyse, render segment by segment, publish; the output appears whole or not at all.

    A run that was stopped goes on from its last whole segment. Raises VidsrError; the work folder then stays for the
    next try if it holds finished work, and is removed if it does not.
    """
    with told(work.output):
        try:
            with opened(work) as folder:
                return _finished(work, folder, watch)
        except VidsrError as error:
            if DISK_FULL not in error.details:
                raise
            raise OutputError(f"the disk of {work.folder} is full: free some space", error.details) from error


def _finished(work: Plan, folder: Path, watch: Watch) -> Report:
    """Do the work; leave the folder only where the next try can use it."""
    keep = False
    try:
        report = delivered(folder, work.output) or _enhance(work, folder, watch)
        keep = work.settings.keep_work
        return report
    except InputError:  # the next try would end in the same way, unless it was the film's disk that went away
        keep = has_segments(folder)
        raise
    except BaseException:
        keep = worth_keeping(folder)
        raise
    finally:
        if not keep:
            remove(folder)


def _enhance(work: Plan, folder: Path, watch: Watch) -> Report:
    space.require_start(work, _promised_frames(work.film))
    analysis, damage = _analysis(work, folder, watch)
    first, stop = frame_range(analysis.timeline, work.film, work.settings)
    tracks, reasons = restorable(analysis.tracks, work.settings.render.faces)
    paths = _rendered(work, folder, analysis, (first, stop), tracks, watch)
    watch.stage("publish", None)
    check_unchanged(work)
    space.require_join(folder, [path.stat().st_size for path in paths])
    made = folder / f"whole{work.output.suffix}"
    warnings = publish(work.film, paths, analysis.timeline, made, frames=_part(first, stop, analysis))
    notes = [*([damage] if damage else []), *work.film.warnings, *output_spec(work).warnings, *warnings]
    report = Report(
        VERSION,
        input=str(work.film.path),
        output=str(work.output),
        model=work.model.name,
        scale=work.scale,
        first=first,
        stop=stop,
        frames=spans_of(first, stop, analysis.tracks, reasons),
        tracks=fates(analysis.tracks, reasons, _tally(paths)),
        warnings=tuple(notes),
        rate=float(work.film.rate),
        shots=tuple((max(a, first), min(b, stop)) for a, b in analysis.shots if a < stop and first < b),
        command=command(work),
    )
    made = beside(made, work.output)
    note(folder, made, report)
    settle(made, work.output)
    return report


def _rendered(
    work: Plan, folder: Path, analysis: Analysis, span: tuple[int, int], tracks: tuple[Track, ...], watch: Watch
) -> list[Path]:
    """The range's segments, those of an earlier run and those that were missing."""
    job = make_job(work, tracks)
    spans = segments(*span, work.film, work.settings)
    agree(folder, sha256(folder / "tracks.json"), spans)
    paths = [folder / f"{first:08d}-{stop:08d}.nut" for first, stop in spans]
    watch.stage("render", span[1] - span[0])
    done: list[int] = []
    for path, (first, stop) in zip(paths, spans, strict=True):
        if whole(path):
            watch.advance(stop - first, 0)
        else:
            space.require_segment(folder, done)
            _segment(path, work, job, analysis.timeline, (first, stop), watch)
        done.append(path.stat().st_size)
    return paths


def _tally(paths: Sequence[Path]) -> Tally:
    total = Tally()
    for path in paths:
        total.merge(Tally.read(path.with_suffix(TALLY)))
    return total


def _promised_frames(film: Film) -> int:
    return round(film.duration_s * film.rate) if film.duration_s else 0


def analyze(source: Path, output: Path, settings: Enhance, watch: Watch) -> tuple[Analysis, str]:
    """Find the faces of a film and write them to `output`; also gives what is damaged in the film, '' if nothing is."""
    film = probe(source)
    output = checked_output(output, film, settings.overwrite)
    analysis, damage = analyse_film(film, settings, watch)
    partial = partial_of(output)
    with told(output):
        try:
            save(analysis, partial)
            settle(partial, output)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    return analysis, damage
