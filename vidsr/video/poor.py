"""A sharp film as a poor copy of itself, for measuring what a model gives back."""

from __future__ import annotations

from pathlib import Path

from vidsr.errors import ToolError
from vidsr.video.probe import SAFE, Film
from vidsr.video.process import GLOBAL, local, run

MULTIPLE = 8
"""The sharp copy's sides are multiples of this, so that a quarter of it is a film of even sides."""


def poor_copy(film: Film, sharp: Path, poor: Path, frames: int, crf: int) -> None:
    """Write the first `frames` of a film without loss (FFV1) to `sharp`, and reduced by 4 (bicubic) in H.264 to `poor`.

    The sharp copy loses up to 7 pixels of its right and lower edges. Raises ToolError.
    """
    width, height = film.width // MULTIPLE * MULTIPLE, film.height // MULTIPLE * MULTIPLE
    trim = f"crop={width}:{height}:0:0"
    lossless = ["-an", "-c:v", "ffv1", local(sharp)]
    _done(["-i", local(film.path), "-map", f"0:{film.index}", "-frames:v", str(frames), "-vf", trim, *lossless])
    small = f"scale={width // 4}:{height // 4}:flags=bicubic"
    coded = ["-c:v", "libx264", "-crf", str(crf), "-pix_fmt", "yuv420p", local(poor)]
    _done(["-i", local(sharp), "-vf", small, *coded])


def still_copy(film: Film, frame: int, sharp: Path, poor: Path, frames: int, crf: int, noise: int, seed: int) -> None:
    """As `poor_copy`, of one frame that stands still for `frames`, with fresh sensor noise in each before H.264.

    `noise` is the strength of ffmpeg's filter `noise`, in grey levels.
    """
    width, height = film.width // MULTIPLE * MULTIPLE, film.height // MULTIPLE * MULTIPLE
    chosen = f"select=eq(n\\,{frame}),crop={width}:{height}:0:0,loop={frames - 1}:1:0,setpts=N/25/TB"
    lossless = ["-r", "25", "-an", "-c:v", "ffv1", local(sharp)]
    _done(["-i", local(film.path), "-map", f"0:{film.index}", "-vf", chosen, "-frames:v", str(frames), *lossless])
    small = f"scale={width // 4}:{height // 4}:flags=bicubic,noise=alls={noise}:allf=t+u:all_seed={seed}"
    coded = ["-c:v", "libx264", "-crf", str(crf), "-pix_fmt", "yuv420p", local(poor)]
    _done(["-i", local(sharp), "-vf", small, *coded])


def _done(words: list[str]) -> None:
    safe = [word for key, value in SAFE.items() for word in (f"-{key}", value)]
    code, _, complaints = run(["ffmpeg", *GLOBAL, "-loglevel", "error", *safe, *words])
    if code:
        raise ToolError("ffmpeg could not make a poor copy of a film", complaints)
