"""Join the finished segments and put them in the place of the source's picture, everything else unchanged."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from vidsr.errors import InputError, OutputError
from vidsr.video.containers import container_of
from vidsr.video.mux_command import Ending, Order, Picture, command, cut_to, moved_to_0
from vidsr.video.packets import last_ticks, packet_pts
from vidsr.video.probe import Film, probe_streams
from vidsr.video.process import LONG_PATIENCE_S, PIPE_BYTES, Process
from vidsr.video.rehearsal import covers, passages
from vidsr.video.timecode import later_timecode
from vidsr.video.verify import Shown, check_published, sound_shifts

NUT_NAME = b"nut/multimedia container\0"
NUT_FIRST_PACKET = bytes.fromhex("4E4BE4ADEECA4569")
"""The start code before the first packet of a NUT file: what comes before it is the header."""

QUEUE_MIB = 32
"""Memory for packets of the picture that wait to be joined with the other streams."""
SHORTEST_QUEUE, LONGEST_QUEUE = 8, 4096
"""Packets. ffmpeg before 7 sleeps for 10 ms whenever it finds a queue empty: with its 8, a film of an hour would take
two minutes to join."""


def publish(
    film: Film,
    segments: Sequence[Path],
    timeline: NDArray[np.int64],
    destination: Path,
    *,
    suffix: str | None = None,
    frames: range | None = None,
) -> list[str]:
    """Write `destination`: the picture from `segments`, all else copied from `film`; returns what could not be kept.
    Without segments the picture is copied, too.

    `timeline` (n,) int64 are the pts of all frames of the film, in its ticks, and every one is checked in the finished
    file. They are the source's own, so that the sound keeps its place. With `frames`, the segments hold only that range
    of frames: the file then begins at 0 with the first of them, and the other streams are cut to its time, to a packet.

    `suffix` (default: that of `destination`) chooses the container. OutputError if the file cannot be written, or does
    not hold what it should; the file is then removed.
    """
    suffix = suffix or destination.suffix
    kept, lost = passages(film, suffix)
    span = frames if frames is not None else range(len(timeline))
    part = timeline[span.start : span.stop]
    whole, ticks = span == range(len(timeline)), _shown(film, timeline, span)
    with tempfile.TemporaryDirectory(prefix="vidsr-") as folder:
        order = Order(film, kept, destination, container_of(suffix).muxer, covers=covers(film, kept, Path(folder)))
        if segments:
            order = replace(order, picture=_picture(film, segments, part if whole else part - part[0], ticks))
        if not whole:
            order = replace(order, **_cut(film, timeline, span))
        try:
            _write(command(order, {}), segments, destination)
            # Matroska's muxer before ffmpeg 6 takes the delay of a codec, such as Opus's 6.5 ms, off its time stamps
            # twice.
            if order.muxer in ("matroska", "webm") and whole and (shifts := sound_shifts(film, destination)):
                _write(command(order, shifts), segments, destination)
            shown = Shown(part if whole else part - part[0], ticks if segments else None)
            return lost + check_published(film, destination, shown, kept)
        except BaseException:
            destination.unlink(missing_ok=True)
            raise


def _shown(film: Film, timeline: NDArray[np.int64], span: range) -> int:
    """How long the last frame of the span is shown, ticks."""
    if span.stop < len(timeline):
        return int(timeline[span.stop] - timeline[span.stop - 1])
    return last_ticks(film, timeline)


def _cut(film: Film, timeline: NDArray[np.int64], span: range) -> _Cut:
    """What cuts the source to a span and brings that to 0."""
    begin_s = int(timeline[span.start]) * film.time_base
    end_s = int(timeline[span.stop]) * film.time_base if span.stop < len(timeline) else None
    code = later_timecode(film, begin_s - int(timeline[0]) * film.time_base)
    return {"cut": cut_to(film, begin_s, end_s), "moved": moved_to_0(begin_s), "timecode": code}


class _Cut(TypedDict):
    cut: list[str]
    moved: list[str]
    timecode: str | None


def _picture(film: Film, segments: Sequence[Path], part: NDArray[np.int64], ticks: int) -> Picture:
    packet = sum(path.stat().st_size for path in segments) // len(part) + 1
    queue = min(max((QUEUE_MIB << 20) // packet, SHORTEST_QUEUE), LONGEST_QUEUE)
    try:
        codec = probe_streams(segments[0])[0].codec
    except (InputError, IndexError) as error:
        what = f"{segments[0]} is not a whole segment: remove it and render it again."
        raise OutputError(what, getattr(error, "details", "")) from None
    return Picture(codec, queue, _ending(film, segments[-1], part, ticks))


def _ending(film: Film, segment: Path, part: NDArray[np.int64], ticks: int) -> Ending:
    """The last segment's packets tell which of them is shown last, and which one ends the file."""
    stamps = packet_pts(segment, 0)
    before, moved = len(part) - len(stamps), int(part[-1]) - max(stamps, default=0)
    ends = {len(stamps) - 1, stamps.index(max(stamps))} if stamps else set()
    packets = {before + place: (stamps[place] + moved) * film.time_base for place in ends}
    return Ending(ticks * film.time_base, packets)


def _write(words: Sequence[str], segments: Sequence[Path], destination: Path) -> None:
    with Process(words, feed=True, patience_s=LONG_PATIENCE_S) as process:
        for block in _joined(segments):
            process.write(block)
        if process.finish() != 0:
            raise process.failure(f"could not write {destination}", OutputError)


def _joined(segments: Sequence[Path]) -> Iterator[memoryview]:
    """The segments as one NUT stream: all but the first without the name at its beginning.

    NUT allows headers to be repeated, and its packets carry absolute pts and no dts; so the reader of the stream finds
    the dts across the joints as if it had been written in one piece.
    """
    header = None
    for segment in segments:
        with segment.open("rb") as file:
            start = file.read(PIPE_BYTES)
            own = start[: start.find(NUT_FIRST_PACKET)]
            if not own.startswith(NUT_NAME) or header not in (None, own):
                raise OutputError(f"{segment} does not continue the segments before it: remove it and render it again.")
            yield memoryview(start)[len(NUT_NAME) if header else 0 :]
            while block := file.read(PIPE_BYTES):
                yield memoryview(block)
            header = own
