"""The time stamps of a film's pictures as its container tells them: read without decoding anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidsr.video.probe import SAFE, Film
from vidsr.video.process import local, run

NO_FRAME = "D"
"""ffprobe's mark on packets that players drop, such as those before an mp4's edit list."""


def promised_timeline(film: Film) -> NDArray[np.int64] | None:
    """The pts that decoding the whole film should give, int64 `(n,)`; None where its packets do not tell.

    Nothing is certain before the frames are decoded: a `Reader` that is given this compares every frame that it reads,
    and raises InputError where a film's packets promise something else than its frames keep.
    """
    if film.deinterlace in ("field", "ivtc"):
        return None
    options = [text for name, value in SAFE.items() for text in (f"-{name}", value)]
    entries = ["-select_streams", str(film.index), "-show_entries", "packet=pts,flags", "-of", "csv=p=0"]
    status, output, _ = run(["ffprobe", "-loglevel", "error", *options, *entries, local(film.path)])
    stamps = [_stamp(line) for line in output.decode("ascii", "replace").split() if NO_FRAME not in line]
    known = [stamp for stamp in stamps if stamp is not None]
    if status != 0 or not known or len(known) != len(stamps):
        return None
    timeline = np.sort(np.array(known, np.int64)) + film.shift_ticks
    return timeline if timeline[0] >= 0 and np.all(np.diff(timeline) > 0) else None


def _stamp(line: str) -> int | None:
    word = line.split(",")[0]
    digits = word.removeprefix("-")
    return int(word) if digits.isascii() and digits.isdecimal() and len(digits) < 19 else None


LONGEST_TICKS = 1 << 31
"""A frame that is said to be shown longer is not to be believed."""


def last_ticks(film: Film, timeline: NDArray[np.int64]) -> int:
    """How long the last frame is shown, in ticks: as its packet says, or else one frame of the film's rate.

    In files whose pictures are coded in another order than they are shown, the last packet may have the length.
    """
    steps = np.diff(timeline)
    usual = int(np.median(steps)) if len(steps) else max(1, round(1 / (film.rate * film.time_base)))
    if film.container.startswith("mpeg") or film.deinterlace in (
        "field",
        "ivtc",
    ):  # such streams do not say it: ffprobe would reckon it from the rate
        return usual
    last = int(timeline[-1]) - film.shift_ticks
    near_s = max(0.0, float((last - 32 * usual) * film.time_base))
    options = [text for name, value in SAFE.items() for text in (f"-{name}", value)]
    entries = ["-select_streams", str(film.index), "-show_entries", "packet=pts,duration,flags", "-of", "csv=p=0"]
    words = [*options, *entries, "-read_intervals", f"{near_s:.3f}%", local(film.path)]
    _, output, _ = run(["ffprobe", "-loglevel", "error", *words])
    rows = [line.split(",") for line in output.decode("ascii", "replace").split() if NO_FRAME not in line]
    known = [(_stamp(row[0]), _stamp(row[1])) for row in rows if len(row) > 1]
    if not known or all(pts != last for pts, _ in known):
        return usual
    told = [ticks or 0 for number, (pts, ticks) in enumerate(known, 1) if pts == last or number == len(known)]
    return max(told) if 0 < max(told) < LONGEST_TICKS else usual


def packet_sizes(path: Path) -> dict[int, list[int]]:
    """For each stream of a file, by its index, the bytes of each of its packets, in the order of the file."""
    options = [text for name, value in SAFE.items() for text in (f"-{name}", value)]
    entries = ["-show_entries", "packet=stream_index,size", "-of", "csv=p=0"]
    _, output, _ = run(["ffprobe", "-loglevel", "error", *options, *entries, local(path)])
    found: dict[int, list[int]] = {}
    for line in output.decode("ascii", "replace").split():
        index, size = (word if word.isdecimal() else "0" for word in line.split(",")[:2])
        found.setdefault(int(index), []).append(int(size))
    return found
