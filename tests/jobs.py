"""Films enhanced whole in tests: settings that are quick, and what is compared afterwards."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from tests.program import beginning
from vidsr.config import Encode, Enhance, Render
from vidsr.jobs import film_job
from vidsr.jobs.batch import Batch, Source, side_by_side
from vidsr.jobs.events import Meter
from vidsr.jobs.plan import plan
from vidsr.jobs.process_pool import Failed
from vidsr.jobs.scheduler import Ended, Executor, Worker
from vidsr.jobs.tasks import Answer, Rendered, Task
from vidsr.networks import model_file
from vidsr.report.report import Report

LOSSLESS = Encode(codec="ffv1")


class Silent(Meter):
    """A meter that remembers, and that can pull the plug."""

    def __init__(self, stop_after: int | None = None) -> None:
        super().__init__()
        self.stages: list[str] = []
        self.done = 0
        self._stop_after = stop_after

    def stage(self, name: str, frames: int | None) -> None:
        super().stage(name, frames)
        self.stages.append(name)
        self.done = 0

    def advance(self, frames: int, faces: int) -> None:
        super().advance(frames, faces)
        self.done += frames
        if self.stages[-1] == "render" and self._stop_after is not None and self.done > self._stop_after:
            raise KeyboardInterrupt


def hashes(path: Path) -> list[str]:
    """A hash of every decoded frame."""
    command = ["ffmpeg", "-v", "error", "-i", path, "-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5", "-"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split(",")[-1].strip() for line in found.stdout.splitlines() if not line.startswith("#")]


def contents(path: Path, kind: str) -> list[str]:
    """A hash of the bytes of every packet of the streams `kind`."""
    show = ["-select_streams", kind, "-show_entries", "packet=data_hash", "-show_data_hash", "md5", "-of", "csv"]
    found = subprocess.run(["ffprobe", "-v", "error", *show, path], capture_output=True, text=True, check=True)
    return re.findall(r"MD5:\w+", found.stdout)


def packets(path: Path) -> list[str]:
    """Every packet of every stream: stream, pts, hash."""
    show = ["-show_entries", "packet=stream_index,pts,data_hash", "-show_data_hash", "md5", "-of", "csv"]
    found = subprocess.run(["ffprobe", "-v", "error", *show, path], capture_output=True, text=True, check=True)
    return found.stdout.splitlines()


def settings(**changes: object) -> Enhance:
    plain = Enhance(render=Render(scale="1", model="plain"), encode=Encode(preset="ultrafast"), segment_s=0.4)
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def run(film: Path, output: Path, what: Enhance, watch: Meter | None = None) -> Report:
    model = model_file.open_model(what.render.model, what.render.fidelity)
    return film_job.enhance(plan(film, output, what, model), watch or Silent())


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty frames of the sample with their sound."""
    return beginning(tmp_path_factory.mktemp("jobs"), 1.2)


class Counted:
    """A place that counts the workers that died, and the segments that were rendered and that were there already; once
    one is rendered, it does `then`."""

    def __init__(self, place: Executor, then: Callable[[], object] | None = None) -> None:
        self._place = place
        self._then = then
        self.answers: list[Future[Answer | Failed]] = []
        self.deaths = 0

    def _segments(self) -> list[Rendered]:
        done = [future.result() for future in self.answers if future.done() and not future.exception()]
        return [answer for answer in done if isinstance(answer, Rendered)]

    @property
    def rendered(self) -> int:
        return sum(answer.now for answer in self._segments())

    @property
    def found(self) -> int:
        return sum(not answer.now for answer in self._segments())

    def workers(self) -> Sequence[Worker]:
        if self._then is not None and self.rendered:
            then, self._then = self._then, None
            then()
        for worker in (workers := self._place.workers()):
            if not hasattr(worker, "counted"):
                worker.counted, worker.submit = True, self._noting(worker.submit)  # type: ignore[attr-defined,method-assign]
        return workers

    def _noting(self, submit: Callable[[Task], Future[Answer | Failed]]) -> Callable[[Task], Future[Answer | Failed]]:
        def noted(task: Task) -> Future[Answer | Failed]:
            self.answers.append(submit(task))
            return self.answers[-1]

        return noted

    def lost(self, worker: Worker) -> str:
        self.deaths += 1
        return self._place.lost(worker)

    def close(self) -> None:
        self._place.close()


def pooled(
    films: Sequence[Path], output: Path, what: Enhance, pool: Executor, watch: Silent | None = None
) -> dict[str, Ended[Source]]:
    """Films enhanced by a pool: how each one ended, by its name."""
    model = model_file.open_model(what.render.model, what.render.fidelity)
    batch = Batch(what, model, output, many=len(films) > 1, fresh=False)
    sources = (Source(film) for film in films)
    ends = side_by_side(sources, batch, pool, lambda _: watch or Silent())
    return {ended.film.path.name: ended for ended in ends}
