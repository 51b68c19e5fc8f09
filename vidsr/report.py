"""What happened to every frame and every track of a film, for a program to read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from vidsr.frame import Track

VERSION = 1
TOO_SMALL = 24.0
"""Faces whose box is lower than this many pixels show mostly what the model has learnt, not who was there."""


@dataclass(frozen=True)
class Span:
    """Consecutive frames, `stop` excluded, that fared alike: `state` is "restored" or "passed", `reason` says why."""

    first: int
    stop: int
    state: str
    reason: str


@dataclass(frozen=True)
class Fate:
    """One track: where it was, how high its face (median pixels), and whether it was restored."""

    id: int
    first: int
    stop: int
    height: float
    score: float
    state: str
    reason: str
    warning: str


@dataclass(frozen=True)
class Report:
    """One finished film. `frames` covers every frame of the output's range; `warnings` are sentences for the user."""

    version: int
    input: str
    output: str
    model: str
    scale: int
    first: int
    stop: int
    frames: tuple[Span, ...]
    tracks: tuple[Fate, ...]
    warnings: tuple[str, ...]

    @property
    def restored(self) -> int:
        """How many frames had at least one face restored."""
        return sum(span.stop - span.first for span in self.frames if span.state == "restored")

    def save(self, path: Path) -> None:
        """Write the report as JSON under a temporary name and rename it."""
        partial = path.with_name(path.name + ".partial")
        partial.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n", encoding="utf-8")
        partial.replace(path)


def fates(tracks: Sequence[Track], passed: Mapping[int, str]) -> tuple[Fate, ...]:
    """Each track's fate; `passed` gives the reason for those that were not restored."""
    return tuple(
        Fate(
            track.id, track.first, track.stop, round(track.height, 1), round(float(track.score.mean()), 3),
            "passed" if track.id in passed else "restored", passed.get(track.id, ""), _warning(track, passed),
        )
        for track in tracks
    )  # fmt: skip


def _warning(track: Track, passed: Mapping[int, str]) -> str:
    if track.id in passed or track.height >= TOO_SMALL:
        return ""
    return f"reconstructed from a face {track.height:.0f} pixels high: do not use it to identify a person"


def spans(first: int, stop: int, tracks: Sequence[Track], passed: Mapping[int, str]) -> tuple[Span, ...]:
    """The range `first` to `stop` as runs of frames that fared alike."""
    by_frame: list[tuple[str, str]] = []
    for index in range(first, stop):
        here = [track for track in tracks if track.first <= index < track.stop]
        if any(track.id not in passed and track.weight[index - track.first] > 0 for track in here):
            by_frame.append(("restored", ""))
        else:
            by_frame.append(
                ("passed", "; ".join(sorted({passed[t.id] for t in here if t.id in passed})) or "no face found")
            )
    runs = groupby(range(first, stop), key=lambda index: by_frame[index - first])
    found = ((list(members), fate) for fate, members in runs)
    return tuple(Span(members[0], members[-1] + 1, *fate) for members, fate in found)
