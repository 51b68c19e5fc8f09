"""Averaging over time: noise goes, what changes stays, and nothing is invented where nothing is to be averaged."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import interpolate

from vidsr import calm
from vidsr.calm import calmed, likeness
from vidsr.network import enlarge

SIDE = 32
FACE = torch.nn.functional.interpolate(
    torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(5)), SIDE, mode="bicubic"
)[0].clamp(0, 1)


def noisy(levels: float, seed: int) -> torch.Tensor:
    return FACE + levels / 255 * torch.randn(FACE.shape, generator=torch.Generator().manual_seed(seed))


def test_noise_is_averaged_in_what_is_added_and_in_the_input() -> None:
    for levels in (1.0, 6.0):  # the codec's, a grainy film's
        crops = [noisy(levels, seed) for seed in range(9)]
        additions = [0.1 * torch.randn(3, 4 * SIDE, 4 * SIDE) for _ in crops]
        added, settled = calmed(crops[0], additions[0], crops[1:], additions[1:])
        assert float(added.std()) < 0.5 * float(additions[0].std())
        left = enlarge(crops[0][None])[0] + settled - enlarge(FACE[None])[0]
        before = enlarge((crops[0] - FACE)[None])[0]
        assert float(left.std()) < 0.5 * float(before.std())


def test_what_really_changes_keeps_to_itself() -> None:
    crops = [noisy(1.0, seed) for seed in range(9)]
    eye = (slice(None), slice(10, 16), slice(8, 16))
    crops[0][eye] -= 0.2  # a blink in the frame in question
    wide = (slice(None), slice(44, 60), slice(36, 60))
    additions = [torch.zeros(3, 4 * SIDE, 4 * SIDE) for _ in crops]
    additions[0][wide] = 0.1
    added, settled = calmed(crops[0], additions[0], crops[1:], additions[1:])
    assert float((added - additions[0])[wide].abs().max()) < 0.002
    assert float(settled[wide].abs().max()) < 0.01


def test_a_face_alone_is_what_it_was() -> None:
    added = torch.randn(3, 4 * SIDE, 4 * SIDE)
    found, settled = calmed(FACE, added, [], [])
    assert torch.equal(found, added)
    assert not settled.any()


def test_equal_frames_change_nothing() -> None:
    added = torch.randn(3, 4 * SIDE, 4 * SIDE)
    found, settled = calmed(FACE, added, [FACE] * 4, [added] * 4)
    assert torch.allclose(found, added, atol=1e-6)
    assert not settled.any()


def test_shares_that_are_enlarged_a_few_at_a_time_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    crops = [noisy(3.0, seed) for seed in range(9)]
    additions = [torch.randn(3, 4 * SIDE, 4 * SIDE).half() for _ in crops]
    together = calmed(crops[0], additions[0].float(), crops[1:], additions[1:])[0]
    shares = torch.cat([torch.ones(1, SIDE, SIDE), likeness(crops[0], torch.stack(crops[1:]))])
    wide = interpolate((shares / shares.sum(0))[None], scale_factor=4, mode="bilinear", align_corners=False)[0]
    wanted = (wide[:, None] * torch.stack(additions)).sum(0)
    assert torch.allclose(together, wanted, atol=1e-5)
    monkeypatch.setattr(calm, "TOGETHER", 3 * (4 * SIDE) ** 2)
    assert torch.equal(calmed(crops[0], additions[0].float(), crops[1:], additions[1:])[0], together)


def test_likeness_is_a_share() -> None:
    found = likeness(FACE, torch.stack([FACE, noisy(2.0, 1), 1 - FACE]))
    assert found.shape == (3, SIDE, SIDE)
    assert bool((found[0] == 1).all())
    assert float(found[1].mean()) > 0.8
    assert float(found[2].mean()) < 0.6
