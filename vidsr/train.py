"""Training: one loop that reads from top to bottom; it saves often and goes on where it stopped."""

from __future__ import annotations

import csv
import math
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vidsr import degrade, metrics, weights
from vidsr.config import Train
from vidsr.data.clips import Batch, Clips, Mix
from vidsr.data.films import FilmFaces
from vidsr.data.stills import Images, Pictures, load_stills, synthetic
from vidsr.errors import VidsrError
from vidsr.losses import Perceptual, charbonnier, critic_loss, fooling_loss
from vidsr.network import Critic, Vidsr, enlarge
from vidsr.upscale import pick_device


@dataclass
class Rival:
    """The GAN stage's opponents of the network: a critic that learns with it, and a classifier that does not."""

    critic: Critic
    optimiser: torch.optim.Optimizer
    perceptual: Perceptual


@dataclass
class State:
    """Everything that a later run needs to go on: networks, optimisers, and how far it came."""

    network: Vidsr
    average: Vidsr
    optimiser: torch.optim.Optimizer
    rival: Rival | None = None
    step: int = 0

    def _parts(self) -> dict[str, nn.Module | torch.optim.Optimizer]:
        parts: dict[str, nn.Module | torch.optim.Optimizer] = {
            "network": self.network,
            "average": self.average,
            "optimiser": self.optimiser,
        }
        if self.rival is not None:
            parts |= {"critic": self.rival.critic, "critic_optimiser": self.rival.optimiser}
        return parts

    def save(self, path: Path) -> None:
        """Write a checkpoint under a temporary name and rename it."""
        partial = path.with_name(path.name + ".partial")
        states: dict[str, object] = {name: part.state_dict() for name, part in self._parts().items()}
        torch.save(states | {"step": self.step}, partial)
        partial.replace(path)

    def resume(self, path: Path) -> None:
        """Take up a checkpoint, if there is one; VidsrError if it is of another kind of run."""
        if not path.is_file():
            return
        try:
            saved = weights.tensors(path)
            for name, part in self._parts().items():
                part.load_state_dict(saved[name])
            self.step = int(saved["step"])
        except (KeyError, ValueError, RuntimeError) as error:
            raise VidsrError(f"{path} does not fit these settings; remove it to begin anew", str(error)) from error


@dataclass(frozen=True)
class Progress:
    """One line of the training's log."""

    step: int
    seconds: float
    rate: float
    loss: float
    psnr_y: float | None
    bicubic_psnr_y: float | None


def rate_factor(step: int, settings: Train) -> float:
    """Warm-up, plateau, cosine to zero: the learning rate's factor at a step."""
    rise = min(1.0, (step + 1) / max(1, settings.warmup))
    left = min(1.0, (settings.steps - step) / max(1, min(settings.decay, settings.steps)))
    return rise * 0.5 * (1 - math.cos(math.pi * left))


def commit() -> str:
    """The checkout's commit, for the model's header; 'unknown' outside of one."""
    folder = Path(__file__).parent
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()


def _fresh(settings: Train, device: torch.device) -> State:
    torch.manual_seed(settings.seed)
    network, average = (
        Vidsr(settings.window, settings.features, settings.blocks).to(device).to(memory_format=torch.channels_last)
        for _ in range(2)
    )
    if settings.initial is not None:
        network.load_state_dict(weights.load(settings.initial).network.state_dict())
    average.load_state_dict(network.state_dict())
    average.requires_grad_(False)
    state = State(network, average, _adam(network, settings))
    if settings.stage == "gan":
        critic = Critic(settings.critic_features).to(device).to(memory_format=torch.channels_last)
        perceptual = Perceptual(settings.perceptual).to(device).to(memory_format=torch.channels_last)
        state.rival = Rival(critic, _adam(critic, settings), perceptual)
    return state


def _adam(network: nn.Module, settings: Train) -> torch.optim.Optimizer:
    return torch.optim.Adam(network.parameters(), lr=settings.rate, betas=(0.9, 0.99))


def _batches(settings: Train, start: int) -> Iterator[Batch]:
    mix = Mix(settings.batch, settings.film, settings.moving, settings.patch, settings.window, settings.reels)
    if settings.data == "synthetic":
        faces = synthetic(np.random.default_rng(settings.seed))
    else:
        faces, _ = load_stills(Path(settings.data))
    films = FilmFaces(Path(settings.films), Path(settings.output).parent / "faces") if settings.films else None
    return Clips(Pictures(faces), films, mix, settings.seed).batches(start)


