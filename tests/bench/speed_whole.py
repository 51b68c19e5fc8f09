"""Whole films: frames a second of `enhance` beside ffmpeg's own decoding and encoding with the same settings."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench.figures import Figure
from tests.bench.speed_films import Scene, clip, looped
from tests.bench.tools import ffmpeg, vidsr
from vidsr.video import probe
from vidsr.video.writer import CRF, ENCODER_OPTIONS

PART = "whole film: enhance --scale 1 (ratio: of the plain transcode's time)"
QUICK = (Scene("360p", 0, 8), Scene("360p", 1, 4), Scene("720p", 0, 4))
FULL = tuple(
    Scene(resolution, faces, seconds)
    for resolution, lengths in (("360p", (40, 8, 4, 2)), ("720p", (24, 8, 4, 2)), ("1080p", (12, 6, 3, 2)))
    for faces, seconds in zip((0, 1, 4, 16), lengths, strict=True)
)
EMPTY = "noface_bottles.mp4"
Run = tuple[float, float]


def transcode(source: Path, target: Path) -> None:
    """ffmpeg alone, with the settings that `enhance` gives the encoder."""
    coding = [word for name, value in ENCODER_OPTIONS["libx264"].items() for word in (f"-{name}", value)]
    ffmpeg("-i", source, "-map", "0", "-c", "copy", "-c:v", "libx264", "-crf", CRF["libx264"], *coding, target)


def enhance(source: Path, target: Path, *more: object) -> None:
    """The whole command, as a user gives it."""
    done = vidsr("enhance", source, "-o", target, "--scale", "1", "--device", "cpu", "--overwrite", "-q", *more)
    if done.returncode:
        raise SystemExit(f"enhance {source}: {done.stderr}")


def _both(source: Path, target: Path, *more: object) -> tuple[Run, Run]:
    """One run of ours, and one of ffmpeg's."""
    return _timed(lambda: enhance(source, target, *more)), _timed(lambda: transcode(source, target))


def _timed(work: Callable[[], None]) -> Run:
    """Seconds on the clock, and seconds of computing of the processes that it started."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    work()
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _figure(name: str, source: Path, runs: int, folder: Path, *more: object) -> Iterator[Figure]:
    film, target = probe(source), folder / "out.mp4"
    frames = round((film.duration_s or 0) * film.rate)
    pairs = [_both(source, target, *more) for _ in range(runs)]
    for place, unit in enumerate(("s", "s of computing")):
        ours, plain = (tuple(pair[who][place] for pair in pairs) for who in (0, 1))
        yield Figure(PART, f"{name}, {frames} frames", unit, ours, "ffmpeg", plain, more=False)


def _faceless(name: str, source: Path, runs: int, folder: Path) -> Iterator[Figure]:
    """Its picture is copied; and coded, where that is asked for."""
    yield from _figure(f"{name}, copied", source, runs, folder)
    yield from _figure(f"{name}, coded", source, runs, folder, "--crf", CRF["libx264"])


def figures(quick: bool, folder: Path) -> Iterator[Figure]:
    """Each scene, and the clip without faces, as it is and for two minutes.

    On a machine with other work, the clock favours whoever has more threads: the computing shows what is done.
    """
    runs, scenes = (1, QUICK) if quick else (3, FULL)
    _both(scenes[0].film(folder), folder / "out.mp4")  # programs and models are on disk, not in memory, before
    for scene in scenes:
        show = _figure if scene.faces else _faceless
        yield from show(scene.name, scene.film(folder), runs, folder)
    if (empty := clip(EMPTY)) is not None:
        yield from _faceless("bottles, 0 faces", empty, runs, folder)
        if not quick:
            yield from _faceless("bottles in a loop, 0 faces", looped(empty, 120, folder), runs, folder)
