"""A face before and after, as a loop."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from tests.faces import track_of
from vidsr.report import contact_sheet
from vidsr.report.contact_sheet import FRAMES, GAP, Loop


def test_a_loop_shows_before_and_after_of_each_frame_and_begins_again(tmp_path: Path) -> None:
    loop = Loop(track_of(60, (50.0, 50.0), 40.0, first=10), (0, 100))
    frames = loop.frames
    assert len(frames) == FRAMES and frames.start >= 10 and frames.stop <= 70

    # Farther apart than what a coder takes for equal.
    def grey(number: int) -> int:
        return 40 + 8 * (number - frames.start)

    for number in frames:
        before, after = np.full((100, 100, 3), 40, np.uint8), np.full((100, 100, 3), grey(number), np.uint8)
        loop.see(before, after, 1)
    loop.save(tmp_path / "face.webp", Fraction(25))
    picture = Image.open(io.BytesIO((tmp_path / "face.webp").read_bytes()))
    assert (picture.n_frames, picture.size, picture.info["loop"]) == (
        FRAMES,
        (2 * contact_sheet.TILE + GAP, contact_sheet.TILE),
        0,
    )
    for at in (0, FRAMES - 1):
        picture.seek(at)
        shown = np.asarray(picture.convert("RGB"))
        assert abs(int(shown[100, 100, 0]) - 40) < 6
        assert abs(int(shown[100, -100, 0]) - grey(frames[at])) < 6


def test_a_loop_stays_within_the_part_that_is_shown() -> None:
    loop = Loop(track_of(60, (50.0, 50.0), 40.0, first=10), (55, 62))
    assert loop.frames == range(55, 62)
