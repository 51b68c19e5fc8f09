"""The crop's alignment: the template maps onto itself, and a profile keeps its size."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.program import needs
from vidsr.analysis.alignment import TEMPLATE, from_square, frontal, similarity, to_square
from vidsr.analysis.detector import CenterFace

STILLS = Path(__file__).parents[1] / "../shared/data/train/stills"


def test_the_template_maps_onto_itself() -> None:
    centre, side, angle = to_square(similarity(TEMPLATE[None] * 100))
    assert np.allclose(centre, 50 + 50j, atol=0.5)
    assert np.allclose(side, 100, rtol=0.02)
    assert np.allclose(angle, 0, atol=1e-3)


def test_moved_turned_and_enlarged_landmarks_give_the_same_crop() -> None:
    landmarks = TEMPLATE[None] * 80
    turn = 1.7 * np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    moved = landmarks @ turn.T + [300.0, -20.0]
    one, other = (
        np.einsum("nij,nkj->nki", matrix[:, :, :2], points) + matrix[:, None, :, 2]
        for points, matrix in ((landmarks, similarity(landmarks)), (moved, similarity(moved)))
    )
    assert np.allclose(one, other, atol=1e-4)


def test_a_profile_keeps_its_size() -> None:
    front = TEMPLATE[None] * 100
    profile = front.copy()
    profile[..., 0] = 50 + (profile[..., 0] - 50) * 0.2
    sides = [to_square(similarity(points))[1][0] for points in (front, profile)]
    assert sides[1] == pytest.approx(sides[0], rel=0.06)


def test_squares_and_matrices_are_each_others_inverse() -> None:
    centre, side, angle = np.array([30 + 40j, 700 - 3j]), np.array([90.0, 31.0]), np.array([0.3, -2.0])
    again = to_square(from_square(centre, side, angle))
    for found, true in zip(again, (centre, side, angle), strict=True):
        assert np.allclose(found, true, rtol=1e-4, atol=1e-4)


def test_landmarks_all_in_one_place_give_finite_matrices() -> None:
    assert np.isfinite(similarity(np.full((2, 5, 2), 7.0))).all()


@needs(STILLS)
def test_aligned_training_faces_fill_the_unit_square() -> None:
    find = CenterFace(0.5)
    paths = sorted(STILLS.glob("ffhq_*.jpg"))[::30] + sorted(STILLS.glob("celeba_*.webp"))[::30]
    pictures = [np.ascontiguousarray(cv2.imread(str(path))[..., ::-1]) for path in paths]
    faces = [max(found, key=lambda face: face.score) for found in (find([one])[0] for one in pictures) if found]
    centre, side, angle = to_square(similarity(np.array([face.landmarks for face in faces])))
    assert len(faces) > 50
    assert abs(np.median(centre) - (128 + 128j)) < 3
    assert np.median(side) == pytest.approx(256, rel=0.02)
    assert abs(np.median(angle)) < 0.02


def test_a_profile_is_not_seen_from_the_front() -> None:
    front = TEMPLATE[None].astype(float)
    turned, profile = front.copy(), front.copy()
    turned[0, 2, 0] += 0.10  # three quarters: the nose goes aside, the eyes come nearer
    profile[0, 2, 0] += 0.18
    profile[0, 0, 0] = profile[0, 1, 0] - 0.03
    spun = front @ np.array([[0.0, 1.0], [-1.0, 0.0]])  # lying on its side, but still from the front
    assert [frontal(face)[0] for face in (front, turned, spun)] == [1, 1, 1]
    assert frontal(profile)[0] == 0
