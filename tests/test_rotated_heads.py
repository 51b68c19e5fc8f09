"""Heads that are turned by any angle are found and followed with their roll, and upright ones hardly pay for it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.program import needs
from tests.scene import HEIGHT, WIDTH, Picture, Pose, film, frames, head, shown
from vidsr.analysis.alignment import roll, to_square
from vidsr.analysis.analyze import find_tracks
from vidsr.analysis.appearance import Appearance, appearance_of
from vidsr.analysis.cuts import Look
from vidsr.analysis.detector import Detector, open_detector
from vidsr.analysis.roi import RegionOfInterest
from vidsr.analysis.rotated_heads import PATCH
from vidsr.analysis.upright_patch import View, quarters
from vidsr.config import Analyze
from vidsr.frame import Detection, Frame, Track
from vidsr.picture import Rgb, Small, reduce, to_rgb

SETTINGS = Analyze()
SAMPLE = Path(__file__).parent / "samples/portrait.mp4"
ODD = Path(__file__).parents[1] / "../shared/data/test/odd"


@cache
def detector() -> Detector:
    return open_detector(SETTINGS)


class Watched:
    """The detector, and the sizes of the pictures that it was given."""

    def __init__(self, batch: int = 1) -> None:
        self.batch = batch
        self.sizes: list[tuple[int, ...]] = []

    def __call__(self, pictures: Sequence[Rgb]) -> list[list[Detection]]:
        self.sizes += [picture.shape[:2] for picture in pictures]
        return detector()(pictures)


def tracks(draw: Callable[[int], Picture], count: int, finder: Detector | None = None) -> tuple[Track, ...]:
    return find_tracks(frames(count, draw), film(), SETTINGS, finder or detector()).tracks


def turn(track: Track) -> NDArray[np.float64]:
    """The roll in each frame, degrees clockwise, without jumps."""
    return np.degrees(np.unwrap(to_square(track.matrices)[2]))


def off(found: NDArray[np.float64], true: float | NDArray[np.float64]) -> float:
    """The largest difference of two angles, degrees."""
    return float(np.abs((found - true + 180) % 360 - 180).max())


def lying(degrees: float) -> Callable[[int], Picture]:
    return lambda n: shown([(Pose(240 + n / 2, scale=0.5, angle=float(np.radians(degrees))), head())])


@cache
def upright_roll() -> float:
    (track,) = tracks(lying(0), 6)
    return float(turn(track)[0])


@pytest.mark.parametrize("degrees", [45, 90, 100, 135, 180, 225, 270, 315])
def test_a_head_turned_by_any_angle_is_one_track_with_its_roll(degrees: int) -> None:
    (track,) = tracks(lying(degrees), 12)
    assert (track.first, track.stop) == (0, 12)
    assert off(turn(track) - upright_roll(), degrees) < (15 if degrees in (45, 315) else 8)
    centre, side, _ = to_square(track.matrices)
    assert np.abs(centre - (240 + np.arange(12) / 2 + 1j * HEIGHT / 2)).max() < 0.2 * side.mean()


def test_a_head_on_a_pillow_is_found_in_a_detector_that_takes_many_pictures_at_once() -> None:
    (track,) = tracks(lying(100), 12, Watched(batch=4))
    assert (track.first, track.stop) == (0, 12)
    assert off(turn(track) - upright_roll(), 100) < 8


def test_a_head_that_lies_down_during_a_shot_stays_one_track() -> None:
    angles = np.clip((np.arange(45) - 8) * 3.5, 0, 95)
    (track,) = tracks(lambda n: lying(float(angles[n]))(0), 45)
    assert (track.first, track.stop) == (0, 45)
    assert track.observed.all()
    assert off(turn(track) - upright_roll(), angles) < 15
    assert np.abs(np.diff(turn(track))).max() < 10


def turned_film(degrees: float, count: int) -> tuple[tuple[int, int], list[Frame]]:
    """Frames of the sample film, turned by ffmpeg."""
    size = 480
    words = f"scale={size}:{size}:force_original_aspect_ratio=decrease,pad={size}:{size}:-1:-1,rotate={degrees}*PI/180"
    command = ["ffmpeg", "-v", "error", "-i", str(SAMPLE), "-vf", words, "-frames:v", str(count)]
    raw = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"], check=True, capture_output=True)
    pictures = np.frombuffer(raw.stdout, np.uint8).reshape(-1, size * size * 3 // 2)
    shape, luma = (2, size // 2, size // 2), size * size
    made = [Frame(n, n, one[:luma].reshape(size, size), one[luma:].reshape(shape)) for n, one in enumerate(pictures)]
    return (size, size), made


def test_the_sample_films_head_turned_by_100_degrees_is_found_in_every_frame() -> None:
    found = []
    for degrees in (0, 100):
        size, made = turned_film(degrees, 11)
        (track,) = find_tracks(made, film(*size), SETTINGS, detector()).tracks
        assert (track.first, track.stop) == (0, 11)
        found.append(turn(track))
    assert off(found[1] - found[0], 100) < 12


class Fooled:
    """A detector that takes a head which is upside down for an upright one, in all but the square around it."""

    batch = 1

    def __call__(self, pictures: Sequence[Rgb]) -> list[list[Detection]]:
        return [self._one(picture) for picture in pictures]

    def _one(self, picture: Rgb) -> list[Detection]:
        if picture.shape[:2] != (HEIGHT, WIDTH):
            return detector()([picture])[0]
        view = View(-1 + 0j, complex(WIDTH, HEIGHT))
        found = [view.back(one) for one in detector()([np.ascontiguousarray(picture[::-1, ::-1])])[0]]
        # The mouth's corners pass for the eyes.
        return [replace(one, landmarks=one.landmarks[[4, 3, 2, 1, 0]]) for one in found]


def test_a_head_that_is_upside_down_is_not_taken_for_an_upright_one() -> None:
    (track,) = tracks(lying(180), 11, Fooled())
    assert off(turn(track) - upright_roll(), 180) < 8


def test_an_upright_face_costs_one_small_look_when_it_comes() -> None:
    watched = Watched()
    tracks(lying(0), 31, watched)
    assert sum(size == (PATCH, PATCH) for size in watched.sizes) == 1
    assert not any(size[0] > size[1] for size in watched.sizes), "no quarter turn of the picture"


def test_texture_is_no_turned_head() -> None:
    noise = np.random.default_rng(2).normal(0, 40, (3, HEIGHT, WIDTH, 3))
    for seed, one in enumerate(noise):
        grain = cv2.GaussianBlur(one, (0, 0), 2 + 2 * seed) * (4 + 4 * seed)
        assert tracks(lambda _, grain=grain: np.clip(128 + grain, 0, 255).astype(np.uint8), 11) == ()


def test_a_turned_head_that_is_hidden_for_a_moment_is_found_again() -> None:
    gaze = RegionOfInterest(detector(), film(), SETTINGS.min_score)
    made = frames(5, lambda n: shown([]) if n == 2 else lying(180)(0))
    looks = [Look(f.index, f.pts, reduce(f, 8, 960), f.index == 0) for f in made]
    assert [len([one for one in gaze(look) if one.score > 0.5]) for look in looks] == [1, 1, 0, 1, 1]


def test_a_turned_head_goes_with_its_shot() -> None:
    gaze = RegionOfInterest(detector(), film(), SETTINGS.min_score)
    made = frames(2, lambda n: shown([]) if n else lying(180)(0))
    assert [len(gaze(Look(f.index, f.pts, reduce(f, 8, 960), True))) for f in made] == [1, 0]


def test_a_face_in_a_turned_view_comes_back_to_its_place() -> None:
    picture = np.zeros((60, 100, 3), np.uint8)
    picture[20, 70] = 255
    for turned, view in quarters(picture):
        y, x = np.argwhere(turned[..., 0])[0]
        points = np.full((5, 2), (x + 0.5, y + 0.5), np.float32)
        back = view.back(Detection(np.array([x, y, x + 1, y + 1], np.float32), points, 1.0))
        assert np.allclose(back.landmarks, (70.5, 20.5))
        assert np.allclose(back.box, (70, 20, 71, 21))


def test_a_square_shows_a_turned_face_upright_at_its_place() -> None:
    small = reduce(frames(1, lying(100))[0], 8, 960)
    view = View.around(complex(240, HEIGHT / 2), PATCH, 0.5, float(np.radians(100)))
    (one,) = detector()([to_rgb(view.of(small, PATCH), film())])[0][:1]
    assert abs(np.degrees(roll(one.landmarks)) - upright_roll()) < 8
    assert abs(np.degrees(roll(view.back(one).landmarks)) - upright_roll() - 100) < 8


def test_a_turned_head_looks_like_itself() -> None:
    def seen(degrees: float) -> Appearance:
        small: Small = reduce(frames(1, lying(degrees))[0], 8, 960)
        (one,) = RegionOfInterest(detector(), film(), SETTINGS.min_score)(Look(0, 0, small, True))
        return appearance_of(small, one.box.reshape(2, 2).astype(np.float64), roll(one.landmarks))

    upright = seen(0)
    assert max(upright.unlike(seen(degrees)) for degrees in (60, 100, 180)) < 0.9


@needs(ODD)
@pytest.mark.parametrize(
    ("name", "degrees", "late"), [("rot45", 45, (0, 1)), ("r90", 90, (0, 0)), ("r180", 180, (0, 0))]
)
def test_turned_films_are_found_and_not_left_without_a_face(name: str, degrees: int, late: tuple[int, ...]) -> None:
    """Three people; two of them in all frames but so many."""
    ask = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "stream=width,height", "-of", "csv=p=0"]
    path = ODD / f"{name}.mp4"
    words = subprocess.run([*ask, str(path)], check=True, capture_output=True, text=True).stdout.strip().split(",")
    width, height = int(words[0]), int(words[1])
    read = ["ffmpeg", "-v", "error", "-i", str(path), "-pix_fmt", "yuv420p", "-f", "rawvideo", "-"]
    raw = np.frombuffer(subprocess.run(read, check=True, capture_output=True).stdout, np.uint8)
    pictures, luma = raw.reshape(-1, height * width * 3 // 2), height * width
    shape = (2, height // 2, width // 2)
    made = [Frame(n, n, p[:luma].reshape(height, width), p[luma:].reshape(shape)) for n, p in enumerate(pictures)]
    found = find_tracks(made, film(width, height), SETTINGS, detector()).tracks
    assert len(found) >= 3
    longest = sorted((len(track) for track in found), reverse=True)
    assert all(length >= len(made) - lacks for length, lacks in zip(longest, late, strict=False))
    assert all(off(np.abs(turn(track)), degrees) < 25 for track in found)
