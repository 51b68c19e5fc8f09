"""A film's time code, HH:MM:SS:FF, moved to where a part of it begins."""

from __future__ import annotations

import re
from fractions import Fraction

from vidsr.video.probe import Film

DROPPED = {30: 2, 60: 4}
"""Frame numbers that drop-frame time code leaves out in each minute but every tenth, by the rounded rate."""


def later_timecode(film: Film, seconds: Fraction) -> str | None:
    """The time code, the file's or that of a stream, of the frame that is shown so many seconds after the first; None
    where the film has none."""
    every = (film.metadata, *(stream.metadata for stream in film.streams))
    code = next((value for pairs in every for key, value in pairs if key.lower() == "timecode"), "")
    found = re.fullmatch(r"(\d\d):(\d\d):(\d\d)([:;.])(\d\d)", code)
    if found is None:
        return None
    hours, minutes, full, frames = (int(found[n]) for n in (1, 2, 3, 5))
    rate, drop = round(film.rate), 0 if found[4] == ":" else DROPPED.get(round(film.rate), 0)
    passed = hours * 60 + minutes
    number = (passed * 60 + full) * rate + frames - drop * (passed - passed // 10)
    tens, rest = divmod(number + round(seconds * film.rate), 600 * rate - 9 * drop)
    if drop and rest >= 60 * rate:
        rest += drop * (1 + (rest - 60 * rate) // (60 * rate - drop))
    clock, frame = divmod(tens * 600 * rate + rest, rate)
    return f"{clock // 3600 % 24:02}:{clock // 60 % 60:02}:{clock % 60:02}{found[4]}{frame:02}"
