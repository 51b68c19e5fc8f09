"""How good a model is on sharp stills, by the protocol that super-resolution papers use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from vidsr.data import degradation
from vidsr.data.faces import Images, load_stills
from vidsr.evaluate import metrics
from vidsr.networks.generator import SCALE
from vidsr.networks.model_file import Model

SIDES = (256, 128)
"""Sides of the truth: 64 -> 256 and 32 -> 128 pixels."""

Restore = Callable[[Images], Images]


@dataclass(frozen=True)
class Score:
    """Means over all faces; `lpips` and `identity` are NaN where no weights for them were given."""

    model: str
    side: int
    faces: int
    psnr_y: float
    ssim_y: float
    lpips: float
    identity: float


@dataclass(frozen=True)
class Metrics:
    """The measures that need weights; None where they were not given."""

    lpips: metrics.Lpips | None = None
    identity: metrics.Identity | None = None
    distance: metrics.Distance | None = None


def _resized(image: Images, side: int) -> Images:
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


def bicubic(small: Images) -> Images:
    """Pillow's bicubic enlargement by 4: what every model is compared with."""
    return _resized(small, SCALE * small.shape[0])


def reduced(truth: Images) -> Images:
    """A sharp face a quarter as large, by Pillow's bicubic: what every model is given."""
    return _resized(truth, truth.shape[0] // SCALE)


def still_restorer(network: nn.Module, device: torch.device) -> Restore:
    """A network on a still: the same picture in every frame of its window."""
    window = network.window
    assert isinstance(window, int)

    def restore(small: Images) -> Images:
        clip = degradation.as_tensor(small[None, None]).expand(-1, window, -1, -1, -1)
        with torch.inference_mode():
            restored = network(clip.to(device))[0].clamp(0, 1)
        return np.asarray((restored * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy())

    return restore


def score(name: str, restore: Restore, truths: Sequence[Images], judges: Metrics) -> Score:
    """Reduce each truth by 4 (Pillow's bicubic), restore it, and measure.

    PSNR and SSIM on BT.601 studio-range luma of the rounded pictures, 4 pixels cut from every edge (the protocol
    of SRGAN, Ledig 2017, section 3.1, and of the field since); LPIPS on RGB (Zhang 2018); identity on the middle.
    """
    rows = []
    for truth in truths:
        found = restore(reduced(truth))
        distance = judges.lpips(found, truth) if judges.lpips is not None else float("nan")
        person = judges.identity.of_stills(found, truth) if judges.identity is not None else float("nan")
        rows.append((metrics.psnr_y(found, truth), metrics.ssim_y(found, truth), distance, person))
    return Score(name, truths[0].shape[0], len(truths), *(float(value) for value in np.mean(rows, axis=0)))


def stills(folder: Path, models: Sequence[Model], judges: Metrics) -> list[Score]:
    """Scores of bicubic and of each model on the aligned 256-pixel faces below `folder`, at both sides."""
    faces, _ = load_stills(folder)
    found = []
    for side in SIDES:
        truths = [face if side == SIDES[0] else _resized(face, side) for face in faces]
        found.append(score("bicubic", bicubic, truths, judges))
        found += [
            score(model.name, still_restorer(model.network, torch.device("cpu")), truths, judges) for model in models
        ]
    return found
