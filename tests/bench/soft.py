"""Soft large faces: is film that was enlarged before nearer to its truth when it is restored at its own size?

    python -m tests.bench.soft CLIP... [--sharp CLIP...] [--frames N] [--crf N] [-o SHEET.png]

The middle of each sharp clip, reduced until its face is 256 pixels high, is the truth; reduced and enlarged again by 2
(bicubic) and coded, it is the film, which `--scale 1` restores. What is gained is counted inside the face's ellipse.
Of clips that are sharp at their own size, `--sharp`, it is said what the program makes of their faces. The sheet shows
film, restored and truth side by side. Exits with 1 where a soft face loses, or a sharp one is reduced.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from tests.bench.tools import ffmpeg
from vidsr.config import Enhance, Ruler
from vidsr.data.faces import Images
from vidsr.evaluate import metrics
from vidsr.evaluate.reference_clip import Degraded, Picture, Scene, pictures, scene
from vidsr.evaluate.videos import pipeline
from vidsr.frame import Track
from vidsr.jobs import passes
from vidsr.jobs.events import Meter
from vidsr.networks.generator import SCALE
from vidsr.networks.model_file import open_model
from vidsr.video import Reader, probe


@dataclass(frozen=True)
class Found:
    """One clip: the face that was measured in the film, and its PSNR-Y as coded and restored."""

    face: Track
    plain: float
    restored: float
    strip: Images


def psnr(at: Scene, made: Sequence[Picture]) -> float:
    """The mean over the measured frames, in the face."""
    found = [metrics.psnr(a.luma, b.luma, mask) for a, b, mask in zip(made, at.truths, at.masks, strict=True)]
    return float(np.mean(found))


def enlarged(truth: Path, output: Path, crf: int) -> None:
    """A film reduced and enlarged again by 2, and coded."""
    scaled = "scale=iw/2:ih/2:flags=bicubic,scale=iw*2:ih*2:flags=bicubic"
    ffmpeg("-i", truth, "-vf", scaled, "-c:v", "libx264", "-crf", crf, "-pix_fmt", "yuv420p", output)


def measured(clip: Path, ruler: Ruler, crf: int, fidelity: float | None) -> Found:
    """Make a clip soft, restore it, and compare both with the truth."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        at = replace(scene(clip, folder, ruler), scale=1)  # the truth has the film's size
        enlarged(folder / "truth.mkv", folder / "soft.mkv", crf)
        film = replace(probe(folder / "soft.mkv"), matrix=at.film.matrix)
        analysis = passes.analyze_film(film, Enhance(), Meter())[0]
        with Reader(film, first=at.span[0], stop=at.span[1]) as frames:
            before = pictures(film, frames)
        soft = Degraded("soft", film, [], analysis)
        after = pipeline(at, soft, open_model("vidsr_x4", fidelity), folder)
    face = max(analysis.tracks, key=lambda track: len(track) * track.height)
    n = len(before) // 2
    strip = np.hstack([made[n].rgb[at.boxes[n]] for made in (before, after, at.truths)])
    return Found(face, psnr(at, before), psnr(at, after), strip)


def main() -> int:
    """Measure all; 1 where a line of the first paragraph does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--sharp", nargs="*", type=Path, default=[])
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--crf", type=int, default=20)
    parser.add_argument("--fidelity", type=float)
    parser.add_argument("-o", "--sheet", type=Path)
    words = parser.parse_args()
    failed, strips = False, list[Images]()
    for clip in words.clips:
        found = measured(clip, Ruler(frames=words.frames, scale=SCALE), words.crf, words.fidelity)
        gain = found.restored - found.plain
        print(
            f"{clip.stem:20} reduced by {found.face.factor}  {found.plain:.2f} dB, restored {gain:+.2f} dB", flush=True
        )
        failed |= gain < 0
        strips.append(found.strip)
    for clip in words.sharp:
        for face in passes.analyze_film(probe(clip), Enhance(), Meter())[0].tracks:
            reason = passes.restorable((face,), "all")[1].get(face.id, "restored at its own size")
            print(f"{clip.stem:20} {face.window:.0f} pixels wide, reduced by {face.factor}: {reason}", flush=True)
            failed |= face.factor > 1
    if words.sheet is not None and strips:
        height = min(len(strip) for strip in strips)
        same = [cv2.resize(strip, (strip.shape[1] * height // len(strip), height)) for strip in strips]
        width = max(strip.shape[1] for strip in same)
        sheet = np.vstack([np.pad(strip, ((0, 4), (0, width - strip.shape[1]), (0, 0))) for strip in same])
        cv2.imwrite(str(words.sheet), sheet[..., ::-1])
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
