"""Restored crops back into the frame: only differences, only in the face's window, on the decoder's own samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import log2, sqrt

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidsr.align import Box, Planes, compose, covered, inverse, look_up, look_up_map
from vidsr.color import yuv_difference
from vidsr.device import Lanes
from vidsr.frame import Crop, Floats, Frame, Samples
from vidsr.network import SCALE
from vidsr.resize import around, bilinear, reduced

CENTRE, RADII, SOFT = (0.5, 0.53), (0.40, 0.46), 0.35
"""The outline of a face in the unit square of the template: an ellipse, and the part of it over which it fades."""
TRUSTED, REFUSED = 5 / 255, 16 / 255
"""Mean disagreement with the input below which a restoration is kept, and above which it is dropped."""


@dataclass(frozen=True)
class Restored:
    """A crop with what the network adds to its plain enlargement, `added (3, fh, fw)`, and the share to show, 0..1.

    `f` is 4, or less where that was averaged down to what the output resolves (see `fineness`). `settled`, of the same
    shape, is what averaging over time does to the plain enlargement itself.
    """

    crop: Crop
    added: Tensor
    weight: float
    settled: Tensor | None = None

    @property
    def fine(self) -> int:
        """Pixels of `added` for one of the crop, along each side."""
        return self.added.shape[-1] // self.crop.rgb.shape[-1]


@lru_cache(maxsize=32)
def outline(side: int, device: torch.device) -> Tensor:
    """The soft outline of a face `(side, side)`: 1 inside, 0 from the ellipse outwards, so also at every edge."""
    place = (torch.arange(side, device=device) + 0.5) / side
    x, y = (place - CENTRE[0]) / RADII[0], (place - CENTRE[1]) / RADII[1]
    distance = torch.sqrt(x[None, :] ** 2 + y[:, None] ** 2)
    ramp = ((1 - distance) / SOFT).clamp(0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def _smooth(small: Tensor, fine: int = SCALE) -> Tensor:
    """`(N, C, h, w) -> (N, C, fine h, fine w)`."""
    large = bilinear(small.flatten(0, 1), fine)
    return large.reshape(*small.shape[:2], *large.shape[1:])


def _agreement(small: Tensor) -> Tensor:
    """`(N, 3, h, w) -> (N, 1, h, w)`: see `agreement`."""
    drift = around(small, 2).abs().amax(1, keepdim=True)
    return ((REFUSED - drift) / (REFUSED - TRUSTED)).clamp(0, 1)


def _low(small: Tensor) -> Tensor:
    """`(N, 3, h, w)`: the frequencies that `without_shift` takes out."""
    return around(small, 4)


def agreement(added: Tensor) -> Tensor:
    """Where restorations, reduced again, agree with the input: `(N, 3, 4h, 4w) -> (N, 1, 4h, 4w)` in 0..1.

    What is added must vanish when reduced: the mean over 5 x 5 pixels of the input, which leaves out its noise, is
    compared with TRUSTED and REFUSED.
    """
    return _smooth(_agreement(reduced(added, SCALE)))


def without_shift(added: Tensor) -> Tensor:
    """Take the low frequencies out of what is added, so that colour and light stay the input's: `(N, 3, 4h, 4w)`."""
    return added - _smooth(_low(reduced(added, SCALE)))


def shown(added: Tensor, settled: Tensor | None = None, fine: int = SCALE) -> Tensor:
    """What of `added (N, 3, fine h, fine w)` a film shows, and how far: `(N, 4, fine h, fine w)`.

    The last channel is the mask, of outline and agreement; the others are what is left of `added` under it, with
    `settled` as it is.
    """
    small = reduced(added, fine)
    found = _smooth(torch.cat([_low(small), _agreement(small)], 1), fine)
    rest, mask = found[:, :3], found[:, 3:]
    mask.mul_(outline(added.shape[-1], added.device))
    torch.sub(added, rest, out=rest)
    if settled is not None:
        rest.add_(settled)
    rest.mul_(mask)
    return found


def showing(faces: Sequence[Restored]) -> Tensor:
    """`shown` for faces of one size and fineness: `(N, 4, fine h, fine w)`."""
    settled = [face.settled for face in faces if face.settled is not None]
    added = torch.stack([face.added for face in faces])
    return shown(added, torch.stack(settled) if settled else None, faces[0].fine)


