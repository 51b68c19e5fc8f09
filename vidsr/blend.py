"""Restored crops back into the frame: only differences, only in the face's window, on the decoder's own samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vidsr.align import Box, Planes, compose, covered, inverse, sample
from vidsr.color import yuv_difference
from vidsr.frame import Crop, Frame, Samples
from vidsr.network import SCALE

CENTRE, RADII, SOFT = (0.5, 0.53), (0.40, 0.46), 0.35
"""The outline of a face in the unit square of the template: an ellipse, and the part of it over which it fades."""
TRUSTED, REFUSED = 5 / 255, 16 / 255
"""Mean disagreement with the input below which a restoration is kept, and above which it is dropped."""


@dataclass(frozen=True)
class Restored:
    """A crop with what the network adds to its plain enlargement, `added (3, 4h, 4w)`, and the share to show, 0..1."""

    crop: Crop
    added: Tensor
    weight: float


@lru_cache(maxsize=32)
def outline(side: int, device: torch.device) -> Tensor:
    """The soft outline of a face `(side, side)`: 1 inside, 0 from the ellipse outwards, so also at every edge."""
    place = (torch.arange(side, device=device) + 0.5) / side
    x, y = (place - CENTRE[0]) / RADII[0], (place - CENTRE[1]) / RADII[1]
    distance = torch.sqrt(x[None, :] ** 2 + y[:, None] ** 2)
    ramp = ((1 - distance) / SOFT).clamp(0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def agreement(added: Tensor) -> Tensor:
    """Where the restoration, reduced again, agrees with the input: `(3, 4h, 4w) -> (4h, 4w)` in 0..1.

    What is added must vanish when reduced: the mean over 5 x 5 pixels of the input, which leaves out its noise, is
    compared with TRUSTED and REFUSED.
    """
    reduced = F.avg_pool2d(added[None], SCALE)
    drift = F.avg_pool2d(reduced, 5, 1, 2, count_include_pad=False).abs().amax(1, keepdim=True)
    kept = ((REFUSED - drift) / (REFUSED - TRUSTED)).clamp(0, 1)
    return F.interpolate(kept, scale_factor=SCALE, mode="bilinear", align_corners=False)[0, 0]


def without_shift(added: Tensor) -> Tensor:
    """Take the low frequencies out of what is added, so that colour and light stay the input's: `(3, 4h, 4w)`."""
    reduced = F.avg_pool2d(added[None], SCALE)
    low = F.avg_pool2d(reduced, 9, 1, 4, count_include_pad=False)
    return added - F.interpolate(low, scale_factor=SCALE, mode="bilinear", align_corners=False)[0]


