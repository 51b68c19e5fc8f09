"""What a camera does to a face: against Pillow, and against itself."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from tests.faces import portrait
from vidsr import degrade


def face() -> np.ndarray:
    return portrait()[20:276, 90:346].copy()


def test_bicubic_is_pillows() -> None:
    image = face()
    ours = (degrade.bicubic(degrade.as_tensor(image[None]))[0] * 255).round().permute(1, 2, 0).numpy()
    theirs = np.asarray(Image.fromarray(image).resize((64, 64), Image.Resampling.BICUBIC)).astype(float)
    assert np.abs(ours - theirs).max() <= 2  # Pillow rounds between its two passes as well
    assert np.abs(ours - theirs).mean() < 0.2


def test_the_camera_is_home_in_the_middle_frame() -> None:
    rng = np.random.default_rng(4)
    for frames in (1, 5, 7):
        path = degrade.camera_path(rng, frames, 4.0)
        assert path.shape == (frames, 2)
        assert (path[frames // 2] == 0).all()
        assert np.abs(path).max() <= 4


def test_one_seed_one_film() -> None:
    image = face()
    a, b = (degrade.filmed(image, 5, np.random.default_rng(9)) for _ in range(2))
    c = degrade.filmed(image, 5, np.random.default_rng(10))
    assert a.shape == (5, 64, 64, 3)
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_a_mosaic_comes_apart_again() -> None:
    tiles = np.random.default_rng(5).integers(0, 256, (12, 8, 10, 3), np.uint8)
    assert np.array_equal(degrade.unmosaic(degrade.mosaic(tiles, 4), 4, 8, 10), tiles)


def test_pictures_become_tensors_and_keep_their_values() -> None:
    images = np.random.default_rng(6).integers(0, 256, (2, 3, 4, 5, 3), np.uint8)
    found = degrade.as_tensor(images)
    assert found.shape == (2, 3, 3, 4, 5)
    assert torch.equal((found * 255).round().to(torch.uint8)[1, 2, 0], torch.from_numpy(images[1, 2, ..., 0]))
