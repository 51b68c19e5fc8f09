"""The work on one film: analysed, rendered segment by segment, published; the output appears whole or not at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidsr import space
from vidsr.analysis import Analysis, load, save, select
from vidsr.config import MAX_WINDOW, Enhance
from vidsr.delivery import delivered, note
from vidsr.detect import open_detector
from vidsr.errors import InputError, ModelError, OutputError, VidsrError
from vidsr.files import beside, durable, own_name, partial_of, settle, sha256, told
from vidsr.frame import Frame, Track
from vidsr.gpu import may_have_gpu
from vidsr.plan import Plan, checked_output, output_spec
from vidsr.report import HIDDEN, VERSION, Report, fates
from vidsr.report import spans as spans_of
from vidsr.shipped import model_for
from vidsr.stream import Behind, behind, drained, prefetch
from vidsr.tally import Tally
from vidsr.tasks import Answer, Join, Joined, Order, Prepare, Ready, Rendered, Segment, Task
from vidsr.tasks import Watch as Watch  # told to those who call `enhance`
from vidsr.track import analyse
from vidsr.video import Film, Reader, Writer, probe, publish
from vidsr.workfolder import agree, check_unchanged, has_segments, locked, match, remove, whole, worth_keeping

if TYPE_CHECKING:  # torch is loaded where the first face is restored
    from vidsr.render import Job, Tell
    from vidsr.upscale import Restorer
    from vidsr.weights import Model

AHEAD = 4  # frames that the decoder may be ahead of the network, and the network of the encoder
BOTH_MIB = 2
"""Frames up to this size: two encoders at once, one running dry, take little memory."""
DISK_FULL = "No space left on device"
"""What ffmpeg's last lines say then."""
TALLY = ".tally.json"
MOST_IN_SEGMENT = 2000
"""Frames: as many irregular time stamps as one segment's expression can hold."""
QUIET = 6
"""Pieces of the grid without a face that may be one segment."""
Steps = Generator[Sequence[Task], Sequence[Answer], Report]
"""One film: gives tasks that may be done at once and anywhere, wants their answers in order, ends with a report."""


def _counted(frames: Iterator[Frame], watch: Watch) -> Iterator[Frame]:
    for frame in frames:
        watch.advance(1, 0)
        yield frame


def analyse_film(film: Film, settings: Enhance, watch: Watch) -> tuple[Analysis, str]:
    """The first pass over a whole film; also what is damaged in it, '' if nothing is."""
    finder = open_detector(settings.analyze, _detectors_device(settings.render.device))
    watch.stage("analyse", _promised_frames(film) or None)
    with (
        Reader(film, keep_going=settings.keep_going, side=settings.analyze.detect_side) as reader,
        prefetch(reader, AHEAD) as frames,
    ):
        analysis = analyse(_counted(frames, watch), film, settings.analyze, finder)
        repaired = f"{reader.repaired} frames without a usable time stamp got one" if reader.repaired else ""
        return analysis, " ".join(filter(None, (reader.damage, repaired)))


def _detectors_device(name: str) -> str:
    """The device that `--device` means; torch is asked only where there may be a GPU."""
    if name == "cpu" or (name == "auto" and not may_have_gpu()):
        return "cpu"
    from vidsr.upscale import pick_device

    return str(pick_device(name))


def _fitting(path: Path, film: Film) -> Analysis:
    analysis = load(path)
    if (analysis.width, analysis.height, analysis.time_base) != (film.width, film.height, film.time_base):
        raise InputError(f"{path} was made from another film ({analysis.name}, {analysis.width}x{analysis.height})")
    return analysis


def _analysis(work: Plan, folder: Path, watch: Watch) -> tuple[Analysis, str]:
    """The analysis: left by an earlier run, or as the plan says."""
    path = folder / "tracks.json"
    if whole(path) and (folder / "damage").exists():
        return _fitting(path, work.film), _damage(folder)
    analysis, found = analysis_of(work, watch)
    partial = partial_of(path)
    save(analysis, partial)
    durable(folder / "damage", found)
    durable(path.with_suffix(".sha256"), sha256(partial))
    settle(partial, path)
    return analysis, found


def _damage(folder: Path) -> str:
    return (folder / "damage").read_text(encoding="utf-8", errors="surrogateescape")


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


