"""Films as people have them, brought to their end without a look for faces."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.program import ABSENT, ROOT
from vidsr.config import Encode, Enhance, Render
from vidsr.frame import Frame
from vidsr.jobs.plan import Plan, output_spec, plan
from vidsr.networks import model_file
from vidsr.video import Film, Reader, Writer, probe, publish

ODD = ROOT.parent / "shared/data/test/odd"


def odd(name: str) -> Path:
    """A film that failed once; the test is skipped where it is not here."""
    path = ODD / name
    if not path.is_file():
        pytest.skip(f"{ABSENT}: {name}")
    return path


@dataclass(frozen=True)
class Made:
    """A film's plan, its frames as they were read, what came out and what was said of it."""

    work: Plan
    frames: list[Frame]
    film: Film
    notes: tuple[str, ...]

    @property
    def about(self) -> dict[str, Any]:
        """All that ffprobe says of what came out."""
        return asked(self.work.output)

    @property
    def length_s(self) -> float:
        return float(self.about["format"]["duration"])


def asked(path: Path) -> dict[str, Any]:
    """What ffprobe says of a file."""
    return _asked(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _asked(path: Path, _: int) -> dict[str, Any]:
    words = ["ffprobe", "-v", "error", "-of", "json", "-show_format", "-show_streams", path]
    answer: dict[str, Any] = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    return answer


@lru_cache(maxsize=1)
def _plain() -> model_file.Model:
    return model_file.load("plain")


def planned(path: Path, output: Path, encode: Encode | None = None, **settings: object) -> Plan:
    """The plan for a film; `output` is a folder or a file."""
    asked_for = Enhance(render=Render(scale="1", model="plain"), encode=encode or Encode(), overwrite=True)
    return plan(path, output, replace(asked_for, **settings), _plain())  # type: ignore[arg-type]


def made(path: Path, output: Path, encode: Encode | None = None, **settings: object) -> Made:
    """The film coded as it is and published."""
    work = planned(path, output, encode, **settings)
    with Reader(work.film) as reader:
        frames = list(reader)
    timeline = np.array([frame.pts for frame in frames], np.int64)
    segment = work.output.with_suffix(".nut")
    with Writer(segment, output_spec(work), timeline) as writer:
        for frame in frames:
            writer.write(frame)
    notes = publish(work.film, [segment], timeline, work.output)
    return Made(work, frames, probe(work.output), (*work.film.warnings, *output_spec(work).warnings, *notes))
