"""Crops back into the frame: nothing changes where nothing is added, and what is added lands where it belongs."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from tests.faces import FACE, YUV420, blend, crop, frame_of, planes, portrait, track_of
from vidsr.frame import Frame, PixelFormat
from vidsr.networks.generator import enlarge
from vidsr.restore.blend import Restored, at_chroma, base_delta, masks, shown
from vidsr.restore.crop import Cut
from vidsr.restore.enlarge import enlarged, lanczos_matrix
from vidsr.restore.resample import bicubic, narrowed

FORMATS = [
    YUV420,
    PixelFormat("yuv422p", 8, 1, 0),
    PixelFormat("yuv444p", 8, 0, 0),
    PixelFormat("yuv420p10le", 10, 1, 1),
    PixelFormat("yuv444p16le", 16, 0, 0),
]


def face_in(frame: Frame, pixels: PixelFormat = YUV420, window: float = 96.0) -> Cut:
    return crop(frame, track_of(1, FACE, window), planes(pixels=pixels))


@pytest.mark.parametrize("pixels", FORMATS, ids=lambda pixels: pixels.name)
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_nothing_added_changes_nothing(pixels: PixelFormat, scale: int) -> None:
    frame = frame_of(portrait()[:201, 101:332], pixels=pixels)  # odd sizes
    found = Restored(face_in(frame, pixels), torch.zeros(3, 352, 352), 1.0)
    there = planes(scale, pixels)
    plain, blended = enlarged(frame, there), blend(frame, [found, found], there)
    assert np.array_equal(plain.luma, blended.luma)
    assert np.array_equal(plain.chroma, blended.chroma)
    if scale == 1:
        assert np.array_equal(blended.luma, frame.luma)


def test_the_input_frame_is_left_alone() -> None:
    frame = frame_of(portrait())
    before = frame.luma.copy()
    blend(frame, [Restored(face_in(frame), torch.randn(3, 352, 352) * 0.05, 1.0)], planes())
    assert np.array_equal(frame.luma, before)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_samples_outside_of_the_window_are_the_decoders(scale: int) -> None:
    frame = frame_of(portrait())
    texture = torch.randn(3, 352, 352).mul(0.2)
    plain = enlarged(frame, planes(scale))
    found = blend(frame, [Restored(face_in(frame), texture, 1.0)], planes(scale))
    changed = np.argwhere(found.luma != plain.luma)
    assert len(changed) > 500
    low, high = (np.array(FACE[::-1]) - 50) * scale, (np.array(FACE[::-1]) + 50) * scale
    assert (changed >= low).all()
    assert (changed <= high).all()


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_what_is_added_lands_where_it_belongs(scale: int) -> None:
    """A portrait is blurred and reduced, the truth's detail is added back: the result must be nearer to the truth."""
    large = portrait()
    small = cv2.resize(cv2.GaussianBlur(large, (0, 0), 4), (128, 128), interpolation=cv2.INTER_AREA)
    frame = frame_of(small)
    found = crop(frame, track_of(1, (FACE[0] / 4, FACE[1] / 4), 48.0), planes())
    x, y, side = 4 * found.place.x, 4 * found.place.y, 4 * found.place.side
    truth = torch.from_numpy(large[y : y + side, x : x + side] / 255).permute(2, 0, 1).float()
    plain = enlarge(torch.from_numpy(found.rgb).permute(2, 0, 1)[None])[0]
    result = blend(frame, [Restored(found, truth - plain, 1.0)], planes(scale))
    wanted = frame_of(cv2.resize(large, (128 * scale, 128 * scale), interpolation=cv2.INTER_AREA))
    y, x, r = round(FACE[1] / 4 * scale), round(FACE[0] / 4 * scale), 10 * scale
    inside = slice(y - r, y + r), slice(x - r, x + r)
    before = np.abs(enlarged(frame, planes(scale)).luma[inside].astype(float) - wanted.luma[inside]).mean()
    after = np.abs(result.luma[inside].astype(float) - wanted.luma[inside]).mean()
    assert after < 0.6 * before


def test_overlapping_windows_add_no_difference_twice() -> None:
    frame = frame_of(portrait())
    texture = torch.randn(3, 352, 352).mul(0.1)
    once = blend(frame, [Restored(face_in(frame), texture, 1.0)], planes())
    twice = blend(frame, [Restored(face_in(frame), texture, 1.0)] * 2, planes())
    y, x = round(FACE[1]), round(FACE[0])
    middle = slice(y - 10, y + 10), slice(x - 10, x + 10)
    assert np.abs(once.luma[middle].astype(int) - twice.luma[middle]).max() <= 1


