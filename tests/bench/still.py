"""How restless a face is that stands still: one frame of a clip under fresh sensor noise and H.264.

    python -m tests.bench.still FILM ... [--model NAME] [--crf N] [--frames N]

The restored face's change from frame to frame, over that of the plain enlargement.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from vidsr.config import Enhance
from vidsr.evaluate import motion, videos
from vidsr.evaluate.degraded_copy import Coding, encode, trim
from vidsr.evaluate.reference_clip import Degraded, Scene, largest
from vidsr.jobs import passes
from vidsr.jobs.events import Meter
from vidsr.networks import store
from vidsr.networks.generator import SCALE
from vidsr.networks.model_file import Model, open_model
from vidsr.video import Film, probe
from vidsr.video.process import local

STILL_RATE = 25
STILL_NOISE = 8  # gray levels of sensor noise


def still_copy(film: Film, sharp: Path, degraded: Path, frames: int, crf: int, noise: int) -> None:
    """Write a film's first frame, standing still for `frames`, without loss (FFV1) to `sharp`, and reduced by 4
    (bicubic) in H.264 to `degraded`, with fresh sensor noise in each frame.

    `noise` is the strength of ffmpeg's filter `noise`, in gray levels. The sharp copy loses up to 7 pixels of its right
    and lower edges. Raises ToolError.
    """
    still = ["select=eq(n\\,0)", trim(film.width, film.height), f"loop={frames - 1}:1:0", f"setpts=N/{STILL_RATE}/TB"]
    source = ["-i", local(film.path), "-map", f"0:{film.index}", "-frames:v", str(frames), "-vf", ",".join(still)]
    encode([*source, "-r", str(STILL_RATE), "-an", "-c:v", "ffv1", local(sharp)])
    small = f"scale=iw/4:ih/4:flags=bicubic,noise=alls={noise}:allf=t+u:all_seed=1"
    coded = ["-c:v", "libx264", "-crf", str(crf), "-pix_fmt", "yuv420p", local(degraded)]
    encode(["-i", local(sharp), "-vf", small, *coded])


def still(path: Path, folder: Path, coding: Coding, frames: int) -> tuple[Scene, Degraded]:
    """A clip's first frame, standing still under fresh noise and H.264; the scene holds no truth."""
    sharp, noisy = folder / "sharp.mkv", folder / "noisy.mp4"
    still_copy(probe(path), sharp, noisy, frames, coding.crf, STILL_NOISE)
    face = largest(path.name, passes.analyze_film(probe(sharp), Enhance(), Meter())[0], (0, frames))
    at = Scene(path.name, probe(sharp), [], face, (face.first, face.stop), SCALE)
    film = probe(noisy)
    return at, Degraded(coding.name, film, [], passes.analyze_film(film, Enhance(), Meter())[0])


def still_scenes(path: Path, models: Sequence[Model], coding: Coding, frames: int) -> Iterator[videos.Row]:
    """A clip of which one frame stands still under fresh noise and H.264: `flicker` is over the plain enlargement's.

    The first of `models` is what the others are divided by; the other measures are left out (NaN).
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        at, film = still(path, folder, coding, frames)
        unit: float | None = None
        for model in models:
            found = motion.flicker(videos.aligned(at, videos.pipeline(at, film, model, folder)))
            unit = found if unit is None else unit
            yield videos.Row(at.name, coding.name, model.name, videos.PIPELINE, flicker=found / unit)


def main() -> None:
    """A line for each film and model."""
    parser = argparse.ArgumentParser()
    parser.add_argument("films", type=Path, nargs="+")
    parser.add_argument("--model", action="append")
    parser.add_argument("--crf", type=int, default=28)
    parser.add_argument("--frames", type=int, default=16)
    given = parser.parse_args()
    models = [open_model(name, None) for name in ("plain", *(given.model or store.shipped()))]
    for path in given.films:
        for row in still_scenes(path, models, Coding("x264", crf=given.crf), given.frames):
            print(f"{row.clip:24} {row.coding} {row.model}: flicker {row.flicker:.3f} times plain's")


if __name__ == "__main__":
    main()
