"""What a file says about itself: colour tags in words of options, and which of its metadata go on to the output."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from vidsr.video.probe import Film, Stream

NUMBERS = {"color_trc": {"bt470m": 4, "bt470bg": 5}, "colorspace": {"gbr": 0}}
"""ITU-T H.273's numbers for those of ffprobe's names that ffmpeg's options (tried: 5.1 to 9.0) do not know."""

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
