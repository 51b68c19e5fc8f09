"""Training: one loop that reads from top to bottom; it saves often and goes on where it stopped.

Under `torchrun -m vidsr train ...` every process takes its part of each batch.
"""

from __future__ import annotations

import logging
import math
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from vidsr.config import Train
from vidsr.data.faces import Images, load_stills
from vidsr.data.samples import Batch, Clips
from vidsr.data.sources import open_all
from vidsr.errors import VidsrError
from vidsr.evaluate import stills
from vidsr.files import check_writable
from vidsr.networks import model_file
from vidsr.restore.restorer import pick_device, pick_dtype
from vidsr.training.checkpoint import State, architecture, fresh
from vidsr.training.losses import RIVALRIES, fidelity, temporal
from vidsr.training.training_log import Progress, TrainingLog, grid

SHOWN = 4  # faces in the log's picture

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Replica:
    """Of those that train together, this process: its device, the numbers it computes with, its number of how many."""

    device: torch.device
    dtype: torch.dtype
    rank: int = 0
    ranks: int = 1

    def wrapped(self, network: nn.Module) -> nn.Module:
        """The network as it is called in a step: with several processes gradients become their mean."""
        if self.ranks == 1:
            return network
        ids = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(network, device_ids=ids, broadcast_buffers=False)


def join(settings: Train) -> Replica:
    """The device that is asked for; under torchrun this process's own, and the others are joined."""
    if settings.precision == "fp16":  # gradients vanish without a scaler; bf16 has fp32's range
        raise VidsrError("training knows fp32 and bf16; give --precision bf16")
    device = pick_device(settings.device)
    dtype = pick_dtype(settings.precision, device)
    dtype = torch.float32 if dtype == torch.float16 else dtype
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return Replica(device, dtype)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Replica(device, dtype, dist.get_rank(), dist.get_world_size())


def rate_factor(step: int, settings: Train) -> float:
    """Warm-up, plateau, cosine to zero: the learning rate's factor at a step."""
    rise = min(1.0, (step + 1) / max(1, settings.warmup))
    left = min(1.0, (settings.steps - step) / max(1, min(settings.decay, settings.steps)))
    return rise * 0.5 * (1 - math.cos(math.pi * left))


def commit() -> str:
    """The checkout's commit, for the model's header; 'unknown' outside of one."""
    folder = Path(__file__).parents[1]
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()


def batches(settings: Train, start: int, replica: Replica) -> Iterator[Batch]:
    """This process's part of batch number `start` and of those after it; VidsrError where it cannot be shared."""
    if settings.batch % replica.ranks:
        raise VidsrError(f"--batch {settings.batch} is no multiple of the {replica.ranks} processes that share it")
    cache = Path(settings.output).parent / "faces"
    material = open_all(settings.data, settings.films, cache, settings.held_mib, settings.seed)
    for source in material.sources if replica.rank == 0 else ():
        log.info("%s", source)
    return Clips(material.stills, material.films, settings, replica.rank, replica.ranks).batches(start)


