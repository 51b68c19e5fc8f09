"""A sharp film as a poor copy of itself, for measuring what a model gives back."""

from __future__ import annotations

from pathlib import Path

from vidsr.errors import ToolError
from vidsr.video.probe import SAFE, Film
from vidsr.video.process import GLOBAL, local, run

STILL_RATE = 25
MULTIPLE = 8
"""The sharp copy's sides are multiples of this, so that a quarter of it is a film of even sides."""


def poor_copy(film: Film, sharp: Path, poor: Path, frames: int, crf: int) -> None:
    """Write the first `frames` of a film without loss (FFV1) to `sharp`, and reduced by 4 (bicubic) in H.264 to `poor`.

    The sharp copy loses up to 7 pixels of its right and lower edges. Raises ToolError.
    """
    _sharp_copy(film, sharp, [_trim(film)], frames)
    _coded_copy(sharp, poor, [], crf)


def still_copy(film: Film, frame: int, sharp: Path, poor: Path, frames: int, crf: int, noise: int, seed: int) -> None:
    """As `poor_copy`, of one frame that stands still for `frames`, with fresh sensor noise in each before H.264.

    `noise` is the strength of ffmpeg's filter `noise`, in grey levels.
    """
    still = [f"select=eq(n\\,{frame})", _trim(film), f"loop={frames - 1}:1:0", f"setpts=N/{STILL_RATE}/TB"]
    _sharp_copy(film, sharp, still, frames, "-r", str(STILL_RATE))
    _coded_copy(sharp, poor, [f"noise=alls={noise}:allf=t+u:all_seed={seed}"], crf)


def _trim(film: Film) -> str:
    return f"crop={film.width // MULTIPLE * MULTIPLE}:{film.height // MULTIPLE * MULTIPLE}:0:0"


def _sharp_copy(film: Film, sharp: Path, filters: list[str], frames: int, *rate: str) -> None:
    source = ["-i", local(film.path), "-map", f"0:{film.index}", "-frames:v", str(frames), "-vf", ",".join(filters)]
    _done([*source, *rate, "-an", "-c:v", "ffv1", local(sharp)])


def _coded_copy(sharp: Path, poor: Path, filters: list[str], crf: int) -> None:
    small = ",".join(["scale=iw/4:ih/4:flags=bicubic", *filters])
    coded = ["-c:v", "libx264", "-crf", str(crf), "-pix_fmt", "yuv420p", local(poor)]
    _done(["-i", local(sharp), "-vf", small, *coded])


def _done(words: list[str]) -> None:
    safe = [word for key, value in SAFE.items() for word in (f"-{key}", value)]
    code, _, complaints = run(["ffmpeg", *GLOBAL, "-loglevel", "error", *safe, *words])
    if code:
        raise ToolError("ffmpeg could not make a poor copy of a film", complaints)
