"""A range of frames, rendered by the same path as the film, beside what the player would have shown."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vidsr.config import Encode, Enhance, Preview
from vidsr.errors import OutputError
from vidsr.files import check_writable, storage_errors
from vidsr.frame import Frame, Track
from vidsr.jobs import film_job
from vidsr.jobs.plan import LONGEST_SIDE, output_spec, planned
from vidsr.jobs.tasks import Silent
from vidsr.networks.model_file import Model
from vidsr.picture import Rgb, small_rgb
from vidsr.previews.excerpt import scene
from vidsr.previews.loop import Loop
from vidsr.previews.page import Exhibit, mosaic_of, page
from vidsr.report import contact_sheet
from vidsr.report.html import write_page
from vidsr.report.side_by_side import PIXELS
from vidsr.restore.enlarge import enlarged
from vidsr.restore.pipeline import Job
from vidsr.stream import drained
from vidsr.video import Reader, Writer, probe, publish

LOOP = "face.webp"
FACES = 40  # on a contact sheet and a page, at most
CODING = Encode(codec="libx264", crf=14.0, preset="superfast")
"""Finer than a film's default, and fast: a preview is made to be looked at once."""


@dataclass(frozen=True)
class Way:
    """One way to restore, under the name that people shall see."""

    name: str
    model: Model


@dataclass(frozen=True, repr=False)
class _Look:
    """One frame as it was, enlarged plainly, and restored in every way that was asked for."""

    source: Frame
    shown: tuple[Frame, ...]


@dataclass(frozen=True, repr=False)
class _Task:
    """What is shown of a film, and all ways to make it."""

    shown: Exhibit
    ways: tuple[Job, ...]

    @property
    def faces(self) -> list[Track]:
        return self.shown.scene.tracks[:FACES]

    @property
    def loop(self) -> Loop | None:
        """Of the largest restored face; None where no face is restored."""
        track = next((face for face in self.faces if face.id not in self.shown.passed), None)
        return None if track is None else Loop(track, self.shown.scene.span)

    def looks(self, span: tuple[int, int], watch: film_job.Progress) -> Iterator[_Look]:
        timeline, work = self.shown.scene.analysis.timeline, self.shown.work
        restored = [film_job.render_range(work, job, timeline, span, watch) for job in self.ways]
        keep_going = work.settings.keep_going
        with Reader(work.film, first=span[0], stop=span[1], timeline=timeline, keep_going=keep_going) as sources:
            for source, *done in zip(sources, *restored, strict=True):
                yield _Look(source, (enlarged(source, work.planes), *done))


def preview(
    source: Path, folder: Path, part: Preview, settings: Enhance, ways: Sequence[Way], watch: film_job.Progress
) -> list[Path]:
    """Write `preview.mp4` (input enlarged plainly | restored), `contact.png` (a row a face) and `index.html`.

    `face.webp` is a loop of the largest restored face. Each of `ways` gives one more picture, side by side.
    `contact.png` appears first, with the largest face, and is complete at the end; a range without faces has none.
    Gives the files; raises InputError where the film has no such frames, and OutputError.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        task = _task(source, folder, part, settings, ways, watch)
        rows, loop = _first_row(task, folder), task.loop
        scratch = folder / "preview.partial"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        try:
            rows += _film(task, scratch, watch, {row.track.id for row in rows}, loop)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        order = [track.id for track in task.faces]
        rows.sort(key=lambda row: order.index(row.track.id))
        made = [task.shown.work.output, folder / "index.html"]
        write_page(made[1], page(task.shown, rows))
        return [*made, *_sheet(task, rows, folder), *_looped(task, loop, folder)]


def _task(
    source: Path, folder: Path, part: Preview, settings: Enhance, ways: Sequence[Way], watch: film_job.Progress
) -> _Task:
    film = probe(source)
    # The page shows pictures only, and a sound that mp4 cannot hold shall not stand in its way.
    film = replace(film, streams=tuple(stream for stream in film.streams if stream.index == film.index), chapters=0)
    settings = replace(settings, encode=CODING)
    work = planned(film, folder / "preview.mp4", settings, ways[0].model)
    for name in ("index.html", "contact.png", LOOP):
        check_writable(folder / name, settings.overwrite)
    labels = ("input" if work.scale == 1 else "input, enlarged plainly", *(way.name for way in ways))
    size = mosaic_of(work, labels).size
    if max(size) > LONGEST_SIDE:
        raise OutputError(f"the preview would be {size[0]}x{size[1]}; lower --scale or compare fewer settings")
    found = scene(work, part, watch)
    tracks, passed = film_job.chosen(work, found.analysis.tracks)
    made = tuple(film_job.make_job(replace(work, model=way.model), tracks) for way in ways)
    return _Task(Exhibit(work, found, labels, passed), made)


def _row(look: _Look, track: Track, task: _Task, pictures: dict[int, Rgb]) -> contact_sheet.Row:
    """A face in this frame; `pictures` keeps the frame's RGB for the other faces in it."""
    film, box = task.shown.work.film, track.boxes[look.source.index - track.first].tolist()
    for n, frame in enumerate((look.source, *look.shown)):
        if n not in pictures:
            pictures[n] = small_rgb(frame, film, max(frame.luma.shape))
    views = [contact_sheet.view(pictures[0], box, 1, crisp=True)]
    views += [contact_sheet.view(pictures[n + 1], box, task.shown.work.scale) for n in range(len(look.shown))]
    return contact_sheet.Row(track, look.source.index, tuple(views))


