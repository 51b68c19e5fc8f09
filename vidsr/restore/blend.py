"""Restored crops back into the frame: only differences, only in the face's window, on the decoder's own samples.

A crop's pixels lie on the frame's grid, so that what is added to it only needs to be averaged over whole pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vidsr.analysis.alignment import CENTRE, RADII, SOFT
from vidsr.color import yuv_difference
from vidsr.frame import Floats, Frame
from vidsr.networks.generator import SCALE
from vidsr.networks.transfer import Transfer
from vidsr.picture import Samples
from vidsr.restore.crop import Box, Cut, Place, Planes
from vidsr.restore.enlarge import enlarged, lanczos_matrix
from vidsr.restore.resample import bicubic, bilinear, box_mean, narrowed, reduced

TRUSTED, REFUSED = 5 / 255, 16 / 255
"""Mean disagreement with the input below which a restoration is kept, and above which it is dropped."""


@dataclass(frozen=True)
class Restored:
    """A crop with what the network adds to its plain enlargement, `residual (3, fh, fw)`, and the share to show, 0..1.

    `f` is 4, or less where that was averaged down to what the output resolves (see `fineness`). `input_delta (3, h, w)`
    is what averaging over time does to the crop itself.
    """

    cut: Cut
    residual: Tensor
    weight: float
    input_delta: Tensor | None = None

    @property
    def fine(self) -> int:
        """Pixels of `residual` for one of the crop, along each side."""
        return self.residual.shape[-1] // self.cut.place.side


def fineness(place: Place, planes: Planes) -> int:
    """How many pixels, 4, 2 or 1, the output has for one of a crop's, along a side; no more than the network gives."""
    return min(SCALE, planes.scale * place.factor)


