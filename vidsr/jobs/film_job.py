"""The work on one film: analyzed, rendered segment by segment, published; the output appears whole or not at all."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vidsr.analysis.tracks_file import Analysis
from vidsr.errors import InputError, ModelError, OutputError, VidsrError
from vidsr.files import beside, fsync_rename, own_name, sha256, storage_errors
from vidsr.jobs import disk_space
from vidsr.jobs.completion_marker import delivered, note
from vidsr.jobs.log import Stages, logged, tell
from vidsr.jobs.passes import (
    AHEAD,
    TALLY,
    Faces,
    analysis_of,
    analyze,
    analyze_film,
    counted,
    damage_of,
    fitting,
    frame_range,
    kept_analysis,
    make_job,
    make_restorer,
    promised_frames,
    render_range,
    render_segment,
    restorable,
    segments,
)
from vidsr.jobs.plan import Plan, copies_picture, output_spec, reproduce_command
from vidsr.jobs.tasks import Answer, Join, Joined, Order, Prepare, Progress, Ready, Rendered, Segment, Task
from vidsr.jobs.work_folder import agree, check_unchanged, has_segments, locked, match, remove, whole, worth_keeping
from vidsr.networks.lazy_model import model_for
from vidsr.report.report import VERSION, Report, fates, outside
from vidsr.report.report import spans as spans_of
from vidsr.restore.quality_totals import Tally
from vidsr.stream import Behind, behind
from vidsr.video import publish
from vidsr.video.verify import packet_pts

if TYPE_CHECKING:
    from vidsr.frame import Track
    from vidsr.networks.model_file import Model
    from vidsr.restore.restorer import Restorer

__all__ = [
    "AHEAD",
    "Progress",
    "Steps",
    "WorkerState",
    "analysis_of",
    "analyze",
    "analyze_film",
    "counted",
    "done",
    "enhance",
    "frame_range",
    "make_job",
    "render_range",
    "restorable",
    "segments",
    "steps",
]

DISK_FULL = "No space left on device"
"""What ffmpeg's last lines say then."""
Steps = Generator[Sequence[Task], Sequence[Answer], Report]
"""One film: gives tasks that may be done at once and anywhere, wants their answers in order, ends with a report."""


COMBED = "its frames are interlaced, and --deinterlace is off"


def chosen(work: Plan, tracks: tuple[Track, ...]) -> tuple[tuple[Track, ...], dict[int, str]]:
    """As `restorable`; in an interlaced film that stays so, none: what is drawn over two fields would comb."""
    if work.film.fields and not work.film.deinterlace:
        return (), {track.id: COMBED for track in tracks}
    return restorable(tracks, work.settings.render.faces)


def enhance(work: Plan, watch: Progress) -> Report:
    """Make the enhanced film: analyze, render segment by segment, publish; the output appears whole or not at all.

    A run that was stopped goes on from its last whole segment. Raises VidsrError; the work folder then stays for the
    next try if it holds finished work, and is removed if it does not.
    """
    stages = Stages(watch)
    bench, course = WorkerState(model=work.model), steps(work, stages)
    try:
        tasks = next(course)
        while True:
            try:
                answers = done(tasks, bench, stages)
            except BaseException as error:
                tasks = course.throw(error)
            else:
                tasks = course.send(answers)
    except StopIteration as end:
        report: Report = end.value
        return report


def steps(work: Plan, stages: Stages) -> Steps:
    """One film's work, but for its tasks, which the caller has done by whom it likes.

    An error of a task is thrown in, and comes out as what `enhance` raises. Holds the work folder's lock meanwhile.
    The stages that the caller is told of go into the film's log.
    """
    with storage_errors(work.output):
        try:
            with locked(work) as folder, logged(work, stages):
                return (yield from _finished(work, folder, stages))
        except VidsrError as error:
            if DISK_FULL not in error.details:
                raise
            raise OutputError(f"the disk of {work.folder} is full: free some space", error.details) from error


