"""Analysis: frames a second beside the `deface` command on the same film, and how many of its faces are found."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.bench.figures import Figure, rates, timed
from tests.bench.speed_films import looped, talking
from tests.bench.tools import ffmpeg, vidsr
from vidsr.analysis.detector import intersection_over_union
from vidsr.analysis.tracks_file import Analysis, load
from vidsr.frame import Floats
from vidsr.picture import small_rgb
from vidsr.video import Reader, probe

PART = "analysis"
LEAST_SIDE = 24
"""Pixels: smaller boxes are not asked for."""
OVERLAP = 0.3
"""A box of deface's that one of ours overlaps by more is found; both mark faces more or less tightly."""
THRESHOLD = 0.55
"""Score from which a box of deface's counts as a face: the least that begins a track here. Its own default, 0.2, is
for hiding whatever may be one."""


def deface(source: Path, target: Path) -> None:
    """The whole command, as a user gives it."""
    command = [str(Path(sys.executable).with_name("deface")), str(source), "-o", str(target)]
    subprocess.run(command, check=True, capture_output=True)


def analyze(source: Path, target: Path) -> None:
    """The whole command, as a user gives it."""
    done = vidsr("analyze", source, "-o", target, "--device", "cpu", "--overwrite", "-q")
    if done.returncode:
        raise SystemExit(f"analyze {source}: {done.stderr}")


def _theirs(source: Path, every: int) -> dict[int, Floats]:
    """What deface finds in every so manieth frame: boxes `(n, 4)` by the number of the frame."""
    from deface.centerface import CenterFace

    film = probe(source)
    network = CenterFace()
    found: dict[int, Floats] = {}
    with Reader(film) as reader:
        for frame in reader:
            if frame.index % every == 0:
                picture = small_rgb(frame, film, max(film.width, film.height))
                found[frame.index] = np.asarray(network(picture, threshold=THRESHOLD)[0][:, :4], np.float32)
    return found


def _ours(analysis: Analysis, index: int) -> Floats:
    boxes = [t.boxes[index - t.first] for t in analysis.tracks if t.first <= index < t.stop]
    return np.array(boxes, np.float32).reshape(-1, 4)


def recall(analysis: Analysis, theirs: dict[int, Floats]) -> float:
    """Share of deface's boxes, those that are large enough, that lie on a face of ours in the same frame."""
    hits: list[bool] = []
    for index, boxes in theirs.items():
        ours = _ours(analysis, index)
        sides = np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
        for box in boxes[sides > LEAST_SIDE]:
            hits.append(bool(len(ours) and intersection_over_union(box, ours).max() > OVERLAP))
    return float(np.mean(hits)) if hits else 1.0


def figures(quick: bool, folder: Path) -> Iterator[Figure]:
    """Both commands on the same film, start-up included, and the share of the faces."""
    source = folder / "talking.mp4"
    ffmpeg("-i", talking(), "-map", "0:v", "-c", "copy", *(["-t", "4"] if quick else []), source)
    tracks, target = folder / "tracks.json", folder / "defaced.mp4"
    ours = timed(lambda: analyze(source, tracks), 2 if quick else 3)
    analysis = load(tracks)
    theirs = timed(lambda: deface(source, target), 1, 0)
    count = analysis.frames
    yield Figure(PART, f"{count} frames, whole commands", "fps", rates(count, ours), "deface", rates(count, theirs))
    share = recall(analysis, _theirs(source, 10 if quick else 1))
    yield Figure(PART, "faces of deface's that are found", "share", (share,), "all of them", (1.0,))
    if not quick:
        long = looped(talking(), 60, folder)
        took = timed(lambda: analyze(long, tracks), 1, 0)
        frames = load(tracks).frames
        yield Figure(PART, f"{frames} frames", "fps", rates(frames, took), "deface", rates(count, theirs))