def as_samples(plane: NDArray[np.generic], peak: int) -> Samples:
    """A plane of whole numbers in the type that holds `peak`."""
    return plane.astype(np.uint8, copy=False) if peak == 255 else plane.astype(np.uint16, copy=False)


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
    large = cv2.merge(rounded).reshape(height * scale, width * scale)
    return as_samples(large if peak in (255, 65535) else np.minimum(large, peak), peak)


def enlarged(frame: Frame, planes: Planes) -> Frame:
    """The whole frame at `planes.scale` by Lanczos; at 1 a copy of the same samples."""
    scale, peak = planes.scale, planes.pixels.peak
    if scale == 1:
        return replace(frame, luma=frame.luma.copy(), chroma=frame.chroma.copy())
    rows, columns = planes.pixels.chroma_shape(*(length * scale for length in frame.luma.shape))
    offset = planes.chroma_from_luma()[0, 2] * (1 - 1 / scale)
    luma = _enlarged(frame.luma, scale, 0.0, peak)
    chroma = np.stack([_enlarged(plane, scale, offset, peak)[:rows, :columns] for plane in frame.chroma])
    return replace(frame, luma=luma, chroma=as_samples(chroma, peak))


def _density(to_crop: NDArray[np.float64], side: int) -> int:
    """The power of two nearest to the pixels of an enlarged crop for one sample of a plane that `to_crop` maps."""
    (a, b, _), (d, e, _) = to_crop.tolist()
    ratio = sqrt(abs(a * e - b * d)) * SCALE
    most = SCALE * side & -(SCALE * side)  # the largest that divides it
    return min(1 << max(0, round(log2(max(ratio, 1e-6)))), most)


def fineness(matrices: Floats, side: int, planes: Planes) -> int:
    """How many pixels, 4, 2 or 1, for one of a crop's the output resolves in any frame of a track: more need not be
    averaged, compared and kept. `matrices (n, 2, 3)` map frames to the unit square, `side` is that of the crops."""
    closest = sqrt(float(np.abs(np.linalg.det(matrices[:, :, :2])).min())) * side / planes.scale
    return SCALE // min(SCALE, _density(closest * np.eye(2, 3), side))


def densities(face: Crop, planes: Planes) -> tuple[int, int]:
    """What an enlarged crop is averaged down by before luma and chroma are sampled, so that sampling does not alias."""
    luma, chroma = _to_crop(face, planes)
    side = face.rgb.shape[-1]
    return _density(luma, side), _density(chroma, side)


