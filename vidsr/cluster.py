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
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path

from vidsr.config import Hands
from vidsr.errors import DeviceError, WorkerError
from vidsr.files import is_folder, set_apart, told
from vidsr.jobs import Bench
from vidsr.schedule import Event, Lost, Relay, Told
from vidsr.tasks import Task
from vidsr.workers import attempt, received, use_threads

try:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as error:
    raise WorkerError('Ray is not installed here: pip install "vidsr[ray]", on every node of the cluster') from error

LOOK_S = 5.0
"""How often the cluster is asked for nodes that came."""
TELL_S = 2.0
"""How often a worker is asked how far it is."""
START_S = 180.0
"""How long the first worker may take to come up, and how long there may be none."""
KNOCK_S = 5.0
MOST_STARTS = 4
"""Workers that may die in one place before any of them has answered."""


@dataclass(frozen=True)
class Nature:
    """What must be equal on every node for equal packets."""

    vidsr: str
    python: str
    torch: str
    ffmpeg: str
    numbers: str
    """That the network computes in on the processor."""

    @classmethod
    def here(cls) -> Nature:
        """This process's."""
        import torch

        from vidsr.upscale import pick_dtype
        from vidsr.video import tools

        numbers = str(pick_dtype("auto", torch.device("cpu")))
        return cls(_fingerprint(), platform.python_version(), torch.__version__, tools()["ffmpeg"], numbers)

    def differences(self, other: Nature) -> str:
        """What is not equal, in words; '' where all is."""
        pairs = ((one.name, getattr(self, one.name), getattr(other, one.name)) for one in fields(self))
        return ", ".join(f"{name} is {theirs} there and {ours} here" for name, ours, theirs in pairs if ours != theirs)


def _fingerprint() -> str:
    """This package's version, with a mark of its code and its models."""
    from vidsr import __version__
    from vidsr.shipped import models_folder

    total = hashlib.sha256()
    for path in [*sorted(Path(__file__).parent.rglob("*.py")), models_folder() / "SHA256SUMS"]:
        total.update(path.read_bytes())
    return f"{__version__} ({total.hexdigest()[:8]})"


@dataclass(frozen=True)
class Hello:
    """What a node says of itself: its nature, its name, and what is wrong with the path that it should share."""

    nature: Nature
    host: str
    wrong: str


@dataclass(frozen=True)
class Token:
    """A file in the output's folder, and a film: what every node must see."""

    path: Path
    text: str
    film: Path

    def place(self) -> None:
        """Write the file, for those who are to say hello."""
        with told(self.path.parent):
            self.path.write_text(self.text)

    def remove(self) -> None:
        """Take the file away."""
        self.path.unlink(missing_ok=True)

    def wrong(self) -> str:
        """What is wrong with it here; '' where all is seen, and can be written beside."""
        try:
            if self.path.read_text() != self.text:
                return f"another {self.path.parent}"
            trial = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}")
            trial.touch()
            trial.unlink()
            self.film.stat()
        except OSError as error:
            return f"no {error.filename} ({error.strerror})"
        return ""


class _Worker:
    """What lives in an actor: the same bench as a worker process's."""

    def __init__(self, device: str, threads: int) -> None:
        use_threads(threads)
        set_apart()
        self._bench = Bench(device)
        self._told: deque[Told] = deque()

    def hello(self, token: Token) -> Hello:
        return Hello(Nature.here(), f"{socket.gethostname()} ({ray.util.get_node_ip_address()})", token.wrong())

    def do(self, ticket: int, task: Task) -> Event | tuple[Exception, str]:
        return attempt(task, self._bench, Relay(ticket, self._told.append), ticket)

    def told(self) -> list[Told]:
        """What was told since the last time; asked from another thread than the one that works."""
        return [self._told.popleft() for _ in range(len(self._told))]


