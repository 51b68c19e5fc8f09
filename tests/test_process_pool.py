"""Worker processes: the same packets however many work, however they end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from tests.jobs import Counted, Silent, packets, pooled, run, settings
from tests.jobs import film as film  # a fixture
from tests.program import FAST, ROOT, names, refused, spawned, tree
from vidsr.config import Render, Workers
from vidsr.errors import DeviceError, InputError, VidsrError
from vidsr.jobs.batch import open_executor
from vidsr.jobs.process_pool import Failed, Pool


def counted(*devices: str | None) -> Counted:
    """So many worker processes."""
    return Counted(Pool(devices))


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children(pid: int) -> list[int]:
    """All processes that a process started, and those that they did."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *children(child)]
    return found


def gone(pids: Sequence[int], patience_s: float = 5.0) -> bool:
    """Whether all of them end within this time."""
    deadline = time.monotonic() + patience_s
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(alive, pids))


@pytest.fixture(scope="module")
def wanted(film: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The packets of the film enhanced by one process."""
    output = tmp_path_factory.mktemp("alone") / "out.mp4"
    run(film, output, settings())
    return packets(output)


@pytest.mark.slow
def test_four_workers_give_the_packets_of_one_process(film: Path, wanted: list[str], tmp_path: Path) -> None:
    """Two do in the tests of the network and of a killed worker, one in that of a killed driver."""
    watch = Silent()
    there = Pool([None] * 4)
    pool, pids = Counted(there), [worker.pid for worker in there.workers()]
    ended = pooled([film], tmp_path / "out.mp4", settings(), pool, watch)["film.mp4"]
    assert ended.report is not None and ended.report.restored == 30
    assert ended.report.input == str(film)
    assert packets(tmp_path / "out.mp4") == wanted
    assert pool.rendered == 3
    assert watch.stages == ["analyze", "render", "publish"]
    assert not any(map(alive, pids))
    assert names(tmp_path) == ["out.mp4"]


@pytest.mark.slow
def test_a_network_on_two_workers_of_one_thread_gives_the_packets_of_one_process(film: Path, tmp_path: Path) -> None:
    what, threads = settings(render=Render(scale="1"), end=0.48), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run(film, tmp_path / "alone.mp4", what)
    finally:
        torch.set_num_threads(threads)
    pooled([film], tmp_path / "out.mp4", what, counted("cpu", "cpu"))
    assert packets(tmp_path / "out.mp4") == packets(tmp_path / "alone.mp4")


def test_a_killed_worker_costs_only_the_segment_that_it_had(film: Path, wanted: list[str], tmp_path: Path) -> None:
    there = Pool([None, None])
    pool, victims = Counted(there), [there.workers()[0].pid]

    class Killer(Silent):
        def advance(self, frames: int, faces: int) -> None:
            super().advance(frames, faces)
            if self.stages[-1] == "render" and victims:
                os.kill(victims.pop(), signal.SIGKILL)

    ended = pooled([film], tmp_path / "out.mp4", settings(), pool, Killer())["film.mp4"]
    assert victims == [] and pool.deaths == 1
    assert ended.error is None
    assert packets(tmp_path / "out.mp4") == wanted
    assert pool.rendered + pool.found == 3
    assert names(tmp_path) == ["out.mp4"]


DRIVER = """
import sys
from pathlib import Path
from vidsr.jobs.batch import Batch, Source, side_by_side
from vidsr.config import Encode, Enhance, Render
from vidsr.jobs.events import Meter
from vidsr.networks.model_file import load
from vidsr.jobs.process_pool import Pool
if __name__ == "__main__":
    settings = Enhance(render=Render(scale="1", model="plain"), encode=Encode(preset="ultrafast"), segment_s=0.4)
    batch = Batch(settings, load("plain"), Path(sys.argv[2]), many=False, fresh=False)
    list(side_by_side(iter([Source(Path(sys.argv[1]))]), batch, Pool([None, None]), lambda _: Meter()))
"""


def test_a_killed_driver_takes_its_workers_along_and_only_what_is_unfinished_is_made_again(
    film: Path, wanted: list[str], tmp_path: Path
) -> None:
    output = tmp_path / "out.mp4"
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, film, output], cwd=ROOT)
    folder = tmp_path / "out.mp4.vidsr"
    while not any(folder.glob("[0-9]*.sha256")) and driver.poll() is None:
        time.sleep(0.005)
    family = children(driver.pid)
    driver.kill()
    assert driver.wait() == -9
    assert len(family) >= 2 and gone(family)
    assert not output.exists()
    finished = len(list(folder.glob("[0-9]*.sha256")))
    pool = counted(None)
    assert pooled([film], output, settings(), pool)["film.mp4"].error is None
    assert (pool.found, pool.rendered) == (finished, 3 - finished)
    assert packets(output) == wanted
    assert names(tmp_path) == ["out.mp4"]


@pytest.mark.slow
def test_many_films_with_a_bad_one_in_one_command(film: Path, tmp_path: Path) -> None:
    folder, out = tree(tmp_path, film, "a.mp4", "inner/c.mp4")
    (folder / "b.mp4").write_text("no film")
    found = spawned("enhance", folder, *FAST[:-1], "-o", out, "--devices", "cpu,cpu")
    refused(found, 3, "b.mp4", "2 of 3 films done: 60 frames, faces restored in 60")
    assert names(out) == ["a.enhanced.mp4", "inner"]
    assert names(out / "inner") == ["c.enhanced.mp4"]
    assert "films: 100%" in found.stderr


def test_ctrl_c_ends_all_workers_within_seconds(tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests/samples/portrait.mp4", tmp_path / "film.mp4")
    words = [
        sys.executable,
        "-m",
        "vidsr",
        "enhance",
        str(tmp_path),
        "--scale",
        "1",
        "--model",
        "plain",
        "--workers",
        "2",
    ]

    def default_signals() -> None:  # a shell's background jobs ignore SIGINT, and so would this one
        signal.signal(signal.SIGINT, signal.default_int_handler)

    driver = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=default_signals)
    deadline = time.monotonic() + 60
    while not any(tmp_path.glob("*/*.nut.*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    family = children(driver.pid)
    began = time.monotonic()
    for pid in [driver.pid, *family]:  # a terminal sends it to all
        os.kill(pid, signal.SIGINT)
    _, said = driver.communicate(timeout=10)
    assert driver.returncode == 130, said
    assert time.monotonic() - began < 6
    assert "the same command goes on" in said and "Traceback" not in said
    assert len(family) >= 2 and gone(family)


class Awkward(Exception):
    """An error that cannot be taken apart and put together."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} and {two}")


