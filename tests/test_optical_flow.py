"""Optical flow of a face: exact for shifts, turns and zooms, silent where the face is gone."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from tests.scene import Pose, backdrop, head, paste
from vidsr.analysis.optical_flow import Follower, Similarity, fit, follow, seeds
from vidsr.picture import Gray


def gray(pose: Pose) -> Gray:
    picture = paste(backdrop(1), pose, head())
    noise = np.random.default_rng(round(abs(pose.x) * 100)).normal(0, 2, picture.shape[:2])
    return np.clip(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) + noise, 0, 255).astype(np.uint8)


def face(pose: Pose) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Seven points of the head in the picture: five somewhere on the face, and its box."""
    on_head = np.array([[105, 106], [145, 106], [125, 120], [108, 140], [140, 140]], np.float64)
    matrix = pose.matrix
    points = on_head @ matrix[:, :2].T + matrix[:, 2]
    middle = np.array([122.0, 120.0]) @ matrix[:, :2].T + matrix[:, 2]
    half = np.array([40.0, 54.0]) * pose.scale
    return np.concatenate([points, [middle - half, middle + half]])


@pytest.mark.parametrize("scale", [0.3, 0.6, 1.9])
def test_points_follow_a_shift_of_parts_of_a_pixel(scale: float) -> None:
    before, after = Pose(240, scale=scale), Pose(241.7, 135.1, scale)
    box = face(before)[5:].ravel()
    points = seeds(gray(before), box)
    there, good = follow(gray(before), gray(after), points, box)
    assert good.sum() >= 8
    assert np.allclose(np.median(there[good] - points[good], axis=0), [1.7, -0.9], atol=0.12)


def test_a_turning_face_is_followed_by_its_angle() -> None:
    poses = [Pose(240 + n, angle=0.04 * n) for n in range(6)]
    follower = Follower(gray(poses[0]), face(poses[0]))
    for before, after in pairwise(poses):
        follower.advance(gray(before), gray(after))
    assert follower.alive
    start, end = (points[1] - points[0] for points in (face(poses[0]), follower.points))
    turned = np.arctan2(end[1], end[0]) - np.arctan2(start[1], start[0])
    assert turned == pytest.approx(0.2, abs=0.016)


def test_a_growing_face_is_followed_by_its_size() -> None:
    poses = [Pose(240, scale=0.6 * 1.03**n) for n in range(6)]
    follower = Follower(gray(poses[0]), face(poses[0]))
    for before, after in pairwise(poses):
        follower.advance(gray(before), gray(after))
    grown = np.ptp(follower.points[5:], axis=0) / np.ptp(face(poses[0])[5:], axis=0)
    assert grown == pytest.approx([1.03**5] * 2, rel=0.03)


def test_a_face_that_vanishes_is_lost() -> None:
    pose = Pose(240)
    follower = Follower(gray(pose), face(pose))
    box = face(pose)[5:].ravel()
    _, good = follow(gray(pose), gray(Pose(500)), seeds(gray(pose), box), box)
    assert good.mean() < 0.2
    follower.advance(gray(pose), cv2.cvtColor(backdrop(2), cv2.COLOR_RGB2GRAY).astype(np.uint8))
    follower.advance(gray(pose), gray(pose))
    assert not follower.alive
    assert follower.trail == []


def test_a_flat_picture_has_no_points() -> None:
    assert len(seeds(np.full((90, 90), 50, np.uint8), np.array([20.0, 20.0, 70.0, 70.0]))) == 0


def test_a_face_at_the_edge_of_the_picture_is_no_error() -> None:
    for x in (-30.0, 0.0, 479.0, 520.0):
        follower = Follower(gray(Pose(x)), face(Pose(x)))
        follower.advance(gray(Pose(x)), gray(Pose(x + 1)))


def test_the_fit_ignores_a_third_of_wild_points() -> None:
    rng = np.random.default_rng(2)
    origin = rng.uniform(0, 100, (48, 2))
    true = Similarity(1.05 * np.exp(0.1j), 3 - 2j, 1.0)
    now = true(origin)
    now[:16] += rng.uniform(5, 30, (16, 2))
    found = fit(origin, now, 1.0)
    assert found.turn == pytest.approx(true.turn, abs=1e-3)
    assert found.shift == pytest.approx(true.shift, abs=0.1)
    assert found.agree == pytest.approx(32 / 48, abs=0.03)
