"""What happens under a hand, a microphone or a strand of hair: faces with things before them whose place is known.

    python -m tests.bench.occluded FOLDER [--model NAME]

Each sharp still gets a drawn occluder, is reduced by 4 (Pillow's bicubic), restored, and blended as a film's faces are:
by its agreement with the input. Inside and outside of the occluder the error is compared with the plain enlargement's.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidsr.data import degradation
from vidsr.data.faces import Images, load_stills
from vidsr.data.occlusion import PAINTERS, occluded
from vidsr.evaluate import metrics
from vidsr.evaluate.stills import reduced
from vidsr.networks import store
from vidsr.networks.generator import SCALE, enlarge
from vidsr.networks.model_file import Model, open_model
from vidsr.restore.blend import masks, shown

COVERED, FREE = 0.5, 0.02
"""A pixel is under the thing above the one share of cover, and beside it below the other."""


@dataclass(frozen=True)
class Score:
    """Gains in PSNR-Y over the plain enlargement, dB, inside of what covers the face and beside it, within the outline.

    `bare` is the network's own picture, `shown` what is blended after the agreement with the input was asked for.
    """

    kind: str
    faces: int
    bare_inside: float
    bare_outside: float
    shown_inside: float
    shown_outside: float


def _error(picture: Tensor, truth: NDArray[np.float64], where: NDArray[np.bool_]) -> float:
    rgb = (picture.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return float(((metrics.luma(rgb) - truth)[where] ** 2).sum())


def _errors(model: Model, clip: Images, mask: NDArray[np.float32]) -> NDArray[np.float64]:
    """Summed squared errors `(3, 2)` of the plain enlargement, the network, and what is shown, inside and beside."""
    small = degradation.as_tensor(reduced(clip)[None])  # (1, 3, h, w)
    plain = enlarge(small)[0]
    with torch.inference_mode():
        bare = model.network(small[:, None].expand(-1, model.window, -1, -1, -1))[0]
    side = small.shape[-1]
    edge = masks(torch.eye(2, 3)[None] / side, side, SCALE)
    added = bare - plain
    blended = plain + shown(added[None], edge)[0, :3]
    face = edge[0].numpy() > 0.5
    truth = metrics.luma(clip)
    places = [face & (mask > COVERED), face & (mask < FREE)]
    return np.array([[_error(picture, truth, place) for place in places] for picture in (plain, bare, blended)])


def score(model: Model, faces: Sequence[Images], seed: int = 1) -> list[Score]:
    """One row for each kind of thing, and one for all of them."""
    rows, total = [], np.zeros((3, 2))
    for number, kind in enumerate(PAINTERS):
        rng = np.random.default_rng([seed, number])
        found = np.zeros((3, 2))
        for face in faces:
            clip, mask = occluded(face[None], rng, kind)
            found += _errors(model, clip[0], mask[0])
        rows.append(_gains(kind, len(faces), found))
        total += found
    return [*rows, _gains("all", len(faces) * len(rows), total)]


def _gains(kind: str, faces: int, errors: NDArray[np.float64]) -> Score:
    gain = 10 * np.log10(errors[0] / errors)  # (3, 2)
    return Score(kind, faces, *(float(value) for value in gain[1:].ravel()))


def main() -> None:
    """Gains in PSNR-Y over the plain enlargement; `shown` is what is blended into a film."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", action="append")
    given = parser.parse_args()
    faces = list(load_stills(given.folder)[0])
    for model in (open_model(name, None) for name in given.model or store.shipped()):
        for one in score(model, faces):
            network = f"network: {one.bare_inside:+.2f} dB under, {one.bare_outside:+.2f} beside"
            shown = f"shown: {one.shown_inside:+.2f} under, {one.shown_outside:+.2f} beside"
            print(f"{model.name:24} {one.kind:8} {network}; {shown}")


if __name__ == "__main__":
    main()
