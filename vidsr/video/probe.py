"""What a film is before its first frame is read: `probe(path)` asks ffprobe and believes little of the answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from vidsr.errors import InputError
from vidsr.files import check_readable
from vidsr.frame import PixelFormat
from vidsr.video.ffprobe import Answer, ask
from vidsr.video.pixels import has_alpha, is_colour, nearest

SIDES = range(16, 16385)
MOST_PIXELS = 8192 * 4320
MOST_STREAMS = 200
FASTEST = 1000
"""Frames a second."""
UNKNOWN_TICKS = (1 << 32) - 1
"""A duration of all ones says that nobody knew it when the header was written."""
LATE_S = 30
"""A clock that begins later than this, or before 0, is moved to begin at 0, and every stream with it."""
MATRICES = {
    "bt709": "bt709",
    "smpte240m": "bt709",  # its coefficients are those of BT.709 to within 0.001
    "smpte170m": "bt601",
    "bt470bg": "bt601",
    "fcc": "bt601",
    "bt2020nc": "bt2020",
    "bt2020c": "bt2020",
}
SPACES = {"bt709": "bt709", "bt601": "smpte170m", "bt2020": "bt2020nc"}
STREAM_KINDS = ("video", "audio", "subtitle", "attachment")
NOT_FILM = ("attached_pic", "timed_thumbnails", "still_image")


@dataclass(frozen=True)
class Tags:
    """How the file says its colours are meant, in ffmpeg's names; None where it says nothing.

    `mastering` are HDR10's mastering display's primaries, white point and luminance, as x265 writes them, `light` the
    largest and the largest average light level; `stereo` is how a frame holds two eyes' views, in Matroska's words.
    """

    range: str | None = None
    space: str | None = None
    primaries: str | None = None
    transfer: str | None = None
    chroma_location: str | None = None
    mastering: str | None = None
    light: str | None = None
    stereo: str | None = None


@dataclass(frozen=True)
class Stream:
    """One stream of the file: `kind` is video, audio, subtitle, attachment or data; it begins at `start_s`.

    `sample_rate`, `sample_format` and `bits` (of a sample) are those of sound; None where the file does not say it.
    `tag` is the container's four letters for the codec; `dispositions` are what ffmpeg calls marks like "forced".
    """

    index: int
    kind: str
    codec: str
    language: str | None = None
    default: bool = False
    attached_picture: bool = False
    time_base: Fraction | None = None
    start_s: float | None = None
    sample_rate: int | None = None
    sample_format: str | None = None
    bits: int | None = None
    tag: str | None = None
    dispositions: frozenset[str] = frozenset()
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Film:
    """A film and its picture stream, `index`, as `Reader` gives it: upright, in the working format `pixels`.

    `width` and `height` are those after the display matrix, which turns by `rotation` degrees, is applied.
    `decoded` is ffmpeg's name for the decoder's own format, and `converted` is True where samples must be converted to
    reach `pixels`. `time_base` is the length of a tick, `rate` the average of frames a second. `matrix` (bt601, bt709,
    bt2020) and `full_range` hold for the frames that `Reader` gives; `tags` are what to write beside them. `shift_s` is
    what must be added to every time stamp of the file to come to those that are given and written: 0 for most files.

    `field_order` is what the stream's header says, and `dolby_vision` its profile. `fields` is "tff" or "bff" where the
    film was found to be interlaced; `deinterlace` says how it is read then: "frame", "match" (fields that belong
    together are put together, the others made whole), "field" (two frames for each), "ivtc" (as "match", and the
    doubled frames go), or "" as it is. Time base and rate are those of what is read. `seekable` is False where the file
    calls every packet a keyframe, and they are not: decoding can begin at its start only.
    """

    path: Path
    container: str
    index: int
    codec: str
    width: int
    height: int
    rotation: float
    pixels: PixelFormat
    decoded: str
    converted: bool
    time_base: Fraction
    rate: Fraction
    sample_aspect: Fraction | None
    matrix: str
    full_range: bool
    tags: Tags
    start_s: float
    duration_s: float | None
    streams: tuple[Stream, ...]
    chapters: int
    warnings: tuple[str, ...]
    shift_s: Fraction = Fraction(0)
    metadata: tuple[tuple[str, str], ...] = ()
    field_order: str | None = None
    dolby_vision: int | None = None
    fields: str = ""
    deinterlace: str = ""
    seekable: bool = True

    @property
    def shift_ticks(self) -> int:
        """`shift_s` in ticks of the picture."""
        return round(self.shift_s / self.time_base)


def probe_streams(path: Path) -> tuple[Stream, ...]:
    """The streams of a file of ours, whatever they are."""
    answer = ask(["-show_streams"], path)
    return tuple(_stream(place, stream) for place, stream in enumerate(answer.many("streams")))


def probe(path: Path) -> Film:
    """Look at a film without decoding it; InputError says what is wrong with a file that is none."""
    check_readable(path)
    entries = ["-show_format", "-show_streams", "-show_chapters"]
    try:
        answer = ask(entries, path)
    except InputError as error:
        raise InputError(_why_not(path, error.details), error.details) from None
    streams = answer.many("streams")
    if len(streams) > MOST_STREAMS:
        raise InputError(f"{path} has {len(streams)} streams: up to {MOST_STREAMS} can be handled.")
    picture = _picture(path, streams)
    film = with_light(_film(path, answer, picture), picture.many("side_data_list"))
    _check_limits(film, picture)
    return film


def _check_limits(film: Film, picture: Answer) -> None:
    """InputError for a film that is too much for memory and time, or that says so and is not to be believed."""
    path, width, height = film.path, film.width, film.height
    if width not in SIDES or height not in SIDES:
        raise InputError(f"{path} is {width}x{height}: sides of {SIDES[0]} to {SIDES[-1]} can be handled.")
    if width * height > MOST_PIXELS:
        raise InputError(f"{path} is {width}x{height}: up to {MOST_PIXELS / 1e6:.0f} million pixels can be handled.")
    if film.rate > FASTEST:
        raise InputError(
            f"{path} says it has {float(film.rate):.0f} frames a second: up to {FASTEST} can be handled; "
            "`ffmpeg -i FILM -r RATE COPY.mkv` makes a copy with another rate."
        )
    promised = max(round((film.duration_s or 0) * film.rate), round(picture.number("nb_frames") or 0))
    if promised > path.stat().st_size:
        raise InputError(
            f"{path} promises {promised:,} frames and has {path.stat().st_size:,} bytes: its header is damaged; "
            "`ffmpeg -i FILM -c copy COPY.mkv` may mend it."
        )


def _why_not(path: Path, details: str) -> str:
    with path.open("rb") as file:
        start = file.read(512).lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith((b"#EXTM3U", b"ffconcat", b"<MPD", b"<?xml", b"[playlist]")):
        return f"{path} is a playlist, which only points to films: give the film itself."
    if "moov atom not found" in details and start[4:8] in (b"ftyp", b"mdat", b"wide", b"free"):
        return f"{path} is cut off: the index that an mp4 or mov has at its end is missing; copy it again."
    return f"{path} is not a film that ffmpeg can read."


def _picture(path: Path, streams: list[Answer]) -> Answer:
    """The default picture stream, else the first; covers and thumbnails are none."""
    pictures = [
        stream
        for stream in streams
        if stream.text("codec_type") == "video" and not any(stream.one("disposition").flag(kind) for kind in NOT_FILM)
    ]
    if not pictures:
        what = "sound but no moving picture" if any(s.text("codec_type") == "audio" for s in streams) else "no picture"
        raise InputError(f"{path} has {what}: give a film.")
    return next((stream for stream in pictures if stream.one("disposition").flag("default")), pictures[0])


def _film(path: Path, answer: Answer, picture: Answer) -> Film:
    decoded, index = picture.text("pix_fmt"), picture.integer("index")
    width, height = picture.integer("width"), picture.integer("height")
    codec = picture.text("codec_name")
    if decoded is None or index is None or not width or not height or codec is None:
        raise InputError(f"{path} has a picture that this ffmpeg cannot decode ({codec or 'an unknown codec'}).")
    rotation = next((r for d in picture.many("side_data_list") if (r := d.number("rotation")) is not None), 0.0)
    if _turned(rotation):
        width, height = height, width
    pixels, converted = nearest(decoded)
    matrix, full_range, tags = _colour(picture, decoded, converted, height)
    rate = _rate(picture)
    aspect = picture.fraction("sample_aspect_ratio")
    about, streams = answer.one("format"), answer.many("streams")
    return Film(
        path=path,
        container=about.text("format_name") or "",
        index=index,
        codec=codec,
        width=width,
        height=height,
        rotation=rotation,
        pixels=pixels,
        decoded=decoded,
        converted=converted,
        time_base=picture.fraction("time_base") or 1 / rate,
        rate=rate,
        sample_aspect=1 / aspect if aspect and _turned(rotation) else aspect,
        matrix=matrix,
        full_range=full_range,
        tags=tags,
        start_s=about.number("start_time") or 0.0,
        duration_s=_duration(picture, about, rate),
        streams=tuple(_stream(place, stream) for place, stream in enumerate(streams)),
        chapters=len(answer.many("chapters")),
        warnings=tuple(_losses(picture, decoded)),
        field_order=picture.text("field_order"),
        dolby_vision=next((p for d in picture.many("side_data_list") if (p := d.integer("dv_profile"))), None),
        shift_s=_shift(streams, picture),
        metadata=about.pairs("tags"),
    )


def _duration(picture: Answer, about: Answer, rate: Fraction) -> float | None:
    """Seconds, of the picture or else of the whole file; None where nobody knew it.

    The whole file's may be that of a subtitle which nobody ended: it is not the picture's if that had more frames than
    the file has bytes.
    """
    base = picture.fraction("time_base")
    if base is not None and (picture.integer("duration_ts") or 0) >= UNKNOWN_TICKS:
        return None
    whole_s, begin_s = about.number("duration"), max(0.0, about.number("start_time") or 0.0)
    if whole_s is not None and "matroska" in (about.text("format_name") or "") and whole_s > begin_s:
        whole_s -= begin_s  # there, it counts from 0
    if whole_s is not None and whole_s * rate > (about.number("size") or math.inf):
        whole_s = None
    return next((d for d in (picture.number("duration"), whole_s) if d is not None and d > 0), None)


def _shift(streams: list[Answer], picture: Answer) -> Fraction:
    """The offset that brings a late or negative clock to 0: a whole number of every stream's ticks, so that none is
    rounded, and of ffmpeg's microseconds as near as need be."""
    pairs = ((one.integer("start_pts"), one.fraction("time_base") or Fraction(1)) for one in streams)
    known = [(start, base) for start, base in pairs if start is not None]
    begin = min((start * base for start, base in known), default=Fraction(0))
    if begin <= LATE_S and (picture.integer("start_pts") or 0) >= 0:  # sound may begin before 0, by its codec's delay
        return Fraction(0)
    ticks = [base for _, base in known]
    tick = Fraction(math.lcm(*(one.numerator for one in ticks)), math.gcd(*(one.denominator for one in ticks)))
    return -math.floor(begin / tick) * tick


