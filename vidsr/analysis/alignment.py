"""Where a face lies in its crop: FFHQ's alignment, in a unit square, for CenterFace's five landmarks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidsr.frame import Floats

TEMPLATE: Floats = np.array(
    [[0.369, 0.475], [0.631, 0.475], [0.500, 0.623], [0.390, 0.737], [0.610, 0.737]], np.float32
)
"""Left eye, right eye, nose, mouth corners `(5, 2)` in 0..1: medians over 810 aligned FFHQ and CelebA faces, made
symmetric (median deviation of one face 0.008 to 0.012; the nose, which shows the pose, 0.021 in x)."""

EYES_TO_SIDE, MOUTH_TO_SIDE, DOWN = 1.88, 1.80, 0.1
"""Half the square's side in units of the distance between the eyes, and of that from eyes to mouth; and how far below
the eyes, on the way to the mouth, its centre lies. FFHQ has 2.0, 1.8 and 0.1 for its own landmarker; these give the
same squares (median 1.00, rms of the corners 0.06 of the side) for CenterFace's landmarks."""

CENTRE, RADII, SOFT = (0.5, 0.53), (0.44, 0.46), 0.22
"""The outline of a face in the unit square: an ellipse, and the part of it over which the mask fades."""

TURNED, PROFILE = 1.5, 2.5
"""The nose's way from the middle of the eyes, over their distance: where five landmarks begin to fail, and where they
carry nothing, not even where the mask lies. A crop on the frame's own pixels needs no more of them than that."""

SMALLEST = 1.0
"""Half sides below this many pixels are no face; the bound keeps every matrix finite."""


def similarity(landmarks: NDArray[np.floating]) -> Floats:
    """Similarities `(n, 2, 3)` that map pixels of the frame to the unit square, for landmarks `(n, 5, 2)`.

    The construction is FFHQ's (Karras et al. 2019, appendix A, after "Progressive Growing of GANs", appendix C): the
    x axis leans on both the line of the eyes and the normal of the line to the mouth, and the side is the larger of
    two estimates. So a profile, where the eyes come together, keeps the size that the face has from the front; a
    least-squares fit of five points would shrink its crop.
    """
    points = np.asarray(landmarks[..., 0] + 1j * landmarks[..., 1], np.complex128)
    eyes, mouth = (points[:, 0] + points[:, 1]) / 2, (points[:, 3] + points[:, 4]) / 2
    across, down = points[:, 1] - points[:, 0], mouth - eyes
    side = np.maximum(np.maximum(np.abs(across) * EYES_TO_SIDE, np.abs(down) * MOUTH_TO_SIDE), SMALLEST)
    axis = across - 1j * down
    axis = np.where(np.abs(axis) > 1e-6, axis, 1.0)
    return from_square(eyes + DOWN * down, 2 * side, np.angle(axis))


def roll(landmarks: NDArray[np.floating]) -> float:
    """How far the face with landmarks `(5, 2)` is turned in the picture, radians clockwise, in -pi..pi."""
    return float(to_square(similarity(landmarks[None]))[2][0])


def frontal(landmarks: NDArray[np.floating]) -> NDArray[np.float64]:
    """How far a face is seen from the front, `(n,)` in 0..1, for landmarks `(n, 5, 2)`: 0 for a profile.

    By how far the nose lies beside the middle of the eyes, in units of the distance between the eyes: about 0.1 for a
    face from the front, 0.4 for three quarters, and more than 1 where the far eye is hidden and only guessed.
    """
    points = np.asarray(landmarks, np.float64)
    eyes, mouth = (points[:, 0] + points[:, 1]) / 2, (points[:, 3] + points[:, 4]) / 2
    down = mouth - eyes
    across = np.stack([down[:, 1], -down[:, 0]], axis=1) / np.maximum(np.linalg.norm(down, axis=1), 1e-6)[:, None]
    beside = np.abs(((points[:, 2] - eyes) * across).sum(1))
    apart = np.linalg.norm(points[:, 1] - points[:, 0], axis=1)
    turn = beside / np.maximum(apart, 1e-6)
    return np.asarray(np.clip((PROFILE - turn) / (PROFILE - TURNED), 0.0, 1.0))


def from_square(centre: NDArray[np.complex128], side: NDArray[np.floating], angle: NDArray[np.floating]) -> Floats:
    """Similarities `(n, 2, 3)` from squares in the frame: centre x + iy, side in pixels, angle in radians."""
    turn = np.exp(-1j * angle) / side
    shift = (0.5 + 0.5j) - turn * centre
    rows = [[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]]
    return np.moveaxis(np.array(rows), 2, 0).astype(np.float32)


def to_square(
    matrices: NDArray[np.floating],
) -> tuple[NDArray[np.complex128], NDArray[np.float64], NDArray[np.float64]]:
    """The inverse of `from_square`: centre `(n,)` x + iy, side `(n,)` in pixels, angle `(n,)` in radians."""
    exact = matrices.astype(np.float64)
    turn = exact[:, 0, 0] + 1j * exact[:, 1, 0]
    shift = exact[:, 0, 2] + 1j * exact[:, 1, 2]
    return ((0.5 + 0.5j) - shift) / turn, 1 / np.abs(turn), -np.angle(turn)