def _to_crop(face: Crop, planes: Planes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The maps from samples of the output's luma and chroma to a crop's pixels."""
    luma = compose(face.matrix.astype(np.float64), np.diag([1 / planes.scale] * 2 + [1])[:2])
    return luma, compose(luma, inverse(planes.chroma_from_luma()))


@dataclass(frozen=True)
class Patch:
    """A difference `(C, h, w)` in sample values and its mask `(h, w)`, at a place of the output's planes."""

    box: Box
    difference: Floats
    mask: Floats


@dataclass(frozen=True)
class Patches:
    """What one face adds to luma and to chroma; None where it lies outside of the frame."""

    luma: Patch | None
    chroma: Patch | None


@dataclass(frozen=True)
class Differences:
    """What some faces add to their frames, on the device, each with its mask: `luma (N, 2, h, w)`, Y and mask, and
    `chroma (N, 3, h, w)`, mask, U and V. A face's own is the part that has the size of its box."""

    boxes: Sequence[tuple[Box, Box]]
    luma: Tensor
    chroma: Tensor

    def patches(self, luma: Floats, chroma: Floats) -> Iterator[Patches]:
        """Face by face, from the same numbers on the host."""
        for (large, small), y, uv in zip(self.boxes, luma, chroma, strict=True):
            yield Patches(_patch(large, y[:1], y[1]), _patch(small, uv[1:], uv[0]))


def _patch(box: Box, difference: Floats, mask: Floats) -> Patch | None:
    rows, columns = box.shape
    return None if box.empty else Patch(box, difference[:, :rows, :columns], mask[:rows, :columns])


@dataclass(frozen=True)
class _Way:
    """A map from a plane's samples to a crop's pixels, and the samples that it brings inside the crop."""

    matrix: NDArray[np.float64]
    box: Box

    def to(self, side: int, crop_side: int, shape: tuple[int, int]) -> Floats:
        """The map from a picture of `shape`, whose corner is the box's, to the crop as `side` pixels."""
        fit = np.diag([side / crop_side] * 2 + [1.0])[:2]
        move = np.array([[1.0, 0, self.box.x0], [0, 1.0, self.box.y0]])
        return look_up_map(compose(fit, compose(self.matrix, move)), (side, side), shape)


def _ways(face: Crop, planes: Planes, shape: tuple[int, int]) -> tuple[_Way, _Way]:
    """The ways from luma and chroma of an output whose luma has this shape to a crop."""
    side, (luma, chroma) = face.rgb.shape[-1], _to_crop(face, planes)
    small = planes.pixels.chroma_shape(*shape)
    return _Way(luma, covered(luma, side, shape, 0)), _Way(chroma, covered(chroma, side, small, 0))


def _common(boxes: Sequence[Box]) -> tuple[int, int]:
    """The shape that holds every one of the boxes."""
    return max(1, *(box.shape[0] for box in boxes)), max(1, *(box.shape[1] for box in boxes))


@dataclass(frozen=True)
class Place:
    """Where differences go: the output's planes, the shape of its luma, and the ways to and from the device."""

    planes: Planes
    shape: tuple[int, int]
    lanes: Lanes


def differences(faces: Sequence[Crop], pictures: Tensor, weights: Sequence[float], place: Place) -> Differences:
    """Bring `pictures (N, 4, f s, f s)`, of `shown`, to the planes of the output: all of one side and one density."""
    side, factors = faces[0].rgb.shape[-1], densities(faces[0], place.planes)
    ways = [_ways(face, place.planes, place.shape) for face in faces]
    shapes = [_common([way[plane].box for way in ways]) for plane in (0, 1)]
    maps = [
        np.stack([way[plane].to(SCALE * side // factors[plane], side, shapes[plane]) for way in ways])
        for plane in (0, 1)
    ]
    luma_maps, chroma_maps, shares = place.lanes.bring([*maps, np.array(weights, np.float32)])
    done = SCALE * side // pictures.shape[-1]  # by how much the pictures are averaged down as they come
    large = reduced(pictures, factors[0] // done) * shares[:, None, None, None]
    small = reduced(large, factors[1] // factors[0])
    y = torch.cat([yuv_difference(large[:, :3], place.planes.color)[:, :1], large[:, 3:]], 1)
    uv = torch.cat([small[:, 3:], yuv_difference(small[:, :3], place.planes.color)[:, 1:]], 1)
    luma, chroma = look_up(y, luma_maps, shapes[0], "zeros"), look_up(uv, chroma_maps, shapes[1], "zeros")
    return Differences([(way[0].box, way[1].box) for way in ways], luma, chroma)


def _total(patch: Patch, patches: Sequence[Patch]) -> Floats:
    """The sum of all masks under a patch, at least 1."""
    total = np.zeros(patch.box.shape, np.float32)
    for other in patches:
        both = patch.box.intersection(other.box)
        if not both.empty:
            total[both.within(patch.box)] += np.maximum(other.mask[both.within(other.box)], 0)
    return np.maximum(total, 1)


def _shared(patches: Sequence[Patch]) -> list[Floats]:
    """Differences of windows that overlap, each by its share, so that nothing is added twice."""
    if not any(a.box.overlaps(b.box) for i, a in enumerate(patches) for b in patches[:i]):
        return [patch.difference for patch in patches]
    return [patch.difference / _total(patch, patches) for patch in patches]


def _apply(samples: Samples, patches: Sequence[Patch], peak: int) -> None:
    """Add the differences to planes `(C, H, W)` in place, rounded and clipped."""
    for patch, difference in zip(patches, _shared(patches), strict=True):
        box = patch.box
        place = samples[:, box.y0 : box.y1, box.x0 : box.x1]
        moved = place.astype(np.float32) + difference
        place[...] = np.clip(np.rint(moved), 0, peak).astype(samples.dtype)


def merged(frame: Frame, faces: Sequence[Patches], planes: Planes) -> Frame:
    """The frame at `planes.scale`, with every face's difference added: `frame += warp_back(mask * added)`.

    Samples outside the windows are the decoder's own at scale 1; a difference of zero changes nothing anywhere.
    """
    result = enlarged(frame, planes)
    _apply(result.luma[None], [face.luma for face in faces if face.luma is not None], planes.pixels.peak)
    _apply(result.chroma, [face.chroma for face in faces if face.chroma is not None], planes.pixels.peak)
    return result
