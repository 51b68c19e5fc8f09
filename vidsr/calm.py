"""What stands still in a face is averaged over time: noise and the codec's flicker leave it, a blink does not."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vidsr.resize import around, bicubic, bilinear

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
TOGETHER = 1 << 20
"""Pixels of shares that are enlarged at once: more would not stay in a processor's cache."""


def likeness(crop: Tensor, others: Tensor) -> Tensor:
    """How far other crops `(K, 3, h, w)` show the same as `crop (3, h, w)`: `(K, h, w)` in 0..1.

    Compared are means over 3 x 3 pixels, with what the calmest quarter of the pixels differs by from the crop that is
    most like this one: where a head turns, it soon has nothing in common with its neighbours but flat skin.
    """
    apart = around((others - crop).abs_().mean(1), 1)
    some = apart[:, ::2, ::2].flatten(1)  # means of 9 pixels: every second one of them tells as much as all
    kept = max(1, round(CALM_SHARE * some.shape[1]))
    noise = MARGIN * some.kthvalue(kept, 1).values.amin()
    noise = noise.clamp(NOISE, MOST)
    return apart.sub_(noise).clamp_min_(0).div_(noise + SOFTNESS).square_().neg_().exp_()


def calmed(crop: Tensor, added: Tensor, crops: Sequence[Tensor], additions: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """What a network adds to a face, averaged over neighbouring frames of it, and what averaging does to the input.

    `crop (3, h, w)` and `added (3, fh, fw)`, f being 4, 2 or 1, belong to the frame in question, `crops` and
    `additions` to its neighbours, aligned to the same template. Gives the averaged addition and the change of the plain
    enlargement, both `(3, fh, fw)`. Pixels that differ by more than noise keep to themselves.
    """
    if not crops:
        return added, torch.zeros_like(added)
    others, fine = torch.stack(list(crops)), added.shape[-1] // crop.shape[-1]
    shares = likeness(crop, others)
    total = 1 + shares.sum(0)
    settled = (others - crop).mul_(shares[:, None]).sum(0) / total
    mean = added * bilinear(1 / total[None], fine)[0]
    other = torch.empty_like(mean)
    left = iter(additions)
    parts = -(-len(others) * mean[0].numel() // TOGETHER)
    for part in (shares / total).chunk(parts):
        for share, addition in zip(bilinear(part, fine), left, strict=False):
            mean.addcmul_(share, other.copy_(addition))
    return mean, bicubic(settled, fine)
