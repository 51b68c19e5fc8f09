"""A Ray cluster as the place where films are done: one actor a worker, on every node that sees the same files."""

from __future__ import annotations

import hashlib
import logging
import platform
import secrets
import signal
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from vidsr.config import Workers
from vidsr.errors import DeviceError, WorkerError
from vidsr.files import is_folder, storage_errors, use_unique_suffix
from vidsr.jobs.events import Progress
from vidsr.jobs.film_job import WorkerState
from vidsr.jobs.process_pool import Failed, attempt, use_threads
from vidsr.jobs.scheduler import TURN_S, Worker
from vidsr.jobs.tasks import Answer, Task

try:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as error:
    raise WorkerError('Ray is not installed here: pip install "vidsr[ray]", on every node of the cluster') from error

LOOK_S = 5.0
"""How often the cluster is asked for nodes that came."""
TELL_S = 2.0
"""How long a worker is not asked again how far it is."""
START_S = 180.0
"""How long the first worker may take to come up, and how long there may be none."""
KNOCK_S = 5.0
MOST_STARTS = 4
"""Workers that may die in one place before any of them has answered."""


def versions() -> dict[str, str]:
    """What must be equal on every node for equal packets, and the numbers that the network computes in on the CPU.

    The package's version comes with a mark of its code and its models.
    """
    import torch

    from vidsr import __version__
    from vidsr.networks.store import models_folder
    from vidsr.restore.restorer import pick_dtype
    from vidsr.video import tools

    total = hashlib.sha256()
    for path in [*sorted(Path(__file__).parents[1].rglob("*.py")), models_folder() / "SHA256SUMS"]:
        total.update(path.read_bytes())
    return {
        "vidsr": f"{__version__} ({total.hexdigest()[:8]})",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "ffmpeg": tools()["ffmpeg"],
        "numbers": str(pick_dtype("auto", torch.device("cpu"))),
    }


@dataclass(frozen=True)
class Token:
    """A file in the output's folder, and a film: what every node must see."""

    path: Path
    text: str
    film: Path

    def place(self) -> None:
        """Write the file, for those who are to say hello."""
        with storage_errors(self.path.parent):
            self.path.write_text(self.text)

    def wrong(self) -> str:
        """What is wrong with it here; '' where all is seen, and can be written beside."""
        try:
            if self.path.read_text() != self.text:
                return f"another {self.path.parent}"
            probe = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}")
            probe.touch()
            probe.unlink()
            self.film.stat()
        except OSError as error:
            return f"no {error.filename} ({error.strerror})"
        return ""


class _Worker:
    """What lives in an actor: the same state as a worker process's."""

    def __init__(self, device: str, threads: int) -> None:
        use_threads(threads)
        use_unique_suffix()
        self._state = WorkerState(device)
        self._told: deque[Progress] = deque()

    def hello(self, wanted: dict[str, str], token: Token) -> str:
        """What keeps this node from taking part, in words; '' where nothing does."""
        node, here = f"node {socket.gethostname()} ({ray.util.get_node_ip_address()})", versions()
        differs = [
            f"{one} is {here.get(one)} there and {ours} here" for one, ours in wanted.items() if here.get(one) != ours
        ]
        if differs:
            return f"{node} has other versions: {', '.join(differs)}; make them equal"
        if wrong := token.wrong():
            return f"{node} sees {wrong}: put films, outputs and --work-dir on a path that all nodes share"
        return ""

    def do(self, task: Task) -> Answer | Failed:
        self._told.clear()
        return attempt(task, self._state, self._told.append)

    def told(self) -> list[Progress]:
        """What was told since the last time; asked from another thread than the one that works."""
        return [self._told.popleft() for _ in range(len(self._told))]