def test_errors_cross_unchanged_and_with_their_traceback() -> None:
    error = Failed.of(InputError("film.mp4 is bad", "its last lines")).raised()
    assert isinstance(error, InputError) and (str(error), error.details) == ("film.mp4 is bad", "its last lines")
    assert "InputError" in str(error.__cause__)
    assert str(Failed.of(Awkward("this", "that")).raised()) == "Awkward: this and that"


def test_a_worker_says_what_one_process_would_have_said(film: Path, tmp_path: Path) -> None:
    what = settings(start=99.0)
    with pytest.raises(VidsrError) as alone:
        run(film, tmp_path / "out.mp4", what)
    error = pooled([film], tmp_path / "out.mp4", what, counted(None))["film.mp4"].error
    assert (type(error), str(error).replace(str(film.parent), "")) == (
        type(alone.value),
        str(alone.value).replace(str(film.parent), ""),
    )
    assert names(tmp_path) == []


@pytest.mark.parametrize(("devices", "words"), [("cpu,cuda:7", "cuda:7 was asked for"), ("cpu,tpu", "tpu")])
def test_devices_that_are_not_here_are_refused(film: Path, devices: str, words: str) -> None:
    with pytest.raises(DeviceError, match=words), open_executor(Workers(devices=devices), settings(), film, None):
        pass
