"""Single frames from anywhere in a film."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from vidsr.frame import Frame
from vidsr.video.probe import Film
from vidsr.video.reader import Reader

NEAR = 100
"""Frames: those that lie closer to each other are reached by decoding on, not by a seek."""


def picked(film: Film, timeline: NDArray[np.int64], indices: Sequence[int]) -> Iterator[Frame]:
    """These frames of a film whose timeline is known, `indices` rising, with few seeks and little decoding."""
    groups: list[list[int]] = []
    for index in indices:
        if groups and index - groups[-1][-1] < NEAR:
            groups[-1].append(index)
        else:
            groups.append([index])
    for group in groups:
        with Reader(film, first=group[0], stop=group[-1] + 1, timeline=timeline, keep_going=True) as frames:
            yield from (frame for frame in frames if frame.index in group)
