"""Where shots begin: at cuts, not at flashes, fades or fast moves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.scene import HEIGHT, WIDTH, Picture, Pose, film, frames, head, shown
from vidsr.analysis.cuts import looks

COUNT = 40


def cuts(draw: Callable[[int], Picture], count: int = COUNT) -> list[int]:
    found = list(looks(frames(count, draw), film(), 960))
    assert [look.index for look in found] == list(range(count))
    return [look.index for look in found if look.cut]


def scene(n: int, seed: int = 1) -> Picture:
    return shown([(Pose(200 + 2 * n), head())], seed)


def white(_: int) -> Picture:
    return np.full((HEIGHT, WIDTH, 3), 245, np.uint8)


def brighter(n: int) -> Picture:
    return np.asarray(np.clip(scene(n).astype(int) + 120, 0, 255), np.uint8)


@pytest.mark.parametrize("at", [3, 20, COUNT - 2, COUNT - 1])
def test_a_cut_begins_a_shot(at: int) -> None:
    assert cuts(lambda n: scene(n, 1 if n < at else 2)) == [0, at]


def test_every_shot_of_a_fast_sequence_is_found() -> None:
    assert cuts(lambda n: scene(n, n // 8)) == [0, 8, 16, 24, 32]


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("flash", [white, brighter])
def test_a_flash_is_no_cut(flash: Callable[[int], Picture], length: int) -> None:
    assert cuts(lambda n: flash(n) if 20 <= n < 20 + length else scene(n)) == [0]


@pytest.mark.parametrize("length", [5, 10])
def test_a_fade_to_black_and_back_is_no_cut(length: int) -> None:
    assert cuts(lambda n: np.asarray(scene(n) * min(1, abs(n - 20) / length), np.uint8)) == [0]


@pytest.mark.parametrize("length", [6, 20])
@pytest.mark.parametrize("black", [1, 15])
def test_a_fade_through_black_to_another_scene_is_no_cut(length: int, black: int) -> None:
    def draw(n: int) -> Picture:
        light = max(1 - n / length, (n - length - black) / length, 0)
        return np.asarray(scene(n, 1 if n < length else 2) * min(light, 1), np.uint8)

    assert cuts(draw, 2 * length + black + 5) == [0]


@pytest.mark.parametrize("length", [8, 25])
def test_a_dissolve_is_no_cut(length: int) -> None:
    def draw(n: int) -> Picture:
        share = np.clip((n - 8) / length, 0, 1)
        return np.asarray(scene(n, 1) * (1 - share) + scene(n, 2) * share, np.uint8)

    assert cuts(draw, length + 16) == [0]


def test_a_whip_pan_is_no_cut() -> None:
    assert cuts(lambda n: np.roll(scene(0), 15 * n, axis=1)) == [0]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5])
def test_the_shortest_films_keep_their_frames(count: int) -> None:
    assert cuts(scene, count) == [0][:count]