def _finished(work: Plan, folder: Path, watch: Progress) -> Steps:
    """Do the work; leave the folder only where the next try can use it."""
    keep = False
    try:
        report = yield from _steps(Order.of(work), folder, watch)
        report = dataclasses.replace(report, input=str(work.film.path), command=reproduce_command(work))
        tell(work, report)
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


def _steps(order: Order, folder: Path, watch: Progress) -> Steps:
    joined = (yield [Prepare(order)])[0]
    if isinstance(joined, Report):
        return joined
    if isinstance(joined, Ready):
        ready, (first, stop) = joined, joined.span
        watch.stage("render", stop - first)
        yield [Segment(order, span) for span in ready.spans]
        watch.stage("publish", None)
        joined = (yield [Join(order, ready)])[0]
    assert isinstance(joined, Joined)
    # Here, by the one who holds the lock: a worker that was given up could be late.
    note(folder, joined.made, joined.report)
    fsync_rename(joined.made, order.output)
    return joined.report


@dataclasses.dataclass(frozen=True)
class _Opened:
    """A film on the bench."""

    order: Order
    analysis: Analysis
    faces: Faces
    reasons: dict[int, str]


class WorkerState:
    """What a worker keeps from task to task: its model on its device, and the film of the last task.

    `device` goes before the one of the settings; `model` spares opening the one that an order names.
    """

    def __init__(self, device: str | None = None, model: Model | None = None) -> None:
        self._device = device
        self._model = model
        self._name: tuple[str, float | None] | None = None
        self._restorer: tuple[Model, tuple[str, str], Restorer] | None = None
        self._opened: _Opened | None = None

    def plan(self, order: Order) -> Plan:
        """The plan of an order; ModelError where its model is another file here."""
        settings = order.settings.render
        if self._model is None or self._name not in (None, (settings.model, settings.fidelity)):
            self._name = settings.model, settings.fidelity
            self._model = model_for(*self._name)
        if self._model.sha256 != order.model_sha256:
            raise ModelError(f"the model {settings.model} is another file here than where the work was planned")
        return Plan(order.film, order.output, order.settings, order.scale, self._model)

    def here(self, work: Plan) -> Plan:
        """The plan with this worker's device."""
        if self._device is None:
            return work
        render_settings = dataclasses.replace(work.settings.render, device=self._device)
        return dataclasses.replace(work, settings=dataclasses.replace(work.settings, render=render_settings))

    def open(self, order: Order) -> _Opened:
        """The analysis of a film that is prepared, and what its segments share."""
        if self._opened is None or self._opened.order != order:
            work = self.here(self.plan(order))
            analysis = fitting(work.folder / "tracks.json", work.film)
            tracks, reasons = chosen(work, analysis.tracks)
            self._opened = _Opened(order, analysis, Faces(work, tracks, self._placed), reasons)
        return self._opened

    def _placed(self, work: Plan) -> Restorer:
        """The model on its device: put there for the first film that needs it, and kept for those after it."""
        key = work.settings.render.device, work.settings.render.precision
        if self._restorer is None or self._restorer[0] is not work.model or self._restorer[1] != key:
            self._restorer = work.model, key, make_restorer(work)
        return self._restorer[2]


def done(tasks: Sequence[Task], bench: WorkerState, watch: Progress) -> list[Answer]:
    """Do tasks of a film whose work folder's lock is held, by this process or by one that waits for the answers."""
    with behind() as endings:
        return [_do(task, bench, watch, endings) for task in tasks]


def _do(task: Task, bench: WorkerState, watch: Progress, endings: Behind) -> Answer:
    if isinstance(task, Prepare):
        return _prepare(task.order, bench, watch)
    if isinstance(task, Segment):
        return _render(task, bench, watch, endings)
    return _join(task, bench)


