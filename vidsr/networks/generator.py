"""The networks: plain modules, shapes on each line."""

from __future__ import annotations

from collections.abc import Sequence
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


def silence(layer: nn.Module) -> None:
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

    def forward(self, x: Tensor, tone: Tensor | None = None) -> Tensor:
        """`tone (B, 2, features, 1, 1)` scales and shifts what lies between the two (FiLM, Perez 2018)."""
        inner = self.first(x)
        if tone is not None:
            inner = inner * (1 + tone[:, 0]) + tone[:, 1]
        out: Tensor = x + self.second(F.relu(inner))
        return out


class Context(nn.Module):
    """The face as a whole: a U of layers at 1/2, 1/4, 1/8 of the crop, of any side.

    `(B, features, h, w)` -> the same with what the whole says of each place, and `(B, toned, 2, features, 1, 1)`: a
    scale and a shift for each of `toned` later blocks, from the mean over the crop, which knows how hard the film was
    coded. A fresh one changes nothing.
    """

    def __init__(self, features: int, widths: Sequence[int], toned: int, blocks: int = 2) -> None:
        super().__init__()
        steps = list(pairwise([features, *widths]))
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 3, stride=2, padding=1) for fine, coarse in steps)
        self.body = nn.ModuleList(nn.Sequential(*(Block(width) for _ in range(blocks))) for width in widths)
        self.up = nn.ModuleList(nn.Conv2d(coarse, 4 * fine, 1) for fine, coarse in steps)
        self.film = nn.Sequential(nn.Linear(widths[-1], 64), nn.ReLU(), last := nn.Linear(64, toned * 2 * features))
        self.toned, self.features = toned, features
        silence(self.up[0])
        silence(last)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        finer = []
        for down, body in zip(self.down, self.body, strict=True):
            finer.append(x)
            x = body(F.relu(down(x)))
        tones = self.film(x.mean((2, 3))).unflatten(1, (self.toned, 2, self.features, 1, 1))
        for up, fine in zip(reversed(self.up), reversed(finer), strict=True):
            x = fine + F.pixel_shuffle(up(x), 2)[..., : fine.shape[-2], : fine.shape[-1]]
        return x, tones


class Vidsr(nn.Module):
    """The restorer: `(B, T, 3, h, w) -> (B, 3, 4h, 4w)`, RGB in 0..1, T crops of one face, the others warped to the
    middle one.

    The middle frame's bicubic enlargement plus what the network adds (VDSR's residual, Kim 2016, section 3.1), all
    work at low resolution and one pixel shuffle at the end (ESPCN, Shi 2016). Time is a window, not a state: any
    frame can be computed alone. `context` are the widths of its `Context` after the first blocks; none without. A fresh
    network adds nothing.
    """

    EARLY = 3
    """Blocks before the context."""

    def __init__(self, window: int, features: int, blocks: int, context: Sequence[int] = ()) -> None:
        super().__init__()
        self.window = window
        self.head = nn.Conv2d(3 * window, features, 3, padding=1)
        self.body = nn.ModuleList(Block(features) for _ in range(blocks))
        self.tail = nn.Conv2d(features, 3 * SCALE * SCALE, 3, padding=1)
        self.context = Context(features, context, blocks - self.EARLY) if context else None
        silence(self.tail)

    def forward(self, clip: Tensor) -> Tensor:
        return enlarge(clip[:, self.window // 2]) + self.added(clip)

    def added(self, clip: Tensor) -> Tensor:
        """What is added to the plain enlargement: `(B, T, 3, h, w) -> (B, 3, 4h, 4w)`."""
        x = (clip.flatten(1, 2) - 0.5).to(memory_format=torch.channels_last)  # (B, 3T, h, w)
        x = head = F.relu(self.head(x))  # (B, features, h, w)
        tones: Tensor | None = None
        for number, block in enumerate(self.body):
            if number == self.EARLY and self.context is not None:
                x, tones = self.context(x)
            x = block(x, tones[:, number - self.EARLY] if tones is not None else None)
        return F.pixel_shuffle(self.tail(head + x), SCALE)


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


@runtime_checkable
class Posed(Protocol):
    """A network that wants faces aligned and does that itself."""

    def added_at(self, clip: Tensor, to_unit: Tensor) -> Tensor:
        """As `Residual.added`; `to_unit (B, 2, 3)` maps pixels of each crop to the unit square of the template."""


def added(network: nn.Module, clip: Tensor, to_unit: Tensor | None = None) -> Tensor:
    """What any network adds to the plain enlargement: `(B, T, 3, h, w)` in 0..1 -> `(B, 3, 4h, 4w)`."""
    if isinstance(network, Posed) and to_unit is not None:
        return network.added_at(clip, to_unit)
    if isinstance(network, Residual):
        return network.added(clip)
    restored: Tensor = network(clip)
    return restored - enlarge(clip[:, clip.shape[1] // 2])


class Alone(nn.Module):
    """A network that sees every frame by itself: the middle one stands in the whole window. Asked for `added` only."""

    def __init__(self, network: nn.Module, window: int) -> None:
        super().__init__()
        self.network = network
        self.window = window

    def added(self, clip: Tensor) -> Tensor:
        """What is added to the plain enlargement: `(B, T, 3, h, w) -> (B, 3, 4h, 4w)`."""
        return added(self.network, clip[:, self.window // 2 : self.window // 2 + 1].expand_as(clip))


class Critic(nn.Module):
    """Tells restored from true faces, patch by patch: RGB `(B, 3, h, w)` in 0..1 -> scores `(B, 1, h / 16, w / 16)`.

    By DCGAN's rules (Radford 2015, section 3): strided convolutions, no pooling, no dense layer, leaky ReLU; spectral
    normalisation (Miyato 2018) in the place of batch normalisation, so that one picture's score is its own.
    """

    def __init__(self, features: int) -> None:
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
