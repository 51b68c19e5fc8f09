"""Where the detector looks: a part of the picture, or not at all, only where that misses nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pytest

from tests.scene import HEIGHT, WIDTH, Picture, Pose, backdrop, film, frames, head, paste, shown
from vidsr.analysis.cuts import Look
from vidsr.analysis.detector import Detector, open_detector
from vidsr.analysis.roi import WITH_FACES, WITHOUT, Part, RegionOfInterest
from vidsr.analysis.rotated_heads import PATCH, SOUGHT
from vidsr.config import Analyze
from vidsr.frame import Detection
from vidsr.picture import Rgb, Small, reduce


@cache
def detector() -> Detector:
    return open_detector(Analyze())


class Watched:
    """The detector, and the sizes of the pictures that it was given, upright ones and those for turned heads."""

    batch = 1

    def __init__(self) -> None:
        self.sizes: list[tuple[int, ...]] = []
        self.turned: list[tuple[int, ...]] = []

    def __call__(self, pictures: Sequence[Rgb]) -> list[list[Detection]]:
        for picture in pictures:
            turned = picture.shape[:2] == (PATCH, PATCH) or (SOUGHT in picture.shape[:2] and 181 in picture.shape[:2])
            (self.turned if turned else self.sizes).append(picture.shape[:2])
        return detector()(pictures)


def looks(draw: Callable[[int], Picture], count: int) -> list[Look]:
    return [Look(f.index, f.pts, reduce(f, 8, 960), f.index == 0) for f in frames(count, draw)]


def strong(found: list[Detection]) -> list[Detection]:
    return [one for one in found if one.score > 0.5]


def test_where_nothing_is_and_nothing_comes_the_detector_looks_once_in_a_while() -> None:
    watched = Watched()
    gaze = RegionOfInterest(watched, film(), Analyze().min_score)
    found = [gaze(look) for look in looks(lambda _: shown([]), 2 * WITHOUT + 1)]
    assert not any(map(strong, found))
    assert len(watched.sizes) <= 3 + sum(bool(one) for one in found)
    assert watched.turned[:3] == [(SOUGHT, 181), (181, SOUGHT), (SOUGHT, 181)]
    assert len(watched.turned) <= 6, "turned heads are sought at most twice, in a smaller picture"


def test_a_face_that_comes_is_found_at_once() -> None:
    gaze = RegionOfInterest(Watched(), film(), Analyze().min_score)
    found = [strong(gaze(look)) for look in looks(lambda n: shown([(Pose(150), head())] if n >= 2 else []), 4)]
    assert [len(one) for one in found] == [0, 0, 1, 1]


def test_a_second_face_that_comes_is_found_at_once() -> None:
    first, second = (Pose(110), head()), (Pose(380), head())
    gaze = RegionOfInterest(Watched(), film(), Analyze().min_score)
    found = [strong(gaze(look)) for look in looks(lambda n: shown([first, second] if n >= 2 else [first]), 4)]
    assert [len(one) for one in found] == [1, 1, 2, 2]


def test_around_a_known_face_the_detector_sees_what_it_sees_in_the_whole() -> None:
    watched = Watched()
    gaze = RegionOfInterest(watched, film(), Analyze().min_score)
    views = looks(lambda n: shown([(Pose(150 + n, scale=0.5), head())]), WITH_FACES)
    found = [strong(gaze(look))[0] for look in views]
    assert watched.sizes[0] == (HEIGHT, WIDTH)
    assert all(size[0] * size[1] <= 0.7 * HEIGHT * WIDTH for size in watched.sizes[1:])
    for look, one in zip(views, found, strict=True):
        whole = strong(RegionOfInterest(detector(), film(), Analyze().min_score)(look))[0]
        assert np.abs(one.landmarks - whole.landmarks).max() < 0.25
        assert np.abs(one.box - whole.box).max() < 0.6  # a hundredth of its height


def test_a_face_that_is_gone_is_sought_in_the_whole_picture() -> None:
    watched = Watched()
    gaze = RegionOfInterest(watched, film(), Analyze().min_score)
    found = [strong(gaze(look)) for look in looks(lambda n: shown([(Pose(100 if n < 1 else 380), head())]), 2)]
    assert [len(one) for one in found] == [1, 1]
    assert watched.sizes[-1] == (HEIGHT, WIDTH)


def test_a_new_shot_is_looked_at_as_a_whole() -> None:
    watched = Watched()
    gaze = RegionOfInterest(watched, film(), Analyze().min_score)
    one, two = looks(lambda _: shown([]), 2)
    gaze(one)
    gaze(Look(two.index, two.pts, two.small, cut=True))
    assert watched.sizes == [(HEIGHT, WIDTH)] * 2


def test_a_light_that_flickers_a_little_is_no_news() -> None:
    watched = Watched()
    gaze = RegionOfInterest(watched, film(), Analyze().min_score)
    for look in looks(lambda n: np.asarray(np.minimum(shown([]).astype(int) + 5 * (n % 2), 255), np.uint8), 4):
        gaze(look)
    assert len(watched.sizes) == 1


@pytest.mark.parametrize("x, y", [(0.0, 0.0), (470.0, 260.0), (33.0, 65.0)])
def test_a_part_lies_on_the_detectors_grid_and_in_the_picture(x: float, y: float) -> None:
    part = Part(np.array([[x - 20, y - 20], [x + 20, y + 20]]), (HEIGHT, WIDTH))
    assert part.x0 % 32 == part.y0 % 32 == 0
    assert 0 <= part.x0 < part.x1 <= WIDTH and 0 <= part.y0 < part.y1 <= HEIGHT
    assert part.holds(np.array([[x - 20, y - 20], [x + 20, y + 20]]), (HEIGHT, WIDTH))


def seen_from(x: int, y: int, poses: list[tuple[Pose, Picture]], margin: int = 60) -> Picture:
    """A scene that is wider than the picture by `margin` on each side, from a camera at this place of it."""
    whole = backdrop(1, WIDTH + 2 * margin, HEIGHT + 2 * margin)
    for pose, one in poses:
        whole = paste(whole, pose, one)
    return whole[margin + y : margin + y + HEIGHT, margin + x : margin + x + WIDTH]


def test_a_face_is_found_as_soon_as_a_camera_that_turns_shows_it() -> None:
    gaze = RegionOfInterest(Watched(), film(), Analyze().min_score)
    faces = [(Pose(WIDTH + 60, 180, 0.5), head())]
    found = [strong(gaze(look)) for look in looks(lambda n: seen_from(10 * n, 0, faces), 7)]
    alone = [
        strong(RegionOfInterest(detector(), film(), Analyze().min_score)(look))
        for look in looks(lambda n: seen_from(10 * n, 0, faces), 7)
    ]
    assert [len(one) for one in found] == [len(one) for one in alone]
    assert len(found[0]) == 0 and len(found[-1]) == 1


def test_a_face_that_comes_before_a_camera_that_sways_is_found_at_once() -> None:
    gaze = RegionOfInterest(Watched(), film(), Analyze().min_score)
    places = [(0, 0), (20, 10), (0, 0), (20, 10), (20, 10)]
    views = looks(lambda n: seen_from(*places[n], [(Pose(200, 180, 0.5), head())] if n > 2 else []), 5)
    assert [len(strong(gaze(look))) for look in views] == [0, 0, 0, 1, 1]


def test_pictures_without_any_detail_and_very_small_ones_are_no_trouble() -> None:
    for shape in ((40, 48, 3), (HEIGHT, WIDTH, 3)):
        gaze = RegionOfInterest(detector(), film(), Analyze().min_score)
        for level in (20, 200, 20):
            luma = np.full(shape[:2], level, np.uint8)
            assert gaze(Look(0, 0, Small(luma, np.full((2, *shape[:2]), 128, np.uint8), (1.0, 1.0)))) == []
