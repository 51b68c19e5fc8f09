"""Where `vidsr` comes from: VDSR and SRGAN as in their papers, to be trained on the same data and compared."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidsr.color import luma
from vidsr.networks.generator import enlarge, silence


class Vdsr(nn.Module):
    """VDSR (Kim 2016, section 3.1): `blocks` 3x3 layers on the luma of the bicubic enlargement, plus that enlargement.

    `(B, T, 3, h, w) -> (B, 3, 4h, 4w)`, RGB in 0..1, of the window's middle frame. As in the paper color is bicubic:
    the luma's residual is added to red, green and blue alike, which moves luma by as much and leaves chroma.
    """

    def __init__(self, window: int = 1, features: int = 64, blocks: int = 20) -> None:
        super().__init__()
        self.window = window
        widths = [1, *[features] * (blocks - 1), 1]
        layers = [nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths)]
        for layer in layers:  # section 3.2: the initialisation of He 2015
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        silence(layers[-1])  # begins as the enlargement, as `vidsr` does
        self.layers = nn.ModuleList(layers)

    def forward(self, clip: Tensor) -> Tensor:
        large = enlarge(clip[:, self.window // 2])  # (B, 3, 4h, 4w)
        x = luma(large) - 0.5  # (B, 1, 4h, 4w)
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        out: Tensor = large + self.layers[-1](x)
        return out


class NormalisedBlock(nn.Module):
    """SRResNet's residual block: k3n64s1, batch normalisation, PReLU, k3n64s1, batch normalisation, sum."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(features, features, 3, padding=1),
            nn.BatchNorm2d(features),
            nn.PReLU(),
            nn.Conv2d(features, features, 3, padding=1),
            nn.BatchNorm2d(features),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.layers(x)
        return out


class Srgan(nn.Module):
    """SRGAN's generator, SRResNet (Ledig 2017, figure 4 and section 2.1.1).

    `(B, T, 3, h, w) -> (B, 3, 4h, 4w)`, RGB in 0..1, of the window's middle frame.
    """

    def __init__(self, window: int = 1, features: int = 64, blocks: int = 16) -> None:
        super().__init__()
        self.window = window
        self.head = nn.Sequential(nn.Conv2d(3, features, 9, padding=4), nn.PReLU())  # k9n64s1
        self.body = nn.Sequential(
            *(NormalisedBlock(features) for _ in range(blocks)),
            nn.Conv2d(features, features, 3, padding=1),
            nn.BatchNorm2d(features),
        )
        enlarging: list[nn.Module] = []
        for _ in range(2):  # k3n256s1, pixel shuffle by 2
            enlarging += [nn.Conv2d(features, 4 * features, 3, padding=1), nn.PixelShuffle(2), nn.PReLU()]
        self.enlarging = nn.Sequential(*enlarging)
        self.tail = nn.Conv2d(features, 3, 9, padding=4)  # k9n3s1

    def forward(self, clip: Tensor) -> Tensor:
        x = self.head((2 * clip[:, self.window // 2] - 1).to(memory_format=torch.channels_last))  # (B, features, h, w)
        x = x + self.body(x)  # (B, features, h, w)
        out: Tensor = self.tail(self.enlarging(x))  # (B, 3, 4h, 4w), -1..1 as in section 3.2
        return (out + 1) / 2


class SrganCritic(nn.Module):
    """SRGAN's discriminator (Ledig 2017, figure 4): RGB `(B, 3, side, side)` in 0..1 -> scores `(B, 1)`.

    The scores are before the sigmoid, which the losses take in. `side` is a multiple of 16: the paper's is 96.
    """

    def __init__(self, features: int = 64, side: int = 96) -> None:
        super().__init__()
        plan = [(features << depth, stride) for depth in range(4) for stride in (1, 2)]
        layers: list[nn.Module] = [nn.Conv2d(3, features, 3, 1, 1), nn.LeakyReLU(0.2)]
        for (before, _), (after, stride) in pairwise(plan):
            layers += [nn.Conv2d(before, after, 3, stride, 1), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
        flat = (features << 3) * (side // 16) ** 2
        layers += [nn.Flatten(), nn.Linear(flat, 1024), nn.LeakyReLU(0.2), nn.Linear(1024, 1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, rgb: Tensor) -> Tensor:
        scores: Tensor = self.layers(2 * rgb - 1)
        return scores
