"""How a face moves in a film: its flicker, the jitter of its landmarks, and what warping does not explain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from vidsr.analysis.detector import CenterFace
from vidsr.config import Analyze
from vidsr.data.faces import Images
from vidsr.evaluate import metrics
from vidsr.frame import Floats

LOST = 12.0  # gray levels: where the truth itself differs by more after warping, something was hidden or uncovered


def flicker(aligned: Sequence[NDArray[np.float64]]) -> float:
    """The mean absolute difference of successive aligned faces, gray levels."""
    return float(np.mean([np.abs(b - a).mean() for a, b in pairwise(aligned)]))


def landmarks(regions: Iterable[Images]) -> Floats:
    """The largest face's landmarks in each picture, `(n, 5, 2)`; NaN where no face is found."""
    detector = CenterFace(Analyze().min_score)
    found = []
    for region in regions:
        faces = detector([region])[0]
        best = max(faces, key=lambda face: float(np.prod(face.box[2:] - face.box[:2])), default=None)
        found.append(best.landmarks if best is not None else np.full((5, 2), np.nan, np.float32))
    return np.asarray(found, np.float32)


def jitter(points: Floats) -> float:
    """The mean length of the second difference of landmarks `(n, 5, 2)`, pixels; frames without a face left out."""
    bends = np.linalg.norm(points[2:] - 2 * points[1:-1] + points[:-2], axis=-1)
    return float(np.nanmean(bends)) if np.isfinite(bends).any() else float("nan")


def warping(made: Sequence[Images], truth: Sequence[Images]) -> float:
    """The mean absolute difference of a picture's luma to the last one's, carried along by the truth's optical flow
    (Lai 2018, section 4.2, here in gray levels)."""
    flow_of = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    height, width = truth[0].shape[:2]
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
    errors = []
    for t in range(1, len(truth)):
        before, now = (cv2.cvtColor(truth[i], cv2.COLOR_RGB2GRAY) for i in (t - 1, t))
        place = grid + flow_of.calc(now, before, np.zeros_like(grid))

        def carried(picture: Images, place: NDArray[np.float32] = place) -> NDArray[np.float64]:
            gray = metrics.luma(picture).astype(np.float32)
            return np.asarray(cv2.remap(gray, place[..., 0], place[..., 1], cv2.INTER_LINEAR), np.float64)

        kept = np.abs(carried(truth[t - 1]) - metrics.luma(truth[t])) < LOST
        errors.append(np.abs(carried(made[t - 1]) - metrics.luma(made[t]))[kept].mean())
    return float(np.mean(errors))
