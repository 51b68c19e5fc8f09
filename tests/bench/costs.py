"""The processor time that each stage needs: the figures that docs/capacity.md is made of.

    python -m tests.bench.costs [FILM]

The film (the sample, enlarged to 1280x720, where none is given) is decoded, analyzed and coded; the network is given
batches of random crops of every size; cutting out and blending is the time of a render whose network does nothing.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF

import cv2
import torch

from tests.bench.tools import SAMPLE, ffmpeg
from vidsr.config import Enhance, Render
from vidsr.frame import Frame
from vidsr.jobs import passes
from vidsr.jobs.events import Meter
from vidsr.jobs.plan import output_spec, plan
from vidsr.networks.model_file import open_model, sha256
from vidsr.restore.pipeline import UNIT
from vidsr.restore.restorer import Restorer
from vidsr.video import Reader, Writer


def cpu_s() -> float:
    """Processor time of this process and of those that it has started and that have ended, seconds."""
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, (RUSAGE_SELF, RUSAGE_CHILDREN)))


@contextmanager
def timed(name: str, each: Callable[[], tuple[float, str]]) -> Iterator[None]:
    """Print what one of what `each` counts took inside the block: processor time, ffmpeg's too."""
    began = cpu_s()
    yield
    seconds = cpu_s() - began
    count, what = each()
    print(f"{name:24} {1000 * seconds / count:9.2f} ms a {what}", flush=True)


def stages(film: Path, folder: Path) -> None:
    """Each stage of a film alone."""
    settings = Enhance(render=Render(scale="1", model="plain", device="cpu"))
    work = plan(film, folder / "out.mp4", settings, open_model("plain", None))
    frames: list[Frame] = []
    with timed("checksum", lambda: (film.stat().st_size / 1e9, "GB")):
        sha256(film)
    with timed("decode", lambda: (len(frames), "frame")), Reader(work.film) as reader:
        frames += reader
    with timed("analyze, with decoding", lambda: (len(frames), "frame")):
        analysis, _ = passes.analyze_film(work.film, settings, Meter())
    job = passes.make_job(work, passes.restorable(analysis.tracks, "all")[0])
    faces = sum(len(track) for track in job.tracks)
    with timed("decode, crop and blend", lambda: (len(frames), f"frame with {faces / len(frames):.2f} faces")):
        for _ in passes.render_range(work, job, analysis.timeline, (0, len(frames)), Meter()):
            pass
    with (
        timed("encode", lambda: (len(frames), "frame")),
        Writer(folder / "out.nut", output_spec(work), analysis.timeline) as writer,
    ):
        for frame in frames:
            writer.write(frame)
    size, long = (folder / "out.nut").stat().st_size, len(frames) / float(work.film.rate)
    print(f"{'sizes':24} in {film.stat().st_size * 8e-6 / long:.2f}, out {size * 8e-6 / long:.2f} Mbit/s")


def network() -> None:
    """A face of every size."""
    model = open_model("vidsr_x4", None)
    restorer = Restorer(model, torch.device("cpu"), torch.float32)
    parameters = sum(one.numel() for one in model.network.parameters())
    for side in (32, 48, 64, 96, 128, 192):
        count = max(2, round(16 * (UNIT / side) ** 2))
        clips = torch.rand(count, model.window, 3, side, side)
        restorer.added(clips[:1])
        work = f"face, some {2e-9 * parameters * side * side:.1f} GFLOP"
        with timed(f"network, {side} pixels", lambda count=count, work=work: (count, work)):  # type: ignore[misc]
            restorer.added(clips)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("film", type=Path, nargs="?")
    given = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        film = given.film or Path(name, "film.mp4")
        if given.film is None:
            ffmpeg("-i", SAMPLE, "-t", 4, "-an", "-vf", "scale=1280:720", film)
        stages(film, Path(name))
    network()


if __name__ == "__main__":
    main()
