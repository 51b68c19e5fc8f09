"""The work on one film: analyzed, rendered segment by segment, published; the output appears whole or not at all."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vidsr.errors import Cancelled, InputError, ModelError, OutputError, VidsrError
from vidsr.files import beside, fsync_rename, own_name, sha256, storage_errors
from vidsr.jobs import disk_space, passes, work_folder
from vidsr.jobs.events import Meter
from vidsr.jobs.log import logged, tell
from vidsr.jobs.passes import OpenFilm
from vidsr.jobs.plan import Plan, copies_picture, output_spec, reproduce_command
from vidsr.jobs.tasks import Answer, Join, Joined, Prepare, Ready, Rendered, Segment, Task
from vidsr.networks.lazy_model import model_for
from vidsr.report.report import VERSION, Report, outside, spans_of, track_reports
from vidsr.restore.quality_totals import QualityTotals
from vidsr.stream import Behind, behind
from vidsr.video import publish
from vidsr.video.packets import packet_pts

if TYPE_CHECKING:
    from vidsr.networks.model_file import Model
    from vidsr.restore.restorer import Restorer

DISK_FULL = "No space left on device"
"""What ffmpeg's last lines say then."""
Steps = Generator[Sequence[Task], Sequence[Answer], Report]
"""One film: gives tasks that may be done at once and anywhere, wants their answers in order, ends with a report."""


def enhance(work: Plan, meter: Meter) -> Report:
    """Make the enhanced film: analyze, render segment by segment, publish; the output appears whole or not at all.

    A run that was stopped goes on from its last whole segment. Raises VidsrError; the work folder then stays for the
    next try if it holds finished work, and is removed if it does not.
    """
    state, course = WorkerState(model=work.model), steps(work, meter)
    try:
        tasks = next(course)
        while True:
            try:
                answers = done(tasks, state, meter)
            except BaseException as error:
                tasks = course.throw(error)
            else:
                tasks = course.send(answers)
    except StopIteration as end:
        report: Report = end.value
        return report


def steps(work: Plan, meter: Meter) -> Steps:
    """Coroutine over one film's work: yields tasks, receives their answers, returns the report.

    An error of a task is thrown in, and comes out as what `enhance` raises. Holds the work folder's lock meanwhile.
    The stages that `meter` is told of go into the film's log.
    """
    try:
        with storage_errors(work.output), work_folder.locked(work) as folder, logged(work, meter):
            return (yield from _finished(work, folder, meter))
    except VidsrError as error:
        raise _with_advice(error, work.folder) from error.__cause__


def _with_advice(error: VidsrError, folder: Path) -> VidsrError:
    """The error, with a word on what is not lost."""
    if DISK_FULL in error.details:
        error = OutputError(f"the disk of {folder} is full: free some space", error.details)
    if work_folder.worth_keeping(folder) and not isinstance(error, Cancelled):
        error.args = (f"{str(error).rstrip('.')}; the same command goes on where it stopped",)
    return error


def _finished(work: Plan, folder: Path, meter: Meter) -> Steps:
    """Do the work; leave the folder only where the next try can use it."""
    keep = False
    try:
        report = yield from _steps(work.portable(), folder, meter)
        report = dataclasses.replace(report, input=str(work.film.path), command=reproduce_command(work))
        tell(work, report)
        keep = work.settings.keep_work
        return report
    except InputError:  # the next try would end in the same way, unless it was the film's disk that went away
        keep = work_folder.has_segments(folder)
        raise
    except BaseException:
        keep = work_folder.worth_keeping(folder)
        raise
    finally:
        if not keep:
            work_folder.remove(folder)


def _steps(work: Plan, folder: Path, meter: Meter) -> Steps:
    joined = (yield [Prepare(work)])[0]
    if isinstance(joined, Report):
        return joined
    if isinstance(joined, Ready):
        ready, (first, stop) = joined, joined.span
        meter.stage("render", stop - first)
        yield [Segment(work, span) for span in ready.spans]
        meter.stage("publish", None)
        joined = (yield [Join(work, ready)])[0]
    assert isinstance(joined, Joined)
    # Here, by the one who holds the lock: a worker that was given up could be late.
    work_folder.mark_delivered(folder, joined.made, joined.report)
    fsync_rename(joined.made, work.output)
    return joined.report


