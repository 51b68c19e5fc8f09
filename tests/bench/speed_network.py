"""The network: faces and FLOP a second by crop and batch, beside the rate of a 64-channel 3 x 3 convolution."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tests.bench.figures import Figure, rates, timed
from vidsr.networks import model_file
from vidsr.networks.baselines import Srgan
from vidsr.restore.restorer import Restorer, pick_dtype

PART = "network"
CPU = torch.device("cpu")
MODEL = "vidsr_x4_fidelity"
UNIT = 64


def flop(network: nn.Module, *inputs: Tensor) -> float:
    """Floating-point operations of one call: two for each multiplication with its addition."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(*inputs)
    return float(counter.get_total_flops())


def convolution(side: int, batch: int, runs: int, dtype: torch.dtype) -> tuple[float, ...]:
    """GFLOP a second of convolutions from 64 to 64 channels, 3 x 3, in the fast order of memory and in `dtype`."""
    layer = nn.Conv2d(64, 64, 3, padding=1).to(memory_format=torch.channels_last).eval()
    picture = torch.rand(batch, 64, side, side).to(memory_format=torch.channels_last)
    work = flop(layer, picture) * 8 / 1e9

    def run() -> None:
        x = picture
        for _ in range(8):
            x = layer(x)

    layer, picture = layer.to(dtype), picture.to(dtype)
    with torch.inference_mode():
        return rates(work, timed(run, runs, 2))


def _ours(side: int, batch: int, runs: int, dtype: torch.dtype) -> Figure:
    model = model_file.load(MODEL)
    clips = torch.rand(batch, model.window, 3, side, side)
    work = flop(model.network, clips) / 1e9
    restorer = Restorer(model, CPU, dtype)
    ceiling = convolution(side, batch, runs, dtype)
    found = timed(partial(restorer.added, clips), runs, 2)
    kind = str(dtype).removeprefix("torch.")
    name = (
        f"vidsr in {kind}, {side} -> {4 * side}, {batch} at once: {batch / sorted(found)[len(found) // 2]:.1f} faces/s"
    )
    return Figure(PART, name, "GFLOP/s", rates(work, found), "convolution", ceiling)


def _per_face(network: nn.Module, clip: Tensor, runs: int) -> tuple[float, ...]:
    with torch.inference_mode():
        return tuple(1000 * one for one in timed(partial(network, clip), runs, 1))


def figures(quick: bool) -> Iterator[Figure]:
    """Ours by crop and batch; then one face of 64 -> 256 by others' networks."""
    runs = 3 if quick else 11
    sides = (32, 64, 128) if quick else (32, 48, 64, 96, 128, 192, 256)
    for side in sides:
        batch = max(1, round(16 * (UNIT / side) ** 2))
        for count in (batch,) if quick else dict.fromkeys((1, 4, batch)):
            for dtype in dict.fromkeys((torch.float32, pick_dtype("auto", CPU))):
                yield _ours(side, count, runs, dtype)
    yield from _peers(runs)


def _peers(runs: int) -> Iterator[Figure]:
    restorer = Restorer(model_file.load(MODEL), CPU, torch.float32)
    clips = torch.rand(16, restorer.window, 3, UNIT, UNIT)
    ours = tuple(1000 * one / 16 for one in timed(partial(restorer.added, clips), runs, 2))
    srgan = Srgan(1, 64, 16).eval().to(memory_format=torch.channels_last)
    theirs = _per_face(srgan, clips[:4, :1], runs)
    each = tuple(one / 4 for one in theirs)
    yield Figure(PART, "srgan, a face of 64 -> 256", "ms", each, "vidsr", ours)
    if (gfpgan := _gfpgan()) is not None:
        yield Figure(
            PART, "GFPGAN's, a face of 512", "ms", _per_face(gfpgan, torch.rand(1, 3, 512, 512), 2), "vidsr", ours
        )


def _gfpgan() -> nn.Module | None:
    """GFPGAN v1.4's network with random weights, on which its speed does not depend; None without spandrel."""
    try:
        from spandrel.architectures.GFPGAN import GFPGAN
    except ImportError:
        print("GFPGAN's network is left out: it needs the package spandrel", flush=True)
        return None
    network: nn.Module = GFPGAN(input_is_latent=True, different_w=True, sft_half=True)
    return network.eval()
