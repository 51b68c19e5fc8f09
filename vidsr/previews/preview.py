"""A range of frames, rendered by the same path as the film, beside what the player would have shown."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from vidsr.config import Encode, Enhance, Preview
from vidsr.errors import OutputError
from vidsr.files import check_writable, storage_errors
from vidsr.frame import Frame, Track
from vidsr.jobs import passes
from vidsr.jobs.events import Meter
from vidsr.jobs.plan import LONGEST_SIDE, output_spec, planned
from vidsr.networks.model_file import Model
from vidsr.picture import Rgb, small_rgb
from vidsr.previews.excerpt import scene
from vidsr.previews.page import Exhibit, page
from vidsr.report import contact_sheet
from vidsr.report.html import write_page
from vidsr.report.side_by_side import PIXELS, Mosaic
from vidsr.restore.enlarge import enlarged
from vidsr.stream import drained
from vidsr.video import Reader, Writer, probe, publish

LOOP = "face.webp"
CODING = Encode(codec="libx264", crf=14.0, preset="superfast")
"""Finer than a film's default, and fast: a preview is made to be looked at once."""


@dataclass(frozen=True)
class Variant:
    """A model to restore with, under the name that people shall see."""

    name: str
    model: Model


Look = tuple[Frame, ...]
"""One frame as it was, enlarged plainly, and restored by every variant."""


def _looks(given: Exhibit, span: tuple[int, int], meter: Meter) -> Generator[Look, None, None]:
    timeline, work = given.scene.analysis.timeline, given.work
    restored = [passes.render_range(work, job, timeline, span, meter) for job in given.jobs]
    keep_going = work.settings.keep_going
    with Reader(work.film, first=span[0], stop=span[1], timeline=timeline, keep_going=keep_going) as sources:
        for source, *done in zip(sources, *restored, strict=True):
            yield source, enlarged(source, work.planes), *done


def preview(
    source: Path, folder: Path, part: Preview, settings: Enhance, ways: Sequence[Variant], meter: Meter
) -> list[Path]:
    """Write `preview.mp4` (input enlarged plainly | restored), `contact.png` (a row a face) and `index.html`.

    `face.webp` is a loop of the largest restored face. Each of `ways` gives one more picture, side by side.
    `contact.png` appears first, with the largest face, and is complete at the end; a range without faces has none.
    Gives the files; raises InputError where the film has no such frames, and OutputError.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        given = _exhibit(source, folder, part, settings, ways, meter)
        rows, loop = _first_row(given, folder), given.loop
        scratch = folder / "preview.partial"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        try:
            rows += _film(given, scratch, meter, {row.track.id for row in rows}, loop)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        order = [track.id for track in given.faces]
        rows.sort(key=lambda row: order.index(row.track.id))
        made = [given.work.output, folder / "index.html"]
        write_page(made[1], page(given, rows))
        return [*made, *_sheet(given, rows, folder), *_looped(given, loop, folder)]


def _exhibit(
    source: Path, folder: Path, part: Preview, settings: Enhance, ways: Sequence[Variant], meter: Meter
) -> Exhibit:
    film = probe(source)
    # The page shows pictures only, and a sound that mp4 cannot hold shall not stand in its way.
    film = replace(film, streams=tuple(stream for stream in film.streams if stream.index == film.index), chapters=0)
    settings = replace(settings, encode=CODING)
    work = planned(film, folder / "preview.mp4", settings, ways[0].model)
    for name in ("index.html", "contact.png", LOOP):
        check_writable(folder / name, settings.overwrite)
    labels = ("input" if work.scale == 1 else "input, enlarged plainly", *(way.name for way in ways))
    mosaic = Mosaic(work.film.width * work.scale, work.film.height * work.scale, labels)
    if max(mosaic.size) > LONGEST_SIDE:
        size = "x".join(map(str, mosaic.size))
        raise OutputError(f"the preview would be {size}; lower --scale or compare fewer settings")
    found = scene(work, part, meter)
    tracks, passed = passes.chosen(work, found.analysis.tracks)
    jobs = tuple(passes.make_job(replace(work, model=way.model), tracks) for way in ways)
    return Exhibit(work, found, mosaic, passed, jobs)


def _row(look: Look, track: Track, given: Exhibit, pictures: dict[int, Rgb]) -> contact_sheet.Row:
    """A face in this frame; `pictures` keeps the frame's RGB for the other faces in it."""
    source, *shown = look
    film, box = given.work.film, track.boxes[source.index - track.first].tolist()
    for n, frame in enumerate(look):
        if n not in pictures:
            pictures[n] = small_rgb(frame, film, max(frame.luma.shape))
    views = [contact_sheet.view(pictures[0], box, 1, crisp=True)]
    views += [contact_sheet.view(pictures[n + 1], box, given.work.scale) for n in range(len(shown))]
    return contact_sheet.Row(track, source.index, tuple(views))


def _first_row(given: Exhibit, folder: Path) -> list[contact_sheet.Row]:
    """The largest face, of those that are restored if there is one, on disk before the rest: somebody waits for it."""
    if not given.faces:
        return []
    track = min(given.faces, key=lambda face: face.id in given.passed)
    at = track.moment(*given.scene.span)
    rows = [_row(look, track, given, {}) for look in _looks(given, (at, at + 1), Meter())]
    _sheet(given, rows, folder)
    return rows


def _sheet(given: Exhibit, rows: Sequence[contact_sheet.Row], folder: Path) -> list[Path]:
    path = folder / "contact.png"
    if not rows:
        path.unlink(missing_ok=True)  # of an earlier preview
        return []
    contact_sheet.save_sheet(rows, ("input", "plain", *given.mosaic.labels[1:]), path)
    return [path]


def _looped(given: Exhibit, loop: contact_sheet.Loop | None, folder: Path) -> list[Path]:
    path = folder / LOOP
    if loop is None or not loop.pairs:
        path.unlink(missing_ok=True)  # of an earlier preview
        return []
    loop.save(path, given.work.film.rate)
    return [path]


def _film(
    given: Exhibit, scratch: Path, meter: Meter, done: set[int], loop: contact_sheet.Loop | None
) -> list[contact_sheet.Row]:
    """Render the range to `preview.mp4`; the rows of the faces that are not `done`."""
    work, span, timeline = given.work, given.scene.span, given.scene.analysis.timeline
    moments: dict[int, list[Track]] = {}
    for track in given.faces:
        if track.id not in done:
            moments.setdefault(track.moment(*span), []).append(track)
    mosaic, depth = given.mosaic, work.film.pixels.depth
    width, height = mosaic.size
    spec = replace(output_spec(work), width=width, height=height, pixels=PIXELS)
    rows: list[contact_sheet.Row] = []
    segment, whole = scratch / "0.nut", scratch / "whole.mp4"
    meter.stage("render", len(given.jobs) * (span[1] - span[0]))
    with (
        Writer(segment, spec, timeline[slice(*span)]) as writer,
        drained(writer.write, passes.AHEAD) as sink,
        closing(_looks(given, span, meter)) as looks,
    ):
        for look in looks:
            source, *shown = look
            sink.put(mosaic.joined(shown, depth))
            pictures: dict[int, Rgb] = {}
            rows += [_row(look, track, given, pictures) for track in moments.get(source.index, [])]
            if loop is not None and source.index in loop.frames:
                before, after = (small_rgb(frame, work.film, max(frame.luma.shape)) for frame in shown[:2])
                loop.see(before, after, work.scale)
    publish(work.film, [segment], timeline, whole, frames=range(*span))
    whole.replace(work.output)
    return rows
