"""Join the finished segments and put them in the place of the source's picture, everything else unchanged."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidsr.errors import InputError, OutputError
from vidsr.video.containers import container_of
from vidsr.video.mux_command import Order, Picture, command
from vidsr.video.packets import last_ticks, packet_pts
from vidsr.video.probe import Film, probe_streams
from vidsr.video.process import LONG_PATIENCE_S, PIPE_BYTES, Process
from vidsr.video.rehearsal import covers, passages
from vidsr.video.timecode import later_timecode
from vidsr.video.verify import check_published, sound_shifts

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
    whole, part = span == range(len(timeline)), timeline[span.start : span.stop]
    ticks = int(timeline[span.stop] - part[-1]) if span.stop < len(timeline) else last_ticks(film, timeline)
    with tempfile.TemporaryDirectory(prefix="vidsr-") as folder:
        order = Order(film, kept, destination, container_of(suffix).muxer, covers=covers(film, kept, Path(folder)))
        if not whole:
            first_s, begin_s = (int(pts) * film.time_base for pts in (timeline[0], part[0]))
            end_s = int(timeline[span.stop]) * film.time_base if span.stop < len(timeline) else None
            order = replace(order, begin_s=begin_s, end_s=end_s, timecode=later_timecode(film, begin_s - first_s))
            part = part - part[0]
        if segments:
            order = replace(order, picture=_picture(film, segments, part, ticks))
        try:
            _write(command(order, {}), segments, destination)
            # Matroska's muxer before ffmpeg 6 takes the delay of a codec, such as Opus's 6.5 ms, off its time stamps
            # twice.
            if order.muxer in ("matroska", "webm") and whole and (shifts := sound_shifts(film, destination)):
                _write(command(order, shifts), segments, destination)
            return [*lost, *check_published(film, destination, part, ticks if segments else None, kept)]
        except BaseException:
            destination.unlink(missing_ok=True)
            raise


def _picture(film: Film, segments: Sequence[Path], part: NDArray[np.int64], ticks: int) -> Picture:
    packet = sum(path.stat().st_size for path in segments) // len(part) + 1
    queue = min(max((QUEUE_MIB << 20) // packet, SHORTEST_QUEUE), LONGEST_QUEUE)
    try:
        codec = probe_streams(segments[0])[0].codec
    except (InputError, IndexError) as error:
        what = f"{segments[0]} is not a whole segment: remove it and render it again."
        raise OutputError(what, getattr(error, "details", "")) from None
    # The last segment's packets tell which of them is shown last, and which one ends the file.
    stamps = packet_pts(segments[-1], 0)
    before, moved = len(part) - len(stamps), int(part[-1]) - max(stamps, default=0)
    ends = {len(stamps) - 1, stamps.index(max(stamps))} if stamps else set()
    packets = {before + place: (stamps[place] + moved) * film.time_base for place in ends}
    return Picture(codec, queue, ticks * film.time_base, packets)


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
