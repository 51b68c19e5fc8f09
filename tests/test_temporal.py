"""Temporal denoising: noise and flicker go, what moved or changed keeps to itself."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
import torch

from tests.faces import FACE, crop, frame_of, planes, portrait, track_of
from vidsr.restore.blend import Restored
from vidsr.restore.crop import Cut
from vidsr.restore.temporal import MOST, averaged, sameness

TRACK = track_of(9, FACE, 64.0)


def noisy(index: int, strength: float, shift: float = 0.0, light: float = 1.0) -> Cut:
    rng = np.random.default_rng(index)
    base = cv2.GaussianBlur(portrait(), (0, 0), 1.5).astype(np.float32) * light
    base = cv2.warpAffine(base, np.array([[1, 0, shift], [0, 1, 0.4 * shift]]), (512, 512), flags=cv2.INTER_CUBIC)
    picture = np.clip(base + rng.normal(0, strength, base.shape), 0, 255)
    return crop(frame_of(picture.astype(np.uint8), index), TRACK, planes())


def restored(cut: Cut, fine: int = 4, level: float = 0.0) -> Restored:
    side = fine * cut.place.side
    rng = torch.Generator().manual_seed(cut.index)
    return Restored(cut, level + 0.02 * torch.randn(3, side, side, generator=rng), 1.0)


@pytest.mark.parametrize("fine", [1, 4])
@pytest.mark.parametrize("shift", [0.0, 1.3])
def test_noise_is_averaged_along_the_motion(fine: int, shift: float) -> None:
    faces = [restored(noisy(n, 4.0, shift * n), fine) for n in range(3)]
    found = averaged(faces[1], [faces[0], faces[2]])
    assert found.input_delta is not None
    inner = slice(16, -16), slice(16, -16)
    clean = noisy(1, 0.0, shift).rgb[inner]
    before = faces[1].cut.rgb[inner] - clean
    after = before + found.input_delta.permute(1, 2, 0).numpy()[inner]
    assert after.std() < 0.75 * before.std()
    assert found.residual.std() < 0.75 * faces[1].residual.std()


def test_what_changed_keeps_to_itself() -> None:
    """A dark thing before half of the face in the neighbours leaves no ghost."""
    faces = [restored(noisy(n, 1.0), level=0.05 * (n - 1)) for n in range(3)]
    for n in (0, 2):
        faces[n].cut.rgb[40:] *= 0.3
        faces[n].cut.luma8[40:] //= 3
    found = averaged(faces[1], [faces[0], faces[2]])
    assert found.input_delta is not None
    assert float(found.input_delta[:, 48:].abs().max()) < 1.5 / 255
    assert torch.allclose(found.residual[:, 200:], faces[1].residual[:, 200:], atol=2e-3)


def test_motion_in_all_neighbours_does_not_pass_for_noise() -> None:
    far = torch.full((2, 32, 32), 6.0)
    assert float(sameness(torch.full((2, 32, 32), 12 / 255), far).max()) < 0.05
    assert float(sameness(torch.full((2, 32, 32), MOST), far).min()) > 0.99


def test_where_all_rests_small_changes_are_noise_and_where_it_moves_they_are_not() -> None:
    apart = torch.full((1, 32, 32), 2 / 255)
    apart[:, :16] = 0.1 / 255  # the calm part, by which noise is told
    shares = [float(sameness(apart, torch.full((1, 32, 32), motion))[0, 24, 0]) for motion in (0.0, 2.0)]
    assert shares[0] > 0.99 and shares[1] < 0.1


def test_what_moves_is_averaged_for_its_noise_only() -> None:
    counts = []
    for level in (0.2 / 255, MOST):
        counts.append(float(sameness(torch.full((1, 32, 32), level), torch.full((1, 32, 32), 2.0)).mean()))
    assert counts[0] < 0.1 and counts[1] > 0.99
    assert float(sameness(torch.full((1, 32, 32), 0.2 / 255), torch.zeros(1, 32, 32)).mean()) > 0.99


def test_alike_frames_are_averaged_to_the_same() -> None:
    face = restored(noisy(0, 3.0))
    others = [dataclasses.replace(face, cut=dataclasses.replace(face.cut, index=n)) for n in (1, 2)]
    found = averaged(face, others)
    assert found.input_delta is not None
    assert float(found.input_delta.abs().max()) < 2e-3
    assert float((found.residual - face.residual).abs().max()) < 5e-3


def test_steps_add_up() -> None:
    """The second step averages what the first one gave, input and addition alike."""
    faces = [restored(noisy(n, 4.0)) for n in range(5)]
    once = [averaged(faces[n], [faces[n - 1], faces[n + 1]]) for n in (1, 2, 3)]
    twice = averaged(once[1], [once[0], once[2]])
    assert once[1].input_delta is not None and twice.input_delta is not None
    clean = noisy(2, 0.0).rgb
    errors = [
        np.abs(faces[2].cut.rgb + s.permute(1, 2, 0).numpy() - clean).mean()
        for s in (once[1].input_delta, twice.input_delta)
    ]
    assert errors[1] < errors[0]