def base_delta(rgb: Tensor, scale: int) -> Tensor:
    """By how much what a network adds to is another picture than the frame at `scale`: `(N, 3, h, w)` crops ->
    `(N, 3, scale h, scale w)`.

    A network adds to the bicubic enlargement by 4, which is reduced again to `scale`; the frame is enlarged by Lanczos,
    or at 1 is itself. What would fit the one oversharpens the other.
    """
    matrix = torch.from_numpy(lanczos_matrix(rgb.shape[-1], scale)).to(rgb.device)
    return narrowed(bicubic(rgb), SCALE // scale) - matrix @ (rgb @ matrix.T)


def masks(to_unit: Tensor, side: int, fine: int) -> Tensor:
    """The soft masks of faces: 1 inside, 0 from the ellipse outwards, `(N, fine side, fine side)`.

    `to_unit (N, 2, 3)` map pixels of crops to the unit square of the template.
    """
    axis = (torch.arange(side * fine, device=to_unit.device) + 0.5) / fine
    rows = (to_unit[:, :, 1, None] * axis + to_unit[:, :, 2, None])[..., None]
    u, v = torch.unbind(to_unit[:, :, 0, None, None] * axis + rows, 1)
    distance = torch.hypot((u - CENTRE[0]) / RADII[0], (v - CENTRE[1]) / RADII[1])
    ramp = ((1 - distance) / SOFT).clamp_(0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def _agreement(small: Tensor) -> Tensor:
    """Where restorations, reduced again, agree with the input: `(N, 3, h, w) -> (N, 1, h, w)` in 0..1.

    What is added must vanish when reduced: the mean over 5 x 5 pixels of the input, which leaves out its noise, is
    compared with TRUSTED and REFUSED.
    """
    drift = box_mean(small, 2).abs().amax(1, keepdim=True)
    return ((REFUSED - drift) / (REFUSED - TRUSTED)).clamp(0, 1)


def shown(residual: Tensor, inside: Tensor, fine: int = SCALE, input_delta: Tensor | None = None) -> Tensor:
    """What of `residual (N, 3, fine h, fine w)` a film shows, and how far: `(N, 4, fine h, fine w)`.

    `inside` are the masks. The last channel is the mask, of outline and agreement; the others are what is left of the
    residual under it, with `input_delta` as it is. Agreement is asked of all that is shown.
    """
    small = reduced(residual, fine)
    all_ = small if input_delta is None else small + input_delta
    low = box_mean(small, 4)  # colour and light stay the input's
    found = bilinear(torch.cat([low, _agreement(all_)], 1), fine)
    rest, mask = found[:, :3], found[:, 3:]
    mask.mul_(inside[:, None])
    torch.sub(residual, rest, out=rest)
    if input_delta is not None:
        rest.add_(bicubic(input_delta, fine))
    rest.mul_(mask)
    return found


def at_chroma(picture: Tensor, planes: Planes) -> Tensor:
    """Means of `(N, C, h, w)` on the luma's grid where the chroma's samples lie: `(N, C, h / ky, w / kx)`."""
    kx, ky = planes.step
    (n, c), (h, w) = picture.shape[:2], picture.shape[2:]
    rows = picture.reshape(n, c, h // ky, ky, w).mean(3)
    if kx > 1 and planes.chroma_left:
        # Around the first of kx columns there is no middle of kx others: the mean of the two boxes nearest to it.
        padded = F.pad(rows, (kx // 2, 0))
        rows = (padded[..., :w] + padded[..., 1 : w + 1]) / 2
    return rows.reshape(n, c, h // ky, w // kx, kx).mean(4)


@dataclass(frozen=True)
class Patch:
    """A difference `(C, h, w)` in sample values and its mask `(h, w)`, at a place of the output's planes."""

    box: Box
    difference: Floats
    mask: Floats


Patches = tuple[Patch, Patch]
"""What one face adds to luma and to chroma."""


def differences(pictures: Tensor, faces: Sequence[Restored], planes: Planes, lanes: Transfer) -> tuple[Tensor, Tensor]:
    """`pictures (N, 4, h, w)`, of `shown`, on the output's grids, in sample values: `luma (N, 2, ...)`, Y and mask, and
    `chroma (N, 3, ...)`, U, V and mask; all faces of one size."""
    (shares,) = lanes.bring([np.array([face.weight for face in faces], np.float32)])
    place = faces[0].cut.place
    large = pictures * shares[:, None, None, None]
    missing = planes.scale * place.factor // faces[0].fine
    if missing > 1:
        large = F.interpolate(large, scale_factor=missing, mode="bicubic", align_corners=False)
    moved = torch.cat([yuv_difference(large[:, :3], planes.color), large[:, 3:]], 1)
    return moved[:, [0, 3]], at_chroma(moved[:, 1:], planes)


def patches(place: Place, luma: Floats, chroma: Floats, frame: Frame, planes: Planes) -> Patches:
    """What one face adds to a frame, as far as it lies in it: `luma (2, h, w)`, `chroma (3, h, w)` of `differences`."""
    (kx, ky), scale = planes.step, planes.scale
    x, y = place.x * scale, place.y * scale
    height, width = (length * scale for length in frame.luma.shape)
    rows, columns = planes.pixels.chroma_shape(height, width)
    return _patch(luma, x, y, (height, width)), _patch(chroma, x // kx, y // ky, (rows, columns))


def _patch(found: Floats, x: int, y: int, shape: tuple[int, int]) -> Patch:
    whole = Box(x, y, x + found.shape[2], y + found.shape[1])
    box = whole.intersection(Box(0, 0, shape[1], shape[0]))
    rows, columns = box.within(whole)
    part = found[:, rows, columns]
    return Patch(box, part[:-1], part[-1])


def _shared(patch: Patch, all_: Sequence[Patch]) -> Floats:
    """A window's difference; where others overlap it by its share of all masks, so that nothing is added twice."""
    overlaps = [(other, both) for other in all_ if not (both := patch.box.intersection(other.box)).empty]
    if len(overlaps) < 2:
        return patch.difference
    total = np.zeros(patch.box.shape, np.float32)
    for other, both in overlaps:
        total[both.within(patch.box)] += np.maximum(other.mask[both.within(other.box)], 0)
    return np.asarray(patch.difference / np.maximum(total, 1), np.float32)


def _apply(samples: Samples, found: Sequence[Patch], peak: int) -> None:
    """Add the differences to planes `(C, H, W)` in place, rounded and clipped."""
    for patch in found:
        box = patch.box
        place = samples[:, box.y0 : box.y1, box.x0 : box.x1]
        moved = place.astype(np.float32) + _shared(patch, found)
        place[...] = np.clip(np.rint(moved), 0, peak).astype(samples.dtype)


def merged(frame: Frame, faces: Sequence[Patches], planes: Planes) -> Frame:
    """The frame at `planes.scale`, with every face's difference added: `frame += mask * residual`.

    Samples outside the windows are the decoder's own at scale 1; a difference of zero changes nothing anywhere.
    """
    result = enlarged(frame, planes)
    _apply(result.luma[None], [luma for luma, _ in faces], planes.pixels.peak)
    _apply(result.chroma, [chroma for _, chroma in faces], planes.pixels.peak)
    return result
