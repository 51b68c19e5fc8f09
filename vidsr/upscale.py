"""Windows of crops to what the network adds to them, in one batch on the device."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from vidsr.device import Graphs, Lanes, Portions, shared_out
from vidsr.errors import DeviceError
from vidsr.network import added
from vidsr.quantized import quantized
from vidsr.system import processor_words
from vidsr.weights import Model

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "int8": torch.int8}


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
def _flags() -> frozenset[str]:
    return processor_words()


def multiplies_bf16() -> bool:
    """Whether this CPU has instructions for bf16: without them it takes a hundred times longer than fp32."""
    return not _flags().isdisjoint(("avx512_bf16", "amx_bf16"))


def multiplies_int8() -> bool:
    """Whether this CPU adds up 8-bit products exactly, which older ones overflow on, and this torch lets it."""
    there = not _flags().isdisjoint(("avx512_vnni", "avx_vnni", "amx_int8"))
    return there and hasattr(torch.ops.onednn, "qconv2d_pointwise")


def pick_dtype(precision: str, device: torch.device) -> torch.dtype:
    """What the network computes in; `auto` is bf16 where the device multiplies it, which costs 0.003 dB and is twice as
    fast as fp32 on a CPU that does; else fp16 on CUDA (before Ampere) and fp32. Raises DeviceError where
    int8 is asked of a device without it.
    """
    if precision == "int8" and (device.type != "cpu" or not multiplies_int8()):
        what = "int8 needs --device cpu and a processor with AVX-512 VNNI, AVX-VNNI or AMX (on Linux)"
        raise DeviceError(f"{what}; leave --precision out")
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
        self.lanes = Lanes(device)
        self._dtype = dtype if dtype in model.dtypes else torch.float32
        if dtype == torch.int8:
            self._network: nn.Module = quantized(model.name, model.network)
        else:
            self._network = model.network.to(device, self._dtype).to(memory_format=model.layout)
        # Networks of other projects wait for the device inside.
        self._graphs = Graphs(self._one) if self.lanes.cuda and model.ours else None
        self._shares = model.ours and device.type == "cpu"
        self._portions = Portions(release=self.release)

    def added(self, clips: Tensor) -> Tensor:
        """What the network adds to the plain enlargement: `(B, T, 3, h, w)` in 0..1 -> `(B, 3, 4h, 4w)` float32.

        Exactly zero for a network that returns its plain enlargement. Where the device's memory is too small the
        batch is halved, down to one clip, and stays so; then DeviceError. On CUDA the host does not wait.
        """
        run = self._graphs or self._one
        with torch.inference_mode():
            parts = self._portions.run(len(clips), lambda part: run(clips[part]))
            return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _one(self, clips: Tensor) -> Tensor:
        return shared_out(self._whole, clips) if self._shares else self._whole(clips)

    def _whole(self, clips: Tensor) -> Tensor:
        return added(self._network, clips.to(self._dtype)).float()

    def release(self) -> None:
        """Give the memory of recorded graphs back."""
        if self._graphs is not None:
            self._graphs.forget()
