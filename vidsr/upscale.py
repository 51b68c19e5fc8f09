"""Windows of crops to what the network adds to them, in one batch on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from vidsr.errors import DeviceError
from vidsr.network import enlarge
from vidsr.weights import Model

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(name: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:N` as a device that is here; raises DeviceError with what there is."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"{name!r} is no device; use auto, cpu, cuda or cuda:N") from error
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        raise DeviceError(f"{name} was asked for, but {count} CUDA devices are visible; use --device cpu")
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"{name!r} is not supported; use auto, cpu, cuda or cuda:N")
    return device


def pick_dtype(precision: str, device: torch.device) -> torch.dtype:
    """`auto` is bf16 on CUDA and fp32 on the CPU, where bf16 without hardware support is a hundred times slower."""
    if precision == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return DTYPES[precision]


class Restorer:
    """A model on a device. Equal crops give equal results whatever else is in the batch."""

    def __init__(self, model: Model, device: torch.device, dtype: torch.dtype) -> None:
        self.device = device
        self.window = model.window
        self._dtype = dtype if dtype in model.dtypes else torch.float32
        self._network = model.network.to(device, self._dtype).to(memory_format=model.layout)
        self._most = 1 << 30

    def added(self, clips: Tensor) -> Tensor:
        """What the network adds to the plain enlargement: `(B, T, 3, h, w)` in 0..1 -> `(B, 3, 4h, 4w)` float32.

        Exactly zero for a network that returns its plain enlargement. Where the device's memory is too small the
        batch is halved, down to one clip, and stays so; then DeviceError.
        """
        with torch.inference_mode():
            while True:
                try:
                    return torch.cat([self._one(part) for part in torch.split(clips, min(self._most, len(clips)))])
                except torch.cuda.OutOfMemoryError as error:
                    self._halve(len(clips), error)

    def _one(self, clips: Tensor) -> Tensor:
        clips = clips.to(self._dtype)
        restored: Tensor = self._network(clips)
        return (restored - enlarge(clips[:, self.window // 2])).float()

    def _halve(self, batch: int, error: Exception) -> None:
        self._most = min(self._most, batch) // 2
        if self._most == 0:
            raise DeviceError("one face does not fit into the memory of the device; use --device cpu") from error
        torch.cuda.empty_cache()
