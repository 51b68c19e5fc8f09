"""The plain enlargement of whole frames: Lanczos on the decoder's planes, chroma kept at its site."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import cast

import cv2
import numpy as np

from vidsr.frame import Floats, Frame
from vidsr.picture import Samples
from vidsr.restore.crop import Planes


@lru_cache(maxsize=32)
def _phases(scale: int, offset: float) -> tuple[tuple[Floats, int], ...]:
    """For each of the `scale` samples that one becomes: Lanczos's eight weights, and which of them is the sample's own.

    `offset` moves what is sampled, in samples.
    """
    found = []
    for phase in range(scale):
        at = (phase + 0.5) / scale - 0.5 + offset
        far = at - np.floor(at) - np.arange(-3, 5)
        weights = np.sinc(far) * np.sinc(far / 4)
        found.append(((weights / weights.sum()).astype(np.float32), 3 - int(np.floor(at))))
    return tuple(found)


def _enlarged(samples: Samples, scale: int, offset: float, peak: int) -> Samples:
    """One plane by Lanczos, in float; `offset` is the columns' shift that keeps the chroma's site.

    A filter for each phase: four times faster than `cv2.resize` and twenty times than `cv2.warpAffine`.
    """
    height, width = samples.shape
    plane, edge = samples.astype(np.float32), cv2.BORDER_REPLICATE
    tall = np.empty((height * scale, width), np.float32)
    for phase, (weights, own) in enumerate(_phases(scale, 0.0)):
        tall[phase::scale] = cv2.filter2D(plane, -1, weights[:, None], anchor=(0, own), borderType=edge)
    kind = cv2.CV_8U if peak == 255 else cv2.CV_16U
    columns = [
        cv2.filter2D(tall, -1, weights[None], anchor=(own, 0), borderType=edge)
        for weights, own in _phases(scale, offset)
    ]
    rounded = [cv2.add(column, 0.0, dtype=kind) for column in columns]  # type: ignore[call-overload]
    large = cast(Samples, cv2.merge(rounded).reshape(height * scale, width * scale))
    return large if peak in (255, 65535) else np.minimum(large, large.dtype.type(peak))


@lru_cache(maxsize=32)
def lanczos_matrix(side: int, scale: int) -> Floats:
    """The matrix `(scale * side, side)` that enlarges a column as a frame's luma is enlarged."""
    found = np.zeros((scale * side, side), np.float32)
    for phase, (weights, own) in enumerate(_phases(scale, 0.0)):
        for tap, weight in enumerate(weights):
            columns = np.clip(np.arange(side) + tap - own, 0, side - 1)
            found[np.arange(side) * scale + phase, columns] += weight
    return found


def enlarged(frame: Frame, planes: Planes) -> Frame:
    """The whole frame at `planes.scale` by Lanczos; at 1 a copy of the same samples."""
    scale, peak = planes.scale, planes.pixels.peak
    if scale == 1:
        return replace(frame, luma=frame.luma.copy(), chroma=frame.chroma.copy())
    rows, columns = planes.pixels.chroma_shape(*(length * scale for length in frame.luma.shape))
    offset = planes.chroma_from_luma()[0, 2] * (1 - 1 / scale)
    luma = _enlarged(frame.luma, scale, 0.0, peak)
    chroma = [_enlarged(plane, scale, offset, peak)[:rows, :columns] for plane in frame.chroma]
    return replace(frame, luma=luma, chroma=cast(Samples, np.stack(chroma)))
