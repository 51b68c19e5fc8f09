"""What one film's work is cut into: small values that can be handed to any process on any machine.

Each names the plan in its portable form; see `vidsr.jobs.plan.Plan.portable`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vidsr.jobs.plan import Plan
from vidsr.report.report import Report


@dataclass(frozen=True)
class Prepare:
    """Compare the manifest and analyze the film, or find that an earlier run has. Answered with Ready, with
    Joined where the picture stays what it is, or with Report where an earlier run has done all."""

    work: Plan


@dataclass(frozen=True)
class Ready:
    """The range of frames to publish, and the segments that it is cut into."""

    span: tuple[int, int]
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Segment:
    """Render one segment, unless an earlier run has. Answered with Rendered."""

    work: Plan
    span: tuple[int, int]


@dataclass(frozen=True)
class Rendered:
    """Whether the segment was rendered now; otherwise it was there."""

    now: bool


@dataclass(frozen=True)
class Join:
    """Join the segments and check the result. Answered with Joined."""

    work: Plan
    ready: Ready


@dataclass(frozen=True)
class Joined:
    """The whole film under a temporary name on the output's disk, and what there is to say of it."""

    made: Path
    report: Report


Task = Prepare | Segment | Join
Answer = Ready | Report | Rendered | Joined
