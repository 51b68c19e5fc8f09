"""Every frame is accounted for, once, with its reason."""

from __future__ import annotations

import dataclasses

import numpy as np

from tests.faces import track_of
from vidsr.report import HIDDEN, NO_FACE, Span, fates, spans


def test_frames_are_restored_or_passed_with_a_reason() -> None:
    seen = track_of(10, (50.0, 50.0), 60.0, first=5, ident=1)
    weight = np.ones(10, np.float32)
    weight[4:6] = 0
    seen = dataclasses.replace(seen, weight=weight)
    passed = track_of(8, (50.0, 50.0), 600.0, first=12, ident=2)
    assert spans(0, 30, (seen, passed), {2: "too large"}) == (
        Span(0, 5, "passed", NO_FACE),
        Span(5, 9, "restored", ""),
        Span(9, 11, "passed", HIDDEN),
        Span(11, 15, "restored", ""),
        Span(15, 20, "passed", "too large"),
        Span(20, 30, "passed", NO_FACE),
    )


def test_a_range_counts_the_films_frames() -> None:
    track = track_of(10, (50.0, 50.0), 60.0, first=5)
    assert spans(8, 12, (track,), {}) == (Span(8, 12, "restored", ""),)
    assert spans(20, 21, (), {}) == (Span(20, 21, "passed", NO_FACE),)


def test_small_faces_carry_a_warning() -> None:
    small, large = track_of(5, (50.0, 50.0), 30.0, ident=1), track_of(5, (50.0, 50.0), 90.0, ident=2)
    found = fates((small, large), {})
    assert "20 pixels" in found[0].warning and "identify" in found[0].warning
    assert found[1].warning == ""
    assert fates((small,), {1: "not chosen"})[0].warning == ""
