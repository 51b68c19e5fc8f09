"""The page of a finished film: what was done to it, to look at."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from vidsr.errors import VidsrError
from vidsr.picture import small_rgb
from vidsr.report.contact_sheet import view
from vidsr.report.html import filled, picture_uri, shown, write_page
from vidsr.report.report import Place, Report, TrackReport
from vidsr.video import probe
from vidsr.video.packets import promised_timeline
from vidsr.video.reader import picked

WIDTH, HEIGHT = 1000.0, 100.0
"""Of a drawing; the page stretches it."""
EDGE = 4.0  # left free above and below a curve, so that its ends are seen whole
MOST_CARDS = 100  # faces with a card, those that are seen longest
MOST_LANES = 40  # faces on the timeline
MOST_PICTURES = 24  # faces with pictures: each is sought in both films

Part = tuple[int, int]


def lane(parts: Sequence[Part], first: int, stop: int) -> str:
    """Ranges of frames as bars of a drawing whose width is `first` to `stop`; bars that touch are one, so that there
    are never more than the drawing can show."""
    scale = WIDTH / max(1, stop - first)
    bars: list[list[float]] = []
    for begin, end in parts:
        left, right = round((max(begin, first) - first) * scale, 1), round((min(end, stop) - first) * scale, 1)
        right = max(right, round(left + 0.5, 1))
        if bars and left <= bars[-1][1] + 0.2:
            bars[-1][1] = max(bars[-1][1], right)
        else:
            bars.append([left, right])
    return "".join(f"M{left:g} 0H{right:g}V{HEIGHT:g}H{left:g}Z" for left, right in bars)


def line(frames: Sequence[float], values: Sequence[float], span: Part, top: float) -> str:
    """A curve over the frames of `span`; 0 lies at the lower edge and `top` at the upper."""
    across = WIDTH / max(1, span[1] - 1 - span[0])
    points = (
        f"{(frame - span[0]) * across:.1f} {EDGE + (HEIGHT - 2 * EDGE) * (1 - min(1.0, value / top)):.1f}"
        for frame, value in zip(frames, values, strict=True)
    )
    return "M" + "L".join(points)


def _charts(track: TrackReport) -> dict[str, str]:
    """A face's sharpness before and after, 0 to `top`, and its agreement with the input: paths in a box of WIDTH x
    HEIGHT, and what they tell in words; empty where there is nothing to draw."""
    if len(track.curve) < 2:
        return {}
    frames, agreement, before, after = (list(column) for column in zip(*track.curve, strict=True))
    span = track.first, track.stop
    top = max(1.0, float(np.ceil(1.1 * max(*before, *after))))
    mean, least = np.mean(agreement), min(agreement)
    return {
        "top": f"{top:g}",
        "before": line(frames, before, span, top),
        "after": line(frames, after, span, top),
        "sharp": f"Sharpness of face {track.id}: {np.mean(before):.1f} before, {np.mean(after):.1f} after, on average",
        "agreement": line(frames, agreement, span, 1.0),
        "agrees": f"Agreement of face {track.id} with the input: {mean:.2f} on average, {least:.2f} least",
    }


def _clock(report: Report, frame: int) -> str:
    """A frame as a time; as its number where the rate is not known."""
    if report.rate is None:
        return f"frame {frame}"
    seconds = frame / report.rate
    return f"{int(seconds // 3600)}:{int(seconds // 60 % 60):02d}:{seconds % 60:04.1f}"


def _longest(report: Report) -> list[TrackReport]:
    inside = [track for track in report.tracks if track.first < report.stop and report.first < track.stop]
    return sorted(inside, key=lambda track: track.first - track.stop)[:MOST_CARDS]


def _reasons(report: Report) -> list[tuple[str, int, list[Part]]]:
    """Why frames were passed through, how many, and where; the most frequent first."""
    found: dict[str, list[Part]] = {}
    for span in report.frames:
        if span.state == "passed":
            found.setdefault(span.reason, []).append((span.first, span.stop))
    reasons = [(words, sum(stop - first for first, stop in parts), parts) for words, parts in found.items()]
    return sorted(reasons, key=lambda reason: -reason[1])


def _pictures(report: Report) -> dict[int, tuple[str, str]]:
    """The faces before and after, as far as both films are where the report says; by their numbers."""
    placed = {track.id: track.place[0] for track in [one for one in _longest(report) if one.place][:MOST_PICTURES]}
    faces = {ident: place for ident, place in placed.items() if report.first <= place[0] < report.stop}
    with suppress(VidsrError):
        before = _views(Path(report.input), faces, 0, 1)
        after = _views(Path(report.output), faces, report.first, report.scale)
        return {ident: (before[ident], after[ident]) for ident in before.keys() & after.keys()}
    return {}


def _views(film: Path, faces: dict[int, Place], first: int, scale: int) -> dict[int, str]:
    """Pictures of faces in a film that begins at frame `first` of the input."""
    about = probe(film)
    timeline = promised_timeline(about)
    if timeline is None:
        return {}
    wanted = sorted({place[0] - first for place in faces.values() if place[0] - first < len(timeline)})
    found: dict[int, str] = {}
    for frame in picked(about, timeline, wanted):
        picture = small_rgb(frame, about, max(frame.luma.shape))
        for ident, (at, *box) in faces.items():
            if at - first == frame.index:
                found[ident] = picture_uri(view(picture, box, scale).thumbnail)
    return found


def page(report: Report) -> str:
    """The report as a page: timeline, reasons, faces with pictures and curves, totals, the command."""
    first, stop, cards = report.first, report.stop, _longest(report)
    values: dict[str, object] = {
        "title": f"{shown(Path(report.output).name)}: report",
        "report": replace(report, input=shown(report.input), output=shown(report.output)),
        "name": shown(Path(report.output).name),
        "total": stop - first,
        "ticks": (first, (first + stop) // 2, stop),
        "restored": [(span.first, span.stop) for span in report.frames if span.state == "restored"],
        "shots": report.shots[::2],
        "reasons": _reasons(report),
        "cards": sorted(cards, key=lambda track: (track.first, track.id)),
        "most_lanes": MOST_LANES,
        "unshown": len(report.tracks) - len(cards),
        "done": sum(track.state == "restored" for track in report.tracks),
        "command": shown(shlex.join(report.command)),
        "pictures": _pictures(report),
        "width": f"{WIDTH:g}",
        "height": f"{HEIGHT:g}",
        "clock": partial(_clock, report),
        "lane": partial(lane, first=first, stop=stop),
        "charts": _charts,
    }
    return filled("report", values)


def save_page(report: Report, path: Path) -> None:
    """Write the page of a report; OutputError where that cannot be."""
    write_page(path, page(report))