class WorkerState:
    """What a worker keeps from task to task: its model on its device, and the film of the last task.

    `device` goes before the one of the settings; `model` spares opening the one that a plan names.
    """

    def __init__(self, device: str | None = None, model: Model | None = None) -> None:
        self._device = device
        self._model = model
        self._name: tuple[str, float | None] | None = None
        self._restorer: tuple[Model, tuple[str, str], Restorer] | None = None
        self._opened: tuple[Plan, OpenFilm] | None = None

    def plan(self, wanted: Plan) -> Plan:
        """The plan with this worker's model; ModelError where that is another file here."""
        settings = wanted.settings.render
        if self._model is None or self._name not in (None, (settings.model, settings.fidelity)):
            self._name = settings.model, settings.fidelity
            self._model = model_for(*self._name)
        if self._model.sha256 != wanted.model.sha256:
            raise ModelError(f"the model {settings.model} is another file here than where the work was planned")
        return dataclasses.replace(wanted, model=self._model)

    def here(self, work: Plan) -> Plan:
        """The plan with this worker's device."""
        if self._device is None:
            return work
        render_settings = dataclasses.replace(work.settings.render, device=self._device)
        return dataclasses.replace(work, settings=dataclasses.replace(work.settings, render=render_settings))

    def open(self, wanted: Plan) -> OpenFilm:
        """The analysis of a film that is prepared, and what its segments share."""
        if self._opened is None or self._opened[0] != wanted:
            work = self.here(self.plan(wanted))
            analysis = passes.fitting(work.folder / "tracks.json", work.film)
            chosen = passes.chosen(work, analysis.tracks)
            self._opened = wanted, OpenFilm(work, analysis, *chosen, self._placed)
        return self._opened[1]

    def _placed(self, work: Plan) -> Restorer:
        """The model on its device: put there for the first film that needs it, and kept for those after it."""
        key = work.settings.render.device, work.settings.render.precision
        if self._restorer is None or self._restorer[0] is not work.model or self._restorer[1] != key:
            self._restorer = work.model, key, passes.make_restorer(work)
        return self._restorer[2]


def done(tasks: Sequence[Task], state: WorkerState, meter: Meter) -> list[Answer]:
    """Do tasks of a film whose work folder's lock is held, by this process or by one that waits for the answers."""
    with behind() as endings:
        return [_do(task, state, meter, endings) for task in tasks]


def _do(task: Task, state: WorkerState, meter: Meter, endings: Behind) -> Answer:
    if isinstance(task, Prepare):
        return _prepare(task.work, state, meter)
    if isinstance(task, Segment):
        return _render(task, state, meter, endings)
    return _published(state.open(task.work), task.ready.span, task.ready.spans)


def _prepare(wanted: Plan, state: WorkerState, meter: Meter) -> Answer:
    work = state.plan(wanted)
    work_folder.match(work)
    if (done := work_folder.delivered(work.folder, work.output)) is not None:
        return done
    disk_space.require_start(work, passes.promised_frames(work.film))
    damage = passes.keep_analysis(state.here(work), work.folder, meter)
    film = state.open(wanted)
    analysis = film.analysis
    span = passes.frame_range(analysis.timeline, work.film, work.settings)
    spans = passes.segments(*span, work.film, work.settings)
    work_folder.agree(work.folder, sha256(work.folder / "tracks.json"), spans)
    unchanged = not damage and span == (0, analysis.frames) and film.none_in(span)
    return (_copied(film, meter) if unchanged and copies_picture(work) else None) or Ready(span, tuple(spans))


def _path(folder: Path, span: tuple[int, int]) -> Path:
    return folder / f"{span[0]:08d}-{span[1]:08d}.nut"


def _render(task: Segment, state: WorkerState, meter: Meter, endings: Behind) -> Rendered:
    """The segment of an earlier run, or a new one."""
    work, (first, stop) = state.plan(task.work), task.span
    path = _path(work.folder, task.span)
    if work_folder.whole(path):
        meter.advance(stop - first, 0)
        return Rendered(now=False)
    disk_space.require_segment(work.folder, [done.stat().st_size for done in work.folder.glob("*.nut")])
    film = state.open(task.work)
    passes.render_segment(path, film, task.span, meter, endings)
    return Rendered(now=True)


def _copied(film: OpenFilm, meter: Meter) -> Joined | None:
    """The film with all its streams copied, the picture too; None where a copy is not what it should be: a film may
    have packets that show nothing, or time stamps that its container makes up."""
    source = film.work.film
    packets = sorted(pts + source.shift_ticks for pts in packet_pts(source.path, source.index))
    if packets != film.analysis.timeline.tolist():
        return None
    meter.stage("publish", None)
    try:
        return _published(film, (0, film.analysis.frames), ())
    except OutputError as error:
        logging.getLogger(__name__).info("the picture is coded again, as its copy fails: %s", error)
        return None


def _published(film: OpenFilm, span: tuple[int, int], spans: Sequence[tuple[int, int]]) -> Joined:
    """The finished film, and what there is to say of it; without segments, the picture is copied."""
    (first, stop), work, analysis = span, film.work, film.analysis
    folder, paths = work.folder, [_path(work.folder, one) for one in spans]
    reasons = film.reasons | outside(analysis.tracks, first, stop)
    work_folder.check_unchanged(work)
    disk_space.require_join(folder, [path.stat().st_size for path in paths or [work.film.path]])
    whole = (first, stop) == (0, analysis.frames)
    made = folder / own_name("whole", work.output.suffix)
    warnings = publish(work.film, paths, analysis.timeline, made, frames=None if whole else range(first, stop))
    damage, totals = passes.damage_of(folder), QualityTotals()
    for path in paths:
        totals.merge(QualityTotals.read(path.with_suffix(passes.QUALITY)))
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
        tracks=track_reports(analysis.tracks, reasons, totals, (first, stop)),
        warnings=tuple(notes),
        rate=float(work.film.rate),
        shots=tuple((max(a, first), min(b, stop)) for a, b in analysis.shots if a < stop and first < b),
        command=reproduce_command(work),
        copied=not paths,
        codec=work.settings.encode.codec,
    )
    return Joined(beside(made, work.output), report)
