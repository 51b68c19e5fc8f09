"""A range of frames, rendered by the same path as the film, beside what the player would have shown."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vidsr import jobs
from vidsr.blend import enlarged
from vidsr.config import Enhance
from vidsr.errors import InputError, OutputError
from vidsr.files import told
from vidsr.frame import Frame, Track
from vidsr.picture import Rgb, small_rgb
from vidsr.plan import Plan, output_spec, plan
from vidsr.render import Job
from vidsr.stream import drained
from vidsr.video import Film, Reader, Writer, publish
from vidsr.weights import Model

TILE = 256  # side of a picture on the contact sheet, pixels
ROWS = 40  # faces on a contact sheet, at most


@dataclass(frozen=True)
class _Pair:
    """A frame as it was, enlarged plainly, and restored."""

    source: Frame
    plain: Frame
    restored: Frame


def _side_by_side(pair: _Pair) -> Frame:
    luma = np.concatenate([pair.plain.luma, pair.restored.luma], axis=1)
    chroma = np.concatenate([pair.plain.chroma, pair.restored.chroma], axis=2)
    return Frame(pair.plain.index, pair.plain.pts, luma, chroma)


def _pairs(
    work: Plan, job: Job, timeline: NDArray[np.int64], span: tuple[int, int], watch: jobs.Watch
) -> Iterator[_Pair]:
    restored = jobs.render_range(work, job, timeline, span, watch)
    with Reader(work.film, first=span[0], stop=span[1], timeline=timeline) as sources:
        for source, done in zip(sources, restored, strict=True):
            yield _Pair(source, enlarged(source, work.planes), done)


def _cut(frame: Frame, film: Film, box: tuple[float, float, float, float], how: int) -> Rgb:
    """The square around a face as RGB, TILE pixels wide."""
    x0, y0, x1, _ = (round(value) for value in box)
    side = max(1, x1 - x0)
    picture = np.pad(small_rgb(frame, film, max(frame.luma.shape)), ((side, side), (side, side), (0, 0)), "edge")
    square = picture[y0 + side : y0 + 2 * side, x0 + side : x0 + 2 * side]
    return np.asarray(cv2.resize(square, (TILE, TILE), interpolation=how), np.uint8)


def _row(pair: _Pair, track: Track, film: Film, scale: int) -> Rgb:
    box = track.boxes[pair.source.index - track.first]
    x, y, half = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, 0.75 * (box[3] - box[1])
    square = (x - half, y - half, x + half, y + half)
    large = (square[0] * scale, square[1] * scale, square[2] * scale, square[3] * scale)
    return np.concatenate(
        [
            _cut(pair.source, film, square, cv2.INTER_NEAREST),
            _cut(pair.plain, film, large, cv2.INTER_LINEAR),
            _cut(pair.restored, film, large, cv2.INTER_LINEAR),
        ],
        axis=1,
    )


def _moments(tracks: tuple[Track, ...], span: tuple[int, int]) -> dict[int, list[Track]]:
    """For the faces in the range, largest first, the frame in the middle of each one's stay."""
    found: dict[int, list[Track]] = {}
    for track in sorted(tracks, key=lambda t: -t.height)[:ROWS]:
        first, stop = max(track.first, span[0]), min(track.stop, span[1])
        if first < stop:
            found.setdefault((first + stop) // 2, []).append(track)
    return found


def preview(
    source: Path, folder: Path, span: tuple[int, int], settings: Enhance, model: Model, watch: jobs.Watch
) -> list[Path]:
    """Write `preview.mp4` (input enlarged plainly | restored) and `contact.png` (a row a face) into `folder`.

    `span` is (first, stop) in frames. Raises InputError where the film has no such frames.
    """
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
    target = folder / "preview.mp4"
    work = plan(source, target, settings, model)
    analysis, _ = jobs.analysis_of(work, watch)
    if span[1] > analysis.frames:
        raise InputError(f"{source} has {analysis.frames} frames; --frames {span[0]}:{span[1]} goes beyond")
    tracks, _ = jobs.restorable(analysis.tracks, settings.render.faces)
    job = jobs.make_job(work, tracks)
    moments, rows = _moments(tracks, span), []
    scratch = folder / "preview.partial"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        spec = output_spec(work)
        spec = replace(spec, width=2 * spec.width)
        segment = scratch / "0.nut"
        watch.stage("render", span[1] - span[0])
        with (
            Writer(segment, spec, analysis.timeline[span[0] : span[1]]) as writer,
            drained(writer.write, jobs.AHEAD) as sink,
        ):
            for pair in _pairs(work, job, analysis.timeline, span, watch):
                sink.put(_side_by_side(pair))
                rows += [_row(pair, track, work.film, work.scale) for track in moments.get(pair.source.index, [])]
        whole = scratch / "whole.mp4"
        publish(work.film, [segment], analysis.timeline, whole, frames=range(*span))
        whole.replace(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return [target, _sheet(rows, folder / "contact.png")] if rows else [target]


def _sheet(rows: list[Rgb], path: Path) -> Path:
    if not cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1]):
        raise OutputError(f"{path} could not be written")
    return path
