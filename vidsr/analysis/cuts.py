"""Frames -> looks: each frame's small picture, and whether a new shot begins with it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from scenedetect import AdaptiveDetector, FrameTimecode

from vidsr.frame import Frame
from vidsr.picture import Colour, Gray, Rgb, Small, reduce, reduced_size, to_rgb
from vidsr.video.probe import Film

TINY = 128
"""Long side of the picture in which cuts are looked for."""
ADAPTIVE_WINDOW = 2
"""Frames on each side with which the detector compares a frame's change."""
LEAST_CHANGE = 12.0
"""A cut changes hue, saturation and value by at least this on average, of 255 (scenedetect's content value)."""
FLASH = 3
"""A picture that comes back after at most so many others was interrupted by a flash, not by a cut."""
COMES_BACK = 0.4
"""How different the picture after a flash may be from the one before, as a share of the change at the flash."""


@dataclass(frozen=True, repr=False)
class Look:
    """One frame as the analysis sees it; `cut` says that a shot begins with it."""

    index: int
    pts: int
    small: Small
    cut: bool = False


def looks(frames: Iterable[Frame], film: Film, side: int) -> Iterator[Look]:
    """Reduce each frame to the long side `side`, if its reader has not, and mark where shots begin.

    Runs `FLASH` frames behind its source.
    """
    ahead: deque[Look] = deque()
    cuts = _Cuts()
    for position, frame in enumerate(frames):
        small = reduce(frame, film.pixels.depth, side)
        height, width = small.luma.shape
        small = replace(small, scale=(film.width / width, film.height / height))
        ahead.append(Look(frame.index, frame.pts, small))
        cuts.add(position, _tiny(small, film))
        if len(ahead) > FLASH:
            yield replace(ahead.popleft(), cut=cuts.begins(position - FLASH))
    first = cuts.end() - len(ahead)
    for position, look in enumerate(ahead, first):
        yield replace(look, cut=cuts.begins(position))


def _tiny(small: Small, colour: Colour) -> Rgb:
    size = reduced_size(small.luma.shape[1], small.luma.shape[0], TINY)
    luma, *chroma = (_averaged(plane, size) for plane in (small.luma, *small.chroma))
    return to_rgb(Small(luma, np.stack(chroma), small.scale), colour)


def _averaged(plane: Gray, size: tuple[int, int]) -> Gray:
    """A plane at `size`, halved as often as that can be: from 960 pixels, a tenth of the time of one step."""
    while plane.shape[1] >= 2 * size[0] and plane.shape[0] >= 2 * size[1]:
        rows, columns = plane.shape[0] // 2, plane.shape[1] // 2
        even = plane[: 2 * rows, : 2 * columns]
        plane = np.asarray(cv2.resize(even, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.uint8)


class _Cuts:
    """What scenedetect calls a cut, less the flashes; remembers a few tiny pictures around the frame in question."""

    def __init__(self) -> None:
        self._detector = AdaptiveDetector(min_scene_len=1, window_width=ADAPTIVE_WINDOW, min_content_val=LEAST_CHANGE)
        self._tiny: dict[int, Rgb] = {}
        self._suspects: set[int] = set()

    def add(self, position: int, tiny: Rgb) -> None:
        self._tiny[position] = tiny
        self._tiny.pop(position - 2 * FLASH - 2, None)
        self._feed(position, tiny)

    def _feed(self, position: int, tiny: Rgb) -> None:
        # Any rate will do: only the order of the frames counts. The channels' order does not matter to HSV's
        # saturation and value, and turns hue by a constant.
        if self._detector.process_frame(FrameTimecode(position, 25.0), tiny):
            self._suspects.add(position - ADAPTIVE_WINDOW)

    def end(self) -> int:
        """Let the detector judge the last frames too, as if the film stood still after them; give the frame count."""
        count = max(self._tiny, default=-1) + 1
        for position in range(count, count + ADAPTIVE_WINDOW if count else 0):
            self._feed(position, self._tiny[count - 1])
        return count

    def begins(self, position: int) -> bool:
        """Whether a shot begins at `position`; asked in order, at most `FLASH` frames behind the newest."""
        if position == 0:
            return True
        suspect = position in self._suspects
        self._suspects.discard(position)
        return suspect and not self._comes_back(position)

    def _comes_back(self, position: int) -> bool:
        limit = COMES_BACK * self._difference(position - 1, position)
        before = [n for n in range(position - FLASH - 1, position) if n in self._tiny]
        after = [n for n in range(position, position + FLASH + 1) if n in self._tiny]
        pairs = ((a, b) for a in before for b in after if b - a <= FLASH + 1)
        return any(self._difference(a, b) < limit for a, b in pairs)

    def _difference(self, one: int, other: int) -> float:
        # Suspects are rare: blurring every picture ahead would take longer than all else here.
        before, after = (cv2.GaussianBlur(self._tiny[position], (0, 0), 2) for position in (one, other))
        return float(np.mean(cv2.absdiff(before, after)))
