"""How a restored face turned out, in numbers for the report."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vidsr.color import luma
from vidsr.restore.resample import bicubic


def measured(pictures: Tensor, rgb: Tensor, weights: Tensor, inside: Tensor) -> Tensor:
    """Measure restored faces on the device: what `shown` gives `(N, 4, fh, fw)`, crops `(N, 3, h, w)`, weights `(N,)`,
    masks `(N, fh, fw)`.

    The numbers of Quality, in their order: `(N, 3)`. `f` is 4, or less where the output resolves less.
    """
    plain = bicubic(luma(rgb)[:, 0], pictures.shape[-1] // rgb.shape[-1])
    after = plain + weights[:, None, None] * luma(pictures[:, :3])[:, 0]
    agreement = pictures[:, 3].sum((1, 2)) / inside.sum((1, 2)).clamp_min(1e-6)
    return torch.stack([agreement, _sharpness(plain, inside), _sharpness(after, inside)], 1)


def _sharpness(grey: Tensor, inside: Tensor) -> Tensor:
    """Of pictures `(N, h, w)`: `(N,)`."""
    around = F.pad(grey, (1, 1, 1, 1))
    edges = around[:, 2:, 1:-1] + around[:, :-2, 1:-1] + around[:, 1:-1, 2:] + around[:, 1:-1, :-2] - 4 * grey
    return 255 * ((edges**2 * inside).sum((1, 2)) / inside.sum((1, 2)).clamp_min(1e-6)).sqrt()
