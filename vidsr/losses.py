"""What a training step makes smaller."""

from __future__ import annotations

import torch
from torch import Tensor

EPSILON = 1e-3


def charbonnier(restored: Tensor, truth: Tensor) -> Tensor:
    """A smooth L1 distance, mean of sqrt(d^2 + e^2) (Lai 2017, LapSRN, equation 3)."""
    return torch.sqrt((restored - truth) ** 2 + EPSILON**2).mean()
