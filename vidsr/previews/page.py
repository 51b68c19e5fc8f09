"""The page of a preview: before and after of the same frame, step by step, and the faces in it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vidsr.frame import Track
from vidsr.jobs.plan import Plan
from vidsr.previews.excerpt import Scene
from vidsr.report import contact_sheet
from vidsr.report.html import data_uri, filled, picture_uri, shown
from vidsr.report.side_by_side import Mosaic
from vidsr.restore.pipeline import Job

FACES = 40  # on a contact sheet and a page, at most
HELD_MIB = 32
"""Films up to this size lie inside the page, which then needs no other file; larger ones beside it."""


@dataclass(frozen=True, repr=False)
class Exhibit:
    """What a preview shows: a part of a film, how its pictures lie, and why some faces were passed through; and the
    jobs that make all pictures but the first."""

    work: Plan
    scene: Scene
    mosaic: Mosaic
    passed: Mapping[int, str]
    jobs: tuple[Job, ...]

    @property
    def faces(self) -> list[Track]:
        """The faces that are shown, largest first."""
        return self.scene.tracks[:FACES]

    @property
    def loop(self) -> contact_sheet.Loop | None:
        """Of the largest restored face; None where no face is restored."""
        track = next((face for face in self.faces if face.id not in self.passed), None)
        return None if track is None else contact_sheet.Loop(track, self.scene.span)


def page(given: Exhibit, rows: Sequence[contact_sheet.Row]) -> str:
    """The page of a preview whose film is written and whose faces are `rows`."""
    work, found = given.work, given.scene
    times = (found.analysis.timeline - found.analysis.timeline[0]) * float(work.film.time_base)
    faces = [_face(row, given) for row in rows]
    first, last = found.first, found.stop - 1
    command = f"vidsr enhance {shlex.quote(shown(os.fspath(work.film.path)))}"
    values: dict[str, object] = {
        "title": f"{shown(work.film.path.name)}: preview",
        "name": shown(work.film.path.name),
        "first": first,
        "last": last,
        "frames": found.analysis.frames,
        "from_s": f"{times[first]:.2f}",
        "to_s": f"{times[last]:.2f}",
        "chosen": found.chosen,
        "scale": work.scale,
        "size": (given.mosaic.width, given.mosaic.height),
        "cells": given.mosaic.labels,
        "whole": found.whole,
        "faces": faces,
        "unshown": len(found.tracks) - len(rows),
        "command": command,
        "data": _data(given, rows) | {"command": command},
    }
    return filled("preview", values)


def _data(given: Exhibit, rows: Sequence[contact_sheet.Row]) -> dict[str, object]:
    """What the page's script needs."""
    work, found = given.work, given.scene
    mosaic, film = given.mosaic, work.film
    times = (found.analysis.timeline - found.analysis.timeline[found.first]) * float(film.time_base)
    part = times[found.first : found.stop]
    end = times[found.stop] if found.stop < len(times) else part[-1] + 1 / float(film.rate)
    large = work.output.stat().st_size > HELD_MIB << 20
    # The page begins at the largest face that is restored, by its place in `rows`, and a frame of the range.
    shown = ((number, row) for number, row in enumerate(rows) if row.track.id not in given.passed)
    opening = next(({"face": number, "frame": row.frame - found.first} for number, row in shown), None)
    return {
        "film": work.output.name if large else data_uri("video/mp4", work.output.read_bytes()),
        "first": found.first,
        "start": round(float(-times[0]), 6),
        "times": [round(float(time), 6) for time in part],
        "end": round(float(end), 6),
        "size": (mosaic.width, mosaic.height),
        "video": mosaic.size,
        "aspect": float(film.sample_aspect or 1),
        "cells": [
            {"label": label, "x": x, "y": y} for label, (x, y) in zip(mosaic.labels, mosaic.corners, strict=True)
        ],
        "faces": [_places(row.track, given) for row in rows],
        "opening": opening,
    }


def _places(track: Track, given: Exhibit) -> dict[str, object]:
    """Where a face is in each frame of the range, in pixels of the output."""
    first, stop = max(track.first, given.scene.first), min(track.stop, given.scene.stop)
    boxes = np.rint(track.boxes[first - track.first : stop - track.first] * given.work.scale).astype(int)
    return {
        "id": track.id,
        "option": _option(track, given),
        "from": first - given.scene.first,
        "boxes": boxes.tolist(),
    }


def _option(track: Track, given: Exhibit) -> str:
    """What `--faces` takes for this face: its number, or where it is, if numbers may differ in the whole film."""
    if given.scene.whole:
        return str(track.id)
    at = track.moment(*given.scene.span)
    box = track.boxes[at - track.first]
    return f"{at}@{(box[0] + box[2]) / 2:.0f}x{(box[1] + box[3]) / 2:.0f}"


def _face(row: contact_sheet.Row, given: Exhibit) -> dict[str, object]:
    track, span = row.track, given.scene.span
    reason = given.passed.get(track.id)
    return {
        "id": track.id,
        "first": max(track.first, span[0]),
        "last": min(track.stop, span[1]) - 1,
        "height": round(track.height),
        "score": round(float(track.score.mean()), 2),
        "note": f"passed through: {reason}" if reason else "",
        "pictures": [picture_uri(view.thumbnail) for view in row.views[1:]],
    }
