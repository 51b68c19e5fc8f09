"""What training keeps between steps: networks, optimisers, how far it came; and how it is saved."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from vidsr.config import Train
from vidsr.errors import VidsrError
from vidsr.files import fsync_rename, partial_of
from vidsr.networks import model_file
from vidsr.networks.baselines import SrganCritic
from vidsr.networks.generator import SCALE, Critic
from vidsr.training.losses import Perceptual

Part = nn.Module | torch.optim.Optimizer


@dataclass
class GanStage:
    """The GAN stage's opponents of the network: a critic that learns with it, and a classifier that does not."""

    critic: nn.Module
    optimiser: torch.optim.Optimizer
    perceptual: Perceptual


@dataclass
class State:
    """Everything that a later run needs to go on."""

    network: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    gan: GanStage | None = None
    step: int = 0

    def _parts(self) -> dict[str, Part]:
        parts: dict[str, Part] = {"network": self.network, "average": self.average, "optimiser": self.optimiser}
        if self.gan is not None:
            parts |= {"critic": self.gan.critic, "critic_optimiser": self.gan.optimiser}
        return parts

    def save(self, path: Path) -> None:
        """Write a checkpoint under a temporary name and rename it."""
        partial = partial_of(path)
        states: dict[str, object] = {name: part.state_dict() for name, part in self._parts().items()}
        torch.save(states | {"step": self.step}, partial)
        fsync_rename(partial, path)

    def resume(self, path: Path) -> None:
        """Take up a checkpoint, if there is one; VidsrError if it is of another kind of run."""
        if not path.is_file():
            return
        try:
            saved = model_file.tensors(path)
            for name, part in self._parts().items():
                part.load_state_dict(saved[name])
            self.step = int(saved["step"])
        except (KeyError, ValueError, RuntimeError) as error:
            raise VidsrError(f"{path} does not fit these settings; remove it to begin anew", str(error)) from error

    def follow(self, most: float) -> None:
        """Let the average follow the network (EMA); faster in the beginning, when it knows nothing yet."""
        keep = min(most, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            for slow, fast in zip(self.average.parameters(), self.network.parameters(), strict=True):
                slow.lerp_(fast, 1 - keep)
            for kept, found in zip(self.average.buffers(), self.network.buffers(), strict=True):
                kept.copy_(found)


def architecture(settings: Train) -> model_file.Card:
    """The header of the model that these settings make, without what is only known at its end."""
    sizes = {"window": settings.window, "features": settings.features, "blocks": settings.blocks}
    licence = "non-commercial research"
    return model_file.Card(settings.architecture, sizes, settings.stage, licence, settings.data, "", {})


def _adam(network: nn.Module, settings: Train) -> torch.optim.Optimizer:
    return torch.optim.Adam(network.parameters(), lr=settings.rate, betas=(0.9, 0.99))


def fresh(settings: Train, device: torch.device) -> State:
    """The beginning of a run: equal settings give equal weights."""
    torch.manual_seed(settings.seed)
    card, layout = architecture(settings), torch.channels_last
    network, average = (model_file.build(card).to(device).to(memory_format=layout) for _ in range(2))
    if settings.initial is not None:
        network.load_state_dict(model_file.load_own(settings.initial).network.state_dict())
    average.load_state_dict(network.state_dict())
    average.eval().requires_grad_(False)
    state = State(network, average, _adam(network, settings))
    if settings.stage == "gan":
        features, side = settings.critic_features, settings.patch * SCALE
        critic = SrganCritic(features, side) if settings.critic == "srgan" else Critic(features)
        critic = critic.to(device).to(memory_format=layout)
        perceptual = Perceptual(settings.perceptual).to(device).to(memory_format=layout)
        state.gan = GanStage(critic, _adam(critic, settings), perceptual)
    return state
