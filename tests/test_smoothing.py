"""The steadying filter: still heads are held, movements kept, no lag, no loss at the ends."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vidsr.analysis.alignment import TEMPLATE, from_square, similarity, to_square
from vidsr.analysis.appearance import Appearance
from vidsr.analysis.linking import NOTHING, Key, Tracklet, Trail
from vidsr.analysis.optical_flow import Follower
from vidsr.analysis.smoothing import PLAY, along, held, keys_without_noise, smoothed, steady

FPS, SMOOTH_S, SIDE = 25.0, 0.2, 100.0
N = 75
TIME = np.arange(N) / FPS
Reals = NDArray[np.float64]


def face(x: Reals, y: Reals | float = 0.0, side: Reals | float = SIDE, angle: Reals | float = 0.0) -> Reals:
    """Landmarks `(N, 5, 2)` of a face whose square has this centre, side and angle."""
    turn = np.exp(1j * np.broadcast_to(angle, x.shape)) * side
    points = (TEMPLATE[:, 0] - 0.5) + 1j * (TEMPLATE[:, 1] - 0.5)
    placed = turn[:, None] * points[None] + (x + 1j * y)[:, None]
    return np.stack([placed.real, placed.imag], axis=-1)


def noisy(landmarks: Reals, sigma: float) -> Reals:
    return landmarks + np.random.default_rng(5).normal(0, sigma, landmarks.shape)


def jitter(matrices: NDArray[np.float32]) -> Reals:
    """Of centre, log side and angle from frame to frame, in units of the side: `(3,)`."""
    centre, side, angle = to_square(matrices)
    parts = (np.abs(np.diff(centre)) / SIDE, np.diff(np.log(side)), np.diff(angle))
    return np.array([np.sqrt(np.mean(part**2)) for part in parts])


def test_a_still_head_is_held_still() -> None:
    landmarks = noisy(face(np.full(N, 300.0)), 1.0)
    raw, held = jitter(similarity(landmarks)), jitter(steady(landmarks, FPS, SMOOTH_S))
    assert (held < raw / 10).all()


def test_a_fast_nod_keeps_its_depth() -> None:
    path = 300 + 30 * np.sin(2 * np.pi * 2 * TIME)
    centre, _, _ = to_square(steady(noisy(face(path), 0.3), FPS, SMOOTH_S))
    assert np.abs(centre.real - path).max() < 1.5


def test_a_jump_is_not_rounded_off() -> None:
    path = 300 + 120 / (1 + np.exp(-(TIME - 1.5) * 20))
    centre, _, _ = to_square(steady(noisy(face(path), 0.3), FPS, SMOOTH_S))
    assert np.abs(centre.real - path).max() < 2.5


def test_a_steady_move_has_no_lag_and_at_its_ends_no_more_than_the_play() -> None:
    path = 100 + 60 * TIME
    centre, _, _ = to_square(steady(face(path), FPS, SMOOTH_S))
    assert np.abs(centre.real - path)[5:-5].max() < 0.05
    assert np.abs(centre.real - path).max() < 1.05 * PLAY * SIDE


def test_zoom_and_roll_are_followed() -> None:
    side, angle = SIDE * np.exp(0.4 * np.sin(2 * np.pi * TIME)), 0.4 * np.sin(2 * np.pi * TIME)
    _, found_side, found_angle = to_square(steady(face(np.full(N, 300.0), 0.0, side, angle), FPS, SMOOTH_S))
    raw_side, raw_angle = to_square(similarity(face(np.full(N, 300.0), 0.0, side, angle)))[1:]
    assert np.abs(np.log(found_side / raw_side)).max() < 0.03
    assert np.abs(found_angle - raw_angle).max() < 0.03


def test_an_angle_past_half_a_turn_does_not_jump() -> None:
    landmarks = noisy(face(np.full(N, 0.0), 0.0, SIDE, np.linspace(-0.2, 0.2, N)), 1.0)
    upright, turned = steady(landmarks, FPS, SMOOTH_S), steady(-landmarks, FPS, SMOOTH_S)
    assert np.allclose(upright[:, :, :2], -turned[:, :, :2], atol=1e-6)


def test_mirrored_time_gives_mirrored_results() -> None:
    landmarks = noisy(face(300 + 20 * np.sin(7 * TIME**2)), 0.5)
    ahead, back = steady(landmarks, FPS, SMOOTH_S), steady(landmarks[::-1], FPS, SMOOTH_S)
    assert np.allclose(ahead, back[::-1], atol=1e-4)


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_the_shortest_tracks_stay_near_what_was_seen(n: int) -> None:
    landmarks = face(np.linspace(300, 305, n))
    centre, _, _ = to_square(steady(landmarks, FPS, SMOOTH_S))
    assert np.abs(centre - to_square(similarity(landmarks))[0]).max() < 0.5 + PLAY * SIDE
    assert smoothed(np.zeros((n, 2)), 9.0).shape == (n, 2)


def test_squares_far_from_the_origin_are_as_still_as_near_ones() -> None:
    landmarks = noisy(face(np.full(N, 0.0)), 1.0)
    near, far = steady(landmarks, FPS, SMOOTH_S), steady(landmarks + np.array([3000.0, 1500.0]), FPS, SMOOTH_S)
    assert np.allclose(jitter(near), jitter(far), rtol=0.05, atol=5e-6)
    assert np.allclose(to_square(from_square(*to_square(far)))[0], to_square(far)[0], atol=1e-2)


def path(errors: Reals, trails: list[Trail]) -> Tracklet:
    """A face that moves 2 pixels a frame to the right, detected every fifth frame with these errors in x."""
    keys = [Key(5 * n, place(5 * n) + np.array([error, 0.0]), 0.9) for n, error in enumerate(errors)]
    gray, looks = np.zeros((200, 400), np.uint8), Appearance(np.zeros((2, 2), np.float32), 0.0, np.zeros(2, np.float32))
    return Tracklet(keys, (looks, looks), Follower(gray, keys[-1].points), trails=trails)


def place(frame: float) -> Reals:
    points = np.concatenate([TEMPLATE * SIDE, [[0, 0], [SIDE, SIDE]]]).astype(np.float64)
    return points + np.array([100 + 2 * frame, 50.0])


def flowed(start: float, error: float, frames: int = 5) -> Reals:
    return np.stack([place(start + n) + np.array([error, 0.0]) for n in range(1, frames + 1)])


def test_flow_is_bent_to_arrive_at_the_next_detection_without_a_step() -> None:
    errors = np.array([0.0, 3.0, -3.0])
    face_path = path(errors, [Trail(5, flowed(5 * n, errors[n]), NOTHING) for n in range(2)])
    seen = along(face_path, np.array([key.points for key in face_path.keys]))
    assert len(seen) == 11
    assert np.allclose(seen[::5, 0, 0] - place(0)[0, 0], [0, 13, 17])
    assert np.allclose(np.diff(seen[:6, :, 0], axis=0), 13 / 5)
    assert np.allclose(np.diff(seen[5:, :, 0], axis=0), 4 / 5)


def test_the_detectors_errors_are_averaged_out_and_the_motion_is_kept() -> None:
    errors = np.random.default_rng(3).normal(0, 2, 30)
    face_path = path(errors, [Trail(5, flowed(5 * n, errors[n]), NOTHING) for n in range(29)])
    off = (keys_without_noise(face_path, FPS) - np.stack([place(5 * n) for n in range(30)]))[:, 0, 0]
    assert off[3:-3].std() < errors.std() / 1.7
    assert np.abs(off).max() < np.abs(errors).max()


def test_where_flow_lost_the_face_a_line_leads_from_what_is_known_to_what_is_known() -> None:
    ahead, back = flowed(0, 0.0, 4), flowed(10, 0.0, 4)
    face_path = path(np.zeros(2), [Trail(15, ahead, back)])
    face_path.keys[1] = Key(15, place(15), 0.9)
    seen = along(face_path, np.array([key.points for key in face_path.keys]))
    assert np.allclose(seen, np.stack([place(n) for n in range(16)]))


def test_a_path_that_wavers_within_the_play_rests() -> None:
    wavering = 0.4 * np.sin(np.arange(200) / 7)
    found = held(100 + wavering, np.full(200, 0.5))
    assert np.ptp(found) == 0
    assert abs(found[0] - 100) < 0.1


def test_a_moving_path_is_followed_within_the_play_and_without_lag() -> None:
    moving = np.concatenate([np.zeros(50), np.arange(100) * 0.2, np.full(50, 20.0)])
    found = held(moving, np.full(200, 0.5))
    assert np.abs(found - moving).max() <= 0.5 + 1e-9
    assert np.abs(found - moving)[60:140].max() < 1e-9
    assert np.ptp(found[:48]) == 0
