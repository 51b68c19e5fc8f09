"""The time stamps of a film's pictures as its container tells them: read without decoding anything."""

from __future__ import annotations

from array import array
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidsr.errors import InputError, VidsrError
from vidsr.video.ffprobe import packet_rows
from vidsr.video.probe import Film

NO_FRAME = "D"
"""ffprobe's mark on packets that players drop, such as those before an mp4's edit list."""
FOR_EVER_S = 100_000_000
LONGEST_TICKS = 1 << 31
"""A frame that is said to be shown longer is not to be believed."""


def promised_timeline(film: Film) -> NDArray[np.int64] | None:
    """The pts that decoding the whole film should give, int64 `(n,)`; None where its packets do not tell.

    Nothing is certain before the frames are decoded: a `Reader` that is given this compares every frame that it reads,
    and raises InputError where a film's packets promise something else than its frames keep.
    """
    if film.deinterlace in ("field", "ivtc"):
        return None
    stamps = array("q")
    try:
        for row in packet_rows(film.path, "pts,flags", ["-select_streams", str(film.index)]):
            if not any(NO_FRAME in word for word in row):
                stamps.append(int(row[0]))
    except (VidsrError, ValueError, OverflowError):  # one that has no pts
        return None
    timeline = np.sort(np.array(stamps, np.int64)) + film.shift_ticks
    return timeline if len(timeline) and timeline[0] >= 0 and np.all(np.diff(timeline) > 0) else None


def last_ticks(film: Film, timeline: NDArray[np.int64]) -> int:
    """How long the last frame is shown, in ticks: as its packet says, or else one frame of the film's rate.

    In files whose pictures are coded in another order than they are shown, the last packet may have the length.
    """
    steps = np.diff(timeline)
    usual = int(np.median(steps)) if len(steps) else max(1, round(1 / (film.rate * film.time_base)))
    # MPEG's streams do not say it: ffprobe would reckon it from the rate.
    if film.container.startswith("mpeg") or film.deinterlace in ("field", "ivtc"):
        return usual
    last = int(timeline[-1]) - film.shift_ticks
    near_s = max(0.0, float((last - 32 * usual) * film.time_base))
    # ffprobe 7 forgets to say that an interval without an end is not one of so many packets.
    words = ["-select_streams", str(film.index), "-read_intervals", f"{near_s:.3f}%+{FOR_EVER_S}"]
    rows: list[list[str]] = []
    with suppress(InputError):  # not every format can be sought in
        rows += (row for row in packet_rows(film.path, "pts,duration,flags", words) if NO_FRAME not in "".join(row[2:]))
    told = [_number(row[1]) for number, row in enumerate(rows, 1) if _number(row[0]) == last or number == len(rows)]
    if all(_number(row[0]) != last for row in rows):
        return usual
    return max(told) if 0 < max(told) < LONGEST_TICKS else usual


def _number(word: str) -> int:
    return int(word) if word.removeprefix("-").isdecimal() else 0


def packet_sizes(path: Path) -> dict[int, list[int]]:
    """For each stream of a file, by its index, the bytes of each of its packets, in the order of the file."""
    found: dict[int, list[int]] = {}
    for index, size, *_ in packet_rows(path, "stream_index,size"):
        found.setdefault(_number(index), []).append(_number(size))
    return found


def packet_pts(path: Path, index: int, limit: int | None = None) -> array[int]:
    """The pts of every packet of stream `index`, or of the first `limit`, in the order of the file."""
    words = ["-select_streams", str(index)] + ([] if limit is None else ["-read_intervals", f"%+#{limit}"])
    return array("q", (int(row[0]) for row in packet_rows(path, "pts", words) if row[0] != "N/A"))
