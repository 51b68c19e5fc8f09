"""A model learns from samples on disk: python -m docs.recipe.fit -h

It goes on from its checkpoint. A fresh fidelity run begins with the shipped model's weights (`--scratch`: with none).
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from docs.recipe.recogniser import Recogniser
from docs.recipe.samples import OFFSETS, Images, rounded
from vidsr.analysis.alignment import RADII
from vidsr.config import CROP_STEP
from vidsr.evaluate.metrics import FACE, MIDDLE
from vidsr.networks import model_file
from vidsr.networks.generator import SCALE, Critic, added, enlarge
from vidsr.restore.crop import RIM
from vidsr.restore.resample import narrowed
from vidsr.restore.restorer import multiplies_bf16
from vidsr.training.losses import RIVALRIES, Perceptual, feature_distance, fidelity

SIZES: dict[str, dict[str, object]] = {
    "vidsr": {"window": len(OFFSETS), "features": 48, "blocks": 10, "offsets": OFFSETS, "context": (64, 96, 128)},
    "srgan": {"window": 1, "features": 64, "blocks": 16},
    "vdsr": {"window": 1, "features": 64, "blocks": 20},
}


def card_of(architecture: str) -> model_file.Card:
    """What is written beside a network of the recipe's size."""
    return model_file.Card(
        architecture, SIZES[architecture], "fidelity", "non-commercial research", "coded films and stills", "", {}
    )


REDUCED = 0.25  # of the fidelity of both reduced again: what the film was before its codec
PERCEPTUAL, ADVERSARIAL, IDENTITY, FEATURES, GRID = 0.12, 0.01, 0.08, 0.04, 0.04  # of the GAN stage
KERNEL, SIGMA = 15, 2.5  # over how many low-resolution pixels something repeats that counts as a grid
CLIP = 0.5  # the largest norm of a gradient
HELD = 160  # files of samples in memory


