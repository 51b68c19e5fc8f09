"""Look at a finished file with ffprobe: every time stamp of the picture, and every stream."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidsr.errors import OutputError
from vidsr.stream import behind
from vidsr.video.decode import Complaints
from vidsr.video.probe import SAFE, Film, Stream, probe
from vidsr.video.process import GLOBAL, LONG_PATIENCE_S, Process, local

BLOCK = 1 << 16
SAMPLE = 8


def check_published(film: Film, destination: Path, timeline: NDArray[np.int64], kept: Sequence[Stream]) -> list[str]:
    """Compare the file with what went into it: OutputError for a frame or a stream that is not as it should be.

    Time stamps must equal `timeline` (in ticks of `film`) or, where the ticks of the container are not fine enough
    (Matroska's are 1 ms), be the nearest of its ticks. Returns a sentence for each thing that could not be kept.
    """
    made = probe(destination)
    with behind() as decoding:  # it takes longest, and the other checks wait for ffprobe most of the time
        decoding.then(lambda: check_decodes(made, len(timeline)))
        return _checked(made, film, timeline, kept)


def _checked(made: Film, film: Film, timeline: NDArray[np.int64], kept: Sequence[Stream]) -> list[str]:
    """All but the pictures."""
    destination, ratio = made.path, film.time_base / made.time_base
    found = sorted(packet_pts(destination, made.index))
    if len(found) != len(timeline):
        raise OutputError(f"{destination} has {len(found)} frames, not {len(timeline)}: this is a bug, report it.")
    for index, (pts, wanted) in enumerate(zip(found, timeline, strict=True)):
        # At most half a tick off: in whole numbers, and 0 where a tick of the film is a whole number of the file's.
        if 2 * abs(pts * ratio.denominator - int(wanted) * ratio.numerator) > ratio.denominator:
            raise OutputError(f"{destination}: frame {index} is at the wrong tick, {pts}: this is a bug, report it.")
    for kind in ("audio", "subtitle", "attachment"):
        there, wanted = (Counter(stream.kind for stream in streams)[kind] for streams in (made.streams, kept))
        if there < wanted:
            raise OutputError(f"{destination} has {there} of {wanted} {kind} streams: choose .mkv for the output.")
    _check_duration(made, timeline, film)
    if made.chapters < film.chapters:
        return [f"{film.chapters - made.chapters} of {film.chapters} chapters could not be kept."]
    return []


def _check_duration(made: Film, timeline: NDArray[np.int64], film: Film) -> None:
    """OutputError where the file says that its picture ends more than a few frames before or after it does."""
    if made.duration_s is None:
        return
    ends_s = float(int(timeline[-1]) * film.time_base)
    length_s = float((int(timeline[-1]) - int(timeline[0])) * film.time_base + 1 / film.rate)
    slack_s = 4 * float(1 / film.rate) + 0.1
    # Matroska counts the length from 0, mp4 from the first frame; and a file without a length of the picture alone
    # gives that of its longest stream.
    if made.duration_s < min(length_s, ends_s) - slack_s:
        raise OutputError(
            f"{made.path} says it lasts {made.duration_s:.2f} s, not {length_s:.2f}: this is a bug, report it."
        )


def check_decodes(film: Film, frames: int) -> None:
    """OutputError where the picture's `frames` frames cannot all be decoded without a complaint."""
    complaints = Complaints(film.index)
    safe = [word for name, value in SAFE.items() for word in (f"-{name}", value)]
    words = ["ffmpeg", *GLOBAL, "-loglevel", "level+warning", *safe, "-i", local(film.path)]
    words += ["-map", f"0:{film.index}", "-fps_mode", "passthrough", "-progress", "pipe:1", "-f", "null", "-"]
    with Process(words, patience_s=LONG_PATIENCE_S, on_line=complaints.hear) as process:
        told, block = b"", memoryview(bytearray(BLOCK))
        while count := process.read_into(block):
            told = (told + bytes(block[:count]))[-BLOCK:]
        status, lines = process.finish(), process.last_lines
    decoded = int((re.findall(rb"^frame=(\d+)$", told, re.MULTILINE) or [b"0"])[-1])
    if status != 0 or complaints.worst or decoded != frames:
        raise OutputError(f"{film.path}: {decoded} of {frames} frames can be decoded: this is a bug, report it.", lines)


def sound_shifts(film: Film, destination: Path) -> dict[int, int]:
    """Ticks by which each sound stream of `film` must be moved to be in `destination` where it is in the source."""
    made = probe(destination)
    sounds = ([stream for stream in streams if stream.kind == "audio"] for streams in (film.streams, made.streams))
    shifts = {}
    for before, after in zip(*sounds, strict=False):
        late_s = _lateness(film.path, before, destination, after)
        if before.time_base and after.time_base and abs(late_s) > after.time_base:
            shifts[before.index] = -round(late_s / before.time_base)
    return shifts


def _lateness(path: Path, before: Stream, destination: Path, after: Stream) -> Fraction:
    """Seconds by which the first packets of a sound come later in the copy, the median."""
    if not before.time_base or not after.time_base:
        return Fraction(0)
    pairs = zip(packet_pts(path, before.index, SAMPLE), packet_pts(destination, after.index, SAMPLE), strict=False)
    late_s = sorted(new * after.time_base - old * before.time_base for old, new in pairs)
    return late_s[len(late_s) // 2] if late_s else Fraction(0)


def packet_pts(path: Path, index: int, limit: int | None = None) -> array[int]:
    """The pts of every packet of stream `index`, or of the first `limit`, in the order of the file."""
    stamps, rest = array("q"), b""
    words = [word for name, value in SAFE.items() for word in (f"-{name}", value)]
    words += ["-select_streams", str(index), "-show_entries", "packet=pts", "-of", "default=nk=1:nw=1"]
    words += [] if limit is None else ["-read_intervals", f"%+#{limit}"]
    with Process(["ffprobe", "-hide_banner", "-loglevel", "error", *words, local(path)]) as process:
        block = memoryview(bytearray(BLOCK))
        while count := process.read_into(block):
            *lines, rest = (rest + bytes(block[:count])).split(b"\n")
            stamps.extend(int(line) for line in lines if line.strip() not in (b"", b"N/A"))
        if process.finish() != 0:
            raise process.failure(f"cannot read {path}", OutputError)
    return stamps
