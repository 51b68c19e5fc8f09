"""Training samples a second: made from data, and eaten by the network, in one run; one thread each, or N processes
that make them.

    python -m tests.bench.data [--workers N] [DATA ...]

DATA is what `vidsr train --data` takes; without any it is 'synthetic'. Making is reading, degrading and H.264 (ffmpeg,
one thread); the first batch, which films two reels at once, is not in it. Eating is a step of the fidelity stage with
the default settings.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from itertools import islice
from pathlib import Path

import cv2
import torch

from vidsr.config import Train
from vidsr.data.samples import FRESH, Batch, Clips
from vidsr.data.sources import open_all
from vidsr.training.train import Trainer, join

BATCHES, STEPS = 2 * FRESH, 8


def made(data: str, settings: Train, folder: Path) -> tuple[float, list[Batch]]:
    """Samples a second, and the batches; two reels fall into the time, as they do in a long run."""
    material = open_all(data, None, folder, settings.held_mib)
    print(*material.sources, sep="\n")
    batches = Clips(material.stills, material.films, settings).batches(0)
    next(batches)
    started = time.perf_counter()
    found = list(islice(batches, BATCHES))
    return BATCHES * settings.batch / (time.perf_counter() - started), found


def eaten(batches: list[Batch], settings: Train) -> float:
    """Samples a second that the network learns from; the first step, which warms up, is not counted."""
    trainer = Trainer(settings, join(settings))
    trainer.update(batches[0])
    started = time.perf_counter()
    for batch in batches[1 : 1 + STEPS]:
        trainer.update(batch)
    return STEPS * settings.batch / (time.perf_counter() - started)


def main() -> None:
    """Print both figures for every source."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("data", nargs="*", default=["synthetic"])
    words = parser.parse_args()
    settings = Train(device="cpu", workers=words.workers)
    for data in words.data:
        with tempfile.TemporaryDirectory() as folder:
            speed, batches = made(data, settings, Path(folder))
        need = eaten(batches, settings)
        print(f"made {speed:.0f} samples/s, eaten {need:.1f} samples/s: {speed / need:.1f} times what is needed")


if __name__ == "__main__":
    main()
