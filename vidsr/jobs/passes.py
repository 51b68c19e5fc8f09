"""The two passes over one film: frames analyzed; a range of frames, or a segment, rendered."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidsr.analysis.analyze import find_tracks
from vidsr.analysis.detector import Detector, open_detector
from vidsr.analysis.tracks_file import Analysis, load, save, select
from vidsr.config import MAX_WINDOW, Enhance
from vidsr.errors import InputError
from vidsr.files import fsync_rename, partial_of, sha256, storage_errors, write_atomic
from vidsr.frame import Frame, Track
from vidsr.jobs.events import Meter
from vidsr.jobs.plan import Plan, checked_output, output_spec
from vidsr.jobs.work_folder import whole
from vidsr.report.report import HIDDEN
from vidsr.restore.quality_totals import QualityTotals
from vidsr.stream import Behind, drained, prefetch
from vidsr.system import may_have_gpu, trim_heap
from vidsr.video import Film, Reader, Writer, looked_at, probe

if TYPE_CHECKING:  # torch is loaded where the first face is restored
    from vidsr.restore.pipeline import Job, Tell
    from vidsr.restore.restorer import Restorer

AHEAD = 4  # frames that the decoder may be ahead of the network, and the network of the encoder
BOTH_MIB = 2
"""Frames up to this size: two encoders at once, one running dry, take little memory."""
QUALITY = ".quality.json"
MOST_IN_SEGMENT = 2000
"""Frames: as many irregular time stamps as one segment's expression can hold."""
COMBED = "its frames are interlaced, and --deinterlace is off"


def counted(frames: Iterable[Frame], meter: Meter) -> Iterator[Frame]:
    """The same frames, each of them told to the meter."""
    for frame in frames:
        meter.advance(1, 0)
        yield frame


def _measured(found: Analysis, film: Film) -> Analysis:
    """See `detail.measured`, which loads torch: a film without faces does not need it."""
    if not found.tracks:
        return found
    from vidsr.analysis.detail import measured

    return measured(found, film)


def analyze_film(film: Film, settings: Enhance, meter: Meter) -> tuple[Analysis, str]:
    """The first pass over a whole film; also what is damaged in it, '' if nothing is."""
    finder = detector_of(settings)
    meter.stage("analyze", promised_frames(film) or None)
    with (
        Reader(film, keep_going=settings.keep_going, side=settings.analyze.detect_side) as reader,
        prefetch(reader, AHEAD) as frames,
    ):
        analysis = find_tracks(counted(frames, meter), film, settings.analyze, finder)
        repaired = f"{reader.repaired} frames without a usable time stamp got one." if reader.repaired else ""
        size = f"{film.width}x{film.height}"
        rescaled = f"The picture changes its size or format at frame {', '.join(map(str, reader.rescaled[:5]))}"
        rescaled = f"{rescaled}: all of it is {size} in {film.pixels.name}." if reader.rescaled else ""
    return _measured(analysis, film), " ".join(filter(None, (reader.damage, repaired, rescaled)))


def analyze_part(
    film: Film, timeline: NDArray[np.int64], span: tuple[int, int], settings: Enhance, finder: Detector, meter: Meter
) -> Analysis:
    """The first pass over a range of a film whose timeline is known, in the film's numbers; ids are the range's own."""
    first, stop = span
    with (
        Reader(film, first=first, stop=stop, timeline=timeline, keep_going=settings.keep_going) as reader,
        prefetch(reader, AHEAD) as frames,
    ):
        renumbered = (dataclasses.replace(frame, index=frame.index - first) for frame in counted(frames, meter))
        found = find_tracks(renumbered, film, settings.analyze, finder)
    starts = [0, *(start + first for start, _ in found.shots[1:])]
    whole_film = dataclasses.replace(
        found,
        timeline=timeline,
        shots=tuple(zip(starts, [*starts[1:], len(timeline)], strict=True)),
        tracks=tuple(dataclasses.replace(track, first=track.first + first) for track in found.tracks),
    )
    return _measured(whole_film, film)


