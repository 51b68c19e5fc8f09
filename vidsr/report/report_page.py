"""The page of a finished film: what was done to it, to look at."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vidsr.errors import VidsrError
from vidsr.picture import small_rgb
from vidsr.report.contact_sheet import View, view
from vidsr.report.html import filled, picture_uri, shown, write_page
from vidsr.report.report import Report, TrackReport
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


@dataclass(frozen=True)
class Chart:
    """Curves of one face: each line a path in a box of WIDTH x HEIGHT, `top` the value at its upper edge."""

    lines: tuple[str, ...]
    top: str
    words: str


@dataclass(frozen=True)
class Card:
    """One face: what is said of it, where it is on the timeline, its pictures and its curves."""

    fate: TrackReport
    time: str
    lane: str
    pictures: tuple[str, str] | None
    sharpness: Chart | None
    agreement: Chart | None


@dataclass(frozen=True)
class Reason:
    """Why frames were passed through, how many, and where."""

    words: str
    frames: int
    share: float
    lane: str


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


def _charts(fate: TrackReport) -> tuple[Chart, Chart] | None:
    if len(fate.curve) < 2:
        return None
    frames, agreement, before, after = (list(column) for column in zip(*fate.curve, strict=True))
    span = fate.first, fate.stop
    top = max(1.0, float(np.ceil(1.1 * max(*before, *after))))
    sharpness = Chart(
        (line(frames, before, span, top), line(frames, after, span, top)),
        f"{top:g}",
        f"Sharpness of face {fate.id}: {np.mean(before):.1f} before, {np.mean(after):.1f} after, on average",
    )
    words = (
        f"Agreement of face {fate.id} with the input: {np.mean(agreement):.2f} on average, {min(agreement):.2f} least"
    )
    return sharpness, Chart((line(frames, agreement, span, 1.0),), "1", words)


def _clock(report: Report, frame: int) -> str:
    """A frame as a time; as its number where the rate is not known."""
    if report.rate is None:
        return f"frame {frame}"
    seconds = frame / report.rate
    return f"{int(seconds // 3600)}:{int(seconds // 60 % 60):02d}:{seconds % 60:04.1f}"


def _cards(report: Report, pictures: dict[int, tuple[str, str]]) -> Iterator[Card]:
    for fate in sorted(_longest(report), key=lambda fate: (fate.first, fate.id)):
        charts = _charts(fate)
        yield Card(
            fate,
            f"{_clock(report, fate.first)} to {_clock(report, fate.stop)}",
            lane([(fate.first, fate.stop)], report.first, report.stop),
            pictures.get(fate.id),
            charts[0] if charts else None,
            charts[1] if charts else None,
        )


def _longest(report: Report) -> list[TrackReport]:
    inside = [fate for fate in report.tracks if fate.first < report.stop and report.first < fate.stop]
    return sorted(inside, key=lambda fate: fate.first - fate.stop)[:MOST_CARDS]


def _reasons(report: Report) -> list[Reason]:
    found: dict[str, list[Part]] = {}
    for span in report.frames:
        if span.state == "passed":
            found.setdefault(span.reason, []).append((span.first, span.stop))
    total = max(1, report.stop - report.first)
    reasons = []
    for words, parts in found.items():
        frames = sum(stop - first for first, stop in parts)
        reasons.append(Reason(words, frames, frames / total, lane(parts, report.first, report.stop)))
    return sorted(reasons, key=lambda reason: -reason.frames)


def _pictures(report: Report) -> dict[int, tuple[str, str]]:
    """The faces before and after, as far as both films are where the report says; by their numbers."""
    faces = {}
    for fate in [fate for fate in _longest(report) if fate.place][:MOST_PICTURES]:
        frame, *box = fate.place[0]
        if report.first <= frame < report.stop:
            faces[fate.id] = (frame, box)
    with suppress(VidsrError):
        before = _views(Path(report.input), faces, 1)
        moved = {ident: (frame - report.first, box) for ident, (frame, box) in faces.items()}
        after = _views(Path(report.output), moved, report.scale)
        return {
            ident: (picture_uri(before[ident].thumbnail), picture_uri(after[ident].thumbnail))
            for ident in before.keys() & after.keys()
        }
    return {}


def _views(film: Path, faces: dict[int, tuple[int, list[int]]], scale: int) -> dict[int, View]:
    about = probe(film)
    timeline = promised_timeline(about)
    if timeline is None:
        return {}
    wanted = sorted({frame for frame, _ in faces.values() if frame < len(timeline)})
    found: dict[int, View] = {}
    for frame in picked(about, timeline, wanted):
        picture = small_rgb(frame, about, max(frame.luma.shape))
        for ident, (at, box) in faces.items():
            if at == frame.index:
                found[ident] = view(picture, box, scale)
    return found


def page(report: Report) -> str:
    """The report as a page: timeline, reasons, faces with pictures and curves, totals, the command."""
    pictures = _pictures(report)
    first, stop = report.first, report.stop
    restored = [(span.first, span.stop) for span in report.frames if span.state == "restored"]
    cards = list(_cards(report, pictures))
    shots = [(a, b) for n, (a, b) in enumerate(report.shots) if n % 2 == 0]
    middle = (first + stop) // 2
    return filled(
        "report",
        {
            "title": f"{shown(Path(report.output).name)}: report",
            "report": replace(report, input=shown(report.input), output=shown(report.output)),
            "name": shown(Path(report.output).name),
            "total": stop - first,
            "length": _clock(report, stop - first),
            "ticks": [_clock(report, frame) for frame in (first, middle, stop)],
            "restored": lane(restored, first, stop),
            "shots": lane(shots, first, stop),
            "reasons": _reasons(report),
            "cards": cards,
            "lanes": cards[:MOST_LANES],
            "unshown": len(report.tracks) - len(cards),
            "done": sum(fate.state == "restored" for fate in report.tracks),
            "command": shown(shlex.join(report.command)),
            "pictured": bool(pictures),
            "width": f"{WIDTH:g}",
            "height": f"{HEIGHT:g}",
        },
    )


def save_page(report: Report, path: Path) -> None:
    """Write the page of a report; OutputError where that cannot be."""
    write_page(path, page(report))
