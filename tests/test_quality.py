"""What the report is told of a restored face."""

from __future__ import annotations

import pytest
import torch

from tests.faces import FACE, crop, frame_of, planes, portrait, quality, track_of
from vidsr.restore.blend import Restored


def face(added: torch.Tensor, weight: float = 1.0) -> Restored:
    return Restored(crop(frame_of(portrait()), track_of(1, FACE, 96.0), planes()), added, weight)


def test_nothing_added_is_nothing_changed() -> None:
    found = quality(face(torch.zeros(3, 352, 352)))
    assert found.agreement == 1
    assert found.after == found.before > 0


def test_fine_texture_is_allowed_and_sharper() -> None:
    fine = torch.zeros(3, 352, 352)
    fine[:, ::2, ::2], fine[:, 1::2, 1::2] = 0.04, 0.04
    fine -= fine.mean()
    found = quality(face(fine))
    assert found.agreement == pytest.approx(1, abs=0.02)
    assert found.after > found.before + 1
    assert quality(face(fine, 0.5)).after < found.after


def test_what_the_input_contradicts_is_refused() -> None:
    broad = torch.zeros(3, 352, 352)
    broad[:, 100:280, 100:280] = 0.3  # a light that is not in the input
    found = quality(face(broad))
    assert found.agreement < 0.9
    everywhere = quality(face(torch.full((3, 352, 352), 0.3)))
    assert everywhere.agreement == 0
    assert everywhere.after == pytest.approx(everywhere.before)
