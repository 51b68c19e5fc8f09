"""What each output container can hold, and what becomes of each stream of the source on the way into it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vidsr.errors import OutputError
from vidsr.video.probe import Film, Stream

FILM_SUFFIXES = frozenset(
    [
        *(".mp4", ".mkv", ".mov", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts"),
        *(".m4v", ".gif", ".wmv", ".flv", ".ogv", ".3gp", ".vob"),
    ]
)
"""How the names of films end where a folder is searched for them; a file that is named itself may have any name."""

UNKNOWN = "unknown"
"""The codec of a stream that ffprobe cannot name, and that no muxer writes."""
TEXT_SUBTITLES = frozenset({"subrip", "srt", "ass", "ssa", "webvtt", "mov_text", "text"})
MP4_AUDIO = frozenset({"aac", "mp1", "mp2", "mp3", "ac3", "eac3", "alac", "flac", "opus", "dts", "truehd", "vorbis"})
MOV_AUDIO = frozenset(
    {"aac", "mp2", "mp3", "ac3", "eac3", "alac", "adpcm_ima_qt", "adpcm_ms", "amr_nb", "amr_wb", "qdm2", "qdmc", "gsm"}
)


@dataclass(frozen=True)
class Container:
    """A kind of file to write: `muxer` is ffmpeg's name; an empty set means that everything fits.

    `text` is the codec that text subtitles are turned into where they do not fit as they are.
    """

    muxer: str
    demuxer: str
    codecs: frozenset[str]
    audio: frozenset[str]
    subtitles: frozenset[str]
    text: str
    attachments: bool


EVERYTHING: frozenset[str] = frozenset()
CONTAINERS = {
    ".mp4": Container(
        "mp4",
        "mov,mp4,m4a,3gp,3g2,mj2",
        frozenset({"libx264", "libx265", "libsvtav1"}),
        MP4_AUDIO,
        frozenset({"mov_text", "dvd_subtitle"}),
        "mov_text",
        False,
    ),
    ".mov": Container(
        "mov",
        "mov,mp4,m4a,3gp,3g2,mj2",
        frozenset({"libx264", "libx265"}),
        MOV_AUDIO,
        frozenset({"mov_text"}),
        "mov_text",
        False,
    ),
    ".mkv": Container(
        "matroska",
        "matroska,webm",
        EVERYTHING,
        EVERYTHING,
        frozenset(
            {
                "subrip",
                "ass",
                "ssa",
                "webvtt",
                "text",
                "hdmv_pgs_subtitle",
                "dvd_subtitle",
                "dvb_subtitle",
                "hdmv_text_subtitle",
            }
        ),
        "subrip",
        True,
    ),
    ".webm": Container(
        "webm",
        "matroska,webm",
        frozenset({"libsvtav1"}),
        frozenset({"vorbis", "opus"}),
        frozenset({"webvtt"}),
        "webvtt",
        False,
    ),
}
ALIASES = {".m4v": ".mp4", ".qt": ".mov"}


@dataclass(frozen=True)
class Passage:
    """One stream of the source and what it becomes: `codec` is 'copy' or that of a converted subtitle."""

    stream: Stream
    codec: str = "copy"


def is_film_name(path: Path) -> bool:
    """Whether a file in a folder is named like a film."""
    return path.suffix.lower() in FILM_SUFFIXES


def container_of(suffix: str) -> Container:
    """The container that a file name's suffix asks for; OutputError for one that cannot be written."""
    known = CONTAINERS.get(ALIASES.get(suffix.lower(), suffix.lower()))
    if known is None:
        raise OutputError(f"{suffix or 'No suffix'} cannot be written: choose {', '.join(CONTAINERS)}.")
    return known


def output_suffix(film: Film, codec: str = "libx264") -> str:
    """The suffix that keeps the container of `film` where it can hold what `codec` gives, else .mkv."""
    suffix = film.path.suffix.lower()
    known = CONTAINERS.get(ALIASES.get(suffix, suffix))
    if known is None or known.demuxer != film.container or (known.codecs and codec not in known.codecs):
        return ".mkv"
    try:
        passages(film, suffix)
    except OutputError:
        return ".mkv"
    return suffix


def check_codec(codec: str, suffix: str) -> None:
    """OutputError where the container cannot hold what the encoder `codec` gives."""
    codecs = container_of(suffix).codecs
    if codecs and codec not in codecs:
        raise OutputError(f"{suffix} cannot hold what {codec} gives: choose .mkv, or --codec {sorted(codecs)[0]}.")


def passages(film: Film, suffix: str) -> tuple[list[Passage], list[str]]:
    """Every stream of `film` that goes into a file with `suffix`, in order, and a sentence for each that does not.

    Sound is never coded again: OutputError where the container cannot hold it. Text subtitles are converted; pictures
    as subtitles, attachments and data that do not fit are left out.
    """
    target = container_of(suffix)
    same = film.container == target.demuxer and target.muxer != "webm"
    kept, lost = [], []
    for stream in film.streams:
        codec = "copy" if stream.index == film.index else _codec(stream, target, same)
        if codec is not None:
            kept.append(Passage(stream, codec))
        if codec is None and not _is_chapter_track(film, stream):
            lost.append(f"Stream {stream.index} ({stream.kind}, {stream.codec}) does not fit into {suffix}: left out.")
        if codec is not None and codec != "copy":
            lost.append(f"Stream {stream.index} ({stream.kind}, {stream.codec}) is written as {codec} in {suffix}.")
    return kept, lost


def _codec(stream: Stream, target: Container, same: bool) -> str | None:
    if stream.kind == "video":
        if stream.codec == UNKNOWN:
            return None
        return "copy" if same or target.muxer in ("matroska", "mp4", "mov") else None
    if stream.kind == "audio" and (stream.sample_rate is None or stream.codec == UNKNOWN):
        leave_out = f"`ffmpeg -i FILM -map 0 -map -0:{stream.index} -c copy COPY.mkv` makes a copy without it."
        what = "without a sample rate" if stream.sample_rate is None else "of an unknown codec"
        raise OutputError(f"Stream {stream.index} is sound {what}, which no film can hold: {leave_out}")
    if stream.kind == "audio":
        fits = same or not target.audio or stream.codec in target.audio
        if not fits and not (target.muxer == "mov" and stream.codec.startswith("pcm_")):
            raise OutputError(f"{target.muxer} cannot hold {stream.codec} sound unchanged: choose .mkv for the output.")
        return "copy"
    if stream.kind == "subtitle":
        if stream.codec in target.subtitles:
            return "copy"
        return target.text if stream.codec in TEXT_SUBTITLES else None
    return "copy" if stream.kind == "attachment" and target.attachments else None


def _is_chapter_track(film: Film, stream: Stream) -> bool:
    """An mp4 holds its chapters as a track of text, too, which is made anew from the chapters."""
    return stream.kind == "data" and stream.codec == "bin_data" and film.chapters > 0
