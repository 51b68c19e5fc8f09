"""Frame to crop: positions, colours and edges, against what a library or arithmetic says."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
import torch

from tests.faces import FACE, crop, frame_of, planes, portrait, track_of
from vidsr.analysis.optical_flow import dense_flow
from vidsr.color import Color, rgb_of, yuv_difference
from vidsr.frame import PixelFormat, Track
from vidsr.restore.crop import CropPath, Planes, crop_side, cut, window


@pytest.mark.parametrize("matrix", ["bt601", "bt709", "bt2020"])
@pytest.mark.parametrize(("full_range", "depth"), [(False, 8), (True, 8), (False, 10), (True, 12)])
def test_colour_goes_there_and_back(matrix: str, full_range: bool, depth: int) -> None:
    color = Color(matrix, full_range, depth)
    rgb = torch.rand(3, 4, 5)
    samples = yuv_difference(rgb, color) + color.offset[:, None, None]
    back = rgb_of(samples.permute(1, 2, 0).contiguous().numpy(), color)
    assert np.allclose(back, rgb.permute(1, 2, 0), atol=1e-5)
    white = yuv_difference(torch.ones(3, 1, 1), color).flatten() + color.offset
    peak = (1 << depth) - 1 if full_range else 235 << (depth - 8)
    assert white.tolist() == pytest.approx([peak, 1 << (depth - 1), 1 << (depth - 1)], abs=1e-2)


def test_bt601_colour_is_opencvs() -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (6, 7, 3), np.uint8)
    ours = yuv_difference(torch.from_numpy(rgb / 255).permute(2, 0, 1).float(), Color("bt601", True, 8))
    theirs = cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb).astype(float)
    assert np.abs(ours[0].numpy() - theirs[..., 0]).max() < 1.1
    assert np.abs(ours[2].numpy() + 128 - theirs[..., 1]).max() < 1.1


YUV444 = PixelFormat("yuv444p", 8, 0, 0)


def test_a_crop_is_the_frames_own_pixels() -> None:
    image, there = portrait(), planes(pixels=YUV444)
    found = crop(frame_of(image, pixels=YUV444), track_of(1, FACE, 64.0), there)
    x, y, side = found.place.x, found.place.y, found.place.side
    assert side == crop_side(64.0) == 64
    error = np.abs(found.rgb * 255 - image[y : y + side, x : x + side])
    assert error.max() < 3  # rounding to 8-bit YUV on the way


def test_luma_is_read_as_decoded_and_chroma_where_it_lies() -> None:
    """Nothing is resampled but the chroma, which a library enlarges to the same."""
    frame = frame_of(portrait())
    found = crop(frame, track_of(1, FACE, 64.0), planes(left=False))
    place = found.place
    part = slice(place.y, place.y + place.side), slice(place.x, place.x + place.side)
    assert np.array_equal(found.luma8, frame.luma[part])
    whole = [cv2.resize(p.astype(np.float32), (512, 512), interpolation=cv2.INTER_CUBIC)[part] for p in frame.chroma]
    wanted = rgb_of(np.dstack([frame.luma[part].astype(np.float32), *whole]), Color("bt601", False, 8))
    assert np.abs(found.rgb - wanted).max() < 1e-3


@pytest.mark.parametrize("left", [False, True])
def test_chroma_is_looked_up_at_its_site(left: bool) -> None:
    where = Planes(PixelFormat("yuv420p", 8, 1, 1), Color("bt601", False, 8), left).chroma_from_luma()
    # The middle of luma column 0 is the middle of chroma column 0 only when chroma sits to the left.
    assert where[0] @ [0.5, 0.5, 1] == pytest.approx(0.5 if left else 0.25)
    assert where[1] @ [0.5, 1.0, 1] == pytest.approx(0.5)


def test_a_window_over_the_frames_edge_stays_inside() -> None:
    frame = frame_of(np.full((144, 160, 3), 200, np.uint8))
    for middle in ((0.0, 0.0), (160.0, 144.0), (-200.0, 20.0), (30.0, 500.0)):
        found = crop(frame, track_of(1, middle, 48.0), planes())
        assert 0 <= found.place.x <= 160 - found.place.side and 0 <= found.place.y <= 144 - found.place.side
        assert np.allclose(found.rgb, 200 / 255, atol=0.01)


def test_a_window_larger_than_the_frame_repeats_its_edge() -> None:
    frame = frame_of(np.full((41, 61, 3), 200, np.uint8))
    found = crop(frame, track_of(1, (30.0, 20.0), 96.0), planes())
    assert found.rgb.shape == (88, 88, 3) and np.allclose(found.rgb, 200 / 255, atol=0.01)


def test_the_crop_covers_the_mask_in_steps_of_8() -> None:
    assert [crop_side(window) for window in (10, 35, 36, 48, 64, 96, 200)] == [32, 32, 40, 48, 64, 88, 184]


def moving(shift: float, frames: int = 9) -> Track:
    one = track_of(frames, FACE, 64.0)
    matrices = one.matrices.copy()
    matrices[:, 0, 2] -= np.arange(frames) * shift / 64
    return dataclasses.replace(one, matrices=matrices)


def test_the_window_follows_its_face_in_whole_chroma_samples() -> None:
    way = CropPath(moving(0.7), (512, 512), planes())
    corners = [way.place(n, way.side(n)).x for n in range(9)]
    assert all(corner % 2 == 0 for corner in corners)
    assert corners[-1] - corners[0] in (4, 6)


def test_the_sides_of_neighbouring_crops_are_equal_where_a_face_grows() -> None:
    one = track_of(60, FACE, 64.0)
    matrices = one.matrices / np.linspace(1, 2, 60)[:, None, None].astype(np.float32)
    way = CropPath(dataclasses.replace(one, matrices=matrices), (512, 512), planes())
    sides = [way.side(n) for n in range(60)]
    assert sides[0] == 72 and sides[-1] == 120 and len(set(sides)) <= 7


@pytest.mark.parametrize(("degrees", "turn"), [(0, 0), (30, 0), (80, 1), (100, 1), (180, 2), (-90, 3), (-140, 2)])
def test_a_turned_head_is_brought_upright_by_quarter_turns(degrees: int, turn: int) -> None:
    image, angle = portrait(), np.radians(degrees)
    turned = cv2.warpAffine(image, cv2.getRotationMatrix2D(FACE, -degrees, 1.0), (512, 512))
    found = crop(frame_of(turned), track_of(1, FACE, 96.0, angle=-angle), planes())
    assert found.place.turn == turn
    upright = window(found, [found])[0].transpose(1, 2, 0)
    small = [cv2.resize(one, (8, 8), interpolation=cv2.INTER_AREA).mean(2) for one in (upright, found.rgb)]
    straight = cv2.resize(crop(frame_of(image), track_of(1, FACE, 96.0), planes()).rgb, (8, 8),
                          interpolation=cv2.INTER_AREA).mean(2)  # fmt: skip
    if turn and degrees % 90 == 0:
        assert np.abs(small[0] - straight).mean() < 0.5 * np.abs(small[1] - straight).mean()


def test_a_head_that_turns_about_45_degrees_does_not_flip_to_and_fro() -> None:
    one = track_of(20, FACE, 64.0)
    angles = np.radians(45 + 4 * np.sin(np.arange(20)))
    rows = [track_of(1, FACE, 64.0, angle=angle).matrices[0] for angle in angles]
    way = CropPath(dataclasses.replace(one, matrices=np.stack(rows)), (512, 512), planes())
    assert len({way.place(n, 80).turn for n in range(20)}) == 1


def test_a_reduced_crop_is_the_mean_of_whole_pixels() -> None:
    frame = frame_of(portrait())
    found = crop(frame, dataclasses.replace(track_of(1, FACE, 96.0), factor=2), planes())
    assert found.place.factor == 2 and found.place.side == crop_side(96.0, 2) == 48 and found.place.covered == 96
    x, y = found.place.x, found.place.y
    wanted = frame.luma[y : y + 96, x : x + 96].reshape(48, 2, 48, 2).mean((1, 3))
    assert np.abs(found.luma8 - wanted).max() <= 1


def test_the_template_is_found_in_the_crop() -> None:
    for factor in (1, 2):
        found = crop(frame_of(portrait()), dataclasses.replace(track_of(1, FACE, 96.0), factor=factor), planes())
        middle = (np.array(FACE) - [found.place.x, found.place.y]) / factor
        assert found.to_unit @ np.append(middle, 1) == pytest.approx([0.5, 0.5], abs=1e-4)


def test_neighbours_are_warped_to_the_middle_and_the_middle_is_left_alone() -> None:
    base = cv2.GaussianBlur(portrait(), (0, 0), 1.0)
    track = track_of(2, FACE, 96.0)
    way = CropPath(track, (512, 512), planes())
    moved = cv2.warpAffine(base, np.array([[1, 0, 1.6], [0, 1, -0.8]]), (512, 512), flags=cv2.INTER_CUBIC)
    middle, other = (
        cut(frame_of(picture, n), 1, way.place(n, way.side(n)), planes()) for n, picture in enumerate((base, moved))
    )
    clip = window(middle, [other, middle])
    inner = slice(8, -8), slice(8, -8)
    assert np.array_equal(clip[1], middle.rgb.transpose(2, 0, 1))
    before = np.abs(other.rgb - middle.rgb)[inner].mean()
    assert np.abs(clip[0].transpose(1, 2, 0) - middle.rgb)[inner].mean() < 0.25 * before


def test_flow_of_small_faces_is_found_in_all_their_pixels() -> None:
    """Waves of 25 pixels: the presets of DIS stop at half of the pixels, and miss two thirds of their motion."""
    gray = cv2.cvtColor(cv2.resize(portrait(), (64, 64), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    rows = np.arange(64, dtype=np.float32)[:, None].repeat(64, 1)
    moves = np.sin(rows / 4)
    there = cv2.remap(gray, rows.T.copy(), rows - moves, cv2.INTER_CUBIC)
    inner = slice(8, -8), slice(8, -8)
    wrong = np.abs(dense_flow(gray, there)[..., 1] - moves)[inner].mean()
    assert wrong < 0.4 * np.abs(moves)[inner].mean()


def test_flow_of_large_crops_is_found_in_fewer_pixels() -> None:
    gray = cv2.cvtColor(cv2.GaussianBlur(portrait(), (0, 0), 2), cv2.COLOR_RGB2GRAY)[:192, 120:312]
    there = cv2.warpAffine(gray, np.array([[1.0, 0, 3], [0, 1.0, -2]]), (192, 192), borderMode=cv2.BORDER_REPLICATE)
    found = dense_flow(gray, there)[40:-40, 40:-40]
    assert found.shape[-1] == 2 and np.median(found, axis=(0, 1)) == pytest.approx([3, -2], abs=0.3)
