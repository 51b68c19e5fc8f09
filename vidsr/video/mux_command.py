"""The words of the command that writes the finished film; the rehearsal gives the same ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from vidsr.video.probe import Film, Stream
from vidsr.video.process import GLOBAL, SAFE, local
from vidsr.video.tags import STALE, needs_names, numbered

COPY = "copy"
ATTACH = "attach"
"""What becomes of an attached picture in a container that holds files beside its streams."""
REHEARSED_S = 1.0


@dataclass(frozen=True)
class Passage:
    """One stream of the source and what it becomes: `codec` is COPY, ATTACH, or what it is converted to."""

    stream: Stream
    codec: str = COPY


@dataclass(frozen=True)
class Picture:
    """Segments of a picture: their codec, and how many of their packets may wait.

    Its last frame is shown for `last_s`, and the packets that tell it are the last one and the last shown one: `ends`
    are their numbers in the order of the file, with their pts, all in seconds of the output's clock.
    """

    codec: str
    queue: int
    last_s: Fraction = Fraction(0)
    ends: Mapping[int, Fraction] = field(default_factory=dict)


@dataclass(frozen=True)
class Order:
    """What is to be written: all, or where `begin_s` is given, the part from there to `end_s` on the output's clock
    (None: its end), which then begins at 0, with the time code `timecode`. `picture` is what the segments hold, None
    where the source's picture is copied, or left out. `covers` are the files with attached pictures, by their streams.
    `rehearsed` asks for no more than the first second."""

    film: Film
    kept: Sequence[Passage]
    destination: Path
    muxer: str
    picture: Picture | None = None
    covers: Mapping[int, Path] = field(default_factory=dict)
    begin_s: Fraction | None = None
    end_s: Fraction | None = None
    timecode: str | None = None
    rehearsed: bool = False


def command(order: Order, shifts: Mapping[int, int]) -> list[str]:
    """The whole command; `shifts` are the ticks by which a stream is moved."""
    film, picture = order.film, order.picture
    moved, clock = [], ["-itsoffset", f"{float(film.shift_s):.6f}"] if film.shift_s else []
    if order.begin_s is not None:
        # ffmpeg takes an input's start off by itself only where it knows it, and of a NUT stream of few packets it does
        # not; -seek_timestamp keeps it from trying.
        moved = ["-seek_timestamp", "1", "-itsoffset", f"{-float(order.begin_s):.6f}"]
        clock = ["-seek_timestamp", "1", "-ss", f"{float(order.begin_s - film.shift_s):.6f}"]
        clock += [] if order.end_s is None else ["-t", f"{float(order.end_s - order.begin_s):.6f}"]
    words = ["ffmpeg", *GLOBAL, "-loglevel", "error", *([] if moved else ["-copyts"])]
    queue = ["-thread_queue_size", str(picture.queue)] if picture else []
    if picture:
        words += ["-protocol_whitelist", "pipe", *moved, *queue, "-f", "nut", "-i", "pipe:0"]
    words += [*SAFE, *clock, *queue, "-i", local(film.path)]
    source = "1" if picture else "0"
    words += ["-map_metadata", source, "-map_chapters", source, "-c", "copy"]
    words += ["-copypriorss", "0"] if moved else []
    streams = [one for one in order.kept if one.codec != ATTACH]
    for place, passage in enumerate(streams):
        words += _stream(order, passage, place, source)
        if passage.stream.index in shifts:
            words += [f"-bsf:{place}", f"setts=ts=TS+({shifts[passage.stream.index]})"]
    for place, passage in enumerate((one for one in order.kept if one.codec == ATTACH), len(streams)):
        words += _attached(order, passage.stream, place)
    if order.rehearsed:
        words += ["-t", f"{max(0.0, film.start_s + float(film.shift_s)) + REHEARSED_S:.3f}"]
    return [*words, *_container_options(order), "-f", order.muxer, local(order.destination)]


def _stream(order: Order, passage: Passage, place: int, source: str) -> list[str]:
    stream = passage.stream
    new = order.picture is not None and stream.index == order.film.index
    words = ["-map", "0:0" if new else f"{source}:{stream.index}", f"-map_metadata:s:{place}"]
    words += [f"{source}:s:{stream.index}", f"-disposition:{place}", "+".join(sorted(stream.dispositions)) or "0"]
    if passage.codec != COPY:
        words += [f"-c:{place}", passage.codec]
    if new or order.begin_s is not None or passage.codec != COPY:
        stale = (key for key, _ in stream.metadata if STALE.fullmatch(key))
        words += [word for name in stale for word in (f"-metadata:s:{place}", f"{name}=")]
    if new:
        words += _picture_options(order, place)
    return words


def _attached(order: Order, stream: Stream, place: int) -> list[str]:
    told = dict(stream.metadata)
    kind = told.get("mimetype") or {"mjpeg": "image/jpeg", "png": "image/png"}.get(
        stream.codec, f"image/{stream.codec}"
    )
    name = told.get("filename") or f"cover.{'jpg' if stream.codec == 'mjpeg' else stream.codec}"
    words = ["-attach", local(order.covers[stream.index])]
    for key, value in (("mimetype", kind), ("filename", name), ("title", told.get("title", ""))):
        words += [f"-metadata:s:{place}", f"{key}={value}"]
    return words


def _picture_options(order: Order, place: int) -> list[str]:
    assert order.picture is not None
    tags, words = order.film.tags, []
    # Codecs that do not carry their colour tags, such as FFV1, leave them to the container.
    told = {
        "color_range": tags.range,
        "colorspace": tags.space,
        "color_primaries": tags.primaries,
        "color_trc": tags.transfer,
        "chroma_sample_location": tags.chroma_location,
    }
    named = {name: numbered(name, value) for name, value in told.items() if value}
    if order.film.deinterlace:
        named["field_order"] = "progressive"
    elif order.film.fields and order.picture.codec == "h264":
        named["field_order"] = {"tff": "tt", "bff": "bb"}[order.film.fields]
    if order.picture.codec == "hevc" and order.muxer in ("mp4", "mov"):
        named["tag"] = "hvc1"  # the name under which Apple's players know it
    if tags.stereo and order.muxer == "matroska":
        words += [f"-metadata:s:{place}", f"stereo_mode={tags.stereo}"]
    if order.timecode is not None:
        words += [f"-metadata:s:{place}", f"timecode={order.timecode}", "-metadata", f"timecode={order.timecode}"]
    if order.picture.ends:
        # NUT does not say how long a frame is shown, and the last one has no next that would tell.
        shown = "DURATION"
        for number, pts_s in order.picture.ends.items():
            shown = f"if(eq(N\\,{number})\\,{_ticks(order.picture.last_s, pts_s, order)}\\,{shown})"
        words += [f"-bsf:{place}", f"setts=pts=PTS:dts=DTS:duration={shown}"]
    return words + [word for name, value in named.items() for word in (f"-{name}:{place}", value)]


def _ticks(seconds: Fraction, pts_s: Fraction, order: Order) -> str:
    """An expression of a duration in the ticks of a packet whose pts is known: versions of ffmpeg differ in whether
    these are the film's or the muxer's."""
    if pts_s > 0:
        return f"round(PTS*{float(seconds / pts_s):.12f})"
    return str(round(seconds * (1000 if order.muxer in ("matroska", "webm") else order.film.time_base.denominator)))


def _container_options(order: Order) -> list[str]:
    film = order.film
    # Nothing is moved to begin at 0: sound that begins before 0 would take the picture with it.
    words = ["-avoid_negative_ts", "disabled", "-fflags", "+bitexact", "-strict", "experimental"]
    words += ["-max_muxing_queue_size", "65536"]
    if order.muxer in ("mp4", "mov"):
        # Where a track begins is told in ticks of the movie: let the ticks of all tracks be whole numbers of them.
        clocks = [film.time_base, *(stream.time_base for stream in film.streams if stream.time_base)]
        words += ["-video_track_timescale", str(film.time_base.denominator)]
        words += ["-movie_timescale", str(_common([clock.denominator for clock in clocks]))]
        if needs_names(film):
            words += ["-movflags", "use_metadata_tags"]
            for name in ("major_brand", "minor_version", "compatible_brands"):  # the source's, and not true any more
                words += ["-metadata", f"{name}="]
    return words


def _common(denominators: Sequence[int]) -> int:
    """The least common multiple of as many of them, from the first on, as a movie's 31 bits can hold."""
    common = 1
    for denominator in denominators:
        if (wider := math.lcm(common, denominator)) < 1 << 31:
            common = wider
    return common if common >= 1000 else common * math.ceil(1000 / common)