def _turned(rotation: float) -> bool:
    """Whether ffmpeg's autorotation transposes the picture: it does within a degree of a quarter turn."""
    return abs(rotation % 180 - 90) < 1


def _rate(picture: Answer) -> Fraction:
    rates = [rate for name in ("avg_frame_rate", "r_frame_rate") if (rate := picture.fraction(name)) is not None]
    return next((rate for rate in rates if rate <= FASTEST), rates[0] if rates else Fraction(25))


def _colour(picture: Answer, decoded: str, converted: bool, height: int) -> tuple[str, bool, Tags]:
    """Matrix, full range and tags of the working frames."""
    space, reach = picture.text("color_space"), picture.text("color_range")
    full_range = reach == "pc" or decoded.startswith("yuvj")
    matrix = MATRICES.get(space or "", "bt709" if height >= 720 else "bt601")
    if converted and is_colour(decoded):
        space, reach, full_range = SPACES[matrix], "tv", False
    location = picture.text("chroma_location")
    primaries, transfer = picture.text("color_primaries"), picture.text("color_transfer")
    stereo = picture.one("tags").text("stereo_mode")
    stereo = stereo if stereo != "mono" else None
    tags = Tags("pc" if full_range else reach, space, primaries, transfer, location, stereo=stereo)
    return matrix, full_range, tags