@dataclass(eq=False)
class _Hand:
    """An actor: on which node, whether it has said hello, what it has in work, and when it was last asked."""

    actor: ray.actor.ActorHandle
    node: str
    ready: bool = False
    ticket: int | None = None
    asked: float = 0.0


@dataclass(frozen=True)
class Needs:
    """What each worker takes of its node."""

    cpus: float
    gpus: float
    memory_gib: float

    @classmethod
    def of(cls, who: Hands, device: str) -> Needs:
        """The needs that the settings name; DeviceError where a GPU was asked for and the cluster has none."""
        there = ray.cluster_resources().get("GPU", 0) > 0
        if device.startswith("cuda") and not there:
            raise DeviceError(f"{device} was asked for, but the cluster has no GPU; use --device cpu")
        return cls(who.ray_cpus, who.ray_gpus if there and device != "cpu" else 0.0, who.ray_memory)

    def fit(self, resources: dict[str, float]) -> int:
        """How many such workers a node can hold."""
        parts = [resources.get("CPU", 0) / self.cpus, resources.get("memory", 0) / (self.memory_gib * (1 << 30))]
        if self.gpus:
            parts.append(resources.get("GPU", 0) / self.gpus)
        return int(min(parts) + 1e-6)

    def __str__(self) -> str:
        gpus = f", {self.gpus:g} GPU" if self.gpus else ""
        return f"{self.cpus:g} CPU{gpus} and {self.memory_gib:g} GiB"


