"""The networks: plain modules, shapes on each line."""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

SCALE = 4
"""Every network enlarges by this factor."""


def enlarge(rgb: Tensor) -> Tensor:
    """The plain enlargement that restored faces are measured against: bicubic, `(B, 3, h, w) -> (B, 3, 4h, 4w)`."""
    return F.interpolate(rgb, scale_factor=SCALE, mode="bicubic", align_corners=False)


def silence(layer: nn.Conv2d) -> None:
    """Let a layer begin by giving zero."""
    for number in layer.parameters():
        nn.init.zeros_(number)


class Block(nn.Module):
    """Two convolutions around a ReLU, added to the input; starts as the identity, without batch normalisation.

    After EDSR (Lim 2017, section 3.1), which showed that normalisation costs sharpness here.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(features, features, 3, padding=1)
        self.second = nn.Conv2d(features, features, 3, padding=1)
        silence(self.second)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.second(F.relu(self.first(x)))
        return out


class Vidsr(nn.Module):
    """The restorer: `(B, T, 3, h, w) -> (B, 3, 4h, 4w)`, RGB in 0..1, T neighbouring aligned crops of one face.

    The middle frame's bicubic enlargement plus what the network adds (VDSR's residual, Kim 2016, section 3.1), all
    work at low resolution and one pixel shuffle at the end (ESPCN, Shi 2016). Time is a window, not a state: any
    frame can be computed alone. A fresh network adds nothing.
    """

    def __init__(self, window: int = 5, features: int = 48, blocks: int = 8) -> None:
        super().__init__()
        self.window = window
        self.head = nn.Conv2d(3 * window, features, 3, padding=1)
        self.body = nn.Sequential(*(Block(features) for _ in range(blocks)))
        self.tail = nn.Conv2d(features, 3 * SCALE * SCALE, 3, padding=1)
        silence(self.tail)

    def forward(self, clip: Tensor) -> Tensor:
        return enlarge(clip[:, self.window // 2]) + self.added(clip)

    def added(self, clip: Tensor) -> Tensor:
        """What is added to the plain enlargement: `(B, T, 3, h, w) -> (B, 3, 4h, 4w)`."""
        x = (clip.flatten(1, 2) - 0.5).to(memory_format=torch.channels_last)  # (B, 3T, h, w)
        x = F.relu(self.head(x))  # (B, features, h, w)
        x = x + self.body(x)  # (B, features, h, w)
        return F.pixel_shuffle(self.tail(x), SCALE)  # (B, 3, 4h, 4w)


class Plain(nn.Module):
    """The network that does nothing: the plain enlargement of the window's middle frame."""

    def __init__(self, window: int = 1) -> None:
        super().__init__()
        self.window = window

    def forward(self, clip: Tensor) -> Tensor:
        return enlarge(clip[:, self.window // 2])


@runtime_checkable
class Residual(Protocol):
    """A network that gives what it adds by itself: neither computed twice nor rounded with the picture's own bits."""

    def added(self, clip: Tensor) -> Tensor:
        """`(B, T, 3, h, w)` in 0..1 -> `(B, 3, 4h, 4w)`."""


def added(network: nn.Module, clip: Tensor) -> Tensor:
    """What any network adds to the plain enlargement: `(B, T, 3, h, w)` in 0..1 -> `(B, 3, 4h, 4w)`."""
    if isinstance(network, Residual):
        return network.added(clip)
    restored: Tensor = network(clip)
    return restored - enlarge(clip[:, clip.shape[1] // 2])


class Alone(nn.Module):
    """A network that sees every frame by itself: the middle one stands in the whole window."""

    def __init__(self, network: nn.Module, window: int) -> None:
        super().__init__()
        self.network = network
        self.window = window

    def forward(self, clip: Tensor) -> Tensor:
        restored: Tensor = self.network(self._still(clip))
        return restored

    def added(self, clip: Tensor) -> Tensor:
        """What is added to the plain enlargement: `(B, T, 3, h, w) -> (B, 3, 4h, 4w)`."""
        return added(self.network, self._still(clip))

    def _still(self, clip: Tensor) -> Tensor:
        return clip[:, self.window // 2 : self.window // 2 + 1].expand_as(clip)


class Critic(nn.Module):
    """Tells restored from true faces, patch by patch: RGB `(B, 3, h, w)` in 0..1 -> scores `(B, 1, h / 16, w / 16)`.

    By DCGAN's rules (Radford 2015, section 3): strided convolutions, no pooling, no dense layer, leaky ReLU; spectral
    normalisation (Miyato 2018) in the place of batch normalisation, so that one picture's score is its own.
    """

    def __init__(self, features: int = 48) -> None:
        super().__init__()
        widths = [3, features, 2 * features, 4 * features, 8 * features]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [spectral_norm(nn.Conv2d(before, after, 4, 2, 1)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1)))

    def forward(self, rgb: Tensor) -> Tensor:
        scores: Tensor = self.layers(2 * rgb - 1)
        return scores


def parameters(network: nn.Module) -> int:
    """How many numbers the network holds."""
    return sum(p.numel() for p in network.parameters())
