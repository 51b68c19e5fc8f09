"""The work on one film: the work folder, its manifest and segments, resuming, and the output that appears whole."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vidsr import __version__, weights
from vidsr.align import Planes
from vidsr.analysis import Analysis, load, save, select
from vidsr.color import Color
from vidsr.config import Enhance
from vidsr.detect import open_detector
from vidsr.errors import InputError, OutputError
from vidsr.frame import Frame, Track
from vidsr.render import MAX_WINDOW, Job, render
from vidsr.report import VERSION, Report, fates
from vidsr.report import spans as spans_of
from vidsr.stream import drained, prefetch
from vidsr.track import analyse
from vidsr.upscale import Restorer, pick_device, pick_dtype
from vidsr.video import (
    Film,
    Output,
    Reader,
    Writer,
    check_codec,
    output_suffix,
    passages,
    probe,
    publish,
    require_encoder,
)

AHEAD = 4  # frames that the decoder may be ahead of the network, and the network of the encoder
SHORT_SIDE = 1440  # of the output, at most, where `--scale auto` enlarges
MANIFEST = 1
OWN = re.compile(r"(lock|damage|manifest\.json|tracks\.json|whole\.\w+|\d+-\d+\.(nut|sha256))(\.partial)?")
"""Names in a work folder."""
STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG)
"""What a disk may answer that a user can do something about."""


class Watch(Protocol):
    """Who is told how far the work has come."""

    def stage(self, name: str, frames: int | None) -> None:
        """A stage begins; `frames` is None where their number is not known yet."""

    def advance(self, frames: int, faces: int) -> None:
        """So many frames more are done, with so many faces in them."""


@dataclass(frozen=True)
class Plan:
    """One film's work with every choice made: what is read, what is written, and how."""

    film: Film
    output: Path
    settings: Enhance
    scale: int
    model: weights.Model

    @property
    def folder(self) -> Path:
        """The work folder, beside the output."""
        return self.output.with_name(self.output.name + ".vidsr")

    @property
    def planes(self) -> Planes:
        film = self.film
        color = Color(film.matrix, film.full_range, film.pixels.depth)
        return Planes(film.pixels, color, film.chroma_location in (None, "left", "unspecified"), self.scale)


def auto_scale(width: int, height: int) -> int:
    """The largest of 1, 2, 4 that keeps the short side at or under SHORT_SIDE."""
    return max(scale for scale in (1, 2, 4) if scale == 1 or min(width, height) * scale <= SHORT_SIDE)


def default_output(film: Film, codec: str) -> Path:
    """NAME.enhanced.EXT beside the input."""
    return film.path.with_name(f"{film.path.stem}.enhanced{output_suffix(film, codec)}")


def _checked_output(output: Path, film: Film, settings: Enhance) -> Path:
    output = Path(os.path.abspath(output))  # noqa: PTH100  (links are kept: a link is what the user named)
    if output.exists() and output.samefile(film.path):
        raise OutputError(f"the output {output} is the input; choose another name with -o")
    if output.is_dir() or (output.exists() and not output.is_file()):
        raise OutputError(f"the output {output} exists and is not a file; choose another name with -o")
    if output.exists() and not settings.overwrite:
        raise OutputError(f"the output {output} exists; give --overwrite to replace it")
    if not output.parent.is_dir():
        raise OutputError(f"the folder {output.parent} does not exist; create it first")
    if not os.access(output.parent, os.W_OK | os.X_OK):
        raise OutputError(f"the folder {output.parent} cannot be written to; choose another with -o")
    return output


def plan(source: Path, output: Path | None, settings: Enhance, model: weights.Model) -> Plan:
    """Probe the film and settle every choice; writes nothing. Raises InputError or OutputError."""
    film = probe(source)
    wanted = settings.render.scale
    scale = auto_scale(film.width, film.height) if wanted == "auto" else int(wanted)
    codec = settings.encode.codec
    target = _checked_output(output or default_output(film, codec), film, settings)
    check_codec(codec, target.suffix)
    passages(film, target.suffix)  # an output that cannot hold the sound is better known now than in the morning
    require_encoder(codec)
    return Plan(film, target, settings, scale, model)


