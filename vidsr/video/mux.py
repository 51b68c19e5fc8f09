"""Join the finished segments and put them in the place of the source's picture, everything else unchanged."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidsr.errors import InputError, OutputError
from vidsr.video.check import check_published, sound_shifts
from vidsr.video.containers import Passage, container_of, passages
from vidsr.video.probe import SAFE, Film, probe
from vidsr.video.process import GLOBAL, LONG_PATIENCE_S, PIPE_BYTES, Process, local

NUT_NAME = b"nut/multimedia container\0"
NUT_FIRST_PACKET = bytes.fromhex("4E4BE4ADEECA4569")
"""The start code before the first packet of a NUT file: what comes before it is the header."""

STALE = ("rotate", "encoder", "BPS", "DURATION", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES")
"""Metadata of the source's picture stream that would be wrong for the new one."""

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
    cut: list[str] = []
    moved: list[str] = []
    if span != range(len(timeline)):
        end_s = int(timeline[span.stop]) * film.time_base if span.stop < len(timeline) else None
        begin_s = int(part[0]) * film.time_base
        cut, moved = _cut(begin_s, end_s), _moved(begin_s)
    picture = _picture(segments, len(part)) if segments else None
    order = _Order(film, kept, destination, container_of(suffix).muxer, cut, moved, picture)
    try:
        _write(_command(order, {}), segments, destination)
        # Matroska's muxer before ffmpeg 6 takes the delay of a codec, such as Opus's 6.5 ms, off its time stamps twice.
        if order.muxer in ("matroska", "webm") and not cut and (shifts := sound_shifts(film, destination)):
            _write(_command(order, shifts), segments, destination)
        return lost + check_published(film, destination, part - part[0] if cut else part, [p.stream for p in kept])
    except BaseException:
        destination.unlink(missing_ok=True)
        raise


@dataclass(frozen=True)
class _Picture:
    """Segments of a picture: their codec, and how many of their packets may wait."""

    codec: str
    queue: int


def _picture(segments: Sequence[Path], frames: int) -> _Picture:
    packet = sum(path.stat().st_size for path in segments) // frames + 1
    queue = min(max((QUEUE_MIB << 20) // packet, SHORTEST_QUEUE), LONGEST_QUEUE)
    try:
        return _Picture(probe(segments[0]).codec, queue)
    except InputError as error:
        what = f"{segments[0]} is not a whole segment: remove it and render it again."
        raise OutputError(what, error.details) from None


@dataclass(frozen=True)
class _Order:
    """What is to be written: `cut` are the options that cut the source, and `moved` those that bring the picture to 0;
    `picture` is what the segments hold, None where the source's picture is copied."""

    film: Film
    kept: Sequence[Passage]
    destination: Path
    muxer: str
    cut: Sequence[str]
    moved: Sequence[str]
    picture: _Picture | None


def _write(command: Sequence[str], segments: Sequence[Path], destination: Path) -> None:
    with Process(command, feed=True, patience_s=LONG_PATIENCE_S) as process:
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


def _command(order: _Order, shifts: Mapping[int, int]) -> list[str]:
    """One word after the other, as ffmpeg-python would order inputs and options in its own way."""
    film, picture = order.film, order.picture
    words = ["ffmpeg", *GLOBAL, "-loglevel", "error", *([] if order.cut else ["-copyts"])]
    queue = ["-thread_queue_size", str(picture.queue)] if picture else []
    if picture:
        words += ["-protocol_whitelist", "pipe", *order.moved, *queue, "-f", "nut", "-i", "pipe:0"]
    safe = [word for name, value in SAFE.items() for word in (f"-{name}", value)]
    words += [*safe, *order.cut, *queue, "-i", local(film.path)]
    source = "1" if picture else "0"
    words += ["-map_metadata", source, "-map_chapters", source, "-c", "copy"]
    words += ["-copypriorss", "0"] if order.cut else []
    for place, passage in enumerate(order.kept):
        index = passage.stream.index
        new = picture is not None and index == film.index
        words += ["-map", "0:0" if new else f"{source}:{index}", f"-map_metadata:s:{place}", f"{source}:s:{index}"]
        if passage.codec != "copy":
            words += [f"-c:{place}", passage.codec]
        if new:
            words += _picture_options(order, passage, place)
        if index in shifts:
            words += [f"-bsf:{place}", f"setts=ts=TS+({shifts[index]})"]
    return [*words, *_container_options(film, order.muxer), "-f", order.muxer, local(order.destination)]


def _cut(begin_s: Fraction, end_s: Fraction | None) -> list[str]:
    words = ["-seek_timestamp", "1", "-ss", f"{float(begin_s):.6f}"]
    return words if end_s is None else [*words, "-t", f"{float(end_s - begin_s):.6f}"]


def _moved(begin_s: Fraction) -> list[str]:
    # ffmpeg takes an input's start off by itself only where it knows it, and of a NUT stream of few packets it does
    # not; -seek_timestamp keeps it from trying.
    return ["-seek_timestamp", "1", "-itsoffset", f"{-float(begin_s):.6f}"]


def _picture_options(order: _Order, passage: Passage, place: int) -> list[str]:
    tags = order.film.tags
    # Codecs that do not carry their colour tags, such as FFV1, leave them to the container.
    told = {
        "color_range": tags.range,
        "colorspace": tags.space,
        "color_primaries": tags.primaries,
        "color_trc": tags.transfer,
        "chroma_sample_location": tags.chroma_location,
    }
    if order.picture and order.picture.codec == "hevc" and order.muxer in ("mp4", "mov"):
        told["tag"] = "hvc1"  # the name under which Apple's players know it
    words = [f"-disposition:{place}", "default" if passage.stream.default else "0"]
    words += [word for name in STALE for word in (f"-metadata:s:{place}", f"{name}=")]
    return words + [word for name, value in told.items() if value for word in (f"-{name}:{place}", value)]


def _container_options(film: Film, muxer: str) -> list[str]:
    # Nothing is moved to begin at 0: sound that begins before 0 would take the picture with it.
    words = ["-avoid_negative_ts", "disabled", "-fflags", "+bitexact", "-strict", "experimental"]
    words += ["-max_muxing_queue_size", "65536"]
    if muxer in ("mp4", "mov"):
        # Where a track begins is told in ticks of the movie: let the ticks of all tracks be whole numbers of them.
        clocks = [film.time_base, *(stream.time_base for stream in film.streams if stream.time_base)]
        words += ["-video_track_timescale", str(film.time_base.denominator)]
        words += ["-movie_timescale", str(_common([clock.denominator for clock in clocks]))]
    return words


def _common(denominators: Sequence[int]) -> int:
    """The least common multiple of as many of them, from the first on, as a movie's 31 bits can hold."""
    common = 1
    for denominator in denominators:
        if (wider := math.lcm(common, denominator)) < 1 << 31:
            common = wider
    return common if common >= 1000 else common * math.ceil(1000 / common)