def stills_psnr(restore: Callable[[Tensor], Tensor], faces: Images, window: int) -> float:
    """Mean PSNR-Y of `(N, 4h, 4w, 3)` faces reduced by 4 (Pillow's bicubic) and restored, a still in every window."""
    total = 0.0
    for face in faces:
        small = degrade.bicubic(degrade.as_tensor(face[None]))
        restored = restore(small.unsqueeze(1).expand(-1, window, -1, -1, -1))
        picture = (restored[0].clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
        total += metrics.psnr_y(picture, face)
    return total / len(faces)


def _validate(state: State, settings: Train, device: torch.device) -> tuple[float | None, float | None]:
    if settings.validation is None:
        return None, None
    faces, _ = load_stills(Path(settings.validation))
    window = settings.window
    with torch.inference_mode():
        ours = stills_psnr(lambda clip: state.average(clip.to(device)), faces, window)
        plain = stills_psnr(lambda clip: enlarge(clip[:, window // 2]), faces, window)
    return ours, plain


def _update(state: State, batch: Batch, settings: Train, device: torch.device) -> float:
    """One step on one batch; gives the loss, and leaves the weights alone where it is not finite."""
    clip, truth = batch.clip.to(device), batch.truth.to(device).to(memory_format=torch.channels_last)
    restored = state.network(clip).to(memory_format=torch.channels_last)
    loss = charbonnier(restored, truth)
    if state.rival is not None:
        state.rival.critic.requires_grad_(False)
        loss = loss + settings.perceptual_weight * state.rival.perceptual(restored, truth)
        loss = loss + settings.adversarial_weight * fooling_loss(state.rival.critic(restored))
    if not _descend(loss, state.network, state.optimiser, state.step, settings):
        return math.nan
    if state.rival is not None:
        critic = state.rival.critic.requires_grad_(True)
        doubt = critic_loss(critic(truth), critic(restored.detach()))
        if not _descend(doubt, critic, state.rival.optimiser, state.step, settings):
            return math.nan
    keep = min(settings.average, (state.step + 1) / (state.step + 10))
    for slow, fast in zip(state.average.parameters(), state.network.parameters(), strict=True):
        slow.lerp_(fast.detach(), 1 - keep)
    state.step += 1
    return loss.item()


def _descend(loss: Tensor, network: nn.Module, optimiser: torch.optim.Optimizer, step: int, settings: Train) -> bool:
    """One step of Adam; False, and nothing changed, where the loss or its gradient is not finite."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(network.parameters(), settings.clip_norm)
    if not (math.isfinite(loss.item()) and math.isfinite(norm.item())):
        return False
    for group in optimiser.param_groups:
        group["lr"] = settings.rate * rate_factor(step, settings)
    optimiser.step()
    return True


def train(settings: Train, report: Callable[[Progress], None]) -> Path:
    """Train a model and save it as `settings.output`; gives that path.

    Beside the output lie `.checkpoint`, from which the same command goes on, and `.csv`, the curve. A loss that is not
    finite stops with a VidsrError and leaves the last good checkpoint.
    """
    output = Path(settings.output)
    checkpoint, log = output.with_suffix(".checkpoint"), output.with_suffix(".csv")
    if settings.threads:
        torch.set_num_threads(settings.threads)
    device = pick_device(settings.device)
    state = _fresh(settings, device)
    state.resume(checkpoint)
    started = saved = time.monotonic()
    losses: list[float] = []
    result: tuple[float | None, float | None] = (None, None)
    for batch in _batches(settings, state.step):
        if state.step >= settings.steps:
            break
        losses.append(_update(state, batch, settings, device))
        if not math.isfinite(losses[-1]):
            raise VidsrError(
                f"the loss is not finite at step {state.step}; {checkpoint} holds the last good state: "
                "go on from it with a lower rate"
            )
        if state.step % settings.check_every == 0 or state.step == settings.steps:
            result = _validate(state, settings, device)
            rate = settings.rate * rate_factor(state.step, settings)
            progress = Progress(state.step, time.monotonic() - started, rate, float(np.mean(losses)), *result)
            losses.clear()
            _append(log, progress)
            report(progress)
        if time.monotonic() - saved > settings.save_s:
            state.save(checkpoint)
            saved = time.monotonic()
    state.save(checkpoint)
    found = {"steps": float(state.step)} | ({"psnr_y_64_256": result[0]} if result[0] is not None else {})
    card = weights.Card(
        "vidsr",
        settings.window,
        settings.features,
        settings.blocks,
        settings.stage,
        "non-commercial research",
        settings.data,
        commit(),
        found,
    )
    weights.save(output, state.average, card)
    return output


def _append(log: Path, progress: Progress) -> None:
    row = asdict(progress)
    fresh = not log.exists()
    with log.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if fresh:
            writer.writeheader()
        writer.writerow(row)
