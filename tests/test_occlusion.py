"""What passes before a face: seeded, moving, alike in every frame, and known to the pixel."""

from __future__ import annotations

import numpy as np
import pytest

from tests.faces import portrait
from vidsr.data import degradation
from vidsr.data.faces import Images
from vidsr.data.occlusion import PAINTERS, draw, occluded, paste
from vidsr.data.samples import FRAMES, TILES, shoot


def clip(frames: int = 5, side: int = 128) -> Images:
    return np.repeat(portrait()[None, 40 : 40 + side, 150 : 150 + side], frames, 0)


@pytest.mark.parametrize("kind", list(PAINTERS))
def test_the_mask_is_all_that_changes(kind: str) -> None:
    found, mask = occluded(clip(), np.random.default_rng(1), kind)
    assert found.shape == clip().shape and found.dtype == np.uint8
    assert mask.shape == (5, 128, 128)
    assert mask.min() >= 0 and 0.8 < mask.max() <= 1
    changed = (found != clip()).any(-1)
    assert not changed[mask == 0].any()
    assert changed[mask > 0.9].mean() > 0.9
    assert 0.005 < mask.mean() < 0.7


def test_one_seed_one_thing() -> None:
    a, b, c = (occluded(clip(), np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1])
    assert not np.array_equal(a[0], c[0])


def test_every_kind_comes() -> None:
    rng = np.random.default_rng(2)
    assert {draw(rng, 32, 1).kind for _ in range(60)} == set(PAINTERS)


def test_a_hand_moves_by_itself_and_is_home_in_the_middle_frame() -> None:
    thing = draw(np.random.default_rng(3), 128, 5, "hand")
    assert (thing.path[2] == 0).all()
    assert np.abs(thing.path).max() > 0
    _, mask = paste(clip(), thing)
    dx, dy = thing.path[0]
    assert np.array_equal(np.roll(mask[2], (dy, dx), (0, 1))[32:96, 32:96], mask[0][32:96, 32:96])


def test_things_are_lit_as_the_face_is() -> None:
    bright, dark = ((clip() * factor).astype(np.uint8) for factor in (1.0, 0.4))
    thing = draw(np.random.default_rng(6), 128, 5, "bar")
    (light, mask), (shade, _) = paste(bright, thing), paste(dark, thing)
    assert shade[mask > 0.99].mean() < 0.6 * light[mask > 0.99].mean()


def test_truth_and_input_show_the_same_thing() -> None:
    """The occluded reel differs from the plain one where its truth does, and nowhere else by much."""
    faces = [clip(1)] * TILES
    plain, covered = (shoot(faces, 128, np.random.default_rng(3), share) for share in (0.0, 1.0))
    assert covered.truths.shape == (TILES, FRAMES, 128, 128, 3)
    assert np.abs(covered.truths.astype(int) - plain.truths).mean() > 5
    small = degradation.as_tensor(covered.truths.reshape(-1, 128, 128, 3))
    reduced = np.rint(degradation.bicubic(small).numpy() * 255).transpose(0, 2, 3, 1).reshape(covered.clips.shape)
    inside = np.s_[:, :, 4:-4, 4:-4]
    errors = np.abs(reduced[inside] - covered.clips[inside]).mean()
    assert errors < 0.5 * np.abs(np.roll(reduced, 2, axis=3)[inside] - covered.clips[inside]).mean()
