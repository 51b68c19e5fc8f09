"""The time stamps of a film's pictures as its container tells them: read without decoding anything."""

from __future__ import annotations

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
    options = [text for name, value in SAFE.items() for text in (f"-{name}", value)]
    entries = ["-select_streams", str(film.index), "-show_entries", "packet=pts,flags", "-of", "csv=p=0"]
    status, output, _ = run(["ffprobe", "-loglevel", "error", *options, *entries, local(film.path)])
    stamps = [_stamp(line) for line in output.decode("ascii", "replace").split() if NO_FRAME not in line]
    known = [stamp for stamp in stamps if stamp is not None]
    if status != 0 or not known or len(known) != len(stamps):
        return None
    timeline = np.sort(np.array(known, np.int64))
    return timeline if timeline[0] >= 0 and np.all(np.diff(timeline) > 0) else None


def _stamp(line: str) -> int | None:
    word = line.split(",")[0]
    digits = word.removeprefix("-")
    return int(word) if digits.isascii() and digits.isdecimal() and len(digits) < 19 else None