def detector_of(settings: Enhance) -> Detector:
    """What finds faces, on the device that `--device` means; torch is asked only where there may be a GPU."""
    name = settings.render.device
    if name == "cpu" or (name == "auto" and not may_have_gpu()):
        return open_detector(settings.analyze, "cpu")
    from vidsr.restore.restorer import pick_device

    device = pick_device(name)
    return open_detector(settings.analyze, "cpu" if device.type == "mps" else str(device))


def fitting(path: Path, film: Film) -> Analysis:
    """The analysis in a file; InputError where it is that of another film."""
    analysis = load(path)
    if (analysis.width, analysis.height, analysis.time_base) != (film.width, film.height, film.time_base):
        what = "another film, or with another --deinterlace" if film.fields else "another film"
        raise InputError(f"{path} was made from {what} ({analysis.name}, {analysis.width}x{analysis.height})")
    return analysis


def keep_analysis(work: Plan, folder: Path, meter: Meter) -> str:
    """Bring the analysis into the work folder, if an earlier run has not; gives what is damaged in the film."""
    path = folder / "tracks.json"
    if whole(path) and (folder / "damage").exists():
        return damage_of(folder)
    analysis, found = analysis_of(work, meter)
    trim_heap()  # the detector is gone, and the network comes
    partial = partial_of(path)
    save(analysis, partial)
    write_atomic(folder / "damage", found)
    write_atomic(path.with_suffix(".sha256"), sha256(partial))
    fsync_rename(partial, path)
    return found


def damage_of(folder: Path) -> str:
    """What the analysis in a work folder found damaged, '' if nothing."""
    return (folder / "damage").read_text(encoding="utf-8", errors="surrogateescape")