def segments(
    first: int, stop: int, film: Film, settings: Enhance, is_quiet: Callable[[tuple[int, int]], bool] = lambda _: False
) -> list[tuple[int, int]]:
    """The range cut into pieces of about `segment_s`, on a grid that does not depend on where the range begins.

    Neighbours in which nothing is to be restored are one piece, up to QUIET of the grid: it is soon done again, should
    the run be stopped, and each piece costs two processes.
    """
    length = min(max(1, round(settings.segment_s * float(film.rate))), MOST_IN_SEGMENT)
    edges = [first, *range((first // length + 1) * length, stop, length), stop]
    together = min(QUIET, MOST_IN_SEGMENT // length) * length
    joined: list[tuple[int, int]] = []
    for begin, end in pairwise(edges):
        before = joined[-1][0] if joined else begin
        if before != begin and before // together == begin // together and is_quiet((before, end)):
            joined[-1] = before, end
        else:
            joined.append((begin, end))
    return joined


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
    work: Plan, job: Job, timeline: NDArray[np.int64], span: tuple[int, int], watch: Watch, tell: Tell | None = None
) -> Iterator[Frame]:
    """Frames of a range of the film, restored: the one path that films, resumed films and previews share."""
    from vidsr.render import render, unheard

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
        for frame in render(frames, first, stop, job, tell or unheard):
            active = sum(t.first <= frame.index < t.stop for t in job.tracks)
            yield frame
            watch.advance(1, active)


def _pass(work: Plan, timeline: NDArray[np.int64], span: tuple[int, int], writer: Writer, watch: Watch) -> None:
    """A range in which no face is restored: the decoder's own pictures, handed on as they are."""
    with Reader(
        work.film,
        first=span[0],
        stop=span[1],
        timeline=timeline,
        keep_going=work.settings.keep_going,
        writer=writer,
    ) as reader:
        for _ in reader:
            watch.advance(1, 0)


@dataclasses.dataclass(frozen=True)
class Faces:
    """The tracks to restore, and the model on its device, which is opened for the first segment that has one."""

    work: Plan
    tracks: tuple[Track, ...]
    restorer: Callable[[Plan], Restorer]

    @cached_property
    def job(self) -> Job:
        return make_job(self.work, self.tracks, self.restorer(self.work))

    def none_in(self, span: tuple[int, int]) -> bool:
        """Whether the frames of a range stay what they are."""
        shown = any(track.first < span[1] and span[0] < track.stop for track in self.tracks)
        return self.work.scale == 1 and not shown


def _segment(
    path: Path, faces: Faces, timeline: NDArray[np.int64], span: tuple[int, int], watch: Watch, endings: Behind
) -> None:
    """Render one segment to `path`, with its checksum beside it; nothing half-done keeps either name.

    Its end is left to `endings`, so that the next segment's beginning fills the gap while this one's encoder runs dry.
    """
    partial, work, tally = partial_of(path), faces.work, Tally()
    with ExitStack() as stack:
        writer = stack.enter_context(Writer(partial, output_spec(work), timeline[span[0] : span[1]]))
        if faces.none_in(span):
            _pass(work, timeline, span, writer, watch)
        else:
            sink = stack.enter_context(drained(writer.write, AHEAD))
            for frame in render_range(work, faces.job, timeline, span, watch, tally.hear):
                sink.put(frame)
        endings.wait()
        encoding = stack.pop_all()

    def end() -> None:
        encoding.close()
        durable(path.with_suffix(TALLY), tally.dump())
        settle(partial, path)
        durable(path.with_suffix(".sha256"), sha256(path))

    endings.then(end)
    if work.film.pixels.frame_bytes(work.film.height, work.film.width) * work.scale**2 > BOTH_MIB << 20:
        endings.wait()


def _part(first: int, stop: int, analysis: Analysis) -> range | None:
    """The range to publish, or None where it is the whole film."""
    return None if (first, stop) == (0, analysis.frames) else range(first, stop)


def make_job(work: Plan, tracks: tuple[Track, ...], restorer: Restorer | None = None) -> Job:
    """What the ranges of one film share; puts the model on its device where no `restorer` has it there already."""
    from vidsr.network import Plain
    from vidsr.render import Job

    render_settings = work.settings.render
    calm = not render_settings.keep_grain and not isinstance(work.model.network, Plain)
    return Job(work.planes, tracks, restorer or make_restorer(work), render_settings.batch, calm)


def make_restorer(work: Plan) -> Restorer:
    """Put the model on its device."""
    from vidsr.upscale import Restorer, pick_device, pick_dtype

    device = pick_device(work.settings.render.device)
    return Restorer(work.model, device, pick_dtype(work.settings.render.precision, device))


def enhance(work: Plan, watch: Watch) -> Report:
    """Make the enhanced film: analyse, render segment by segment, publish; the output appears whole or not at all.

    A run that was stopped goes on from its last whole segment. Raises VidsrError; the work folder then stays for the
    next try if it holds finished work, and is removed if it does not.
    """
    bench, course = Bench(model=work.model), steps(work, watch)
    try:
        tasks = next(course)
        while True:
            try:
                answers = done(tasks, bench, watch)
            except BaseException as error:
                tasks = course.throw(error)
            else:
                tasks = course.send(answers)
    except StopIteration as end:
        report: Report = end.value
        return report


def steps(work: Plan, watch: Watch) -> Steps:
    """One film's work, but for its tasks, which the caller has done by whom it likes.

    An error of a task is thrown in, and comes out as what `enhance` raises. Holds the work folder's lock meanwhile.
    """
    with told(work.output):
        try:
            with locked(work) as folder:
                return (yield from _finished(work, folder, watch))
        except VidsrError as error:
            if DISK_FULL not in error.details:
                raise
            raise OutputError(f"the disk of {work.folder} is full: free some space", error.details) from error


def _finished(work: Plan, folder: Path, watch: Watch) -> Steps:
    """Do the work; leave the folder only where the next try can use it."""
    keep = False
    try:
        report = yield from _steps(Order.of(work), folder, watch)
        keep = work.settings.keep_work
        return dataclasses.replace(report, input=str(work.film.path))
    except InputError:  # the next try would end in the same way, unless it was the film's disk that went away
        keep = has_segments(folder)
        raise
    except BaseException:
        keep = worth_keeping(folder)
        raise
    finally:
        if not keep:
            remove(folder)


def _steps(order: Order, folder: Path, watch: Watch) -> Steps:
    ready = (yield [Prepare(order)])[0]
    if isinstance(ready, Report):
        return ready
    assert isinstance(ready, Ready)
    first, stop = ready.span
    watch.stage("render", stop - first)
    yield [Segment(order, span) for span in ready.spans]
    watch.stage("publish", None)
    joined = (yield [Join(order, ready)])[0]
    assert isinstance(joined, Joined)
    # Here, by the one who holds the lock: a worker that was given up could be late.
    note(folder, joined.made, joined.report)
    settle(joined.made, order.output)
    return joined.report


@dataclasses.dataclass(frozen=True)
class _Opened:
    """A film on the bench."""

    order: Order
    analysis: Analysis
    faces: Faces
    reasons: dict[int, str]


class Bench:
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
            analysis = _fitting(work.folder / "tracks.json", work.film)
            tracks, reasons = restorable(analysis.tracks, work.settings.render.faces)
            self._opened = _Opened(order, analysis, Faces(work, tracks, self._placed), reasons)
        return self._opened

    def _placed(self, work: Plan) -> Restorer:
        """The model on its device: put there for the first film that needs it, and kept for those after it."""
        key = work.settings.render.device, work.settings.render.precision
        if self._restorer is None or self._restorer[0] is not work.model or self._restorer[1] != key:
            self._restorer = work.model, key, make_restorer(work)
        return self._restorer[2]


def done(tasks: Sequence[Task], bench: Bench, watch: Watch) -> list[Answer]:
    """Do tasks of a film whose work folder's lock is held, by this process or by one that waits for the answers."""
    with behind() as endings:
        return [_do(task, bench, watch, endings) for task in tasks]


def _do(task: Task, bench: Bench, watch: Watch, endings: Behind) -> Answer:
    if isinstance(task, Prepare):
        return _prepare(bench.plan(task.order), bench, watch)
    if isinstance(task, Segment):
        return _render(task, bench, watch, endings)
    return _join(task, bench)


def _prepare(work: Plan, bench: Bench, watch: Watch) -> Answer:
    match(work)
    if (done := delivered(work.folder, work.output)) is not None:
        return done
    space.require_start(work, _promised_frames(work.film))
    analysis, _ = _analysis(bench.here(work), work.folder, watch)
    span = frame_range(analysis.timeline, work.film, work.settings)
    tracks, _ = restorable(analysis.tracks, work.settings.render.faces)
    spans = segments(*span, work.film, work.settings, Faces(work, tracks, make_restorer).none_in)
    agree(work.folder, sha256(work.folder / "tracks.json"), spans)
    return Ready(span, tuple(spans))


def _path(folder: Path, span: tuple[int, int]) -> Path:
    return folder / f"{span[0]:08d}-{span[1]:08d}.nut"


def _render(task: Segment, bench: Bench, watch: Watch, endings: Behind) -> Rendered:
    """The segment of an earlier run, or a new one."""
    work, (first, stop) = bench.plan(task.order), task.span
    path = _path(work.folder, task.span)
    if whole(path):
        watch.advance(stop - first, 0)
        return Rendered(now=False)
    space.require_segment(work.folder, [done.stat().st_size for done in work.folder.glob("*.nut")])
    film = bench.open(task.order)
    _segment(path, film.faces, film.analysis.timeline, task.span, watch, endings)
    return Rendered(now=True)


def _join(task: Join, bench: Bench) -> Joined:
    work, film, (first, stop) = bench.plan(task.order), bench.open(task.order), task.ready.span
    folder, analysis = work.folder, film.analysis
    paths = [_path(folder, span) for span in task.ready.spans]
    check_unchanged(work)
    space.require_join(folder, [path.stat().st_size for path in paths])
    made = folder / own_name("whole", work.output.suffix)
    warnings = publish(work.film, paths, analysis.timeline, made, frames=_part(first, stop, analysis))
    damage = _damage(folder)
    notes = [*([damage] if damage else []), *work.film.warnings, *output_spec(work).warnings, *warnings]
    report = Report(
        VERSION,
        input=str(work.film.path),
        output=str(work.output),
        model=work.model.name,
        scale=work.scale,
        first=first,
        stop=stop,
        frames=spans_of(first, stop, analysis.tracks, film.reasons),
        tracks=fates(analysis.tracks, film.reasons, _tally(paths)),
        warnings=tuple(notes),
    )
    return Joined(beside(made, work.output), report)


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
