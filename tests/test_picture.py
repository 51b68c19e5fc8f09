"""Small pictures: colours of every matrix and range, sizes, depths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from vidsr.color import Color
from vidsr.frame import Frame, PixelFormat
from vidsr.picture import LUMA_WEIGHTS, reduce, rgb_matrix, small_rgb, ycbcr

COLOURS = ((255, 255, 255), (0, 0, 0), (200, 40, 90), (10, 220, 30))


@dataclass(frozen=True)
class Colour:
    pixels: PixelFormat
    matrix: str
    full_range: bool


def plain_frame(rgb: tuple[int, int, int], colour: Colour, height: int, width: int) -> Frame:
    """A frame of one colour, by the definition of Y'CbCr."""
    red, blue = LUMA_WEIGHTS[colour.matrix]
    r, g, b = (one / 255 for one in rgb)
    y = red * r + (1 - red - blue) * g + blue * b
    u, v = (b - y) / (2 * (1 - blue)), (r - y) / (2 * (1 - red))
    scale = 2 ** (colour.pixels.depth - 8)
    luma, chroma, black = (255, 255, 0) if colour.full_range else (219, 224, 16)
    values = [(y * luma + black) * scale, (u * chroma + 128) * scale, (v * chroma + 128) * scale]
    kind, shape = colour.pixels.dtype, colour.pixels.chroma_shape(height, width)
    planes = [np.full(shape if n else (height, width), round(value), kind) for n, value in enumerate(values)]
    return Frame(0, 0, planes[0], np.stack(planes[1:]))


@pytest.mark.parametrize("matrix", ["bt601", "bt709", "bt2020"])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize(("depth", "shift_x", "shift_y"), [(8, 1, 1), (10, 1, 0), (12, 0, 0), (16, 1, 1)])
def test_colours_come_out_as_they_went_in(
    matrix: str, full_range: bool, depth: int, shift_x: int, shift_y: int
) -> None:
    colour = Colour(PixelFormat("", depth, shift_x, shift_y), matrix, full_range)
    for rgb in COLOURS:
        picture = small_rgb(plain_frame(rgb, colour, 51, 87), colour, 32)
        assert picture.shape == (19, 32, 3)
        assert np.abs(picture.astype(int) - rgb).max() <= 2


def test_a_small_frame_is_not_enlarged() -> None:
    colour = Colour(PixelFormat("", 8, 1, 1), "bt601", False)
    frame = plain_frame((9, 9, 9), colour, 20, 30)
    assert small_rgb(frame, colour, 960).shape == (20, 30, 3)
    assert reduce(frame, 8, 960).scale == (1.0, 1.0)


def test_coordinates_scale_by_multiplication() -> None:
    luma = np.zeros((400, 600), np.uint8)
    luma[120:160, 300:360] = 200  # its middle is at (330, 140)
    small = reduce(Frame(0, 0, luma, np.full((2, 200, 300), 128, np.uint8)), 8, 250)
    weight = small.luma.astype(float)
    rows, columns = np.indices(weight.shape)
    middle = (weight * (columns + 0.5)).sum() / weight.sum(), (weight * (rows + 0.5)).sum() / weight.sum()
    assert np.allclose(np.array(middle) * small.scale, (330, 140), atol=0.1)


def test_the_matrix_of_bt601_is_the_textbooks() -> None:
    expected = [[1.164, 0, 1.596], [1.164, -0.392, -0.813], [1.164, 2.017, 0]]
    assert np.allclose(rgb_matrix("bt601", False)[:, :3], expected, atol=1e-3)


@pytest.mark.parametrize("matrix", LUMA_WEIGHTS)
def test_pictures_and_crops_share_one_matrix(matrix: str) -> None:
    white, blue = ycbcr(matrix) @ [1, 1, 1], ycbcr(matrix) @ [0, 0, 1]
    assert np.allclose(white, [1, 0, 0])
    assert blue[1] == pytest.approx(0.5)
    crops = Color(matrix, False, 8).to_rgb.numpy() * 255
    assert np.allclose(rgb_matrix(matrix, False)[:, :3], crops, atol=1e-4)
