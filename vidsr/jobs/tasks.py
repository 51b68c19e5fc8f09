"""What one film's work is cut into: small values that can be handed to any process on any machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from vidsr.config import Enhance
from vidsr.jobs.plan import Plan
from vidsr.report.report import Report
from vidsr.video import Film

TOLD_EVERY_S = 0.5
"""How often a worker tells how far it is."""


class Progress(Protocol):
    """Who is told how far the work has come."""

    def stage(self, name: str, frames: int | None) -> None:
        """A stage begins; `frames` is None where their number is not known yet."""

    def advance(self, frames: int, faces: int) -> None:
        """So many frames more are done, with so many faces in them."""


class Silent:
    """A watch that says nothing."""

    def stage(self, name: str, frames: int | None) -> None: ...
    def advance(self, frames: int, faces: int) -> None: ...


@dataclass(frozen=True)
class Order:
    """A plan without its network, which whoever does the work opens by its name."""

    film: Film
    output: Path
    settings: Enhance
    scale: int
    model_sha256: str

    @classmethod
    def of(cls, work: Plan) -> Order:
        """The order that a plan gives; its names are absolute, as workers may stand in another folder."""
        film = replace(work.film, path=work.film.path.absolute())
        return cls(film, work.output, work.settings, work.scale, work.model.sha256)


@dataclass(frozen=True)
class Prepare:
    """Compare the manifest and analyze the film, or find that an earlier run has. Answered with Ready, with
    Joined where the picture stays what it is, or with Report where an earlier run has done all."""

    order: Order


@dataclass(frozen=True)
class Ready:
    """The range of frames to publish, and the segments that it is cut into."""

    span: tuple[int, int]
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Segment:
    """Render one segment, unless an earlier run has. Answered with Rendered."""

    order: Order
    span: tuple[int, int]


@dataclass(frozen=True)
class Rendered:
    """Whether the segment was rendered now; otherwise it was there."""

    now: bool


@dataclass(frozen=True)
class Join:
    """Join the segments and check the result. Answered with Joined."""

    order: Order
    ready: Ready


@dataclass(frozen=True)
class Joined:
    """The whole film under a temporary name on the output's disk, and what there is to say of it."""

    made: Path
    report: Report


Task = Prepare | Segment | Join

Answer = Ready | Report | Rendered | Joined


@dataclass(frozen=True)
class Told:
    """How far a task is: a stage begins (see `Watch.stage`), or so many frames and faces more are done."""

    stage: str | None
    frames: int | None
    faces: int = 0


class Relay:
    """A watch for a worker: tells, now and then, how far its task is."""

    def __init__(self, tell: Callable[[Told], None]) -> None:
        self._tell = tell
        self._frames = self._faces = 0
        self._last = 0.0

    def stage(self, name: str, frames: int | None) -> None:
        """A stage begins."""
        self._tell(Told(name, frames))

    def advance(self, frames: int, faces: int) -> None:
        """So many frames more are done."""
        self._frames += frames
        self._faces += faces
        if time.monotonic() - self._last >= TOLD_EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Tell what was not told yet."""
        if self._frames:
            self._tell(Told(None, self._frames, self._faces))
        self._frames = self._faces = 0
        self._last = time.monotonic()
