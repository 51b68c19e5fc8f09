"""MobileFaceNet (Chen 2018) read from ncnn's two files into torch, so that a loss can look through it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

HALF_TAG = 0x01306B47  # of weights in half precision
ADD, MULTIPLY = 0, 2  # codes of ncnn's BinaryOp; 1 subtracts


class Weights:
    """The numbers of ncnn's `.bin`, in the order of the layers."""

    def __init__(self, path: Path) -> None:
        self.data, self.place = path.read_bytes(), 0

    def take(self, *shape: int, tagged: bool = False) -> Tensor:
        half = tagged and self._read(1, np.uint32)[0] == HALF_TAG
        count = int(np.prod(shape))
        values = self._read(count, np.float16 if half else np.float32)
        self.place += -self.place % 4
        return torch.from_numpy(values.astype(np.float32).reshape(shape))

    def _read(self, count: int, kind: type[np.generic]) -> NDArray[np.generic]:
        values = np.frombuffer(self.data, kind, count, self.place)
        self.place += values.nbytes
        return values


class Layer(nn.Module):
    """One line of ncnn's `.param`: its kind, what it reads and writes, and its parameters."""

    def __init__(self, line: str, weights: Weights) -> None:
        super().__init__()
        words = line.split()
        self.kind, inputs, outputs = words[0], int(words[2]), int(words[3])
        self.inputs, self.outputs = words[4 : 4 + inputs], words[4 + inputs : 4 + inputs + outputs]
        self.options = {
            int(key): float(value) for key, value in (word.split("=") for word in words[4 + inputs + outputs :])
        }
        self._load(weights)

    def _load(self, weights: Weights) -> None:
        count, number = int(self.options.get(0, 0)), self.options
        if self.kind.startswith("Convolution"):
            side, groups = int(number[1]), int(number.get(7, 1))
            self.register_buffer(
                "weight", weights.take(count, int(number[6]) // count // side**2, side, side, tagged=True)
            )
            self.register_buffer("bias", weights.take(count) if number.get(5) else None)
            self.how = {"stride": int(number.get(3, 1)), "padding": int(number.get(4, 0)), "groups": groups}
        elif self.kind == "BatchNorm":
            slope, mean, variance, bias = (weights.take(count, 1, 1) for _ in range(4))
            self.register_buffer("scale", slope / torch.sqrt(variance + number.get(1, 0.0)))
            self.register_buffer("shift", bias - mean * self.scale)
        elif self.kind == "PReLU":
            self.register_buffer("weight", weights.take(count))
        elif self.kind == "InnerProduct":
            self.register_buffer("weight", weights.take(count, int(number[2]) // count, tagged=True))
            self.register_buffer("bias", weights.take(count) if number.get(1) else None)

    def forward(self, *inputs: Tensor) -> Tensor:
        x = inputs[0]
        if self.kind.startswith("Convolution"):
            return F.conv2d(x, self.weight, self.bias, **self.how)
        if self.kind == "BatchNorm":
            return x * self.scale + self.shift if x.dim() == 4 else x * self.scale.flatten() + self.shift.flatten()
        if self.kind == "PReLU":
            return F.prelu(x, self.weight)
        if self.kind == "InnerProduct":
            return F.linear(x.flatten(1), self.weight, self.bias)
        if self.kind == "BinaryOp":
            code = int(self.options.get(0, 0))
            other = inputs[1] if len(inputs) > 1 else self.options[2]
            return x + other if code == ADD else x * other if code == MULTIPLY else x - other
        raise ValueError(f"layers of kind {self.kind} are not read")


class Recogniser(nn.Module):
    """RGB `(B, 3, h, w)` in 0..1 of a face -> who it is `(B, 128)`, and feature maps on the way, of unit length."""

    def __init__(self, param: Path) -> None:
        super().__init__()
        weights = Weights(param.with_suffix(".bin"))
        lines = param.read_text().splitlines()[2:]
        layers = [Layer(line, weights) for line in lines if not line.startswith(("Input", "Split"))]
        self.same = {name: line.split()[4] for line in lines if line.startswith("Split") for name in line.split()[5:]}
        if weights.place != len(weights.data):
            raise ValueError(f"{param} does not fit its .bin: {len(weights.data) - weights.place} bytes are left")
        self.layers = nn.ModuleList(layers)
        self.eval().requires_grad_(False)

    def forward(self, rgb: Tensor) -> tuple[Tensor, list[Tensor]]:
        known, maps = {"data": 255 * rgb}, []
        for layer in self.layers:
            assert isinstance(layer, Layer)
            out = layer(*(known[self.same.get(name, name)] for name in layer.inputs))
            known[layer.outputs[0]] = out
            if layer.kind == "BinaryOp" and len(layer.inputs) == 2:
                maps.append(F.normalize(out, dim=1))
        return F.normalize(out, dim=1), maps