class _Actor:
    """A worker: on which node, and whether it has said hello, without which it gets nothing to do."""

    def __init__(self, handle: ray.actor.ActorHandle, node: str) -> None:
        self.handle, self.node = handle, node
        self.ready = False
        self.hello: Future[str] = Future()
        self._asked: Future[list[Progress]] | None = None
        self._due = 0.0

    def submit(self, task: Task) -> Future[Answer | Failed]:
        self._asked, self._due = None, time.monotonic() + TELL_S
        found: Future[Answer | Failed] = self.handle.do.remote(task).future()
        return found

    def told(self) -> Sequence[Progress]:
        if self._asked is None and time.monotonic() > self._due:
            self._asked = self.handle.told.remote().future()
        if self._asked is None or not self._asked.done():
            return []
        asked, self._asked, self._due = self._asked, None, time.monotonic() + TELL_S
        return asked.result() if asked.exception() is None else []


@dataclass(frozen=True)
class Needs:
    """What each worker takes of its node."""

    cpus: float
    gpus: float
    memory_gib: float

    @classmethod
    def of(cls, who: Workers, device: str) -> Needs:
        """The needs that the settings name; DeviceError where a GPU was asked for and the cluster has none."""
        there = ray.cluster_resources().get("GPU", 0) > 0
        if device.startswith("cuda") and not there:
            raise DeviceError(f"{device} was asked for, but the cluster has no GPU; use --device cpu")
        return cls(who.ray_cpus, who.ray_gpus if there and device != "cpu" else 0.0, who.ray_memory)

    def fit(self, resources: dict[str, float]) -> int:
        """How many such workers a node can hold."""
        parts = [("CPU", self.cpus), ("memory", self.memory_gib * (1 << 30)), ("GPU", self.gpus)]
        return int(min(resources.get(name, 0) / need for name, need in parts if need) + 1e-6)

    def __str__(self) -> str:
        gpus = f", {self.gpus:g} GPU" if self.gpus else ""
        return f"{self.cpus:g} CPU{gpus} and {self.memory_gib:g} GiB"


class Cluster:
    """The workers of a cluster: nodes that come get theirs, those of nodes that go are forgotten."""

    def __init__(self, needs: Needs, most: int, token: Token) -> None:
        self._needs = needs
        self._most = most or 1 << 20
        self._token = token
        self._versions = versions()
        self._actors: list[_Actor] = []
        self._starts: dict[str, int] = {}
        self._strict = True
        self._looked = 0.0
        self._seen = time.monotonic()

    def begin(self) -> None:
        """Start a worker wherever one fits, and hear from every node; WorkerError where one cannot take part.

        A node that says nothing within START_S is not waited for, where another has a worker.
        """
        self._look()
        if not self._actors:
            raise DeviceError(
                f"no node of the cluster has room for a worker of {self._needs}; "
                "see --ray-cpus, --ray-gpus and --ray-memory"
            )
        deadline = time.monotonic() + START_S
        while {actor.node for actor in self._actors} - {actor.node for actor in self.workers()}:
            if time.monotonic() > deadline:
                break
            time.sleep(TURN_S)
        self._strict = False

    def workers(self) -> Sequence[_Actor]:
        self._look()
        greeted = [actor for actor in self._actors if not actor.ready and actor.hello.done()]
        for actor in greeted:
            self._greeted(actor)
        ready = [actor for actor in self._actors if actor.ready]
        if greeted and len(ready) == len(self._actors):
            self._token.path.unlink(missing_ok=True)
        if ready:
            self._seen = time.monotonic()
        elif time.monotonic() - self._seen > START_S:
            raise WorkerError(f"no worker was up for {START_S:.0f} s: others may hold the cluster's resources")
        return ready

    def lost(self, worker: Worker) -> str:
        """A worker is gone, perhaps with its node: the others there must say hello again."""
        assert isinstance(worker, _Actor)
        self._forget(worker)
        for other in self._actors:
            if other.node == worker.node:
                self._greet(other)
        return ""

    def close(self) -> None:
        for actor in list(self._actors):
            self._forget(actor)

    def _look(self) -> None:
        """Every now and then: workers for nodes that came, none for those that went."""
        if time.monotonic() - self._looked < LOOK_S:
            return
        self._looked = time.monotonic()
        nodes = {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}
        for actor in [actor for actor in self._actors if actor.node not in nodes]:
            self._forget(actor)
        for node, resources in nodes.items():
            there = sum(actor.node == node for actor in self._actors)
            for _ in range(min(self._needs.fit(resources) - there, self._most - len(self._actors))):
                if self._starts.get(node, 0) < self._needs.fit(resources) * MOST_STARTS:
                    self._start(node)

    def _start(self, node: str) -> None:
        self._starts[node] = self._starts.get(node, 0) + 1
        needs = self._needs
        actor = _ACTOR.options(
            num_cpus=needs.cpus,
            num_gpus=needs.gpus,
            memory=int(needs.memory_gib * (1 << 30)),
            max_concurrency=2,  # one works, one says how far it is
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
        ).remote("cuda" if needs.gpus else "cpu", max(1, int(needs.cpus)))
        self._actors.append(_Actor(actor, node))
        self._greet(self._actors[-1])

    def _greet(self, actor: _Actor) -> None:
        self._token.place()
        actor.ready, actor.hello = False, actor.handle.hello.remote(self._versions, self._token).future()

    def _greeted(self, actor: _Actor) -> None:
        """Hear a worker's hello: whether it can take part."""
        if (error := actor.hello.exception()) is not None:
            self._forget(actor)
            if self._strict and "No module named 'vidsr" in str(error):
                raise WorkerError(
                    f"vidsr is not installed on node {actor.node}: install the same version on every node"
                )
            return
        wrong = actor.hello.result()
        if wrong and self._strict:
            raise WorkerError(wrong)
        if wrong:
            logging.getLogger(__name__).warning("%s; it is left out", wrong)
            self._forget(actor)
        self._starts[actor.node] = 1 << 20 if wrong else 0
        actor.ready = not wrong

    def _forget(self, actor: _Actor) -> None:
        if actor in self._actors:
            self._actors.remove(actor)
        with suppress(Exception):  # the cluster may be gone
            ray.kill(actor.handle)


