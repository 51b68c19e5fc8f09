"""A CUDA device against its own ceilings, each measured in the same run.

    python -m tests.bench.gpu [--seconds N] [--preset P] [--work FOLDER]

1. the network 64 -> 256, batch by batch, as FLOP/s beside the device's bf16 matrix product (wanted: 40 % of it)
2. a 1080p film with four faces: `vidsr enhance --scale 1` beside ffmpeg's own decoding and encoding with the same
   settings (wanted: within 1.25 times)
3. the detector on pictures of 640x360, from the host's memory to detections (wanted: over 1,500 a second)

Needs an `ffmpeg` in PATH for the film; older wheels of `imageio-ffmpeg` bring one to a bare machine. A machine without
a CUDA device has nothing to measure here. Not yet run on a device, so nothing was tuned; to be tried first: larger
batches than `--batch 16`, `torch.compile` around the network (biases, ReLUs and sums are passes over memory of their
own, and every kernel is started by the host: `mode="reduce-overhead"` records CUDA graphs).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from tests.faces import portrait
from vidsr.analysis.detector import CenterFace
from vidsr.networks import model_file
from vidsr.restore.restorer import Restorer, pick_dtype

ROOT = Path(__file__).parents[2]
SIDE, MATRIX = 64, 8192
RUNS = 7
CRF = "17"


def seconds(work: Callable[[], object], device: torch.device, times: int) -> float:
    """One call's time: the median of RUNS runs of so many calls, the device waited for on both sides."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    taken = []
    for run in range(RUNS + 2):
        wait()
        began = time.perf_counter()
        for _ in range(times):
            work()
        wait()
        if run >= 2:
            taken.append((time.perf_counter() - began) / times)
    return float(np.median(taken))


def matrix_rate(device: torch.device, side: int = MATRIX) -> float:
    """FLOP/s of the product of two square bf16 matrices."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / seconds(lambda: a @ b, device, 20)


def operations(network: nn.Module, side: int) -> float:
    """Floating-point operations of the network's convolutions for one face; all work at low resolution."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    return 2.0 * side**2 * sum(layer.weight.numel() for layer in layers)


def network(device: torch.device, sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)) -> None:
    """Print faces a second and the share of the matrix rate for each batch."""
    ceiling = matrix_rate(device)
    print(f"bf16 matrix product {MATRIX}: {ceiling / 1e12:.1f} TFLOP/s")
    dtype = pick_dtype("auto", device)
    restorer = Restorer(model_file.open_model("vidsr_x4", None), device, dtype)
    each = operations(restorer._network, SIDE)
    for size in sizes:
        clips = torch.rand(size, restorer.window, 3, SIDE, SIDE, device=device)
        taken = seconds(lambda: restorer.added(clips), device, 20)  # noqa: B023
        rate = each * size / taken
        print(f"network 64 -> 256, {dtype}, batch {size}: {size / taken:.0f} faces/s, {rate / 1e12:.2f} TFLOP/s, "
              f"{rate / ceiling:.1%} of the matrix product")  # fmt: skip


def detection(device: torch.device, batches: int = 20) -> None:
    """Print pictures a second."""
    find = CenterFace(0.5, str(device))
    picture = np.asarray(cv2.resize(portrait(), (360, 360)), np.uint8)
    wide = np.pad(picture, ((0, 0), (140, 140), (0, 0)))
    pictures = [np.roll(wide, 4 * k, axis=1) for k in range(find.batch)]
    taken = seconds(lambda: find(pictures), device, batches)
    print(f"detection at 640x360, batch {find.batch}: {find.batch / taken:.0f} pictures/s")


def four_faces(path: Path, length_s: int) -> None:
    """The sample four times in a 1080p picture."""
    source = ["-stream_loop", "-1", "-i", str(ROOT / "tests/samples/portrait.mp4"), "-t", str(length_s)]
    graph = "fps=25,scale=480:480,split=4[a][b][c][d];[a][b][c][d]hstack=4,pad=1920:1080:0:300"
    coding = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-an"]
    command = ["ffmpeg", "-v", "error", *source, "-filter_complex", graph, *coding, str(path)]
    subprocess.run(command, check=True)


def film(folder: Path, length_s: int, preset: str, device: torch.device) -> None:
    """Print the time of the whole beside ffmpeg's own."""
    source = folder / "four.mp4"
    four_faces(source, length_s)
    coding = ["-c:v", "libx264", "-crf", CRF, "-preset", preset]
    own = ["ffmpeg", "-v", "error", "-y", "-i", str(source), *coding, str(folder / "own.mp4")]
    words = ["--scale", "1", "--crf", CRF, "--preset", preset, "--device", str(device), "--overwrite", "-q"]
    ours = [sys.executable, str(ROOT / "cli.py"), "enhance", str(source), "-o", str(folder / "ours.mp4"), *words]

    def taken(command: list[str]) -> float:
        began = time.perf_counter()
        subprocess.run(command, check=True)
        return time.perf_counter() - began

    taken(own)
    theirs, whole = (float(np.median([taken(command) for _ in range(3)])) for command in (own, ours))
    frames = 25 * length_s
    print(f"1080p, four faces, {frames} frames, preset {preset}: ffmpeg {frames / theirs:.1f} fps, "
          f"vidsr {frames / whole:.1f} fps, {whole / theirs:.2f} times its time")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=40)
    parser.add_argument("--preset", default="medium")
    parser.add_argument("--work", type=Path)
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print("There is no CUDA device here: nothing to measure.")
        return
    device = torch.device("cuda")
    print(f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}")
    network(device)
    detection(device)
    if shutil.which("ffmpeg") is None:
        raise SystemExit("ffmpeg is not in PATH: the film was not measured")
    with tempfile.TemporaryDirectory(dir=given.work) as folder:
        film(Path(folder), given.seconds, given.preset, device)


if __name__ == "__main__":
    main()