def analysis_of(work: Plan, meter: Meter) -> tuple[Analysis, str]:
    """The analysis that a plan asks for, without a work folder; also what is damaged in the film."""
    if work.settings.tracks is not None:
        return fitting(Path(work.settings.tracks), work.film), ""
    return analyze_film(work.film, work.settings, meter)


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
    return list(pairwise([first, *range((first // length + 1) * length, stop, length), stop]))


def restorable(tracks: tuple[Track, ...], chosen: str) -> tuple[tuple[Track, ...], dict[int, str]]:
    """The tracks to restore, and for each other one the reason why it is passed through."""
    wanted = {track.id for track in select(tracks, chosen)}
    reasons = {track.id: "not chosen by --faces" for track in tracks if track.id not in wanted}
    reasons |= {
        track.id: f"it is sharp at its own size, {track.window / track.factor:.0f} pixels wide: over {MAX_WINDOW:.0f} "
        "there is nothing that the model could add"
        for track in tracks
        if track.id in wanted and track.window / track.factor > MAX_WINDOW
    }
    reasons |= {track.id: HIDDEN for track in tracks if track.id not in reasons and not track.weight.any()}
    return tuple(track for track in tracks if track.id not in reasons), reasons


def chosen(work: Plan, tracks: tuple[Track, ...]) -> tuple[tuple[Track, ...], dict[int, str]]:
    """As `restorable`; in an interlaced film that stays so, none: what is drawn over two fields would comb."""
    if work.film.fields and not work.film.deinterlace:
        return (), {track.id: COMBED for track in tracks}
    return restorable(tracks, work.settings.render.faces)


def render_range(
    work: Plan,
    job: Job | None,
    timeline: NDArray[np.int64],
    span: tuple[int, int],
    meter: Meter,
    tell: Tell | None = None,
) -> Generator[Frame, None, None]:
    """Frames of a range of the film, restored: the one path that films, resumed films and previews share. Without a
    job they are the decoder's own.

    Whoever may not take all of them closes it: the traceback of a failing encoder would keep the threads that read.
    """
    (first, stop), near = span, list[Track]()
    if job is not None:
        first, stop = max(0, first - job.halo), min(len(timeline), stop + job.halo)
        near = [track for track in job.tracks if track.first < stop and first < track.stop]
    keep_going = work.settings.keep_going
    with (
        Reader(work.film, first=first, stop=stop, timeline=timeline, keep_going=keep_going) as reader,
        prefetch(reader, AHEAD) as frames,
    ):
        if job is not None:
            from vidsr.restore.pipeline import render, unheard

            frames = render(frames, *span, dataclasses.replace(job, tracks=near), tell or unheard)
        for frame in frames:
            active = sum(track.first <= frame.index < track.stop for track in near)
            yield frame
            meter.advance(1, active)


@dataclasses.dataclass(frozen=True)
class OpenFilm:
    """A film that is analyzed: the tracks to restore, why the others are passed through, and what opens the model on
    its device, which is done for the first segment with a face."""

    work: Plan
    analysis: Analysis
    tracks: tuple[Track, ...]
    reasons: dict[int, str]
    restorer: Callable[[Plan], Restorer]

    @cached_property
    def job(self) -> Job:
        return make_job(self.work, self.tracks, self.restorer(self.work))

    def none_in(self, span: tuple[int, int]) -> bool:
        """Whether the frames of a range stay what they are."""
        shown = any(track.first < span[1] and span[0] < track.stop for track in self.tracks)
        return self.work.scale == 1 and not shown


def render_segment(path: Path, film: OpenFilm, span: tuple[int, int], meter: Meter, endings: Behind) -> None:
    """Render one segment to `path`, with its checksum beside it; nothing half-done keeps either name.

    Its end is left to `endings`, so that the next segment's beginning fills the gap while this one's encoder runs dry.
    """
    partial, work, timeline, totals = partial_of(path), film.work, film.analysis.timeline, QualityTotals()
    with ExitStack() as stack:
        writer = stack.enter_context(Writer(partial, output_spec(work), timeline[span[0] : span[1]]))
        sink = stack.enter_context(drained(writer.write, AHEAD))
        job = None if film.none_in(span) else film.job
        with closing(render_range(work, job, timeline, span, meter, totals.add)) as frames:
            for frame in frames:
                sink.put(frame)
        endings.wait()
        encoding = stack.pop_all()

    def end() -> None:
        encoding.close()
        write_atomic(path.with_suffix(QUALITY), totals.dump())
        fsync_rename(partial, path)
        write_atomic(path.with_suffix(".sha256"), sha256(path))

    endings.then(end)
    if work.film.pixels.frame_bytes(work.film.height, work.film.width) * work.scale**2 > BOTH_MIB << 20:
        endings.wait()


def make_job(work: Plan, tracks: tuple[Track, ...], restorer: Restorer | None = None) -> Job:
    """What the ranges of one film share; puts the model on its device where no `restorer` has it there already."""
    from vidsr.networks.generator import Plain
    from vidsr.restore.pipeline import Job

    settings = work.settings.render
    denoise = not settings.keep_grain and not isinstance(work.model.network, Plain)
    return Job(work.planes, tracks, restorer or make_restorer(work), settings.batch, denoise)


def make_restorer(work: Plan) -> Restorer:
    """Put the model on its device."""
    from vidsr.restore.restorer import Restorer, pick_device, pick_dtype

    device = pick_device(work.settings.render.device)
    return Restorer(work.model, device, pick_dtype(work.settings.render.precision, device))


def promised_frames(film: Film) -> int:
    """How many frames a film says that it has; 0 where it does not."""
    return round(film.duration_s * film.rate) if film.duration_s else 0


def analyze(source: Path, output: Path, settings: Enhance, meter: Meter) -> tuple[Analysis, str]:
    """Find the faces of a film and write them to `output`; also gives what is damaged in the film, '' if nothing is."""
    film = looked_at(probe(source), settings.deinterlace, settings.ignore_dolby_vision)
    output = checked_output(output, film, settings.overwrite)
    analysis, damage = analyze_film(film, settings, meter)
    meter.flush()
    meter.end()
    partial = partial_of(output)
    with storage_errors(output):
        try:
            save(analysis, partial)
            fsync_rename(partial, output)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    return analysis, damage
