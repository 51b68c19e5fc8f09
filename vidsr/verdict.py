"""How a restored face turned out, in numbers for the report."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vidsr.blend import Restored, outline, shown
from vidsr.color import luma
from vidsr.network import enlarge
from vidsr.tally import Verdict

LAPLACE = ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0))


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