def shown(added: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """What of `added (3, 4h, 4w)` a film shows under a mask, and the mask `(4h, 4w)`: outline, agreement, weight."""
    return without_shift(added), outline(added.shape[-1], added.device) * agreement(added) * weight


def as_samples(plane: NDArray[np.generic], peak: int) -> Samples:
    """A plane of whole numbers in the type that holds `peak`."""
    return plane.astype(np.uint8, copy=False) if peak == 255 else plane.astype(np.uint16, copy=False)


def _enlarged(samples: Samples, scale: int, offset: float, shape: tuple[int, int], peak: int) -> Samples:
    """One plane by Lanczos; `offset` is the column's shift that keeps the chroma's site."""
    if offset == 0 and shape == (samples.shape[0] * scale, samples.shape[1] * scale):
        large = cv2.resize(samples, shape[::-1], interpolation=cv2.INTER_LANCZOS4)
    else:
        half = 0.5 / scale - 0.5
        move = np.array([[1 / scale, 0, half + offset], [0, 1 / scale, half]])
        flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
        large = cv2.warpAffine(samples, move, shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return as_samples(np.minimum(large, peak), peak)


def enlarged(frame: Frame, planes: Planes) -> Frame:
    """The whole frame at `planes.scale` by Lanczos; at 1 a copy of the same samples."""
    scale, peak = planes.scale, planes.pixels.peak
    if scale == 1:
        return replace(frame, luma=frame.luma.copy(), chroma=frame.chroma.copy())
    height, width = frame.luma.shape[0] * scale, frame.luma.shape[1] * scale
    site = planes.chroma_from_luma()[0, 2]
    luma = _enlarged(frame.luma, scale, 0.0, (height, width), peak)
    shape = planes.pixels.chroma_shape(height, width)
    chroma = np.stack([_enlarged(plane, scale, site * (1 - 1 / scale), shape, peak) for plane in frame.chroma])
    return replace(frame, luma=luma, chroma=as_samples(chroma, peak))


def _to_density(picture: Tensor, ratio: float) -> tuple[Tensor, int]:
    """Average `(C, h, w)` down by the power of two nearest to `ratio`, so that sampling it does not alias."""
    factor = 1 << max(0, round(float(np.log2(max(ratio, 1e-6)))))
    factor = min(factor, picture.shape[-1])
    return (F.avg_pool2d(picture[None], factor)[0] if factor > 1 else picture), factor


@dataclass(frozen=True)
class _Patch:
    """A difference `(C, h, w)` in sample values and its mask `(h, w)`, at a place of the output's planes."""

    box: Box
    difference: Tensor
    mask: Tensor


def _patch(picture: Tensor, to_crop: NDArray[np.float64], side: int, shape: tuple[int, int]) -> _Patch | None:
    """Bring `picture (C + 1, 4s, 4s)`, whose last channel is the mask, to a plane that `to_crop` maps to crops."""
    box = covered(to_crop, side, shape, 0)
    if box.empty:
        return None
    density = float(np.sqrt(abs(np.linalg.det(to_crop[:, :2])))) * SCALE
    reduced, factor = _to_density(picture, density)
    fit = SCALE / factor
    here = compose(
        np.array([[fit, 0, 0], [0, fit, 0]]), compose(to_crop, np.array([[1.0, 0, box.x0], [0, 1.0, box.y0]]))
    )
    found = sample(reduced, here, box.shape, "zeros")
    return _Patch(box, found[:-1], found[-1])


def _shared(patches: Sequence[_Patch], shape: tuple[int, int]) -> list[Tensor]:
    """Differences of windows that overlap, each by its share, so that nothing is added twice."""
    if not any(a.box.overlaps(b.box) for i, a in enumerate(patches) for b in patches[:i]):
        return [patch.difference for patch in patches]
    total = torch.zeros(shape, device=patches[0].mask.device)
    for patch in patches:
        total[patch.box.y0 : patch.box.y1, patch.box.x0 : patch.box.x1] += patch.mask.clamp_min(0)
    total.clamp_(min=1)
    return [p.difference / total[p.box.y0 : p.box.y1, p.box.x0 : p.box.x1] for p in patches]


def _apply(samples: Samples, patches: Sequence[_Patch], peak: int) -> None:
    """Add the differences to planes `(C, H, W)` in place, rounded and clipped."""
    for patch, difference in zip(patches, _shared(patches, samples.shape[-2:]), strict=True):
        box = patch.box
        place = samples[:, box.y0 : box.y1, box.x0 : box.x1]
        moved = place.astype(np.float32) + difference.cpu().numpy()  # waits for the device
        place[...] = np.clip(np.rint(moved), 0, peak).astype(samples.dtype)


def blend(frame: Frame, faces: Sequence[Restored], planes: Planes) -> Frame:
    """The frame at `planes.scale`, with every face's difference added: `frame += warp_back(mask * added)`.

    Samples outside the windows are the decoder's own at scale 1; a difference of zero changes nothing anywhere.
    """
    result = enlarged(frame, planes)
    lumas: list[_Patch] = []
    chromas: list[_Patch] = []
    for face in faces:
        side = face.crop.rgb.shape[-1]
        detail, mask = shown(face.added, face.weight)
        yuv = yuv_difference(detail, planes.color)
        picture = torch.cat([yuv * mask, mask[None]])
        to_crop = compose(face.crop.matrix.astype(np.float64), np.diag([1 / planes.scale] * 2 + [1])[:2])
        luma = _patch(picture[[0, 3]], to_crop, side, result.luma.shape)
        to_crop = compose(to_crop, inverse(planes.chroma_from_luma()))
        chroma = _patch(picture[1:], to_crop, side, result.chroma.shape[-2:])
        lumas += [luma] if luma else []
        chromas += [chroma] if chroma else []
    _apply(result.luma[None], lumas, planes.pixels.peak)
    _apply(result.chroma, chromas, planes.pixels.peak)
    return result
