"""Look at a finished file with ffprobe: every time stamp of the picture, and every stream."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidsr.errors import OutputError
from vidsr.stream import behind
from vidsr.video.decoder import Complaints
from vidsr.video.mux_command import ATTACH, Passage
from vidsr.video.packets import last_ticks, packet_pts
from vidsr.video.probe import Film, Stream, probe
from vidsr.video.process import GLOBAL, LONG_PATIENCE_S, SAFE, local, run
from vidsr.video.tags import lost

SAMPLE = 8
PERIOD_S = 60
"""How often ffmpeg tells how far it is: often enough for a patience of LONG_PATIENCE_S, and all of it is kept."""


def check_published(
    film: Film, destination: Path, timeline: NDArray[np.int64], ticks: int | None, kept: Sequence[Passage]
) -> list[str]:
    """Compare the file with what went into it: OutputError for a frame or a sound that is not as it should be.

    Time stamps must equal those of `timeline (n,)`, in the film's ticks, or where the ticks of the container are not
    fine enough (Matroska's are 1 ms), be the nearest of its ticks. The last frame must be shown for `ticks`, if that
    was set. Returns a sentence for each thing that could not be kept.
    """
    made = probe(destination)
    with behind() as decoding:  # it takes longest, and the other checks wait for ffprobe most of the time
        decoding.then(lambda: check_decodes(made, len(timeline)))
        stamps = np.array(sorted(packet_pts(destination, made.index)), np.int64)
        _check_times(made, film, timeline, stamps)
        sentences = _missing(made, kept)
        if ticks is not None:
            sentences += _ending(made, film, int(timeline[-1] - timeline[0]) + ticks, stamps)
        if made.chapters < film.chapters:
            sentences.append(f"{film.chapters - made.chapters} of {film.chapters} chapters could not be kept.")
        return sentences + lost(film, made, [one.stream for one in kept if one.codec != ATTACH])


def _check_times(made: Film, film: Film, timeline: NDArray[np.int64], found: NDArray[np.int64]) -> None:
    destination, ratio = made.path, film.time_base / made.time_base
    if len(found) != len(timeline):
        raise OutputError(f"{destination} has {len(found)} frames, not {len(timeline)}: this is a bug, report it.")
    crowded = _crowded(timeline, ratio)
    for index, (pts, wanted) in enumerate(zip(found.tolist(), timeline.tolist(), strict=True)):
        # At most half a tick off: in whole numbers, and 0 where a tick of the film is a whole number of the file's.
        off = 2 * abs(pts * ratio.denominator - wanted * ratio.numerator)
        if off > ratio.denominator * (1 if index not in crowded else 6):
            raise OutputError(f"{destination}: frame {index} is at the wrong tick, {pts}: this is a bug, report it.")


def _crowded(timeline: NDArray[np.int64], ratio: Fraction) -> set[int]:
    """Frames that share a tick of the container with a neighbour, and those beside: muxers move them apart."""
    close = np.flatnonzero(np.diff(timeline) * ratio.numerator < ratio.denominator)
    return {int(index) + step for index in close for step in range(-1, 4)}


def _missing(made: Film, kept: Sequence[Passage]) -> list[str]:
    """OutputError where a sound is missing; a sentence where another stream is, which had no packet or was refused."""
    there = Counter(_kind(stream) for stream in made.streams)
    wanted = Counter(_kind(one.stream) for one in kept)
    if there["audio"] < wanted["audio"]:
        what = f"{made.path} has {there['audio']} of {wanted['audio']} sounds"
        raise OutputError(f"{what}: choose .mkv for the output.")
    return [
        f"{wanted[kind] - there[kind]} of {wanted[kind]} {kind} streams could not be kept."
        for kind in ("video", "cover", "subtitle", "attachment", "data")
        if there[kind] < wanted[kind]
    ]


def _kind(stream: Stream) -> str:
    return "cover" if stream.attached_picture else stream.kind


def _ending(made: Film, film: Film, ticks: int, stamps: NDArray[np.int64]) -> list[str]:
    """A sentence where the picture is not shown for `ticks` of the film: containers differ in what they can tell of the
    last frame, and a picture's length in the order of its packets is not the time that it is shown."""
    wanted_s = float(ticks * film.time_base)
    found_ticks = int(stamps[-1] - stamps[0]) + last_ticks(made, stamps + made.shift_ticks)
    off_s = wanted_s - float(found_ticks * made.time_base)
    if made.duration_s is not None and off_s > 0:  # in Matroska, only the whole file's length may tell it
        off_s = max(0.0, min(off_s, wanted_s - made.duration_s))
    if abs(off_s) <= 2 * float(1 / film.rate) + 0.1:
        return []
    return [f"The last frame is shown {abs(off_s):.2f} s {'shorter' if off_s > 0 else 'longer'} than in the source."]


def check_decodes(film: Film, frames: int) -> None:
    """OutputError where the picture's `frames` frames cannot all be decoded without a complaint."""
    complaints = Complaints(film.index)
    period = ["-stats_period", str(PERIOD_S)]
    words = ["ffmpeg", *GLOBAL, *period, "-loglevel", "level+warning", *SAFE, "-i", local(film.path)]
    words += ["-map", f"0:{film.index}", "-fps_mode", "passthrough", "-progress", "pipe:1", "-f", "null", "-"]
    status, told, lines = run(words, LONG_PATIENCE_S, complaints.hear)
    decoded = int((re.findall(rb"^frame=(\d+)$", told, re.MULTILINE) or [b"0"])[-1])
    if status != 0 or complaints.worst or decoded != frames:
        raise OutputError(f"{film.path}: {decoded} of {frames} frames can be decoded: this is a bug, report it.", lines)


def sound_shifts(film: Film, destination: Path) -> dict[int, int]:
    """Ticks by which each sound stream of `film` must be moved to be in `destination` where it is in the source."""
    made = probe(destination)
    sounds = ([stream for stream in streams if stream.kind == "audio"] for streams in (film.streams, made.streams))
    shifts = {}
    for before, after in zip(*sounds, strict=False):
        late_s = _lateness(film.path, before, destination, after) - film.shift_s
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
