"""Tracks keep people apart: in made films where they cross, hide, come back and are exchanged, and in real clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest

from tests.actors import LENGTH, PLAYS, Actor, Casting, Places, Play, casting, cross, exchange, hide, variants
from tests.faces import portrait
from tests.scene import Picture, Pose, film, frames, head
from vidsr.analysis.analyze import find_tracks
from vidsr.analysis.appearance import Appearance, appearance_of
from vidsr.analysis.detector import Detector, open_detector
from vidsr.config import Analyze
from vidsr.frame import Track
from vidsr.picture import reduce

SETTINGS = Analyze()


@cache
def detector() -> Detector:
    return open_detector(SETTINGS)


def tracks_of(play: Play) -> tuple[Track, ...]:
    return find_tracks(frames(LENGTH, play.draw), film(), SETTINGS, detector()).tracks


def places(tracks: Sequence[Track]) -> list[Places]:
    found = []
    for track in tracks:
        middle = track.boxes.reshape(-1, 2, 2).mean(axis=1).tolist()
        found.append({track.first + n: (middle[n][0], middle[n][1]) for n in np.flatnonzero(track.weight > 0).tolist()})
    return found


@pytest.mark.parametrize("kind", PLAYS, ids=lambda kind: kind.__name__)
def test_nobody_is_taken_for_another(kind: Callable[[Sequence[Picture], np.random.Generator], Play]) -> None:
    play = kind(variants(), np.random.default_rng(5))
    found = casting(play, places(tracks_of(play)))
    assert found.switches == 0
    assert found.fragments == 0 or kind.__name__ == "mingle"
    assert found.missed < 0.05


def test_a_face_hidden_for_nearly_a_second_is_one_track() -> None:
    play = hide(variants(), np.random.default_rng(5))
    xs = [pose.x for pose in play.actors[0].poses if pose is not None]
    hidden = range(24, 47)
    walls = [(x - 45, x + 45) if n in hidden else None for n, x in enumerate(xs)]
    for n, share in ((22, 0.3), (23, 0.7), (47, 0.7), (48, 0.3)):
        walls[n] = (xs[n] + 45 - 90 * share, xs[n] + 45)
    (track,) = tracks_of(replace(play, walls=tuple(walls)))
    assert len(track) == LENGTH
    assert (track.weight[list(hidden)] == 0).all()
    assert track.weight[-10:].min() == 1


def test_a_face_that_comes_back_half_covered_is_the_same_one() -> None:
    """At the frame that is looked at, only half of it is out; a detection later all of it."""
    poses = tuple(Pose(240.0, 136.0, 0.6) for _ in range(LENGTH))
    walls = [(195.0, 285.0) if 25 <= n < 45 else (230.0, 285.0) if 45 <= n < 49 else None for n in range(LENGTH)]
    walls[23:25] = [(250.0, 285.0), (225.0, 285.0)]
    play = Play("half", (Actor(head(), poses),), tuple(walls))
    (track,) = tracks_of(play)
    assert len(track) == LENGTH


def test_another_face_that_comes_out_where_one_was_hidden_is_another_track() -> None:
    for seed, other in ((1, 1), (2, 3)):
        play = exchange([variants()[0], variants()[other]], np.random.default_rng(seed))
        tracks = tracks_of(play)
        assert len(tracks) == 2
        assert casting(play, places(tracks)).switches == 0


def test_the_measure_counts_what_is_made_wrong() -> None:
    play = cross(variants(), np.random.default_rng(1))
    right = [
        {n: (pose.x, pose.y) for n, pose in enumerate(actor.poses) if pose is not None and play.seen(who, n) > 0.4}
        for who, actor in enumerate(play.actors)
    ]
    assert casting(play, right) == Casting(0, 0, 0.0)
    swapped = [
        {n: p for one in (a, b) for n, p in one.items() if (n < 37) == (one is a)} for a, b in (right, right[::-1])
    ]
    assert casting(play, swapped).switches == 2
    halves = [{n: p for n, p in one.items() if (n < 37) == early} for one in right for early in (True, False)]
    assert casting(play, halves).fragments == 2
    assert casting(play, right[:1]).missed == pytest.approx(0.5, abs=0.1)


def looks(picture: Picture) -> Appearance:
    (found,) = frames(1, lambda _: np.ascontiguousarray(picture), 1.0)
    return appearance_of(reduce(found, 8, 960), np.array([[180.0, 60.0], [264.0, 166.0]]))


def test_looks_forgive_light_and_noise_and_tell_people_apart() -> None:
    plain = portrait()[:272, :480]
    assert looks(plain).unlike(looks(plain)) == pytest.approx(0, abs=1e-5)
    noisy = np.clip(plain + np.random.default_rng(1).normal(0, 8, plain.shape), 0, 255).astype(np.uint8)
    darker = np.asarray(plain * 0.85, np.uint8)
    soft = np.asarray(cv2.GaussianBlur(plain, (0, 0), 3), np.uint8)
    assert max(looks(plain).unlike(looks(other)) for other in (noisy, darker, soft)) < 0.5
    tinted = np.asarray(plain * [0.6, 0.9, 1.0], np.uint8)
    assert looks(plain).unlike(looks(tinted)) > 1
    assert looks(plain).unlike(looks(np.roll(plain[:, ::-1], -36, axis=1))) > 0.5
