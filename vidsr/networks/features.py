"""What a frozen classifier sees in a picture: its feature maps, for a loss and for measures."""

from __future__ import annotations

import urllib.error
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidsr.errors import ModelError
from vidsr.networks.model_file import tensors

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
VGG_LAYERS = (3, 8, 17, 26, 35)  # the last activation of each of VGG19's five stages
SQUEEZE_LAYERS = (1, 4, 7, 9, 10, 11, 12)  # those that LPIPS looks at in SqueezeNet 1.1


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
    state = tensors(Path(source))
    if "features.0.weight" not in state or "classifier.1.weight" not in state:
        raise ModelError(f"{source} does not hold the weights of torchvision's SqueezeNet 1.1")
    network = models.squeezenet1_1(weights=None, num_classes=len(state["classifier.1.weight"]))
    network.load_state_dict(state)
    return network.features, SQUEEZE_LAYERS


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
