"""A model learns from samples on disk: python -m docs.recipe.fit -h

It goes on from its checkpoint. A fresh fidelity run begins with the shipped model's weights (`--scratch`: with none).
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from docs.recipe.samples import OFFSETS
from vidsr.networks import model_file
from vidsr.networks.generator import Critic, enlarge
from vidsr.restore.restorer import multiplies_bf16
from vidsr.training.losses import RIVALRIES, Perceptual

CARD = model_file.Card(
    "vidsr",
    {"window": len(OFFSETS), "features": 48, "blocks": 10, "offsets": OFFSETS, "context": (64, 96, 128)},
    "fidelity", "non-commercial research", "coded films and stills", "", {},
)  # fmt: skip
YCBCR = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
CHROMA = 0.25  # of the loss, beside luma's 1
HELD = 160  # files of samples in memory


@dataclass
class Samples:
    """Random windows of a folder's samples, mirrored or not; a file is replaced when its samples were drawn twice."""

    folder: Path
    patch: int
    rng: np.random.Generator
    held: list[list] = field(default_factory=list)

    def _files(self) -> Iterator[Path]:
        while True:  # there may be more the next time
            found = [
                path for path in sorted(self.folder.glob("*_c.npy")) if int(path.stem.split("_")[-2]) >= self.patch
            ]
            if not found:
                raise SystemExit(f"no samples of {self.patch} pixels lie in {self.folder}")
            yield from (found[int(n)] for n in self.rng.permutation(len(found)))

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """`(size, T, 3, p, p)` and `(size, 3, 4p, 4p)`, in 0..1."""
        files = self._files()
        while True:
            clips, truths = zip(*(self._one(files) for _ in range(size)), strict=True)
            clip, truth = (torch.from_numpy(np.stack(part)).float().div_(255) for part in (clips, truths))
            yield clip.permute(0, 1, 4, 2, 3), truth.permute(0, 3, 1, 2)

    def _one(self, files: Iterator[Path]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        while len(self.held) < HELD:
            self.held.append(self._loaded(next(files)))
        number = int(self.rng.integers(HELD))
        clips, truths, left = self.held[number]
        self.held[number][2] -= 1
        if left <= 1:
            self.held[number] = self._loaded(next(files))
        n, patch = int(self.rng.integers(len(clips))), self.patch
        y, x = (int(self.rng.integers(0, clips.shape[2] - patch + 1)) for _ in range(2))
        clip = clips[n, :, y : y + patch, x : x + patch]
        truth = truths[n, 4 * y : 4 * (y + patch), 4 * x : 4 * (x + patch)]
        return (clip[:, :, ::-1], truth[:, ::-1]) if self.rng.random() < 0.5 else (clip, truth)

    @staticmethod
    def _loaded(path: Path) -> list:
        clips, truths = np.load(path), np.load(path.with_name(path.name.replace("_c.npy", "_t.npy")))
        return [clips, truths, 2 * len(clips)]


def fidelity(restored: Tensor, truth: Tensor) -> Tensor:
    """Charbonnier's distance of luma, and a part of chroma's."""
    apart = torch.einsum("ij,bjhw->bihw", YCBCR, restored - truth)
    smooth = torch.sqrt(apart * apart + 1e-6)
    return smooth[:, 0].mean() + CHROMA * smooth[:, 1:].mean()


def fresh(scratch: bool) -> nn.Module:
    """The network, by default with the shipped fidelity model's weights."""
    network = model_file.build(CARD)
    if not scratch:
        network.load_state_dict(model_file.load_own("vidsr_x4_fidelity").network.state_dict())
    return network


class Fit:
    """One run: the network, its average, and in the GAN stage the critic."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.network = fresh(given.scratch)
        if given.gan:
            self.network.load_state_dict(model_file.tensors(given.gan)["average"])
        self.network = self.network.requires_grad_(True).to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network)
        self.optimiser = torch.optim.Adam(self.network.parameters(), given.rate, betas=(0.9, 0.99))
        self.step, self.spent = 0, 0.0
        self.critic = Critic(48).to(memory_format=torch.channels_last) if given.gan else None
        if self.critic is not None:
            self.perceptual = Perceptual(given.perceptual)
            self.judging = torch.optim.Adam(self.critic.parameters(), 2e-4, betas=(0.9, 0.99))
        elif given.output.exists():
            saved = model_file.tensors(given.output)
            self.network.load_state_dict(saved["network"])
            self.average.load_state_dict(saved["average"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.step, self.spent = int(saved["step"]), float(saved["spent"])

    def save(self) -> None:
        """The checkpoint, and the averaged model in half precision beside it."""
        parts = {"network": self.network, "average": self.average, "optimiser": self.optimiser}
        states = {name: part.state_dict() for name, part in parts.items()}
        partial = self.given.output.with_suffix(".part")
        torch.save(states | {"step": self.step, "spent": self.spent}, partial)
        partial.replace(self.given.output)
        model_file.save(self.given.output.with_suffix(".safetensors"), copy.deepcopy(self.average).half(), CARD)

    def learn(self, clip: Tensor, truth: Tensor, rate: float) -> float:
        """One step; gives the fidelity loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bf16()):
            added = self.network.added(clip)
        restored = enlarge(clip[:, clip.shape[1] // 2]) + added.float()
        distance = fidelity(restored, truth)
        loss = distance if self.critic is None else distance + self._fooling(restored, truth)
        self._descend(loss, self.network, self.optimiser)
        if self.critic is not None:
            self.critic.requires_grad_(True)
            real, fake = self.critic(torch.cat([truth, restored.detach()])).chunk(2)
            self._descend(RIVALRIES["hinge"].critic(real, fake), self.critic, self.judging)
        self.step += 1
        keep = min(0.999 if self.critic is None else 0.99, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            for slow, fast in zip(self.average.parameters(), self.network.parameters(), strict=True):
                slow.lerp_(fast, 1 - keep)
        return distance.item()

    def _fooling(self, restored: Tensor, truth: Tensor) -> Tensor:
        assert self.critic is not None
        self.critic.requires_grad_(False)
        adversarial = RIVALRIES["hinge"].network(restored, self.critic(restored))
        return 0.02 * self.perceptual(restored, truth) + min(1.0, self.step / 60) * 0.01 * adversarial

    @staticmethod
    def _descend(loss: Tensor, network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if torch.isfinite(nn.utils.clip_grad_norm_(network.parameters(), 0.5)):
            optimiser.step()


def main() -> None:
    """Learn for so many minutes of this and earlier runs together; the rate falls over the last part."""
    parser = argparse.ArgumentParser()
    parser.add_argument("samples", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the checkpoint")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--decay", type=float, default=20.0, help="last minutes, over which the rate falls")
    parser.add_argument("--rate", type=float, default=4e-4)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--patch", type=int, default=48)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--scratch", action="store_true")
    parser.add_argument("--gan", type=Path, help="the checkpoint of a fidelity run, to go on from")
    parser.add_argument("--perceptual", default="vgg19")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    fit, losses, began = Fit(given), [], time.monotonic()
    before = fit.spent
    samples = Samples(given.samples, given.patch, np.random.default_rng(fit.step))
    for clip, truth in samples.batches(given.batch):
        fit.spent = before + time.monotonic() - began
        left = given.minutes - fit.spent / 60
        if left <= 0:
            break
        falling = 0.5 - 0.5 * math.cos(math.pi * min(1.0, left / given.decay))
        losses.append(fit.learn(clip, truth, given.rate * min(1.0, (fit.step + 1) / 200) * falling))
        if fit.step % 100 == 0:
            print(f"{fit.step} {fit.spent / 60:.0f} min {np.mean(losses[-100:]):.5f}", flush=True)
            fit.save()
    fit.save()


if __name__ == "__main__":
    main()
