"""What a training step makes smaller."""

from __future__ import annotations

import urllib.error
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidsr.errors import ModelError
from vidsr.weights import tensors

EPSILON = 1e-3
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
VGG_LAYERS = (3, 8, 17, 26, 35)  # the last activation of each of VGG19's five stages
SQUEEZE_LAYERS = (1, 4, 7, 9, 10, 11, 12)  # those that LPIPS looks at in SqueezeNet 1.1


def charbonnier(restored: Tensor, truth: Tensor) -> Tensor:
    """A smooth L1 distance, mean of sqrt(d^2 + e^2) (Lai 2017, LapSRN, equation 3)."""
    return torch.sqrt((restored - truth) ** 2 + EPSILON**2).mean()


def temporal(restored: Tensor, truth: Tensor) -> Tensor:
    """How differently two neighbouring frames change: `(2N, 3, h, w)`, pair by pair; Charbonnier of the differences."""
    return charbonnier(restored[1::2] - restored[0::2], truth[1::2] - truth[0::2])


@dataclass(frozen=True)
class Rivalry:
    """An adversarial loss on the discriminator's scores of true and of restored pictures, for either side."""

    critic: Callable[[Tensor, Tensor], Tensor]
    network: Callable[[Tensor, Tensor], Tensor]


def _hinge(real: Tensor, fake: Tensor) -> Tensor:
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def _relativistic(winner: Tensor, loser: Tensor) -> Tensor:
    above, below = winner - loser.mean(), loser - winner.mean()
    return (F.softplus(-above).mean() + F.softplus(below).mean()) / 2


RIVALRIES = {
    "hinge": Rivalry(_hinge, lambda _, fake: -fake.mean()),
    "relativistic": Rivalry(_relativistic, lambda real, fake: _relativistic(fake, real)),
}
"""Hinge (Miyato 2018, spectral normalisation, equations 16 and 17); relativistic average (Jolicoeur-Martineau 2018,
section 4.2, as in ESRGAN, Wang 2018, equations 1 and 2)."""


def backbone(source: str) -> tuple[nn.Sequential, tuple[int, ...]]:
    """A frozen classifier's feature layers and which of them to compare.

    `source` is "vgg19", whose weights torchvision downloads on first use, or a file with the weights of torchvision's
    SqueezeNet 1.1. Raises ModelError where the download fails or the file does not fit.
    """
    from torchvision import models

    if source == "vgg19":
        try:
            network = models.vgg19(weights=models.VGG19_Weights.IMAGENET1K_V1)
        except (urllib.error.URLError, OSError, RuntimeError) as error:
            raise ModelError(
                "VGG19 for the perceptual loss could not be downloaded; give --perceptual a file of SqueezeNet 1.1",
                str(error),
            ) from error
        return network.features, VGG_LAYERS
    network = models.squeezenet1_1(weights=None, num_classes=_classes(source))
    network.load_state_dict(_state(Path(source)))
    return network.features, SQUEEZE_LAYERS


def _state(path: Path) -> dict[str, Tensor]:
    state = tensors(path)
    if "features.0.weight" not in state or "classifier.1.weight" not in state:
        raise ModelError(f"{path} does not hold the weights of torchvision's SqueezeNet 1.1")
    return state


def _classes(source: str) -> int:
    return len(_state(Path(source))["classifier.1.weight"])


class Features(nn.Module):
    """Unit-length feature maps of a frozen classifier at several depths, of RGB `(B, 3, h, w)` in 0..1."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, source: str) -> None:
        super().__init__()
        self.layers, self.places = backbone(source)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None])
        self.register_buffer("deviation", torch.tensor(IMAGENET_STD)[:, None, None])
        self.eval().requires_grad_(False)

    def forward(self, rgb: Tensor) -> list[Tensor]:
        x, found = (rgb - self.mean) / self.deviation, []
        for place, layer in enumerate(self.layers):
            x = layer(x)
            if place in self.places:
                found.append(F.normalize(x, dim=1, eps=1e-8))
        return found


class Perceptual(nn.Module):
    """How different two pictures look to a classifier: the mean over depths of the squared distance of unit-length
    features, summed over channels (Zhang 2018, LPIPS, equation 1, with equal weights for all channels)."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.features = Features(source)

    def forward(self, restored: Tensor, truth: Tensor) -> Tensor:
        pairs = zip(self.features(restored), self.features(truth), strict=True)
        parts = [((a - b) ** 2).sum(1).mean() for a, b in pairs]
        return torch.stack(parts).mean()