class Cluster:
    """The workers of a cluster: nodes that come get theirs, those of nodes that go are forgotten."""

    def __init__(self, needs: Needs, most: int, token: Token) -> None:
        self._needs = needs
        self._most = most or 1 << 20
        self._token = token
        self._nature = Nature.here()
        self._hands: list[_Hand] = []
        self._refs: dict[ray.ObjectRef, tuple[_Hand, str]] = {}
        self._starts: dict[str, int] = {}
        self._strict = True
        self._looked = 0.0
        self._seen = time.monotonic()

    @property
    def hands(self) -> int:
        return sum(hand.ready for hand in self._hands)

    @property
    def free(self) -> int:
        return sum(hand.ready and hand.ticket is None for hand in self._hands)

    def begin(self) -> None:
        """Start a worker wherever one fits, and hear from every node; WorkerError where one cannot take part."""
        self._look()
        if not self._hands:
            raise DeviceError(
                f"no node of the cluster has room for a worker of {self._needs}; "
                "see --ray-cpus, --ray-gpus and --ray-memory"
            )
        nodes = {hand.node for hand in self._hands}
        while nodes - {hand.node for hand in self._hands if hand.ready} and not self._late():
            self._answers(1.0)
        if not self.hands:
            raise WorkerError(f"no worker came up within {START_S:.0f} s: others may hold the cluster's resources")
        self._strict = False

    def give(self, ticket: int, task: Task) -> None:
        hand = next(hand for hand in self._hands if hand.ready and hand.ticket is None)
        hand.ticket, hand.asked = ticket, time.monotonic()
        self._refs[hand.actor.do.remote(ticket, task)] = hand, "do"

    @property
    def doubles(self) -> bool:
        return True

    def drop(self, ticket: int) -> None:
        for hand in [hand for hand in self._hands if hand.ticket == ticket]:
            self._forget(hand)

    def wait(self) -> Sequence[Event]:
        before = self.free
        while True:
            self._look()
            events = self._answers(1.0)
            if events or self.free > before:
                return events
            if self._late():
                raise WorkerError(f"the cluster has had no worker for {START_S:.0f} s")
            self._ask()

    def close(self) -> None:
        for hand in self._hands:
            with suppress(Exception):  # the cluster may be gone
                ray.kill(hand.actor)
        self._hands, self._refs = [], {}

    def _late(self) -> bool:
        now = time.monotonic()
        if self.hands:
            self._seen = now
        return now - self._seen > START_S

    def _look(self) -> None:
        """Every now and then: workers for nodes that came, none for those that went."""
        if time.monotonic() - self._looked < LOOK_S:
            return
        self._looked = time.monotonic()
        nodes = {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}
        for hand in [hand for hand in self._hands if hand.node not in nodes and hand.ticket is None]:
            self._forget(hand)
        for node, resources in nodes.items():
            there = sum(hand.node == node for hand in self._hands)
            for _ in range(min(self._needs.fit(resources) - there, self._most - len(self._hands))):
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
        self._greet(_Hand(actor, node))

    def _greet(self, hand: _Hand) -> None:
        """Let a worker say hello: until it has, it gets nothing to do."""
        hand.ready = False
        self._token.place()
        if hand not in self._hands:
            self._hands.append(hand)
        self._refs[hand.actor.hello.remote(self._token)] = hand, "hello"

    def _ask(self) -> None:
        now = time.monotonic()
        for hand in self._hands:
            if hand.ticket is not None and now - hand.asked > TELL_S:
                hand.asked = now + 3600.0  # until it has answered
                self._refs[hand.actor.told.remote()] = hand, "told"

    def _answers(self, patience_s: float) -> list[Event]:
        if not self._refs:
            time.sleep(patience_s)
            return []
        refs = list(self._refs)
        ray.wait(refs, timeout=patience_s)
        done, _ = ray.wait(refs, num_returns=len(refs), timeout=0)
        return [event for ref in done for event in self._answer(ref)]

    def _answer(self, ref: ray.ObjectRef) -> Iterator[Event]:
        if ref not in self._refs:  # of a worker that has just been buried
            return
        hand, kind = self._refs.pop(ref)
        try:
            found = ray.get(ref)
        except ray.exceptions.RayError as error:
            yield from self._buried(hand, error)
            return
        if kind == "hello":
            self._greeted(hand, found)
            if not any(kind == "hello" for _, kind in self._refs.values()):
                self._token.remove()
        elif kind == "told":
            hand.asked = time.monotonic()
            yield from (told for told in found if told.ticket == hand.ticket)
        elif hand.ticket is not None:
            self._starts[hand.node] = 0
            ticket, hand.ticket = hand.ticket, None
            yield received(found, ticket)

    def _greeted(self, hand: _Hand, hello: Hello) -> None:
        wrong = ""
        if different := self._nature.differences(hello.nature):
            wrong = f"node {hello.host} has other versions: {different}; make them equal"
        elif hello.wrong:
            wrong = (
                f"node {hello.host} sees {hello.wrong}: put films, outputs and --work-dir on a path "
                "that all nodes share"
            )
        if wrong and self._strict:
            raise WorkerError(wrong)
        if wrong:
            logging.getLogger(__name__).warning("%s; it is left out", wrong)
            self._starts[hand.node] = 1 << 20
            self._forget(hand)
        hand.ready = not wrong

    def _buried(self, hand: _Hand, error: Exception) -> Iterator[Event]:
        """A worker is gone: what it had is lost, and those of its node that have nothing to do must say hello again."""
        self._forget(hand)
        words = str(error)
        if self._strict and "No module named 'vidsr" in words:
            raise WorkerError(f"vidsr is not installed on node {hand.node}: install the same version on every node")
        if hand.ticket is not None:
            yield Lost(hand.ticket, f"on Ray: {type(error).__name__}")
        for other in self._hands:
            if other.node == hand.node and other.ready and other.ticket is None:
                self._greet(other)

    def _forget(self, hand: _Hand) -> None:
        self._hands.remove(hand)
        self._refs = {ref: entry for ref, entry in self._refs.items() if entry[0] is not hand}
        with suppress(Exception):
            ray.kill(hand.actor)


_ACTOR = ray.remote(_Worker)


@contextmanager
def cluster(who: Hands, device: str, nearby: Path, film: Path) -> Iterator[Cluster]:
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
        token.remove()
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