def _prepare(order: Order, bench: WorkerState, watch: Progress) -> Answer:
    work = bench.plan(order)
    match(work)
    if (done := delivered(work.folder, work.output)) is not None:
        return done
    disk_space.require_start(work, promised_frames(work.film))
    _, damage = kept_analysis(bench.here(work), work.folder, watch)
    film = bench.open(order)
    analysis, is_quiet = film.analysis, film.faces.none_in
    span = frame_range(analysis.timeline, work.film, work.settings)
    spans = segments(*span, work.film, work.settings, is_quiet)
    agree(work.folder, sha256(work.folder / "tracks.json"), spans)
    unchanged = not damage and span == (0, analysis.frames) and is_quiet(span)
    return (_copied(film, watch) if unchanged and copies_picture(work) else None) or Ready(span, tuple(spans))


def _path(folder: Path, span: tuple[int, int]) -> Path:
    return folder / f"{span[0]:08d}-{span[1]:08d}.nut"


def _render(task: Segment, bench: WorkerState, watch: Progress, endings: Behind) -> Rendered:
    """The segment of an earlier run, or a new one."""
    work, (first, stop) = bench.plan(task.order), task.span
    path = _path(work.folder, task.span)
    if whole(path):
        watch.advance(stop - first, 0)
        return Rendered(now=False)
    disk_space.require_segment(work.folder, [done.stat().st_size for done in work.folder.glob("*.nut")])
    film = bench.open(task.order)
    render_segment(path, film.faces, film.analysis.timeline, task.span, watch, endings)
    return Rendered(now=True)


def _join(task: Join, bench: WorkerState) -> Joined:
    return _published(bench.open(task.order), task.ready.span, task.ready.spans)


def _copied(film: _Opened, watch: Progress) -> Joined | None:
    """The film with all its streams copied, the picture too; None where a copy is not what it should be: a film may
    have packets that show nothing, or time stamps that its container makes up."""
    source = film.faces.work.film
    packets = sorted(pts + source.shift_ticks for pts in packet_pts(source.path, source.index))
    if packets != film.analysis.timeline.tolist():
        return None
    watch.stage("publish", None)
    try:
        return _published(film, (0, film.analysis.frames), ())
    except OutputError as error:
        logging.getLogger(__name__).info("the picture is coded again, as its copy fails: %s", error)
        return None


def _published(film: _Opened, span: tuple[int, int], spans: Sequence[tuple[int, int]]) -> Joined:
    """The finished film, and what there is to say of it; without segments, the picture is copied."""
    (first, stop), work, analysis = span, film.faces.work, film.analysis
    folder, paths = work.folder, [_path(work.folder, one) for one in spans]
    reasons = film.reasons | outside(analysis.tracks, first, stop)
    check_unchanged(work)
    disk_space.require_join(folder, [path.stat().st_size for path in paths or [work.film.path]])
    made = folder / own_name("whole", work.output.suffix)
    warnings = publish(work.film, paths, analysis.timeline, made, frames=_part(first, stop, analysis))
    damage = damage_of(folder)
    lost = [*work.film.warnings, *output_spec(work).warnings] if paths else []  # a copy of the picture loses nothing
    notes = [*([damage] if damage else []), *lost, *warnings, *work.model.notes]
    report = Report(
        VERSION,
        input=str(work.film.path),
        output=str(work.output),
        model=work.model.name,
        scale=work.scale,
        first=first,
        stop=stop,
        frames=spans_of(first, stop, analysis.tracks, reasons),
        tracks=fates(analysis.tracks, reasons, _tally(paths), (first, stop)),
        warnings=tuple(notes),
        rate=float(work.film.rate),
        shots=tuple((max(a, first), min(b, stop)) for a, b in analysis.shots if a < stop and first < b),
        command=reproduce_command(work),
        copied=not paths,
        codec=work.settings.encode.codec,
    )
    return Joined(beside(made, work.output), report)


def _part(first: int, stop: int, analysis: Analysis) -> range | None:
    """The range to publish, or None where it is the whole film."""
    return None if (first, stop) == (0, analysis.frames) else range(first, stop)


def _tally(paths: Sequence[Path]) -> Tally:
    total = Tally()
    for path in paths:
        total.merge(Tally.read(path.with_suffix(TALLY)))
    return total