@pytest.mark.parametrize("angle", [0.0, 0.6, 2.0])
def test_the_outline_all_but_ends_inside_the_window(angle: float) -> None:
    found = crop(frame_of(portrait()), track_of(1, FACE, 96.0, angle=angle), planes())
    mask = masks(torch.from_numpy(found.to_unit)[None], found.place.side, 4)[0]
    assert mask.shape == (352, 352)
    assert float(mask[176, 176]) == 1
    for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1]):
        assert float(edge.abs().max()) < 0.15
    assert float((mask[1:] - mask[:-1]).abs().max()) < 0.06


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("pixels", [YUV420, PixelFormat("yuv411p", 8, 2, 0)], ids=lambda pixels: pixels.name)
def test_what_is_added_to_chroma_lies_where_its_samples_lie(left: bool, pixels: PixelFormat) -> None:
    """A ramp averaged around a sample is the ramp at that sample."""
    there = planes(pixels=pixels, left=left)
    kx, ky = there.step
    ramp = (torch.arange(32) + 0.5).expand(1, 1, 16, 32)
    found = at_chroma(ramp, there)
    assert found.shape == (1, 1, 16 // ky, 32 // kx)
    column = 2
    middle = there.chroma_from_luma()[0] @ [float(found[0, 0, 1, column]), 0, 1]
    assert middle == pytest.approx(column + 0.5, abs=1e-5)


EVERYWHERE = torch.ones(1, 128, 128)


def test_an_invention_is_refused_and_detail_is_kept() -> None:
    detail = torch.randn(3, 128, 128) * 0.1
    detail -= torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(detail[None], 4), scale_factor=4)[0]
    assert float(shown(detail[None], EVERYWHERE)[0, 3].min()) == 1
    invented = detail.clone()
    invented[:, 40:80, 40:80] += 0.3
    trust = shown(invented[None], EVERYWHERE)[0, 3]
    assert float(trust[50:70, 50:70].max()) == 0
    assert float(trust[:16].min()) == 1


def test_colour_and_light_stay_the_inputs() -> None:
    shifted = torch.full((3, 128, 128), 0.04) + torch.randn(3, 128, 128) * 0.01
    assert abs(float(shown(shifted[None], EVERYWHERE)[0, :3].mean())) < 0.002


@pytest.mark.parametrize("window", [0.4, 3.0, 1000.0])
def test_a_window_that_no_film_has_is_blended_all_the_same(window: float) -> None:
    """As a tracks file that was written by hand may ask for it."""
    frame = frame_of(portrait())
    found = crop(frame, track_of(1, FACE, window), planes())
    side = 4 * found.place.side
    blend(frame, [Restored(found, torch.randn(3, side, side) * 0.05, 1.0)], planes())


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
    """Sampled as RGB through crops, the enlarged frame shows the same colours at the same places."""
    frame = frame_of(cv2.GaussianBlur(portrait(), (0, 0), 4))
    small, large = planes(1, left=left), planes(2, left=left)
    before = crop(frame, track_of(1, (300.0, 300.0), 86.0), small)
    after = crop(enlarged(frame, large), track_of(1, (600.0, 600.0), 2 * 86.0), large)
    x, y = after.place.x // 2 - before.place.x, after.place.y // 2 - before.place.y
    assert 0 <= x <= 16 and 0 <= y <= 16
    seen = after.rgb[:128, :128].reshape(64, 2, 64, 2, 3).mean((1, 3))
    off = np.abs(before.rgb[y : y + 64, x : x + 64] - seen)
    assert off.max() < 0.02 and off.mean() < 0.003


def test_the_networks_own_enlargement_stands_in_for_the_frames() -> None:
    """The bicubic enlargement that a network adds to, plus nothing, is what the frame shows in the face."""

    frame = frame_of(portrait())
    found = crop(frame, track_of(1, FACE, 96.0), planes())
    rgb = torch.from_numpy(found.rgb).permute(2, 0, 1)[None]
    shown = blend(frame, [Restored(found, base_delta(rgb, 4)[0], 1.0)], planes(4)).luma
    x, y = (4 * round(value) for value in FACE)
    middle = slice(y - 80, y + 80), slice(x - 80, x + 80)
    large = enlarge(torch.from_numpy(frame.luma.astype(np.float32))[None, None])[0, 0].numpy()
    assert np.abs(shown[middle] - large[middle]).max() <= 1.5
    assert np.abs(enlarged(frame, planes(4)).luma[middle] - large[middle]).max() > 3


@pytest.mark.parametrize("scale", [1, 2])
def test_a_perfect_network_does_not_oversharpen_the_films_own_pixels(scale: int) -> None:
    """What it adds to the enlarged film, reduced again, is the film: at scale 1 nothing is left to be added."""
    truth = torch.from_numpy(portrait()[128:384, 96:352].astype(np.float32) / 255).permute(2, 0, 1)[None]
    film = narrowed(truth, 4)
    found = narrowed(truth - bicubic(film), 4 // scale) + base_delta(film, scale)
    lanczos = torch.from_numpy(lanczos_matrix(64, scale))
    assert torch.allclose(lanczos @ film @ lanczos.T + found, narrowed(truth, 4 // scale), atol=1e-5)
