"""Room on the disks: what a film will need, asked before the start and on the way."""

from __future__ import annotations

import shutil
from pathlib import Path

from vidsr.errors import OutputError
from vidsr.jobs.plan import Plan
from vidsr.video import CRF

TYPICAL = {"libx264": 0.13, "libx265": 0.1, "libsvtav1": 0.07, "libvpx-vp9": 0.085, "ffv1": 2.5}
"""Bits a pixel of the output at scale 1 and the default quality: means over seven clips of talking people; libvpx-vp9
was compared with libsvtav1 on one of them."""

HOPELESS = 4
"""Films differ: a start is refused only where a quarter of the typical need would not fit."""

MARGIN = 1.5
"""On the way: how much more than the largest segment so far the next one may take."""


def picture_bytes(work: Plan, frames: int) -> float:
    """What so many frames of the picture typically take. Enlarging adds pixels, but little to be coded."""
    film, encode = work.film, work.settings.encode
    quality = 0.0 if encode.crf is None or encode.codec not in CRF else CRF[encode.codec] - encode.crf
    pixels = film.width * film.height * work.scale * frames
    return pixels * TYPICAL[encode.codec] * 2 ** (quality / 6) / 8


def require_start(work: Plan, frames: int) -> None:
    """OutputError where the disks cannot hold the segments of so many frames and, besides, the joined film."""
    need, home, whole = picture_bytes(work, frames), work.folder.parent, work.output.parent
    one_disk = home.stat().st_dev == whole.stat().st_dev
    what = work.output.name if one_disk else "the work folder"
    _require(home, 2 * need / HOPELESS, f"some {mib(2 * need)} are needed for {what}")
    if not one_disk:
        _require(whole, need / HOPELESS, f"some {mib(need)} are needed for {work.output.name}")


def require_segment(folder: Path, done: list[int]) -> None:
    """OutputError where the next segment would not fit, as far as the sizes (bytes) of those before it tell."""
    if done:
        _require(folder, MARGIN * max(done), f"the next segment takes some {mib(max(done))}")


def require_join(folder: Path, done: list[int]) -> None:
    """OutputError where the joined film would not fit beside its segments."""
    _require(folder, sum(done), f"joining the film takes {mib(sum(done))} more")


def _require(folder: Path, need: float, why: str) -> None:
    free = shutil.disk_usage(folder).free
    if free < need:
        raise OutputError(
            f"the disk of {folder} has {mib(free)} free, and {why}; free some space, or choose another disk with "
            "--work-dir and -o"
        )


def mib(size: float) -> str:
    """A number of bytes as a person reads it."""
    return f"{size / (1 << 20):,.0f} MiB" if size >= 10 << 20 else f"{size / (1 << 20):.1f} MiB"
