"""Verdicts summed, written and read."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from vidsr.restore.quality_totals import MOST_SAMPLES, Tally, Verdict


def test_means_do_not_depend_on_how_the_film_was_cut(tmp_path: Path) -> None:
    verdicts = [(1, Verdict(1.0, 4.0, 8.0)), (2, Verdict(0.5, 3.0, 3.5)), (1, Verdict(0.8, 6.0, 9.0))]
    whole, first, second = Tally(), Tally(), Tally()
    for number, (track, found) in enumerate(verdicts):
        whole.hear(track, 5 * number, found)
        (first if number < 1 else second).hear(track, 5 * number, found)
    (tmp_path / "first.json").write_text(first.dump())
    joined = Tally.read(tmp_path / "first.json")
    joined.merge(second)
    assert joined == whole
    assert whole.mean(1) == Verdict(pytest.approx(0.9), 5.0, 8.5)
    assert whole.mean(3) is None


@pytest.mark.parametrize(
    "text", ["", "[", "{}", "[[1]]", '[["a", 1, 1, 1, 1]]', "null", "[[1, 2, 3, 4, 5, 6]]", "[[1, 2, 3, 4, 5, [[6]]]]"]
)
def test_a_damaged_file_is_an_empty_tally(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.json").write_text(text)
    assert Tally.read(tmp_path / "bad.json") == Tally()
    assert Tally.read(tmp_path / "none.json") == Tally()


def test_samples_stay_few_and_spread_however_long_a_face_is_seen() -> None:
    film, cut = Tally(), Tally()
    for start in range(0, 5000, 1000):
        part = Tally()
        for frame in range(start, start + 1000, 5):
            film.hear(1, frame, Verdict(1.0, 4.0, 8.0))
            part.hear(1, frame, Verdict(1.0, 4.0, 8.0))
        cut.merge(part)
    for kept in (film.samples[1], cut.samples[1]):
        frames = [sample[0] for sample in kept]
        assert MOST_SAMPLES / 3 < len(frames) <= MOST_SAMPLES
        assert frames == sorted(frames) and frames[0] == 0 and frames[-1] > 4800
        assert max(b - a for a, b in pairwise(frames)) <= 160
    assert film.mean(1) == cut.mean(1) == Verdict(1.0, 4.0, 8.0)
