"""Our network in whole numbers of 8 bits, for processors that multiply them; needs no package beside torch.

After Krishnamoorthi 2018, "Quantizing deep convolutional networks for efficient inference", sections 2 and 3: weights
in steps of their own for each output, what goes into a layer in 256 steps from the least to the most that it may see.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidsr.data.stills import synthetic
from vidsr.errors import ModelError
from vidsr.network import SCALE, Block, Vidsr

PIXELS = 8192
"""Of crops in one call: what one layer hands to the next stays near the processor."""
PICTURES, SIDE, SEED = 16, 64, 7
"""The made-up crops from which the layers' ranges are taken."""
ROOM = 1.5
"""How much wider than over these crops: the sharpest faces reach farther, and what lies outside is cut off."""
MIDDLE = 128
"""The number that stands for zero in what the head sees; the network's own zero, 127.5, is none."""
AROUND = ([1, 1], [1, 1], [1, 1], 1)
"""Stride, padding, dilation and groups of every layer."""


@dataclass(frozen=True)
class Steps:
    """How 0..255 stand for real numbers: `step * (number - zero)`; zero itself is among them."""

    step: float
    zero: int

    @classmethod
    def over(cls, low: float, high: float) -> Steps:
        """The finest that reach from `low` to `high`."""
        low, high = min(low, 0.0), max(high, 0.0)
        step = max(high - low, 1e-6) / 255
        return cls(step, round(-low / step))

    def numbers(self, x: Tensor) -> Tensor:
        """The nearest numbers, uint8; what lies outside becomes 0 or 255."""
        moved = torch.add(torch.tensor(self.zero - 128.0), x, alpha=1 / self.step).clamp_(-128, 127).round_()
        # By way of int8: from floats torch makes it eight times faster than uint8.
        return moved.to(torch.int8).view(torch.uint8).bitwise_xor_(128)


class _Layer:
    """A convolution of numbers in the steps `taken`: to numbers in the steps `given`, or to float32 where None."""

    def __init__(self, layer: nn.Conv2d, taken: Steps, given: Steps | None = None, relu: bool = False) -> None:
        weight = layer.weight.detach()
        assert layer.bias is not None
        steps = weight.abs().amax((1, 2, 3)).clamp(min=1e-8) / 127
        whole = (weight / steps[:, None, None, None]).round().to(torch.int8)
        shape = [1, layer.in_channels, SIDE, SIDE]
        packed = torch.ops.onednn.qconv_prepack(whole, steps, taken.step, taken.zero, *AROUND, shape)
        self.taken, self.bias = taken, layer.bias.detach().clone()
        self._weight, self._steps, self._zeros = packed, steps, torch.zeros(len(steps), dtype=torch.long)
        self._given, self._kind = given or Steps(1.0, 0), torch.float32 if given is None else torch.uint8
        self._then = "relu" if relu else "none"

    def __call__(self, numbers: Tensor) -> Tensor:
        weight = self._weight, self._steps, self._zeros, self.bias
        given = self._given.step, self._given.zero, self._kind, self._then
        made: Tensor = torch.ops.onednn.qconv2d_pointwise(
            numbers, self.taken.step, self.taken.zero, *weight, *AROUND, *given, [], ""
        )
        return made

    def of(self, x: Tensor) -> Tensor:
        """The same of float32."""
        return self(self.taken.numbers(x))


class Quantized(nn.Module):
    """What a network adds, by 8-bit convolutions on the CPU; sums between them stay float32.

    A clip's result depends on nothing but the clip, bit for bit, however many there are. The processor must have
    what `upscale.multiplies_int8` asks for, or sums overflow.
    """

    def __init__(self, network: Vidsr) -> None:
        super().__init__()
        steps = _seen(network)
        self.window = network.window
        self._head = _Layer(network.head, Steps(1 / 255, MIDDLE), relu=True)
        self._head.bias += (MIDDLE / 255 - 0.5) * network.head.weight.detach().sum((1, 2, 3))
        self._body = [
            (_Layer(one.first, steps[one.first], steps[one.second], relu=True), _Layer(one.second, steps[one.second]))
            for one in network.body
            if isinstance(one, Block)
        ]
        self._tail = _Layer(network.tail, steps[network.tail])

    def added(self, clip: Tensor) -> Tensor:
        """What is added to the plain enlargement: `(B, T, 3, h, w)` float32 -> `(B, 3, 4h, 4w)` float32."""
        few = max(1, PIXELS // (clip.shape[-2] * clip.shape[-1]))
        parts = [self._added(part) for part in torch.split(clip, few)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _added(self, clip: Tensor) -> Tensor:
        x = (clip.flatten(1, 2) - MIDDLE / 255).contiguous(memory_format=torch.channels_last)  # (B, 3T, h, w)
        begin = x = self._head.of(x)  # (B, features, h, w)
        for first, second in self._body:
            x = second(first.of(x)).add_(x)
        return F.pixel_shuffle(self._tail.of(x.add_(begin)), SCALE)  # (B, 3, 4h, 4w)


def quantized(name: str, network: nn.Module) -> Quantized:
    """A model's network in whole numbers; raises ModelError for any that is not of our default architecture."""
    if not isinstance(network, Vidsr):
        raise ModelError(f"{name} cannot compute in int8, which is for networks of the architecture vidsr alone")
    return Quantized(network.float())


def _seen(network: Vidsr) -> dict[nn.Module, Steps]:
    """The steps of what goes into each layer, over made-up crops."""
    seen: dict[nn.Module, Steps] = {}

    def look(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        seen[layer] = Steps.over(ROOM * float(given[0].min()), ROOM * float(given[0].max()))

    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    hooks = [layer.register_forward_pre_hook(look) for layer in layers]
    with torch.inference_mode():
        network.added(_crops(network.window))
    for hook in hooks:
        hook.remove()
    return seen


def _crops(window: int) -> Tensor:
    """Made-up crops that stand still, `(PICTURES, T, 3, SIDE, SIDE)`; no data is needed, and all see the same."""
    pictures = synthetic(np.random.default_rng(SEED), PICTURES, SIDE)
    rgb = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    return rgb[:, None].expand(-1, window, -1, -1, -1)