def _durable(path: Path, text: str) -> None:
    """Write under a temporary name, bring it to the disk, rename."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _identity(path: Path) -> dict[str, str | int]:
    """What tells a film from another: name, size, time, and a hash of its first and last MiB."""
    import hashlib

    facts = path.stat()
    with path.open("rb") as file:
        ends = file.read(1 << 20)
        file.seek(max(0, facts.st_size - (1 << 20)))
        ends += file.read()
    return {
        "name": path.name,
        "bytes": facts.st_size,
        "modified_ns": facts.st_mtime_ns,
        "sha256_of_ends": hashlib.sha256(ends).hexdigest(),
    }


def manifest(work: Plan) -> dict[str, object]:
    """Everything that changes a pixel of the output; a run is resumed only where all of it is equal."""
    settings = dataclasses.asdict(work.settings)
    for indifferent in ("overwrite",):
        settings.pop(indifferent)
    return {
        "format": MANIFEST,
        "vidsr": __version__,
        "input": _identity(work.film.path),
        "settings": settings,
        "scale": work.scale,
        "model": {"name": work.model.name, "sha256": work.model.sha256},
        "tracks": weights.sha256(Path(work.settings.tracks)) if work.settings.tracks else None,
    }


def _differences(old: object, new: object, name: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key), new.get(key), f"{name}.{key}" if name else str(key))
    elif old != new:
        yield name


@contextmanager
def _opened(work: Plan) -> Iterator[Path]:
    """The work folder, locked: a new one, or the one of an earlier run of the same job."""
    folder = work.folder
    wanted = json.loads(json.dumps(manifest(work)))
    if folder.is_dir():
        _refuse_foreign(folder)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"the work folder {folder} could not be made: {error.strerror}") from error
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            raise OutputError(f"process {lock.read().strip() or '?'} is working on {work.output} already") from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        _match(folder / "manifest.json", wanted, work)
        yield folder


def _refuse_foreign(folder: Path) -> None:
    """A folder that only happens to have the work folder's name is nobody's to empty: OutputError."""
    foreign = [path.name for path in folder.iterdir() if not OWN.fullmatch(path.name) or not path.is_file()]
    if foreign:
        raise OutputError(f"{folder} holds files that are not this program's, such as {foreign[0]!r}; move it away")


def _match(path: Path, wanted: dict[str, object], work: Plan) -> None:
    if path.exists():
        try:
            found = json.loads(path.read_text())
        except ValueError:
            found = None
        if isinstance(found, dict):
            changed = list(_differences(found, wanted))
            if changed:
                raise OutputError(
                    f"{work.folder} holds an unfinished run with another {', '.join(changed)}; "
                    "repeat that run to finish it, or give --fresh to start again"
                )
            return
    for stale in work.folder.iterdir():
        if stale.name != "lock":
            stale.unlink()
    _durable(path, json.dumps(wanted, indent=1))


def _counted(frames: Iterator[Frame], watch: Watch) -> Iterator[Frame]:
    for frame in frames:
        watch.advance(1, 0)
        yield frame


def analyse_film(film: Film, settings: Enhance, watch: Watch) -> tuple[Analysis, str]:
    """The first pass over a whole film; also what is damaged in it, '' if nothing is."""
    finder = open_detector(settings.analyze, str(pick_device(settings.render.device)))
    watch.stage("analyse", round(film.duration_s * film.rate) if film.duration_s else None)
    with (
        Reader(film, keep_going=settings.keep_going) as reader,
        prefetch(reader, AHEAD) as frames,
    ):
        analysis = analyse(_counted(frames, watch), film, settings.analyze, finder)
        return analysis, reader.damage or ""


def _fitting(path: Path, film: Film) -> Analysis:
    analysis = load(path)
    if (analysis.width, analysis.height, analysis.time_base) != (film.width, film.height, film.time_base):
        raise InputError(f"{path} was made from another film ({analysis.name}, {analysis.width}x{analysis.height})")
    return analysis


def _analysis(work: Plan, folder: Path, watch: Watch) -> tuple[Analysis, str]:
    """The analysis: left by an earlier run, or as the plan says."""
    path, damage = folder / "tracks.json", folder / "damage"
    if path.exists() and damage.exists():
        return _fitting(path, work.film), damage.read_text()
    analysis, found = analysis_of(work, watch)
    save(analysis, path)
    _durable(damage, found)
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
    length = max(1, round(settings.segment_s * float(film.rate)))
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
    return tuple(track for track in tracks if track.id not in reasons), reasons


def output_spec(work: Plan) -> Output:
    """How the output's picture is stored: the input's properties at the output's size."""
    return Output.of(work.film, work.settings.encode, work.scale)


def render_range(
    work: Plan, job: Job, timeline: NDArray[np.int64], first: int, stop: int, watch: Watch
) -> Iterator[Frame]:
    """Frames `first` to `stop` of the film, restored: the one path that films, resumed films and previews share."""
    halo = (max(0, first - job.halo), min(len(timeline), stop + job.halo))
    near = [track for track in job.tracks if track.first < halo[1] and halo[0] < track.stop]
    job = dataclasses.replace(job, tracks=near)
    with (
        Reader(
            work.film, first=halo[0], stop=halo[1], timeline=timeline, keep_going=work.settings.keep_going
        ) as reader,
        prefetch(reader, AHEAD) as frames,
    ):
        for frame in render(frames, first, stop, job):
            active = sum(t.first <= frame.index < t.stop for t in job.tracks)
            yield frame
            watch.advance(1, active)


