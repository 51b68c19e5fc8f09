"""How a restored face turned out, in numbers for the report."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vidsr.blend import Restored, outline, shown
from vidsr.color import luma
from vidsr.network import enlarge

JUDGED = 5
"""Of so many frames one is looked at for the report: which ones does not depend on how the film was cut."""
LAPLACE = ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0))


@dataclass(frozen=True)
class Verdict:
    """How one restored face turned out, inside its outline.

    `agreement` in 0..1 is the share of what was added that the input allowed; `before` and `after` are the sharpness of
    the plain enlargement and of what is shown: the deviation of the luma's Laplacian (after Pech-Pacheco 2000), in
    grey levels.
    """

    agreement: float
    before: float
    after: float


def verdict(face: Restored) -> Verdict:
    """Judge one restored face; waits for the device."""
    inside = outline(face.added.shape[-1], face.added.device)
    detail, mask = shown(face.added, 1.0)
    plain = enlarge(face.crop.rgb[None])[0]
    after = plain + face.weight * mask * detail
    return Verdict(float(mask.sum() / inside.sum()), _sharpness(plain, inside), _sharpness(after, inside))


def _sharpness(rgb: Tensor, inside: Tensor) -> float:
    edges = F.conv2d(luma(rgb)[None], torch.tensor(LAPLACE, device=rgb.device)[None, None], padding=1)[0, 0]
    return 255 * float(((edges**2 * inside).sum() / inside.sum()).sqrt())