class Trainer:
    """One network and its opponents at work: a step is one call of `update`."""

    def __init__(self, settings: Train, replica: Replica) -> None:
        self.settings = settings
        self.replica = replica
        self.state = fresh(settings, replica.device)
        self.network = replica.wrapped(self.state.network)
        self.critic = replica.wrapped(self.state.gan.critic) if self.state.gan is not None else None
        self._adversary = RIVALRIES[settings.adversarial]

    def update(self, batch: Batch) -> float:
        """One step on one batch; gives the loss, and leaves all weights alone where a loss is not finite."""
        device, state = self.replica.device, self.state
        truth = batch.truth.to(device).to(memory_format=torch.channels_last)
        mixed = self.replica.dtype != torch.float32
        with torch.autocast(device.type, self.replica.dtype) if mixed else nullcontext():
            restored = self.network(batch.clip.to(device)).float().to(memory_format=torch.channels_last)
        loss = self._loss(restored, truth, batch.pairs)
        learning = [self._gradient(loss, state.network, state.optimiser)]
        if state.gan is not None:
            rivals_loss = self._critics_loss(restored.detach(), truth)
            learning.append(self._gradient(rivals_loss, state.gan.critic, state.gan.optimiser))
        if not all(finite for finite, _ in learning):
            return math.nan
        for _, optimiser in learning:
            for group in optimiser.param_groups:
                group["lr"] = self.settings.rate * rate_factor(state.step, self.settings)
            optimiser.step()
        state.follow(self.settings.average)
        state.step += 1
        return loss.item()

    def _loss(self, restored: Tensor, truth: Tensor, pairs: int) -> Tensor:
        settings, gan = self.settings, self.state.gan
        loss = fidelity(restored, truth)
        if pairs and settings.temporal_weight:
            loss = loss + settings.temporal_weight * temporal(restored[-2 * pairs :], truth[-2 * pairs :])
        if gan is not None:
            gan.critic.requires_grad_(False)
            with torch.no_grad():
                real = gan.critic(truth)
            fooling = self._adversary.network(real, gan.critic(restored))
            loss = loss + settings.perceptual_weight * gan.perceptual(restored, truth)
            loss = loss + settings.adversarial_weight * fooling
        return loss

    def _critics_loss(self, restored: Tensor, truth: Tensor) -> Tensor:
        assert self.state.gan is not None and self.critic is not None
        self.state.gan.critic.requires_grad_(True)
        real, fake = self.critic(torch.cat([truth, restored])).chunk(2)
        return self._adversary.critic(real, fake)

    def _gradient(
        self, loss: Tensor, network: nn.Module, optimiser: torch.optim.Optimizer
    ) -> tuple[bool, torch.optim.Optimizer]:
        """The clipped gradient, for a step of Adam; with False where the loss or its gradient is not finite."""
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(network.parameters(), self.settings.clip_norm)
        return math.isfinite(loss.item()) and math.isfinite(norm.item()), optimiser


def _validate(state: State, faces: Images, device: torch.device) -> tuple[float, float, Images]:
    """PSNR-Y at 64 -> 256, bicubic's beside it, and a picture of a few faces."""
    restore = stills.still_restorer(state.average, device)
    ours, plain = (stills.score("", f, list(faces), stills.Metrics()).psnr_y for f in (restore, stills.bicubic))
    small = [stills.reduced(face) for face in faces[:SHOWN]]
    return ours, plain, grid([small, [restore(s) for s in small], list(faces[:SHOWN])])


def train(settings: Train, report: Callable[[Progress], None]) -> Path:
    """Train a model and save it as `settings.output`; gives that path.

    Beside the output lie `.checkpoint`, from which the same command goes on, and the log. A loss that is not finite
    stops with a VidsrError and leaves the last good checkpoint.
    """
    output = Path(settings.output)
    check_writable(output, overwrite=True)
    checkpoint = output.with_suffix(".checkpoint")
    if settings.threads:
        torch.set_num_threads(settings.threads)
    replica = join(settings)
    first = replica.rank == 0
    trainer = Trainer(settings, replica)
    state = trainer.state
    state.resume(checkpoint)
    validation = load_stills(Path(settings.validation))[0] if settings.validation and first else None
    started = saved = time.monotonic()
    losses: list[float] = []
    psnr_y = bicubic = picture = None
    with closing(TrainingLog(output)) if first else nullcontext() as written:
        for batch in batches(settings, state.step, replica):
            if state.step >= settings.steps:
                break
            losses.append(trainer.update(batch))
            if not math.isfinite(losses[-1]):
                raise VidsrError(
                    f"the loss is not finite at step {state.step}; {checkpoint} holds the last good state: "
                    "go on from it with a lower rate"
                )
            if written is None:
                continue
            if state.step % settings.check_every == 0 or state.step == settings.steps:
                if validation is not None:
                    psnr_y, bicubic, picture = _validate(state, validation, replica.device)
                rate = settings.rate * rate_factor(state.step, settings)
                seconds, loss = time.monotonic() - started, float(np.mean(losses))
                progress = Progress(state.step, seconds, rate, loss, psnr_y, bicubic)
                losses.clear()
                written.write(progress, picture)
                report(progress)
            if time.monotonic() - saved > settings.save_s:
                state.save(checkpoint)
                saved = time.monotonic()
    if first:
        state.save(checkpoint)
        found = {"steps": float(state.step)} | ({"psnr_y_64_256": psnr_y} if psnr_y is not None else {})
        model_file.save(output, state.average, replace(architecture(settings), commit=commit(), metrics=found))
    return output
