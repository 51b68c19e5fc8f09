"""Means and enlargements of pictures are what torch's own, slower ones are."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import avg_pool2d as pool
from torch.nn.functional import interpolate

from vidsr.networks.generator import enlarge
from vidsr.restore.resample import bicubic, bilinear, box_mean, reduced


def test_means_are_those_of_torchs_pooling() -> None:
    picture = torch.rand(2, 3, 24, 36)
    assert torch.allclose(reduced(picture, 4), pool(picture, 4), atol=1e-6)
    for reach in (1, 2, 4):
        wanted = pool(picture, 2 * reach + 1, 1, reach, count_include_pad=False)
        assert torch.allclose(box_mean(picture, reach), wanted, atol=1e-6)


CROP_SIZES = (32, 48, 96, 112, 256)


@pytest.mark.parametrize("shape", [(side, side) for side in CROP_SIZES] + [(20, 36), (7, 1)])
def test_enlargements_are_those_of_torchs_interpolation(shape: tuple[int, int]) -> None:
    picture = torch.rand(3, *shape)
    assert torch.allclose(bicubic(picture), enlarge(picture[None])[0], atol=2e-6)
    wanted = interpolate(picture[None], scale_factor=4, mode="bilinear", align_corners=False)[0]
    assert torch.allclose(bilinear(picture, 4), wanted, atol=2e-6)


def test_coarser_enlargements_are_those_averaged_down() -> None:
    picture = torch.rand(3, 32, 48)
    assert torch.allclose(bicubic(picture, 2), pool(enlarge(picture[None])[0], 2), atol=2e-6)
    wanted = interpolate(picture[None], scale_factor=2, mode="bilinear", align_corners=False)[0]
    assert torch.allclose(bilinear(picture, 2), wanted, atol=2e-6)


def test_at_the_films_own_size_nothing_is_blurred() -> None:
    """What averaging takes from the input, and the sharpness that is reported before, are the pixels' own."""
    picture = torch.rand(3, 32, 48)
    assert torch.equal(bicubic(picture, 1), picture) and torch.equal(bilinear(picture, 1), picture)


def test_a_picture_is_enlarged_the_same_beside_others() -> None:
    """To the last bit: a face does not depend on what it is worked on with."""
    pictures = torch.rand(5, 48, 48)
    together = bilinear(pictures, 4)
    assert all(torch.equal(bilinear(one[None], 4)[0], large) for one, large in zip(pictures, together, strict=True))
