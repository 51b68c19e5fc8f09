"""What stands still in a face is averaged over time: noise and the codec's flicker leave it, a blink does not."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vidsr.network import SCALE, enlarge

REACH = 8
"""Frames to either side that are averaged."""
NOISE, MOST = 1.5 / 255, 12 / 255
"""Least and most noise that is assumed between two frames of a face, as a mean absolute difference."""
CALM_SHARE = 0.25
"""The part of a face's pixels that is taken to be at rest: what they differ by is noise."""
MARGIN = 1.3
"""How many times the noise a difference may be before the average begins to give way to it."""
SOFTNESS = 1.5 / 255
"""Over so much and the noise the share falls to 1/e."""


def likeness(crop: Tensor, others: Tensor) -> Tensor:
    """How far other crops `(K, 3, h, w)` show the same as `crop (3, h, w)`: `(K, 1, h, w)` in 0..1.

    Compared are means over 3 x 3 pixels, with what the calmest quarter of the pixels differs by from the crop that is
    most like this one: where a head turns, it soon has nothing in common with its neighbours but flat skin.
    """
    apart = F.avg_pool2d((others - crop).abs().mean(1, keepdim=True), 3, 1, 1, count_include_pad=False)
    kept = max(1, round(CALM_SHARE * apart[0].numel()))
    noise = MARGIN * apart.flatten(1).kthvalue(kept, 1).values.amin()
    noise = noise.clamp(NOISE, MOST)
    return torch.exp(-(((apart - noise).clamp_min(0) / (noise + SOFTNESS)) ** 2))


def calmed(crop: Tensor, added: Tensor, crops: Sequence[Tensor], additions: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """What a network adds to a face, averaged over neighbouring frames of it, and what averaging does to the input.

    `crop (3, h, w)` and `added (3, 4h, 4w)` belong to the frame in question, `crops` and `additions` to its neighbours,
    aligned to the same template. Gives the averaged addition and the change of the plain enlargement, both
    `(3, 4h, 4w)`. Pixels that differ by more than noise keep to themselves.
    """
    if not crops:
        return added, torch.zeros_like(added)
    others = torch.stack(list(crops))
    shares = likeness(crop, others)
    total = 1 + shares.sum(0)
    settled = (others - crop).mul_(shares).sum(0) / total
    wide = F.interpolate(shares / total, scale_factor=SCALE, mode="bilinear", align_corners=False)
    mean = added * (1 - wide.sum(0))
    for share, other in zip(wide, additions, strict=True):
        mean.addcmul_(share, other.to(mean.dtype))
    return mean, enlarge(settled[None])[0]
