"""Windows of crops to what the network adds to them, in one batch on the device."""

from __future__ import annotations

from copy import deepcopy
from functools import lru_cache

import torch
from torch import Tensor

from vidsr.errors import DeviceError
from vidsr.networks.generator import Plain, Posed, added
from vidsr.networks.model_file import Model
from vidsr.networks.transfer import OomBatching, Transfer, shared_out
from vidsr.system import processor_words

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(name: str) -> torch.device:
    """`auto`, `cpu`, `cuda`, `cuda:N` or `mps` as a device that is here; raises DeviceError with what there is."""
    if name == "auto":
        there = "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device("cuda" if torch.cuda.is_available() else there)
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"{name!r} is no device; use auto, cpu, cuda, cuda:N or mps") from error
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        raise DeviceError(f"{name} was asked for, but {count} CUDA devices are visible; use --device cpu")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(f"{name} was asked for, but this machine or this torch has no Apple GPU; use --device cpu")
    if device.type not in ("cpu", "cuda", "mps"):
        raise DeviceError(f"{name!r} is not supported; use auto, cpu, cuda, cuda:N or mps")
    return device


@lru_cache(maxsize=1)
def multiplies_bf16() -> bool:
    """Whether this CPU has instructions for bf16: without them it takes a hundred times longer than fp32."""
    return not processor_words().isdisjoint(("avx512_bf16", "amx_bf16"))


def pick_dtype(precision: str, device: torch.device) -> torch.dtype:
    """What the network computes in; `auto` is bf16 where the device multiplies it, which costs 0.003 dB and is twice as
    fast as fp32 on a CPU that does; else fp16 on CUDA (before Ampere) and fp32.
    """
    if precision != "auto":
        return DTYPES[precision]
    if device.type == "cuda":
        old = torch.cuda.is_available() and torch.cuda.get_device_capability(device) < (8, 0)
        return torch.float16 if old else torch.bfloat16
    return torch.bfloat16 if device.type == "cpu" and multiplies_bf16() else torch.float32


class Restorer:
    """A model on a device. On the CPU equal crops give equal results whatever else is in the batch; CUDA may choose
    another kernel for another batch, and then the last bits differ.

    `lanes` are the ways of crops to the device and of differences back.
    """

    def __init__(self, model: Model, device: torch.device, dtype: torch.dtype) -> None:
        self.device = device
        self.window = model.window
        self.offsets = model.card.frames
        self.aligned = isinstance(model.network, Posed)
        self.idle = isinstance(model.network, Plain)
        self.lanes = Transfer(device)
        self._dtype = dtype if dtype in model.dtypes else torch.float32
        same = all(one.device == device and one.dtype == self._dtype for one in model.network.parameters())
        network = model.network if same else deepcopy(model.network)  # others hold the model too
        self._network = network.to(device, self._dtype).to(memory_format=model.layout)
        self._shares = model.ours and device.type == "cpu"
        self._portions = OomBatching()

    def added(self, clips: Tensor, to_unit: Tensor | None = None) -> Tensor:
        """What the network adds to the plain enlargement: `(B, T, 3, h, w)` in 0..1 -> `(B, 3, 4h, 4w)` float32.

        `to_unit (B, 2, 3)`, from crops to the template's unit square, is for networks that align faces themselves.
        Exactly zero for a network that returns its plain enlargement. Where the device's memory is too small the
        batch is halved, down to one clip, and stays so; then DeviceError. On CUDA the host does not wait.
        """
        with torch.inference_mode():
            parts = self._portions.run(
                len(clips), lambda part: self._one(clips[part], None if to_unit is None else to_unit[part])
            )
            return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _one(self, clips: Tensor, to_unit: Tensor | None = None) -> Tensor:
        if not self._shares:
            return self._whole(clips, to_unit)
        # Crop by crop, on a CPU: the size of a batch changes the last bits of some layers, and the memory that each
        # layer of 16 crops of 64 pixels takes anew costs a sixth of the time.
        return shared_out(lambda part: torch.cat([self._whole(clip) for clip in part.chunk(len(part))]), clips)

    def _whole(self, clips: Tensor, to_unit: Tensor | None = None) -> Tensor:
        return added(self._network, clips.to(self._dtype), to_unit).float()