@dataclass
class Samples:
    """Random windows of a folder's samples, mirrored or not; a file is replaced when its samples were drawn twice."""

    folder: Path
    patch: int
    rng: np.random.Generator
    faces: bool = False
    """Whole faces: about the middle of windows not much larger than the patch."""
    held: list[list] = field(default_factory=list)

    def _files(self) -> Iterator[Path]:
        while True:  # there may be more the next time
            sides = {path: int(path.stem.split("_")[-2]) for path in sorted(self.folder.glob("*_c.npy"))}
            most = 1.5 * self.patch if self.faces else math.inf
            found = [path for path, side in sides.items() if self.patch <= side <= most]
            if not found:
                raise SystemExit(f"no samples of {self.patch} pixels lie in {self.folder}")
            yield from (found[int(n)] for n in self.rng.permutation(len(found)))

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """`(size, T, 3, p, p)` and `(size, 3, 4p, 4p)`, in 0..1, and where the faces are `(size, 3)`, see `chips`."""
        files = self._files()
        while True:
            clips, truths, places = zip(*(self._one(files) for _ in range(size)), strict=True)
            clip, truth = (torch.from_numpy(np.stack(part)).float().div_(255) for part in (clips, truths))
            yield clip.permute(0, 1, 4, 2, 3), truth.permute(0, 3, 1, 2), torch.tensor(places)

    def _one(self, files: Iterator[Path]) -> tuple[Images, Images, tuple[float, float, float]]:
        while len(self.held) < HELD:
            self.held.append(self._loaded(next(files)))
        number = int(self.rng.integers(HELD))
        clips, truths, left = self.held[number]
        self.held[number][2] -= 1
        if left <= 1:
            self.held[number] = self._loaded(next(files))
        n, patch = int(self.rng.integers(len(clips))), self.patch
        spare = clips.shape[2] - patch
        least = max(0, spare // 2 - 8) if self.faces else 0
        y, x = (int(self.rng.integers(least, spare - least + 1)) for _ in range(2))
        clip = clips[n, :, y : y + patch, x : x + patch]
        truth = truths[n, 4 * y : 4 * (y + patch), 4 * x : 4 * (x + patch)]
        side = clips.shape[2]
        across, down = ((side - 2 * start) / patch - 1 for start in (x, y))
        window = (side - CROP_STEP / 2) / (2 * RIM * max(RADII))  # in the mean, of what `crop_side` rounds up
        if mirrored := self.rng.random() < 0.5:
            clip, truth = clip[:, :, ::-1], truth[:, ::-1]
        place = (-across if mirrored else across, down - 0.06 * window / patch, MIDDLE * window / patch)
        return (*self._varied(clip, truth), place)

    def _varied(self, clip: Images, truth: Images) -> tuple[Images, Images]:
        """Backwards in time, or in another light, each by chance."""
        if self.rng.random() < 0.5:
            clip = clip[::-1]
        light = self.rng.uniform(0.75, 1.2) * self.rng.uniform(0.94, 1.06, 3)
        if self.rng.random() < 0.4 and truth.max() * light.max() <= 255:
            clip, truth = rounded(clip * light), rounded(truth * light)
        return clip, truth

    @staticmethod
    def _loaded(path: Path) -> list:
        clips, truths = np.load(path), np.load(path.with_name(path.name.replace("_c.npy", "_t.npy")))
        return [clips, truths, 2 * len(clips)]


def sharper(fidelity_state: Mapping[str, Tensor], scratch: bool) -> dict[str, Tensor]:
    """Where a GAN run begins: the fidelity run's weights, and what the shipped GAN model adds to the shipped one."""
    if scratch:
        return dict(fidelity_state)
    plain, gan = (model_file.load_own(f"vidsr_x4_{stage}").network.state_dict() for stage in ("fidelity", "gan"))
    return {name: numbers + gan[name].float() - plain[name].float() for name, numbers in fidelity_state.items()}


def chips(rgb: Tensor, places: Tensor) -> Tensor:
    """The recogniser's pictures `(B, 3, 112, 112)` of faces whose middle and half side lie at `places (B, 3)`: x, y and
    half, with the picture from -1 to 1."""
    x, y, half = places.to(rgb.dtype).unbind(1)
    zero = torch.zeros_like(half)
    matrix = torch.stack([half, zero, x, zero, half, y], 1).view(-1, 2, 3)
    small = min(rgb.shape[-1], 2 * FACE)
    grid = F.affine_grid(matrix, [len(rgb), 3, FACE, FACE], align_corners=False)
    return F.grid_sample(F.interpolate(rgb, size=small, mode="area"), grid, padding_mode="border", align_corners=False)


def woven(rgb: Tensor) -> Tensor:
    """What repeats every four pixels: each of the 16 places of a pixel shuffle, averaged over its neighbourhood, less
    the picture averaged alike. `(N, 3, 4h, 4w)` -> the same; `h` and `w` of 8 and more.

    Perceptual losses look through strided layers and do not mind such a grid (Odena 2016).
    """
    places = gaussian_blur(F.pixel_unshuffle(rgb, SCALE), [KERNEL, KERNEL], [SIGMA, SIGMA])  # (N, 48, h, w)
    smooth = gaussian_blur(F.avg_pool2d(rgb, SCALE), [KERNEL, KERNEL], [SIGMA, SIGMA])  # (N, 3, h, w)
    smooth = F.interpolate(smooth, scale_factor=SCALE, mode="bilinear", align_corners=False)
    return F.pixel_shuffle(places, SCALE) - smooth


def fresh(card: model_file.Card, scratch: bool) -> nn.Module:
    """The network, by default with the shipped fidelity model's weights."""
    network = model_file.build(card)
    if not scratch:
        network.load_state_dict(model_file.load_own("vidsr_x4_fidelity").network.state_dict())
    return network


class Fit:
    """One run: the network, its average, and in the GAN stage the critic and what else looks at the picture."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.card = card_of(given.architecture)
        scratch = given.scratch or given.architecture != "vidsr"
        self.network = fresh(self.card, scratch)
        if given.gan:
            self.network.load_state_dict(sharper(model_file.tensors(given.gan)["average"], scratch))
        self.network = self.network.requires_grad_(True).to(memory_format=torch.channels_last)
        self.optimiser = torch.optim.Adam(self.network.parameters(), given.rate, betas=(0.9, 0.99))
        self.parts = {"network": self.network, "average": copy.deepcopy(self.network), "optimiser": self.optimiser}
        self.step, self.spent = 0, 0.0
        if given.gan:
            self.critic = Critic(48).to(memory_format=torch.channels_last)
            self.judging = torch.optim.Adam(self.critic.parameters(), 2e-4, betas=(0.9, 0.99))
            self.parts |= {"critic": self.critic, "judging": self.judging}
            self.perceptual = Perceptual(given.perceptual)
            self.recogniser = Recogniser(given.recogniser) if given.recogniser else None
        if given.output.exists():
            saved = model_file.tensors(given.output)
            for name, part in self.parts.items():
                part.load_state_dict(saved[name])
            self.step, self.spent = int(saved["step"]), float(saved["spent"])

    def save(self) -> None:
        """The checkpoint, and the averaged model in half precision beside it."""
        partial = self.given.output.with_suffix(".part")
        states = {name: part.state_dict() for name, part in self.parts.items()}
        torch.save(states | {"step": self.step, "spent": self.spent}, partial)
        partial.replace(self.given.output)
        model_file.save(
            self.given.output.with_suffix(".safetensors"), copy.deepcopy(self.parts["average"]).half(), self.card
        )

    def learn(self, clip: Tensor, truth: Tensor, places: Tensor, rate: float) -> dict[str, float]:
        """One step; gives each part of the loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        beside = (clip.shape[1] - self.card.window) // 2
        clip = clip[:, beside : beside + self.card.window]
        with torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bf16()):
            residual = added(self.network, clip)
        restored = enlarge(clip[:, clip.shape[1] // 2]) + residual.float()
        small = (narrowed(picture, SCALE) for picture in (restored, truth))
        losses = {"fidelity": fidelity(restored, truth), "reduced": REDUCED * fidelity(*small)}
        if self.given.gan:
            losses |= self._looks(restored, truth, places)
        self._descend(torch.stack(list(losses.values())).sum(), self.network, self.optimiser)
        if self.given.gan:
            self.critic.requires_grad_(True)
            real, fake = self.critic(torch.cat([truth, restored.detach()])).chunk(2)
            self._descend(RIVALRIES["hinge"].critic(real, fake), self.critic, self.judging)
        self.step += 1
        keep = min(0.995 if self.given.gan else 0.999, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            for slow, fast in zip(self.parts["average"].parameters(), self.network.parameters(), strict=True):
                slow.lerp_(fast, 1 - keep)
            for slow, fast in zip(self.parts["average"].buffers(), self.network.buffers(), strict=True):
                slow.copy_(fast)
        return {name: loss.item() for name, loss in losses.items()}

    def _looks(self, restored: Tensor, truth: Tensor, places: Tensor) -> dict[str, Tensor]:
        self.critic.requires_grad_(False)
        fooled = RIVALRIES["hinge"].network(restored, self.critic(restored))
        losses = {
            "perceptual": PERCEPTUAL * self.perceptual(restored, truth),
            "adversarial": min(1.0, self.step / 60) * ADVERSARIAL * fooled,
            "grid": GRID * woven(restored).square().mean() / (restored - truth).detach().square().mean(),
        }
        if self.recogniser is not None:
            who, maps = self.recogniser(chips(restored, places))
            with torch.no_grad():
                person, wanted = self.recogniser(chips(truth, places))
            losses |= {
                "identity": IDENTITY * (1 - (who * person).sum(1)).mean(),
                "features": FEATURES * feature_distance(maps, wanted),
            }
        return losses

    @staticmethod
    def _descend(loss: Tensor, network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if torch.isfinite(nn.utils.clip_grad_norm_(network.parameters(), CLIP)):
            optimiser.step()


def main() -> None:
    """Learn for so many minutes of this and earlier runs together; the rate falls over the last part."""
    parser = argparse.ArgumentParser()
    parser.add_argument("samples", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the checkpoint")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--decay", type=float, default=20.0, help="last minutes, over which the rate falls")
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--scratch", action="store_true")
    parser.add_argument("--architecture", default="vidsr", choices=SIZES, help="the papers' networks, from nothing")
    parser.add_argument("--gan", type=Path, help="the checkpoint of a fidelity run, to go on from")
    parser.add_argument("--perceptual", default="vgg19")
    parser.add_argument("--recogniser", type=Path, help="MobileFaceNet's .param, its .bin beside it")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    fit, losses, began = Fit(given), [], time.monotonic()
    before = fit.spent
    samples = Samples(given.samples, given.patch, np.random.default_rng(fit.step), bool(given.gan))
    for clip, truth, places in samples.batches(given.batch):
        fit.spent = before + time.monotonic() - began
        left = given.minutes - fit.spent / 60
        if left <= 0:
            break
        falling = 0.5 - 0.5 * math.cos(math.pi * min(1.0, left / given.decay))
        losses.append(fit.learn(clip, truth, places, given.rate * min(1.0, (fit.step + 1) / 200) * falling))
        if fit.step % 100 == 0:
            means = (f"{name} {np.mean([loss[name] for loss in losses[-100:]]):.5f}" for name in losses[-1])
            print(fit.step, f"{fit.spent / 60:.0f} min", *means, flush=True)
            fit.save()
    fit.save()


if __name__ == "__main__":
    main()
