"""Verdicts of many faces, summed track by track; kept beside each segment, so that a resumed film's report is whole."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Verdict:
    """How one restored face turned out, inside its outline.

    `agreement` in 0..1 is the share of what was added that the input allowed; `before` and `after` are the sharpness of
    the plain enlargement and of what is shown: the deviation of the luma's Laplacian (after Pech-Pacheco 2000), in
    grey levels.
    """

    agreement: float
    before: float
    after: float


@dataclass
class Tally:
    """Sums of verdicts: for each track how many, and the sums of agreement, sharpness before and sharpness after."""

    sums: dict[int, tuple[float, float, float, float]] = field(default_factory=dict)

    def hear(self, track: int, found: Verdict) -> None:
        """Add one verdict."""
        self._add(track, (1.0, found.agreement, found.before, found.after))

    def merge(self, other: Tally) -> None:
        """Add another tally."""
        for track, values in other.sums.items():
            self._add(track, values)

    def _add(self, track: int, values: tuple[float, float, float, float]) -> None:
        n, a, b, c = self.sums.get(track, (0.0, 0.0, 0.0, 0.0))
        self.sums[track] = (n + values[0], a + values[1], b + values[2], c + values[3])

    def mean(self, track: int) -> Verdict | None:
        """The mean verdict on a track; None where none was heard."""
        count, *rest = self.sums.get(track, (0.0, 0.0, 0.0, 0.0))
        return Verdict(*(value / count for value in rest)) if count else None

    def dump(self) -> str:
        """As JSON."""
        return json.dumps([[track, *values] for track, values in sorted(self.sums.items())])

    @classmethod
    def read(cls, path: Path) -> Tally:
        """What `dump` gave; empty where the file is missing or damaged: the film does not depend on it."""
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
            return cls({int(t): (float(n), float(a), float(b), float(c)) for t, n, a, b, c in rows})
        except (OSError, ValueError, TypeError):
            return cls()
