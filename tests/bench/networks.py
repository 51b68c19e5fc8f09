"""Networks on the same data, for the same number of pictures: what size and what window give.

    python -m tests.bench.networks [--steps N] [--folder FOLDER] [--film] [NAME ...]

Every network is trained from nothing (fidelity stage, Adam 1e-3, vdsr 2e-4, equal batches) and scored as by
`vidsr evaluate stills` at 64 -> 256; `ms` is one face of 64 -> 256 on one thread. With `--film` also as by
`vidsr evaluate video`.
Finished networks stay in the folder and are not trained again.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from vidsr.config import Ruler, Train
from vidsr.data.faces import load_stills
from vidsr.evaluate import table, videos
from vidsr.evaluate.metrics import Lpips
from vidsr.evaluate.stills import Metrics, bicubic, score, still_restorer
from vidsr.networks import model_file
from vidsr.networks.generator import parameters
from vidsr.training.train import Progress, train

SHARED = Path(__file__).parents[3] / "shared/data"
CLIPS = ("lp_d12_glasses_pen.mp4", "vr5_glasses.mp4", "grid_lwbsza.mpg", "lp_s18_720p.mp4")
RUNS = 9  # timings of one face, of which the median counts


@dataclass(frozen=True)
class Network:
    architecture: str
    window: int
    features: int
    blocks: int
    rate: float = 1e-3


NETWORKS = {
    "vidsr 48 x 10": Network("vidsr", 5, 48, 10),
    "vidsr 48 x 10, T = 1": Network("vidsr", 1, 48, 10),
    "vidsr 24 x 6": Network("vidsr", 5, 24, 6),
    "vidsr 32 x 8": Network("vidsr", 5, 32, 8),
    "vidsr 64 x 12": Network("vidsr", 5, 64, 12),
    "srgan": Network("srgan", 1, 64, 16),
    "vdsr": Network("vdsr", 1, 64, 20, rate=2e-4),  # at 1e-3 its last layers die
}


def trained(name: str, steps: int, folder: Path) -> model_file.Model:
    """The network after so many steps."""
    path = folder / f"{name.replace(' ', '_').replace(',', '').replace('=', '')}_{steps}.safetensors"
    if not path.exists():
        shape = NETWORKS[name]
        run = Train(
            data=str(SHARED / "train/stills"),
            films=str(SHARED / "train/clips"),
            output=str(path),
            steps=steps,
            decay=steps // 2,
            rate=shape.rate,
            warmup=50,
            batch=8,
            patch=16,
            film=0.5,
            moving=0.0,
            reels=16,
            check_every=200,
            architecture=shape.architecture,
            window=shape.window,
            features=shape.features,
            blocks=shape.blocks,
        )
        began = time.process_time()

        def say(progress: Progress) -> None:
            print(f"  {name}: step {progress.step}, loss {progress.loss:.4f}", flush=True)

        train(replace(run, threads=torch.get_num_threads()), say)
        print(f"  {name}: {time.process_time() - began:.0f} s of computing", flush=True)
    return model_file.load(str(path))


def milliseconds(model: model_file.Model) -> float:
    """One face, 64 -> 256, median."""
    clip = torch.rand(1, model.window, 3, 64, 64)
    taken = []
    with torch.inference_mode():
        for _ in range(RUNS + 2):
            began = time.perf_counter()
            model.network(clip)
            taken.append(time.perf_counter() - began)
    return 1000 * float(np.median(taken[2:]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--folder", type=Path, default=Path("build/networks"))
    parser.add_argument("--film", action="store_true")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    faces = list(load_stills(SHARED / "test/stills")[0])
    judges = Metrics(Lpips(SHARED / "weights/squeezenet1_1_ft.pth", SHARED / "weights/lpips_squeeze_lin.pth"))
    plain = score("bicubic", bicubic, faces, judges)
    print(f"{'bicubic':24} {'':>10} {plain.psnr_y:6.2f} dB {plain.ssim_y:.3f} {plain.lpips:.3f}", flush=True)
    models = []
    for name in given.names or NETWORKS:
        model = replace(trained(name, given.steps, given.folder), name=name)
        found = score(name, still_restorer(model.network, torch.device("cpu")), faces, judges)
        line = f"{name:24} {parameters(model.network):10,} {found.psnr_y:6.2f} dB {found.ssim_y:.3f} {found.lpips:.3f}"
        print(f"{line} {milliseconds(model):7.1f} ms", flush=True)
        models.append(replace(model, name=name.replace(" ", "_").replace(",", "")))
    if given.film:
        paths, ruler = [SHARED / "test/clips" / clip for clip in CLIPS], Ruler(crf=(28,), frames=30)
        rows = [row for path in paths for row in videos.films(path, models, judges, ruler)]
        print("\n".join(table.summary(rows)))


if __name__ == "__main__":
    main()
