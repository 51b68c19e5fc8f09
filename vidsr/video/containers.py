"""The containers that can be written, and which of them a film goes into."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vidsr.errors import RefusedError

FILM_SUFFIXES = frozenset(
    [
        *(".mp4", ".mkv", ".mov", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts"),
        *(".m4v", ".gif", ".wmv", ".flv", ".ogv", ".3gp", ".vob"),
    ]
)
"""How the names of films end where a folder is searched for them; a file that is named itself may have any name."""


@dataclass(frozen=True)
class Container:
    """A kind of file to write: `muxer` is ffmpeg's name, `demuxer` that of its reader.

    `codecs` are the encoders whose pictures its players know, best first. `text` is the codec that text subtitles are
    turned into where they do not fit as they are; `attaches` says whether it holds files beside its streams.
    What else fits is not listed anywhere, but tried: see `rehearsal`.
    """

    muxer: str
    demuxer: str
    codecs: tuple[str, ...]
    text: str
    attaches: bool = False


MOVIE = "mov,mp4,m4a,3gp,3g2,mj2"
CONTAINERS = {
    ".mp4": Container("mp4", MOVIE, ("libx264", "libx265", "libsvtav1", "libvpx-vp9"), "mov_text"),
    ".mov": Container("mov", MOVIE, ("libx264", "libx265"), "mov_text"),
    ".mkv": Container(
        "matroska", "matroska,webm", ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1"), "subrip", attaches=True
    ),
    ".webm": Container("webm", "matroska,webm", ("libsvtav1", "libvpx-vp9"), "webvtt"),
}
ALIASES = {".m4v": ".mp4", ".qt": ".mov"}


def is_film_name(path: Path) -> bool:
    """Whether a file in a folder is named like a film."""
    return path.suffix.lower() in FILM_SUFFIXES


def container_of(suffix: str) -> Container:
    """The container that a file name's suffix asks for; RefusedError for one that cannot be written."""
    known = CONTAINERS.get(ALIASES.get(suffix.lower(), suffix.lower()))
    if known is None:
        raise RefusedError(f"{suffix or 'No suffix'} cannot be written: choose {', '.join(CONTAINERS)}.")
    return known


def check_codec(codec: str, suffix: str) -> None:
    """RefusedError where the container's players do not know what the encoder `codec` gives."""
    codecs = container_of(suffix).codecs
    if codec not in codecs:
        raise RefusedError(f"{suffix} cannot hold what {codec} gives: choose .mkv, or --codec {codecs[0]}.")
