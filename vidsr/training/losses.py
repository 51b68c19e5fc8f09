"""What a training step makes smaller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidsr.networks.features import Features

EPSILON = 1e-3
YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
CHROMA = 0.25  # of the fidelity loss, beside luma's 1
SLOPE = 0.0125  # makes the fidelity loss about as steep as the mean distance, whose scale the other weights have


def charbonnier(restored: Tensor, truth: Tensor) -> Tensor:
    """A smooth L1 distance, mean of sqrt(d^2 + e^2) (Lai 2017, LapSRN, equation 3)."""
    return torch.sqrt((restored - truth) ** 2 + EPSILON**2).mean()


def fidelity(restored: Tensor, truth: Tensor) -> Tensor:
    """The logarithm of each sample's squared error in luma, and a quarter of that in chroma: what PSNR measures. RGB
    `(N, 3, h, w)` in 0..1.

    Every sample counts alike (the PSNR loss of HINet, Chen 2021). A mean distance is ruled by the samples that
    are damaged most: the shipped models stood still with it, 0.1 to 0.2 dB lower.
    """
    matrix = torch.tensor(YCBCR, device=restored.device)
    error = torch.einsum("ij,njhw->nihw", matrix, restored - truth).square().mean((2, 3))
    luma, chroma = (torch.log(part + 2 * EPSILON**2).mean() for part in (error[:, 0], error[:, 1:].mean(1)))
    return SLOPE * (luma + CHROMA * chroma)


def temporal(restored: Tensor, truth: Tensor) -> Tensor:
    """How differently two neighbouring frames change: `(2N, 3, h, w)`, pair by pair; Charbonnier of the differences."""
    return charbonnier(restored[1::2] - restored[0::2], truth[1::2] - truth[0::2])


@dataclass(frozen=True)
class Adversary:
    """An adversarial loss on the discriminator's scores of true and of restored pictures, for either side."""

    critic: Callable[[Tensor, Tensor], Tensor]
    network: Callable[[Tensor, Tensor], Tensor]


def _hinge(real: Tensor, fake: Tensor) -> Tensor:
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def _relativistic(winner: Tensor, loser: Tensor) -> Tensor:
    above, below = winner - loser.mean(), loser - winner.mean()
    return (F.softplus(-above).mean() + F.softplus(below).mean()) / 2


RIVALRIES = {
    "hinge": Adversary(_hinge, lambda _, fake: -fake.mean()),
    "relativistic": Adversary(_relativistic, lambda real, fake: _relativistic(fake, real)),
}
"""Hinge (Miyato 2018, spectral normalisation, equations 16 and 17); relativistic average (Jolicoeur-Martineau 2018,
section 4.2, as in ESRGAN, Wang 2018, equations 1 and 2)."""


def feature_distance(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """The mean over depths of the squared distance of unit-length features `(N, C, h, w)`, summed over channels (Zhang
    2018, LPIPS, equation 1, with equal weights for all channels)."""
    return torch.stack([((a - b) ** 2).sum(1).mean() for a, b in zip(found, wanted, strict=True)]).mean()


class Perceptual(nn.Module):
    """How different two pictures look to a classifier: see `feature_distance`."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.features = Features(source)

    def forward(self, restored: Tensor, truth: Tensor) -> Tensor:
        return feature_distance(self.features(restored), self.features(truth))
