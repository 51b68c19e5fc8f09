"""A face before and after, side by side for about a second, as one looping picture to send to somebody."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from vidsr.files import partial_of
from vidsr.frame import Track
from vidsr.picture import Rgb
from vidsr.report import contact_sheet
from vidsr.report.side_by_side import DARK

FRAMES = 25
QUALITY = 85
GAP = 8  # pixels between before and after


@dataclass
class Loop:
    """A loop of `track` in the frames of `span`, around the one in which it is shown best; gathers its pictures."""

    track: Track
    span: tuple[int, int]
    pairs: list[Rgb] = field(default_factory=list)

    @property
    def frames(self) -> range:
        """The frames that it shows."""
        first, stop = max(self.track.first, self.span[0]), min(self.track.stop, self.span[1])
        begin = min(self.track.moment(first, stop) - FRAMES // 2, stop - FRAMES)
        return range(max(first, begin), min(stop, max(first, begin) + FRAMES))

    @property
    def box(self) -> list[float]:
        """Where the face is in all of them: a window that does not move does not shake."""
        there = slice(self.frames.start - self.track.first, self.frames.stop - self.track.first)
        return [float(edge) for edge in np.mean(self.track.boxes[there], axis=0)]

    def see(self, before: Rgb, after: Rgb, scale: float) -> None:
        """Take one frame, RGB, in its order."""
        sides = [contact_sheet.view(picture, self.box, scale).whole for picture in (before, after)]
        gap = np.full((contact_sheet.TILE, GAP, 3), DARK, np.uint8)
        self.pairs.append(np.hstack([sides[0], gap, sides[1]]))

    def save(self, path: Path, rate: Fraction) -> None:
        """Write the loop as WebP, at `rate` frames a second."""
        partial = partial_of(path)
        partial.write_bytes(webp(self.pairs, rate))
        partial.replace(path)


def webp(pictures: Sequence[Rgb], rate: Fraction) -> bytes:
    """Pictures of one size as a WebP that begins again at its end."""
    first, *rest = [Image.fromarray(picture) for picture in pictures]
    made = io.BytesIO()
    pause_ms = max(20, round(1000 / rate))
    first.save(made, "WEBP", save_all=True, append_images=rest, duration=pause_ms, loop=0, quality=QUALITY)
    return made.getvalue()
