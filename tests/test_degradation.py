"""What a camera does to a face: against Pillow, and against itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from tests.faces import portrait
from vidsr.data import degradation


def face() -> np.ndarray:
    return portrait()[20:276, 90:346].copy()


def test_bicubic_is_pillows() -> None:
    image = face()
    ours = (degradation.bicubic(degradation.as_tensor(image[None]))[0] * 255).round().permute(1, 2, 0).numpy()
    theirs = np.asarray(Image.fromarray(image).resize((64, 64), Image.Resampling.BICUBIC)).astype(float)
    assert np.abs(ours - theirs).max() <= 2  # Pillow rounds between its two passes as well
    assert np.abs(ours - theirs).mean() < 0.2


def test_the_camera_is_home_in_the_middle_frame() -> None:
    rng = np.random.default_rng(4)
    for frames in (1, 5, 7):
        path = degradation.camera_path(rng, frames, 4.0)
        assert path.shape == (frames, 2)
        assert (path[frames // 2] == 0).all()
        assert np.abs(path).max() <= 4


def test_one_seed_one_film() -> None:
    clip = degradation.moved(face(), 5, 4, np.random.default_rng(1))

    def shot(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return degradation.filmed(clip, degradation.draw_film(rng, 256), rng)

    a, b, c = shot(9), shot(9), shot(10)
    assert a.shape == (5, 64, 64, 3)
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_a_clear_film_is_pillows_bicubic() -> None:
    film = degradation.CameraParams((0.0, 0.0), 0.0, 0.0, "bicubic", 0.0, 0, None)
    theirs = np.asarray(Image.fromarray(face()).resize((64, 64), Image.Resampling.BICUBIC))
    assert np.array_equal(degradation.filmed(face()[None], film, np.random.default_rng(1))[0], theirs)


def test_the_cameras_place_is_undone() -> None:
    rng = np.random.default_rng(2)
    image = face()
    plain = degradation.CameraParams((0.0, 0.0), 0.0, 0.0, "area", 0.0, 0, None)
    for _ in range(5):
        film = replace(plain, pose=degradation.draw_pose(rng, 256))
        shot = degradation.filmed(image[None], film, rng)
        back, straight = degradation.upright(shot, film)[0], degradation.filmed(image[None], plain, rng)[0]
        inside = np.s_[8:-8, 8:-8]
        error = np.abs(back[inside].astype(int) - straight[inside]).mean()
        assert error < 0.5 * np.abs(np.roll(straight, 1, 1)[inside].astype(int) - straight[inside]).mean()


def test_blur_smears_along_its_angle() -> None:
    dot = np.zeros((1, 64, 64, 3), np.uint8)
    dot[0, 32, 32] = 255
    film = degradation.CameraParams((0.0, 0.0), 8.0, 0.0, "area", 0.0, 0, None)  # angle 0: along the rows
    shot = degradation.filmed(np.repeat(dot, 1, 0), film, np.random.default_rng(1))[0, ..., 0]
    assert (shot > 0).any(0).sum() > (shot > 0).any(1).sum()


def test_motion_blur_is_each_frames_own() -> None:
    film = degradation.CameraParams((0.0, 0.0), 8.0, 0.0, "area", 0.0, 0, None)
    shot = degradation.filmed(np.repeat(face()[None], 4, 0), film, np.random.default_rng(1))
    assert all(not np.array_equal(shot[0], other) for other in shot[1:])


def test_jpeg_keeps_the_colors() -> None:
    red = np.zeros((1, 64, 64, 3), np.uint8)
    red[..., 0] = 200
    film = degradation.CameraParams((0.0, 0.0), 0.0, 0.0, "area", 0.0, 90, None)
    assert np.abs(degradation.filmed(red, film, np.random.default_rng(1))[0].astype(int) - red[0, 0, 0]).max() < 5


def test_drifting_faces_are_whole_pixels_of_themselves() -> None:
    clip = degradation.moved(face(), 5, 4, np.random.default_rng(3))
    assert np.array_equal(clip[2], face())
    wide = np.pad(face(), ((4, 4), (4, 4), (0, 0)), "reflect")
    places = [(dy, dx) for dy in range(9) for dx in range(9)]
    for frame in clip:
        assert any(np.array_equal(frame, wide[dy : dy + 256, dx : dx + 256]) for dy, dx in places)


def test_a_mosaic_comes_apart_again() -> None:
    tiles = np.random.default_rng(5).integers(0, 256, (12, 8, 10, 3), np.uint8)
    assert np.array_equal(degradation.unmosaic(degradation.mosaic(tiles, 4), 4, 8, 10), tiles)


def test_pictures_become_tensors_and_keep_their_values() -> None:
    images = np.random.default_rng(6).integers(0, 256, (2, 3, 4, 5, 3), np.uint8)
    found = degradation.as_tensor(images)
    assert found.shape == (2, 3, 3, 4, 5)
    assert torch.equal((found * 255).round().to(torch.uint8)[1, 2, 0], torch.from_numpy(images[1, 2, ..., 0]))
