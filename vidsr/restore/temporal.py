"""Temporal denoising: a face is averaged with the frames before and after, along its motion, where they show the same.

In steps, of three frames each with equal weights: the next ones, then what that gave three frames away, so that four
neighbours make the mean of nine frames. Where something moved that flow did not follow, a pixel keeps to itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vidsr.restore.blend import Restored
from vidsr.restore.resample import bilinear, box_mean

DISTANCES = (1, 3)
"""How far away the two neighbours of each step are, frames."""
REACH = sum(DISTANCES)
"""Frames to either side on which the result depends."""
LEAST, STILL, MOST = 0.4 / 255, 2.0 / 255, 5 / 255
"""Least noise that is assumed between two frames of a face, as a mean absolute difference: where things move, and where
they rest and no warp can have made a difference; and the most."""
REST = 0.25
"""Motion up to about which a pixel rests, pixels a frame or a few."""
STILLEST = 0.25
"""The part of a face's pixels that is taken to be at rest: what they differ by is noise."""
MARGIN = 1.3
"""How many times the noise a difference may be before the average begins to give way to it."""
SOFTNESS = 0.5
"""Over so much of the noise, and LEAST, the share falls to 1/e."""


def sameness(apart: Tensor, motion: Tensor) -> Tensor:
    """How far neighbours show the same, `(K, h, w)` in 0..1, from their mean absolute differences `apart (K, h, w)` and
    the lengths of their motion, pixels, `(K, h, w)`.

    Noise is what the STILLEST quarter of the pixels differs by in the neighbour that is most like the frame. It is
    never more than MOST: where all neighbours moved, motion must not pass for it. What moves counts the less, the less
    noise there is: its average loses more detail than noise.
    """
    kept = max(1, round(STILLEST * apart[0].numel()))
    noise = (MARGIN * apart.flatten(1).kthvalue(kept, 1).values.amin()).clamp(LEAST, MOST)
    rest = (-((motion / REST) ** 2)).exp()
    threshold = torch.maximum(noise, LEAST + (STILL - LEAST) * rest)
    alike = apart.sub(threshold).clamp_min(0).div(SOFTNESS * threshold + LEAST).square().neg().exp()
    return alike * rest.clamp_min(noise / MOST)


@lru_cache(maxsize=32)
def _places(side: int, device: torch.device) -> Tensor:
    """Where the pixels of a square picture lie, `(2, side, side)` x y in -1..1."""
    axis = (2 * torch.arange(side, device=device) + 1) / side - 1
    return torch.stack([axis.expand(side, side), axis[:, None].expand(side, side)])


def _grid(moves: Tensor, fine: int) -> Tensor:
    """Where the pixels of a crop enlarged by `fine` lie in others, `(K, fh, fw, 2)` in -1..1; flow `(K, 2, h, w)`."""
    side = moves.shape[-1]
    return bilinear(moves, fine).mul(2 / side).add_(_places(fine * side, moves.device)).permute(0, 2, 3, 1)


def averaged(face: Restored, others: Sequence[Restored]) -> Restored:
    """A face averaged with its neighbours: both what the network adds to it, and, as `input_delta`, the input under it.

    All have crops of one size. Pixels that differ by more than noise keep to themselves.
    """
    device, fine = face.residual.device, face.fine
    moves = np.stack([face.cut.flow_to(other.cut).transpose(2, 0, 1) for other in others])
    there = torch.from_numpy(moves).to(device)
    own, *near = (_input(one) for one in (face, *others))
    seen = F.grid_sample(torch.stack(near), _grid(there, 1), mode="bicubic", padding_mode="border", align_corners=False)
    motion = box_mean(there.square().sum(1).sqrt(), 1)
    shares = sameness(box_mean((seen - own).abs().mean(1), 1), motion)
    shares = shares / (1 + shares.sum(0))  # (K, h, w)
    input_delta = ((seen - own) * shares[:, None]).sum(0)
    grid, shares = _grid(there, fine), bilinear(shares, fine)
    mean, mode = face.residual, "bicubic" if fine == 1 else "bilinear"
    for k, other in enumerate(others):
        moved = F.grid_sample(other.residual[None], grid[k : k + 1], mode, padding_mode="border", align_corners=False)
        mean = torch.addcmul(mean, moved[0].sub_(face.residual), shares[k])
    return replace(
        face, residual=mean, input_delta=input_delta if face.input_delta is None else face.input_delta + input_delta
    )


def _input(face: Restored) -> Tensor:
    """The crop as averaging has left it, `(3, h, w)`."""
    rgb = torch.from_numpy(face.cut.rgb).to(face.residual.device).permute(2, 0, 1)
    return rgb if face.input_delta is None else rgb + face.input_delta
