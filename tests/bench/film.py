"""Real film, made small and compressed, then enhanced: how near to the sharp film, inside the faces.

    python -m tests.bench.film [--frames N] [--model NAME ...]

Each sharp clip is reduced by 4 (bicubic) and coded in H.264 at crf 28; `vidsr enhance --scale 4` makes it large
again. PSNR-Y and LPIPS-SqF over the boxes of the faces found in the sharp clip; flicker is the mean absolute difference
of successive frames in the box over that of the sharp clip. `plain` is the enlargement without a network.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidsr.config import Enhance
from vidsr.jobs import analyse_film
from vidsr.metrics import Lpips, luma, psnr_y
from vidsr.video import probe

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared/data"
CLIPS = ("lp_d12_glasses_pen.mp4", "vr5_glasses.mp4", "grid_lwbsza.mpg", "lp_s18_720p.mp4")
EVERY = 5  # LPIPS is slow: every fifth frame


class Silent:
    """A watch that says nothing."""

    def stage(self, name: str, _: int | None) -> None: ...
    def advance(self, frames: int, _: int) -> None: ...


def ffmpeg(*words: object) -> bytes:
    return subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, words)], capture_output=True, check=True).stdout


def pictures(path: Path, width: int, height: int, frames: int) -> np.ndarray:
    """The first frames as `(n, height, width, 3)` RGB."""
    raw = ffmpeg("-i", path, "-frames:v", frames, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


@dataclass(frozen=True)
class Row:
    """Means over the faces of a clip."""

    psnr: float
    lpips: float
    flicker: float


def compare(made: np.ndarray, truth: np.ndarray, boxes: np.ndarray, lpips: Lpips) -> Row:
    """`boxes (n, 4)` whole numbers, one face a frame."""
    cuts = [tuple(slice(a, b) for a, b in ((y0, y1), (x0, x1))) for x0, y0, x1, y1 in boxes.tolist()]
    pairs = [(m[cut], t[cut]) for m, t, cut in zip(made, truth, cuts, strict=True)]
    psnr = float(np.mean([psnr_y(np.ascontiguousarray(m), t) for m, t in pairs]))
    distance = float(np.mean([lpips(m, t) for m, t in pairs[::EVERY]]))

    def motion(film: np.ndarray) -> float:
        steps = zip(film[:-1], film[1:], cuts[:-1], strict=False)
        return float(np.mean([np.abs(luma(a[cut]) - luma(b[cut])).mean() for a, b, cut in steps]))

    return Row(psnr, distance, motion(made) / motion(truth))


def main() -> None:
    """Measure every clip with every model."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--model", nargs="*", default=["plain", "vidsr_x4_fidelity", "vidsr_x4", "vidsr_x4_gan"])
    given = parser.parse_args()
    lpips = Lpips(SHARED / "weights/squeezenet1_1_ft.pth", SHARED / "weights/lpips_squeeze_lin.pth")
    total: dict[str, list[Row]] = {name: [] for name in given.model}
    for clip in CLIPS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            film = probe(SHARED / "test/clips" / clip)
            width, height = film.width // 8 * 8, film.height // 8 * 8
            sharp, poor = folder / "sharp.mkv", folder / "poor.mp4"
            ffmpeg(
                "-i",
                film.path,
                "-frames:v",
                given.frames,
                "-vf",
                f"crop={width}:{height}",
                "-an",
                "-c:v",
                "ffv1",
                sharp,
            )
            small = f"scale={width // 4}:{height // 4}:flags=bicubic"
            ffmpeg("-i", sharp, "-vf", small, "-c:v", "libx264", "-crf", 28, "-pix_fmt", "yuv420p", poor)
            truth = pictures(sharp, width, height, given.frames)
            analysis, _ = analyse_film(probe(sharp), Enhance(), Silent())
            face = max(analysis.tracks, key=lambda track: len(track) * track.height)
            frames = slice(face.first, face.stop)
            limits = [width, height, width, height]
            boxes = np.clip(np.rint(face.boxes), 0, limits).astype(int)
            for model in given.model:
                made = folder / f"{model}.mkv"
                words = ["enhance", poor, "-o", made, "--scale", "4", "--model", model, "--codec", "ffv1", "-q"]
                subprocess.run([sys.executable, ROOT / "cli.py", *words], check=True)
                row = compare(pictures(made, width, height, given.frames)[frames], truth[frames], boxes, lpips)
                total[model].append(row)
                print(f"{clip:24} {model:20} {row.psnr:6.2f} dB {row.lpips:.3f} flicker {row.flicker:.2f}", flush=True)
    for model, rows in total.items():
        means = [float(np.mean([getattr(row, part) for row in rows])) for part in ("psnr", "lpips", "flicker")]
        print(f"{'mean':24} {model:20} {means[0]:6.2f} dB {means[1]:.3f} flicker {means[2]:.2f}")


if __name__ == "__main__":
    main()