def _stream(place: int, stream: Answer) -> Stream:
    index, kind, about = stream.integer("index"), stream.text("codec_type"), stream.one("disposition")
    return Stream(
        index=place if index is None else index,
        kind=kind if kind in STREAM_KINDS else "data",
        codec=stream.text("codec_name") or "unknown",
        language=stream.one("tags").text("language"),
        default=about.flag("default"),
        attached_picture=any(about.flag(name) for name in NOT_FILM),
        time_base=stream.fraction("time_base"),
        start_s=stream.number("start_time"),
        sample_rate=round(stream.number("sample_rate") or 0) or None,
        sample_format=stream.text("sample_fmt"),
        bits=round(stream.number("bits_per_raw_sample") or stream.number("bits_per_sample") or 0) or None,
        tag=stream.text("codec_tag_string"),
        dispositions=frozenset(name for name in about.names() if about.flag(name)),
        metadata=stream.pairs("tags"),
    )


def with_light(film: Film, side_data: Sequence[Answer]) -> Film:
    """The film with what side data of the stream or of a frame say of HDR, and a sentence on what cannot be kept."""
    tags, lost = film.tags, []
    for data in side_data:
        kind = data.text("side_data_type") or ""
        if kind == "Mastering display metadata":
            tags = replace(tags, mastering=tags.mastering or _mastering(data))
        elif kind == "Content light level metadata":
            tags = replace(
                tags, light=tags.light or f"{data.integer('max_content') or 0},{data.integer('max_average') or 0}"
            )
        elif kind == "Stereo 3D" and (known := STEREO.get(data.text("type") or "")):
            tags = replace(tags, stereo=known[data.integer("inverted") or 0])
        elif kind.startswith(LOST_IN_FRAMES):
            lost.append(f"{kind} is not kept.")
    return replace(film, tags=tags, warnings=tuple(dict.fromkeys((*film.warnings, *lost))))