_ACTOR = ray.remote(_Worker)


@contextmanager
def cluster(who: Workers, device: str, nearby: Path, film: Path) -> Iterator[Cluster]:
    """The cluster that `who` names, with its workers up; its nodes must see the folder of `nearby`, and `film`."""
    assert who.ray is not None
    _connect(who.ray)
    folder = (nearby if is_folder(nearby) else nearby.parent).absolute()
    token = Token(folder / f".vidsr-{secrets.token_hex(4)}", secrets.token_hex(16), film.absolute())
    there = None
    try:
        there = Cluster(Needs.of(who, device), who.workers, token)
        there.begin()
        yield there
    finally:
        if there is not None:
            there.close()
        token.path.unlink(missing_ok=True)
        ray.shutdown()


def _connect(address: str) -> None:
    """Join the cluster as its driver; WorkerError where there is none, or it is of another version."""
    _knock(address)
    heard = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError) as error:
        raise WorkerError(_no_cluster(address)) from error
    except RuntimeError as error:
        if "mismatch" not in str(error).lower():
            raise
        raise WorkerError(f"the cluster at {address} runs another version of Ray or Python", str(error)) from error
    finally:
        for number, handler in heard.items():
            signal.signal(number, handler)  # Ray puts its own in their place


def _no_cluster(address: str) -> str:
    where = "on this machine" if address == "auto" else f"at {address}"
    return f"no Ray cluster answers {where}: start one with `ray start --head`, or give --ray the address that it names"


def _knock(address: str) -> None:
    """Ray itself tries an address for long before it gives up."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal():
        raise WorkerError(f"--ray {address}: give auto, or HOST:PORT of the cluster's head, such as 10.0.0.1:6379")
    try:
        socket.create_connection((host, int(port)), KNOCK_S).close()
    except (OSError, OverflowError) as error:
        raise WorkerError(_no_cluster(address)) from error