def _first_row(task: _Task, folder: Path) -> list[contact_sheet.Row]:
    """The largest face, of those that are restored if there is one, on disk before the rest: somebody waits for it."""
    if not task.faces:
        return []
    track = min(task.faces, key=lambda face: face.id in task.shown.passed)
    at = track.moment(*task.shown.scene.span)
    rows = [_row(look, track, task, {}) for look in task.looks((at, at + 1), Silent())]
    _sheet(task, rows, folder)
    return rows


def _sheet(task: _Task, rows: Sequence[contact_sheet.Row], folder: Path) -> list[Path]:
    path = folder / "contact.png"
    if not rows:
        path.unlink(missing_ok=True)  # of an earlier preview
        return []
    contact_sheet.save_sheet(rows, ("input", "plain", *task.shown.labels[1:]), path)
    return [path]


def _looped(task: _Task, loop: Loop | None, folder: Path) -> list[Path]:
    path = folder / LOOP
    if loop is None or not loop.pairs:
        path.unlink(missing_ok=True)  # of an earlier preview
        return []
    loop.save(path, task.shown.work.film.rate)
    return [path]


def _film(
    task: _Task, scratch: Path, watch: film_job.Progress, done: set[int], loop: Loop | None
) -> list[contact_sheet.Row]:
    """Render the range to `preview.mp4`; the rows of the faces that are not `done`."""
    work, span, timeline = task.shown.work, task.shown.scene.span, task.shown.scene.analysis.timeline
    moments: dict[int, list[Track]] = {}
    for track in task.faces:
        if track.id not in done:
            moments.setdefault(track.moment(*span), []).append(track)
    mosaic, depth = mosaic_of(work, task.shown.labels), work.film.pixels.depth
    width, height = mosaic.size
    spec = replace(output_spec(work), width=width, height=height, pixels=PIXELS)
    rows: list[contact_sheet.Row] = []
    segment, whole = scratch / "0.nut", scratch / "whole.mp4"
    watch.stage("render", len(task.ways) * (span[1] - span[0]))
    with Writer(segment, spec, timeline[slice(*span)]) as writer, drained(writer.write, film_job.AHEAD) as sink:
        for look in task.looks(span, watch):
            sink.put(mosaic.joined(look.shown, depth))
            pictures: dict[int, Rgb] = {}
            rows += [_row(look, track, task, pictures) for track in moments.get(look.source.index, [])]
            if loop is not None and look.source.index in loop.frames:
                before, after = (small_rgb(frame, work.film, max(frame.luma.shape)) for frame in look.shown[:2])
                loop.see(before, after, work.scale)
    publish(work.film, [segment], timeline, whole, frames=range(*span))
    whole.replace(work.output)
    return rows
