"""A Ray cluster of two nodes on this machine: a node dies, the driver dies, and what bad clusters are told."""

from __future__ import annotations

import dataclasses
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs import Counted, Silent, packets, pooled, run, settings
from tests.jobs import film as film  # a fixture
from tests.program import ROOT
from vidsr.config import Workers
from vidsr.errors import DeviceError, WorkerError

ray = pytest.importorskip("ray", reason="Ray is not installed: there may be no wheel for this Python")

from ray.cluster_utils import Cluster as Local  # noqa: E402

from vidsr.jobs import ray_cluster  # noqa: E402

pytestmark = pytest.mark.timeout(240)

QUICK = {"health_check_period_ms": 1000, "health_check_failure_threshold": 3, "health_check_initial_delay_ms": 0}
WHO = Workers(ray_memory=0.5)
STORE = 80 << 20


def of_ray() -> set[int]:
    """Ray's processes on this machine."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if b"/ray/" in words or words.startswith(b"ray::"):
            found.add(int(entry.name))
    return found


@pytest.fixture(scope="module")
def local() -> Iterator[Local]:
    """A head that does no work, and a node. Afterwards, none of its processes is left."""
    before = of_ray()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    head = {"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False, "_system_config": QUICK}
    made = Local(initialize_head=True, head_node_args=head)
    made.add_node(num_cpus=1, object_store_memory=STORE)
    yield made
    ray.shutdown()
    made.shutdown()
    deadline = time.monotonic() + 10
    while of_ray() - before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert of_ray() <= before


@pytest.fixture(scope="module")
def wanted(film: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The packets of the film enhanced by one process."""
    output = tmp_path_factory.mktemp("alone") / "out.mp4"
    run(film, output, settings())
    return packets(output)


def test_one_of_two_nodes_is_killed_and_every_film_is_as_if_made_alone(
    local: Local, film: Path, wanted: list[str], tmp_path: Path
) -> None:
    second = local.add_node(num_cpus=1, object_store_memory=STORE)
    films = [tmp_path / f"{name}.mp4" for name in "abc"]
    for path in films:
        shutil.copy(film, path)
    out = tmp_path / "out"
    out.mkdir()
    who = dataclasses.replace(WHO, ray=local.address)
    with ray_cluster.cluster(who, "auto", out, films[0]) as place:
        assert len(place.workers()) == 2
        killed: list[object] = []
        counted = Counted(place, lambda: killed.append(local.remove_node(second, allow_graceful=False)))
        ends = pooled(films, out, settings(), counted, Silent())
    assert killed
    assert all(ended.error is None for ended in ends.values()), ends
    assert sorted(path.name for path in out.iterdir()) == [f"{name}.enhanced.mp4" for name in "abc"]
    for path in out.iterdir():
        assert packets(path) == wanted
    assert counted.deaths == 1
    assert counted.rendered + counted.found == 9


DRIVER = """
import sys
from pathlib import Path
from tests.test_ray_cluster import WHO, pooled, settings, ray_cluster, dataclasses
film, out, address = sys.argv[1:]
with ray_cluster.cluster(dataclasses.replace(WHO, ray=address), "cpu", Path(out), Path(film)) as place:
    pooled([Path(film)], Path(out), settings(), place)
"""


@pytest.mark.slow
def test_a_driver_that_was_killed_goes_on_with_what_is_unfinished(
    local: Local, film: Path, wanted: list[str], tmp_path: Path
) -> None:
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, film, tmp_path / "out.mp4", local.address], cwd=ROOT)
    folder = tmp_path / "out.mp4.vidsr"
    while not any(folder.glob("[0-9]*.sha256")) and driver.poll() is None:
        time.sleep(0.005)
    driver.kill()
    assert driver.wait() == -9
    with ray_cluster.cluster(dataclasses.replace(WHO, ray=local.address), "cpu", tmp_path, film) as place:
        finished = len(list(folder.glob("[0-9]*.sha256")))  # the old workers have had to make room for these
        counted = Counted(place)
        ended = pooled([film], tmp_path / "out.mp4", settings(), counted)["film.mp4"]
    assert ended.error is None
    assert finished >= 1
    assert (counted.found, counted.rendered) == (finished, 3 - finished)
    assert packets(tmp_path / "out.mp4") == wanted
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".vidsr-")) == ["out.mp4"]


def refused(who: Workers, device: str, film: Path) -> str:
    """What a cluster is told that cannot do the work."""
    with pytest.raises((WorkerError, DeviceError)) as told, ray_cluster.cluster(who, device, film, film):
        pass
    assert not list(film.parent.glob(".vidsr-*"))
    return str(told.value)


def test_bad_clusters_get_clear_words(
    local: Local, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = dataclasses.replace(WHO, ray=local.address)
    here = tmp_path / "film.mp4"
    shutil.copy(film, here)
    large = dataclasses.replace(who, ray_memory=9999.0)
    assert "no node of the cluster has room for a worker of 1 CPU and 9999 GiB" in refused(large, "auto", here)
    assert "cuda was asked for, but the cluster has no GPU" in refused(who, "cuda", here)
    other = ray_cluster.versions() | {"ffmpeg": "9.9", "torch": "1.0"}
    with monkeypatch.context() as patch:
        patch.setattr(ray_cluster, "versions", lambda: other)
        assert "torch is" in (told := refused(who, "cpu", here)) and "ffmpeg is" in told and "9.9 here" in told
    monkeypatch.setattr(ray_cluster.Token, "place", lambda _: None)  # a file that only this process sees
    ray.init(local.address, log_to_driver=False)
    there = ray_cluster.Cluster(
        ray_cluster.Needs(1, 0, 0.5), 1, ray_cluster.Token(Path("/not/there/token"), "text", here)
    )
    with pytest.raises(WorkerError, match=r"sees no /not/there/token .*: put films, outputs .* that all nodes share"):
        there.begin()
    there.close()
    ray.shutdown()


def test_a_node_that_never_answers_does_not_hold_up_those_that_do(monkeypatch: pytest.MonkeyPatch) -> None:
    class Half(ray_cluster.Cluster):
        def _look(self) -> None:
            self._looked += 1

        def _greeted(self, actor: ray_cluster._Actor) -> None:
            actor.ready = True

    monkeypatch.setattr(ray_cluster, "START_S", 0.5)
    there = Half(ray_cluster.Needs(1, 0, 0.5), 0, ray_cluster.Token(Path("/not/there/token"), "text", Path("film.mp4")))
    quick, silent = ray_cluster._Actor(None, "quick"), ray_cluster._Actor(None, "silent")
    quick.hello.set_result("")
    there._actors = [quick, silent]
    there.begin()
    assert there.workers() == [quick]
    there._actors = [silent]
    there._seen -= 1
    with pytest.raises(WorkerError, match="no worker was up for"):
        there.begin()


def test_no_cluster_and_no_ray_get_clear_words(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "film.mp4"
    shutil.copy(film, here)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        assert "no Ray cluster answers at 127.0.0.1" in refused(Workers(ray=f"127.0.0.1:{port}"), "auto", here)
    assert "HOST:PORT" in refused(Workers(ray="ray://10.0.0.1:10001"), "auto", here)

    def wrong(**_: object) -> None:
        raise RuntimeError("Version mismatch: The cluster was started with: Ray: 1.0")

    monkeypatch.setattr(ray, "init", wrong)
    assert "another version of Ray or Python" in refused(Workers(ray="auto"), "auto", here)
    code = "import sys; sys.modules['ray'] = None\nfrom vidsr.jobs import ray_cluster"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "WorkerError: Ray is not installed here: pip install" in found.stderr
