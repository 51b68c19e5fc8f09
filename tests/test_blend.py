"""Crops back into the frame: nothing changes where nothing is added, and what is added lands where it belongs."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from tests.faces import FACE, YUV420, blend, crop, frame_of, planes, portrait, track_of
from vidsr.blend import Restored, agreement, enlarged, outline, without_shift
from vidsr.frame import Crop, Frame, PixelFormat

CPU = torch.device("cpu")
FORMATS = [
    YUV420,
    PixelFormat("yuv422p", 8, 1, 0),
    PixelFormat("yuv444p", 8, 0, 0),
    PixelFormat("yuv420p10le", 10, 1, 1),
    PixelFormat("yuv444p16le", 16, 0, 0),
]


def face_in(frame: Frame, pixels: PixelFormat = YUV420, window: float = 96.0, size: int = 96) -> Crop:
    return crop(frame, track_of(1, FACE, window), size, planes(pixels=pixels), CPU)


@pytest.mark.parametrize("pixels", FORMATS, ids=lambda pixels: pixels.name)
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_nothing_added_changes_nothing(pixels: PixelFormat, scale: int) -> None:
    frame = frame_of(portrait()[:201, 101:332], pixels=pixels)  # odd sizes
    found = Restored(face_in(frame, pixels), torch.zeros(3, 384, 384), 1.0)
    there = planes(scale, pixels)
    plain, blended = enlarged(frame, there), blend(frame, [found, found], there)
    assert np.array_equal(plain.luma, blended.luma)
    assert np.array_equal(plain.chroma, blended.chroma)
    if scale == 1:
        assert np.array_equal(blended.luma, frame.luma)


def test_the_input_frame_is_left_alone() -> None:
    frame = frame_of(portrait())
    before = frame.luma.copy()
    blend(frame, [Restored(face_in(frame), torch.randn(3, 384, 384) * 0.05, 1.0)], planes())
    assert np.array_equal(frame.luma, before)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_samples_outside_of_the_window_are_the_decoders(scale: int) -> None:
    frame = frame_of(portrait())
    texture = torch.randn(3, 384, 384).mul(0.2)
    plain = enlarged(frame, planes(scale))
    found = blend(frame, [Restored(face_in(frame), texture, 1.0)], planes(scale))
    changed = np.argwhere(found.luma != plain.luma)
    assert len(changed) > 500
    low, high = (np.array(FACE[::-1]) - 48) * scale, (np.array(FACE[::-1]) + 48) * scale
    assert (changed >= low).all()
    assert (changed <= high).all()


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_what_is_added_lands_where_it_belongs(scale: int) -> None:
    """A portrait is blurred and reduced, the truth's detail is added back: the result must be nearer to the truth."""
    large = portrait()
    small = cv2.resize(cv2.GaussianBlur(large, (0, 0), 4), (128, 128), interpolation=cv2.INTER_AREA)
    frame = frame_of(small)
    matrix_window = 48.0
    track = track_of(1, (FACE[0] / 4, FACE[1] / 4), matrix_window)
    found = crop(frame, track, 48, planes(), CPU)
    truth = crop(frame_of(large), track_of(1, FACE, 4 * matrix_window), 192, planes(), CPU).rgb
    plain = torch.nn.functional.interpolate(found.rgb[None], scale_factor=4, mode="bicubic")[0]
    result = blend(frame, [Restored(found, truth - plain, 1.0)], planes(scale))
    wanted = frame_of(cv2.resize(large, (128 * scale, 128 * scale), interpolation=cv2.INTER_AREA))
    y, x, r = round(FACE[1] / 4 * scale), round(FACE[0] / 4 * scale), 10 * scale
    inside = slice(y - r, y + r), slice(x - r, x + r)
    before = np.abs(enlarged(frame, planes(scale)).luma[inside].astype(float) - wanted.luma[inside]).mean()
    after = np.abs(result.luma[inside].astype(float) - wanted.luma[inside]).mean()
    assert after < 0.6 * before


def test_overlapping_windows_add_no_difference_twice() -> None:
    frame = frame_of(portrait())
    texture = torch.randn(3, 384, 384).mul(0.1)
    once = blend(frame, [Restored(face_in(frame), texture, 1.0)], planes())
    twice = blend(frame, [Restored(face_in(frame), texture, 1.0)] * 2, planes())
    y, x = round(FACE[1]), round(FACE[0])
    middle = slice(y - 10, y + 10), slice(x - 10, x + 10)
    assert np.abs(once.luma[middle].astype(int) - twice.luma[middle]).max() <= 1


def test_the_outline_ends_inside_the_window() -> None:
    mask = outline(128, CPU)
    assert mask.shape == (128, 128)
    assert float(mask[64, 64]) == 1
    for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1]):
        assert float(edge.abs().max()) == 0
    assert float((mask[1:] - mask[:-1]).abs().max()) < 0.1


def test_an_invention_is_refused_and_detail_is_kept() -> None:
    detail = torch.randn(3, 128, 128) * 0.1
    detail -= torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(detail[None], 4), scale_factor=4)[0]
    assert float(agreement(detail[None]).min()) == 1
    invented = detail.clone()
    invented[:, 40:80, 40:80] += 0.3
    trust = agreement(invented[None])[0, 0]
    assert float(trust[50:70, 50:70].max()) == 0
    assert float(trust[:16].min()) == 1


def test_colour_and_light_stay_the_inputs() -> None:
    shifted = torch.full((3, 128, 128), 0.04) + torch.randn(3, 128, 128) * 0.01
    assert abs(float(without_shift(shifted[None]).mean())) < 0.002


@pytest.mark.parametrize("window", [0.4, 3.0, 1000.0])
def test_a_window_that_no_film_has_is_blended_all_the_same(window: float) -> None:
    """As a tracks file that was written by hand may ask for it."""
    frame = frame_of(portrait())
    found = crop(frame, track_of(1, FACE, window), 48, planes(), CPU)
    blend(frame, [Restored(found, torch.randn(3, 192, 192) * 0.05, 1.0)], planes())


@pytest.mark.parametrize("scale", [2, 4])
def test_enlarging_is_opencvs_lanczos(scale: int) -> None:
    frame = frame_of(portrait()[:201, 101:332])
    found = enlarged(frame, planes(scale, left=False))
    for ours, plane in ((found.luma, frame.luma), *zip(found.chroma, frame.chroma, strict=True)):
        size = plane.shape[1] * scale, plane.shape[0] * scale
        theirs = cv2.resize(plane, size, interpolation=cv2.INTER_LANCZOS4)[: ours.shape[0], : ours.shape[1]]
        assert np.abs(ours.astype(int) - theirs).max() <= 1


@pytest.mark.parametrize("left", [False, True])
def test_enlarging_keeps_the_place_of_chroma(left: bool) -> None:
    """Sampled as RGB through the crop, the enlarged frame shows the same colours at the same places."""
    frame = frame_of(cv2.GaussianBlur(portrait(), (0, 0), 4))
    small, large = planes(1, left=left), planes(2, left=left)
    middle = (300.0, 300.0)
    before = crop(frame, track_of(1, middle, 96.0), 96, small, CPU).rgb
    grown = enlarged(frame, large)
    after = crop(grown, track_of(1, (600.0, 600.0), 192.0), 96, large, CPU).rgb
    assert (before - after).abs().max() < 0.02
    assert (before - after).abs().mean() < 0.003
