"""What a file says about itself: colour tags by number, and which of its metadata go on to the output."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidsr.video.probe import Film, Stream

PRIMARIES = [
    *("bt709", "unknown", "reserved", "bt470m", "bt470bg", "smpte170m", "smpte240m", "film", "bt2020", "smpte428"),
    *("smpte431", "smpte432"),
]
TRANSFERS = [
    *("bt709", "unknown", "reserved", "bt470m", "bt470bg", "smpte170m", "smpte240m", "linear", "log100", "log316"),
    *("iec61966-2-4", "bt1361e", "iec61966-2-1", "bt2020-10", "bt2020-12", "smpte2084", "smpte428", "arib-std-b67"),
]
MATRICES = [
    *("bt709", "unknown", "reserved", "fcc", "bt470bg", "smpte170m", "smpte240m", "ycgco", "bt2020nc", "bt2020c"),
    *("smpte2085", "chroma-derived-nc", "chroma-derived-c", "ictcp"),
]
NUMBERS: dict[str, dict[str, int]] = {
    "color_primaries": {name: n for n, name in enumerate(PRIMARIES, 1)} | {"ebu3213": 22},
    "color_trc": {name: n for n, name in enumerate(TRANSFERS, 1)},
    "colorspace": {name: n for n, name in enumerate(MATRICES, 1)} | {"gbr": 0},
}
"""ITU-T H.273's numbers for ffprobe's names: ffmpeg's options do not know all of these names, but every number."""

STALE = re.compile(
    r"(rotate|encoder|alpha_mode|bps|duration|number_of_(frames|bytes)|_statistics_\w+|source_id)(-\w+)?", re.IGNORECASE
)
"""Tags of a stream that would be wrong for a new one, with mkvmerge's statistics and their suffixes of languages."""

OF_THE_CONTAINER = re.compile(
    r"major_brand|minor_version|compatible_brands|encoder|handler_name|vendor_id|language|timecode"
    r"|(filename|mimetype|stereo_mode)|" + STALE.pattern,
    re.IGNORECASE,
)
"""Tags that each muxer writes in its own way, or that are compared as something else."""

MOVIE_TAGS = frozenset(
    [
        *("title", "artist", "album", "album_artist", "author", "comment", "composer", "copyright", "creation_time"),
        *("date", "description", "encoder", "genre", "grouping", "lyrics", "synopsis", "show", "episode_id"),
        *("network", "keywords", "location", "language", "year", "track", "disc", "timecode"),
    ]
)
"""What mp4 and mov have atoms of their own for; other tags are written there under their names."""


LEFT_FIRST = ("_lr", "left_right", "top_bottom")
"""How the kinds of stereo 3D that H.264's own stream tells end."""


def numbered(option: str, name: str) -> str:
    """The value of one of ffmpeg's colour options for the name that ffprobe gives it."""
    return str(NUMBERS.get(option, {}).get(name, name))


def needs_names(film: Film) -> bool:
    """Whether an mp4 or mov must write tags under their own names, as phones do, to keep them all."""
    return any(key.lower() not in MOVIE_TAGS and not OF_THE_CONTAINER.fullmatch(key) for key, _ in film.metadata)


def lost(film: Film, made: Film, kept: Sequence[Stream]) -> list[str]:
    """A sentence for each tag and disposition of `film` that is not in `made`, whose streams `kept` became."""
    sentences = _missing("The tag", film.metadata, made.metadata)
    for name in ("space", "primaries", "transfer", "chroma_location"):
        if (value := getattr(film.tags, name)) is not None and getattr(made.tags, name) != value:
            sentences.append(f"The picture's tag {name} ({value}) could not be kept.")
    stereo = film.tags.stereo
    if stereo and made.tags.stereo != stereo and not (made.codec == "h264" and stereo.endswith(LEFT_FIRST)):
        sentences.append(f"The mark of stereo 3D ({stereo}) could not be kept: choose --codec libx264, or .mkv.")
    for before, after in zip(kept, made.streams, strict=False):
        if before.kind != after.kind:
            continue
        sentences += _missing(f"Stream {before.index}: the tag", before.metadata, after.metadata)
        gone = before.dispositions - after.dispositions - {"default"}
        if gone:
            sentences.append(f"Stream {before.index}: the mark {', '.join(sorted(gone))} could not be kept.")
    return sentences


def _missing(what: str, before: Iterable[tuple[str, str]], after: Iterable[tuple[str, str]]) -> list[str]:
    there = {key.lower() for key, _ in after}
    names = [key for key, _ in before if key.lower() not in there and not OF_THE_CONTAINER.fullmatch(key)]
    names = [name for name in names if re.sub("-[a-z]{3}$", "", name.lower()) not in there]
    return [f"{what} {name} could not be kept." for name in names]