def _mastering(data: Answer) -> str | None:
    """Primaries and white point in 50,000ths, luminance in 10,000ths of a candela, as x264, x265 take them."""
    pairs = [[data.fraction(f"{colour}_{axis}") for axis in "xy"] for colour in ("green", "blue", "red", "white_point")]
    light = [data.fraction("max_luminance"), data.fraction("min_luminance")]
    if any(value is None for pair in (*pairs, light[:1]) for value in pair):
        return None
    places = [",".join(str(round((value or 0) * 50000)) for value in pair) for pair in pairs]
    bounds = ",".join(str(round((value or 0) * 10000)) for value in light)
    return "G({})B({})R({})WP({})L({})".format(*places, bounds)


def _losses(picture: Answer, decoded: str) -> list[str]:
    """What the picture stream carries that is lost when it is coded again."""
    kinds = {kind for data in picture.many("side_data_list") if (kind := data.text("side_data_type"))}
    losses = [f"{kind} of the picture stream is not kept." for kind in sorted(kinds) if kind in LOST_SIDE_DATA]
    if picture.flag("closed_captions"):
        losses.append("Closed captions inside the picture stream are not kept.")
    if has_alpha(decoded) or picture.one("tags").text("alpha_mode") == "1":
        losses.append("The picture's transparency (alpha) is not kept.")
    return losses


LOST_SIDE_DATA = ("DOVI configuration record", "Spherical Mapping")
LOST_IN_FRAMES = ("HDR Dynamic Metadata", "Dolby Vision", "ATSC A53", "Active format")
"""How the names of what frames carry begin: HDR10+, Dolby Vision, captions, the part of the picture to show."""
STEREO = {
    "side by side": ("left_right", "right_left"),
    "top and bottom": ("top_bottom", "bottom_top"),
    "frame alternate": ("block_lr", "block_rl"),
    "checkerboard": ("checkerboard_lr", "checkerboard_rl"),
    "interleaved lines": ("row_interleaved_lr", "row_interleaved_rl"),
    "interleaved columns": ("col_interleaved_lr", "col_interleaved_rl"),
}
"""Matroska's words for ffmpeg's kinds of stereo 3D, with the left eye's view first and second."""