def _segment(
    path: Path, work: Plan, job: Job, timeline: NDArray[np.int64], span: tuple[int, int], watch: Watch
) -> None:
    """Render one segment to `path`, with its checksum beside it; nothing half-done keeps either name."""
    partial = path.with_name(path.name + ".partial")
    spec = output_spec(work)
    with Writer(partial, spec, timeline[span[0] : span[1]]) as writer, drained(writer.write, AHEAD) as sink:
        for frame in render_range(work, job, timeline, *span, watch):
            sink.put(frame)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)
    _durable(path.with_suffix(".sha256"), weights.sha256(path))


def _whole(path: Path) -> bool:
    """Whether a segment of an earlier run is there and undamaged."""
    promised = path.with_suffix(".sha256")
    return path.exists() and promised.exists() and promised.read_text().strip() == weights.sha256(path)


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
    try:
        with _opened(work) as folder:
            return _finished(work, folder, watch)
    except OSError as error:
        if error.errno not in STORAGE:
            raise
        raise OutputError(f"{work.output} could not be written: {error.strerror}; the same command goes on") from error


def _finished(work: Plan, folder: Path, watch: Watch) -> Report:
    """Do the work; leave the folder only where the next try can use it."""
    useful = True
    try:
        report = _enhance(work, folder, watch)
        useful = False
        return report
    except InputError:  # the next try would end in the same way
        useful = False
        raise
    finally:
        if not (useful and _worth_keeping(folder)):
            shutil.rmtree(folder, ignore_errors=True)


def _worth_keeping(folder: Path) -> bool:
    return (folder / "tracks.json").exists() or any(folder.glob("*.sha256"))


def _enhance(work: Plan, folder: Path, watch: Watch) -> Report:
    analysis, damage = _analysis(work, folder, watch)
    first, stop = frame_range(analysis.timeline, work.film, work.settings)
    tracks, reasons = restorable(analysis.tracks, work.settings.render.faces)
    job = make_job(work, tracks)
    spans = segments(first, stop, work.film, work.settings)
    paths = [folder / f"{span[0]:08d}-{span[1]:08d}.nut" for span in spans]
    watch.stage("render", stop - first)
    for path, span in zip(paths, spans, strict=True):
        if _whole(path):
            watch.advance(span[1] - span[0], 0)
        else:
            _segment(path, work, job, analysis.timeline, span, watch)
    watch.stage("publish", None)
    partial = folder / f"whole{work.output.suffix}"
    warnings = publish(work.film, paths, analysis.timeline, partial, frames=_part(first, stop, analysis))
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(work.output)
    notes = [*([damage] if damage else []), *work.film.warnings, *output_spec(work).warnings, *warnings]
    return Report(
        VERSION,
        input=str(work.film.path),
        output=str(work.output),
        model=work.model.name,
        scale=work.scale,
        first=first,
        stop=stop,
        frames=spans_of(first, stop, analysis.tracks, reasons),
        tracks=fates(analysis.tracks, reasons),
        warnings=tuple(notes),
    )


def forget(work: Plan) -> None:
    """Drop what an earlier run of this output has left; OutputError where the folder holds anything else."""
    if work.folder.is_dir():
        _refuse_foreign(work.folder)
    shutil.rmtree(work.folder, ignore_errors=True)


def analyze(source: Path, output: Path, settings: Enhance, watch: Watch) -> tuple[Analysis, str]:
    """Find the faces of a film and write them to `output`; also gives what is damaged in the film, '' if nothing is."""
    film = probe(source)
    output = _checked_output(output, film, settings)
    analysis, damage = analyse_film(film, settings, watch)
    partial = output.with_name(output.name + ".partial")
    save(analysis, partial)
    partial.replace(output)
    return analysis, damage


def summary(report: Report) -> Iterator[str]:
    """What a user wants to read at the end of a film."""
    total = report.stop - report.first
    yield f"{report.output}: {total} frames at x{report.scale}, faces restored in {report.restored}"
    for fate in report.tracks:
        if fate.warning:
            yield f"  face {fate.id}: {fate.warning}"
        if fate.state == "passed":
            yield f"  face {fate.id}: passed through, {fate.reason}"
    for warning in report.warnings:
        yield f"  warning: {warning}"
