"""What computing in fewer bits costs: PSNR-Y of restored faces in fp32, bf16 and fp16, 64 -> 256.

    python -m tests.bench.precision FOLDER [--device cuda] [--faces N] [--model NAME] [--fidelity F]

FOLDER holds sharp aligned faces of 256 pixels. Each is reduced by 4 (Pillow's bicubic) and restored as a film's faces
are: what the network adds, in that precision, to the plain enlargement. On the CPU the same numbers come out as on CUDA
but for the order of sums.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from vidsr.data import degradation
from vidsr.data.faces import Images, load_stills
from vidsr.evaluate import metrics
from vidsr.evaluate.stills import reduced
from vidsr.networks import model_file
from vidsr.networks.generator import enlarge
from vidsr.restore.restorer import DTYPES, Restorer, pick_device


def restored(restorer: Restorer, small: Images) -> Images:
    """A still `(h, w, 3)` standing in all frames of the window, restored."""
    clip = degradation.as_tensor(small[None, None]).expand(-1, restorer.window, -1, -1, -1).to(restorer.device)
    rgb = (enlarge(clip[:, 0]) + restorer.added(clip))[0].clamp(0, 1)
    return np.asarray((rgb * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy())


def psnr(restorer: Restorer, faces: Sequence[Images]) -> list[float]:
    """PSNR-Y of each face, dB."""
    return [metrics.psnr_y(restored(restorer, reduced(face)), face) for face in faces]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--faces", type=int, default=20)
    parser.add_argument("--model", default="vidsr_x4")
    parser.add_argument("--fidelity", type=float)
    given = parser.parse_args()
    faces = list(load_stills(given.folder)[0])
    faces = faces[:: max(1, len(faces) // given.faces)][: given.faces]
    device = pick_device(given.device)
    exact: list[float] = []
    for name, dtype in DTYPES.items():
        found = psnr(Restorer(model_file.open_model(given.model, given.fidelity), device, dtype), faces)
        exact = exact or found
        lost = np.subtract(exact, found)
        print(f"{name}: {np.mean(found):.3f} dB, {lost.mean():+.4f} dB lost, {lost.max():+.4f} at most", flush=True)


if __name__ == "__main__":
    main()
