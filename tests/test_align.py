"""Frame to crop: positions, colours and edges, against what a library or arithmetic says."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from tests.faces import FACE, crop, frame_of, planes, portrait, track_of
from vidsr.align import Box, Planes, compose, covered, crop_size, inverse, look_up, look_up_map
from vidsr.color import Color, rgb_from, yuv_difference
from vidsr.frame import PixelFormat

CPU = torch.device("cpu")


@pytest.mark.parametrize("matrix", ["bt601", "bt709", "bt2020"])
@pytest.mark.parametrize(("full_range", "depth"), [(False, 8), (True, 8), (False, 10), (True, 12)])
def test_colour_goes_there_and_back(matrix: str, full_range: bool, depth: int) -> None:
    color = Color(matrix, full_range, depth)
    rgb = torch.rand(3, 4, 5)
    samples = yuv_difference(rgb, color) + color.offset[:, None, None]
    assert torch.allclose(rgb_from(samples, color), rgb, atol=1e-5)
    white = yuv_difference(torch.ones(3, 1, 1), color).flatten() + color.offset
    peak = (1 << depth) - 1 if full_range else 235 << (depth - 8)
    assert white.tolist() == pytest.approx([peak, 1 << (depth - 1), 1 << (depth - 1)], abs=1e-2)


def test_bt601_colour_is_opencvs() -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (6, 7, 3), np.uint8)
    ours = yuv_difference(torch.from_numpy(rgb / 255).permute(2, 0, 1).float(), Color("bt601", True, 8))
    theirs = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb).astype(float)
    assert np.abs(ours[0].numpy() - theirs[..., 0]).max() < 1.1
    assert np.abs(ours[2].numpy() + 128 - theirs[..., 1]).max() < 1.1


def test_affine_maps_compose_and_invert() -> None:
    rng = np.random.default_rng(2)
    a, b, point = rng.normal(size=(2, 3)), rng.normal(size=(2, 3)), np.array([3.0, 4.0, 1.0])
    assert compose(a, b) @ point == pytest.approx(a @ np.append(b @ point, 1))
    assert compose(a, inverse(a)) == pytest.approx(np.eye(3)[:2], abs=1e-9)


def test_sampling_at_pixel_centres_gives_the_pixels() -> None:
    picture = torch.rand(2, 9, 11)

    def sample(matrix: np.ndarray, shape: tuple[int, int]) -> torch.Tensor:
        there = torch.from_numpy(look_up_map(matrix, (9, 11), shape))
        return look_up(picture[None], there[None], shape, "border")[0]

    same = sample(np.eye(3)[:2], (9, 11))
    assert torch.allclose(same, picture, atol=1e-5)
    moved = sample(np.array([[1.0, 0, 3], [0, 1.0, 2]]), (4, 5))
    assert torch.allclose(moved, picture[:, 2:6, 3:8], atol=1e-5)


def test_a_crop_is_the_window_at_its_own_size() -> None:
    image = portrait()
    x, y = (round(value) for value in FACE)
    found = crop(frame_of(image, pixels=PixelFormat("yuv444p", 8, 0, 0)), track_of(1, (x, y), 64.0), 64,
                 planes(pixels=PixelFormat("yuv444p", 8, 0, 0)), CPU)  # fmt: skip
    wanted = image[y - 32 : y + 32, x - 32 : x + 32]
    error = np.abs(found.rgb.permute(1, 2, 0).numpy() * 255 - wanted)
    assert error.max() < 3  # rounding to 8-bit YUV on the way


def test_a_turned_face_is_upright_in_its_crop() -> None:
    image, angle = portrait(), 0.5
    turn = cv2.getRotationMatrix2D(FACE, np.degrees(angle), 1.0)
    turned = cv2.warpAffine(image, turn, (512, 512), flags=cv2.INTER_CUBIC)
    straight = crop(frame_of(image), track_of(1, FACE, 96.0), 64, planes(left=False), CPU).rgb
    found = crop(frame_of(turned), track_of(1, FACE, 96.0, angle=angle), 64, planes(left=False), CPU).rgb
    assert (found - straight).abs().mean() < 0.02


@pytest.mark.parametrize("left", [False, True])
def test_chroma_is_looked_up_at_its_site(left: bool) -> None:
    where = Planes(PixelFormat("yuv420p", 8, 1, 1), Color("bt601", False, 8), left).chroma_from_luma()
    # The middle of luma column 0 is the middle of chroma column 0 only when chroma sits to the left.
    assert where[0] @ [0.5, 0.5, 1] == pytest.approx(0.5 if left else 0.25)
    assert where[1] @ [0.5, 1.0, 1] == pytest.approx(0.5)


def test_a_window_over_the_frames_edge_repeats_the_edge() -> None:
    frame = frame_of(np.full((40, 60, 3), 200, np.uint8))
    for middle in ((0.0, 0.0), (60.0, 40.0), (-200.0, 20.0), (30.0, 500.0)):
        rgb = crop(frame, track_of(1, middle, 48.0), 48, planes(), CPU).rgb
        assert torch.allclose(rgb, torch.full_like(rgb, 200 / 255), atol=0.01)


def test_crop_size_follows_the_face() -> None:
    assert [crop_size(window) for window in (10, 32, 39, 40, 64, 79, 120, 150, 400)] == [
        32, 32, 32, 48, 64, 96, 128, 128, 256,
    ]  # fmt: skip


def test_covered_holds_the_window_and_stays_in_the_frame() -> None:
    matrix = track_of(1, (20.0, 20.0), 16.0).matrices[0] * 16
    assert covered(matrix.astype(float), 16, (40, 60), 0) == Box(12, 12, 28, 28)
    assert covered(matrix.astype(float), 16, (24, 26), 3) == Box(9, 9, 26, 24)
    far = track_of(1, (-100.0, 20.0), 16.0).matrices[0] * 16
    assert covered(far.astype(float), 16, (40, 60), 3).empty
