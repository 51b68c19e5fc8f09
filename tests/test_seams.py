"""A seam is found where one was made, and none where nothing was blended badly."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.bench.seams import Grays, seam, seams
from tests.faces import FACE, blend, crop, frame_of, planes, portrait, track_of
from tests.program import ROOT
from vidsr.analysis.alignment import CENTRE, RADII
from vidsr.config import Enhance
from vidsr.networks import model_file
from vidsr.restore.blend import Restored
from vidsr.restore.enlarge import enlarged

SCALE, WINDOW = 2, 96.0
MATRIX = track_of(1, FACE, WINDOW).matrices[0]
PLAIN = enlarged(frame_of(portrait()), planes(SCALE)).luma.astype(np.float32)


def disc(radius: float, soft: float) -> Grays:
    """1 inside of the mask's ellipse times `radius`, with an edge of `soft` pixels, as large as the output."""
    middle = (np.array(FACE) + (np.array(CENTRE) - 0.5) * WINDOW) * SCALE
    axes = np.array(RADII) * WINDOW * SCALE * radius
    y, x = np.mgrid[: PLAIN.shape[0], : PLAIN.shape[1]] + 0.5
    far = (1 - np.hypot((x - middle[0]) / axes[0], (y - middle[1]) / axes[1])) * axes.mean()
    return np.asarray(np.clip(far / soft + 0.5, 0, 1), np.float32)


def test_equal_pictures_have_no_seam() -> None:
    assert seam(PLAIN, PLAIN, MATRIX, SCALE) == (0.0, 0.0)


@pytest.mark.parametrize("radius", [0.7, 0.9, 1.0, 1.05])
def test_a_made_seam_is_found_wherever_it_lies(radius: float) -> None:
    edge, rim = seam(PLAIN, PLAIN + 6 * disc(radius, 1.0), MATRIX, SCALE)
    assert rim > 2
    assert (edge > 2) == (radius == 1.0)


def test_a_soft_edge_is_none() -> None:
    _, rim = seam(PLAIN, PLAIN + 6 * disc(0.8, 25.0), MATRIX, SCALE)
    assert 0.1 < rim < 0.6


def test_detail_is_none() -> None:
    texture = cv2.GaussianBlur(np.random.default_rng(1).normal(0, 20, PLAIN.shape), (0, 0), 1.5).astype(np.float32)
    edge, rim = seam(PLAIN, PLAIN + texture * disc(0.9, 20.0), MATRIX, SCALE)
    assert edge < 0.5
    assert rim < 0.8


def test_a_face_at_the_edge_of_the_picture_is_measured_inside_of_it() -> None:
    moved = track_of(1, (2.0, 200.0), WINDOW).matrices[0]
    assert seam(PLAIN, PLAIN, moved, SCALE) == (0.0, 0.0)
    outside = track_of(1, (-500.0, 200.0), WINDOW).matrices[0]
    assert seam(PLAIN, PLAIN, outside, SCALE) == (0.0, 0.0)


def test_blending_even_a_wrong_face_leaves_no_seam() -> None:
    frame, track = frame_of(portrait()), track_of(1, FACE, WINDOW)
    found = crop(frame, track, planes())
    lighter = Restored(found, torch.full((3, 352, 352), 0.04) + 0.1 * torch.randn(3, 352, 352), 1.0)
    restored = blend(frame, [lighter], planes(SCALE)).luma.astype(np.float32)
    edge, rim = seam(PLAIN, restored, MATRIX, SCALE)
    assert edge < 1
    assert rim < 1.5  # what random detail makes by itself: .83 in the mean and 1.29 at most with 60 seeds
    assert np.abs(restored - PLAIN).max() > 5


@pytest.mark.slow
def test_a_film_is_measured_by_its_frames() -> None:
    sample: Path = ROOT / "tests/samples/portrait.mp4"
    plain, ours = seams([sample], [model_file.load("plain"), model_file.load("vidsr_x4_fidelity")], 2, Enhance())
    assert (plain.faces, plain.edge, plain.rim) == (2, 0.0, 0.0)
    assert ours.faces == 2
    assert 0 < ours.rim < 1
    assert ours.edge < 1
