"""Qualities summed, written and read."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from vidsr.restore.quality_totals import MOST_SAMPLES, Quality, QualityTotals


def test_means_do_not_depend_on_how_the_film_was_cut(tmp_path: Path) -> None:
    qualities = [(1, Quality(1.0, 4.0, 8.0)), (2, Quality(0.5, 3.0, 3.5)), (1, Quality(0.8, 6.0, 9.0))]
    whole, first, second = QualityTotals(), QualityTotals(), QualityTotals()
    for number, (track, found) in enumerate(qualities):
        whole.add(track, 5 * number, found)
        (first if number < 1 else second).add(track, 5 * number, found)
    (tmp_path / "first.json").write_text(first.dump())
    joined = QualityTotals.read(tmp_path / "first.json")
    joined.merge(second)
    assert joined == whole
    assert whole.mean(1) == Quality(pytest.approx(0.9), 5.0, 8.5)
    assert whole.mean(3) is None


@pytest.mark.parametrize(
    "text", ["", "[", "{}", "[[1]]", '[["a", 1, 1, 1, 1]]', "null", "[[1, 2, 3, 4, 5, 6]]", "[[1, 2, 3, 4, 5, [[6]]]]"]
)
def test_a_damaged_file_gives_empty_totals(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.json").write_text(text)
    assert QualityTotals.read(tmp_path / "bad.json") == QualityTotals()
    assert QualityTotals.read(tmp_path / "none.json") == QualityTotals()


def test_samples_stay_few_and_spread_however_long_a_face_is_seen() -> None:
    film, cut = QualityTotals(), QualityTotals()
    for start in range(0, 5000, 1000):
        part = QualityTotals()
        for frame in range(start, start + 1000, 5):
            film.add(1, frame, Quality(1.0, 4.0, 8.0))
            part.add(1, frame, Quality(1.0, 4.0, 8.0))
        cut.merge(part)
    for kept in (film.samples[1], cut.samples[1]):
        frames = [sample[0] for sample in kept]
        assert MOST_SAMPLES / 3 < len(frames) <= MOST_SAMPLES
        assert frames == sorted(frames) and frames[0] == 0 and frames[-1] > 4800
        assert max(b - a for a, b in pairwise(frames)) <= 160
    assert film.mean(1) == cut.mean(1) == Quality(1.0, 4.0, 8.0)
