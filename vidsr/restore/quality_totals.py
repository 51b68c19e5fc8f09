"""The quality of many faces, summed and sampled by track; kept beside each segment for a resumed film's report."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

JUDGED = 5
"""Of so many frames one is looked at for the report: which ones does not depend on how the film was cut."""
MOST_SAMPLES = 96
"""Of one track, however long it is."""
Sample = tuple[int, float, float, float]
"""A frame, its agreement, and its sharpness before and after."""


@dataclass(frozen=True)
class Quality:
    """How one restored face turned out, inside its outline.

    `agreement` in 0..1 is the share of what was added that the input allowed; `before` and `after` are the sharpness of
    the plain enlargement and of what is shown: the deviation of the luma's Laplacian (after Pech-Pacheco 2000), in
    grey levels.
    """

    agreement: float
    before: float
    after: float


Row = tuple[int, float, float, float, float, list[Sample]]
"""Of a file: a track, how many measures, their sums, and samples."""


@dataclass
class QualityTotals:
    """For each track how many measures, the sums of agreement, sharpness before and sharpness after, and samples."""

    sums: dict[int, tuple[float, ...]] = field(default_factory=dict)
    samples: dict[int, list[Sample]] = field(default_factory=dict)

    def add(self, track: int, frame: int, found: Quality) -> None:
        """Add the quality of a track's face in a frame."""
        sample = frame, round(found.agreement, 3), round(found.before, 2), round(found.after, 2)
        self.merge(QualityTotals({track: (1.0, found.agreement, found.before, found.after)}, {track: [sample]}))

    def merge(self, other: QualityTotals) -> None:
        """Add other totals.

        Where samples become too many, those stay whose frames a growing power of two divides: evenly far apart.
        """
        for track, values in other.sums.items():
            self.sums[track] = tuple(map(sum, zip(self.sums.get(track, (0.0,) * 4), values, strict=True)))
        for track, samples in other.samples.items():
            kept = self.samples.setdefault(track, [])
            kept += samples
            step = 1
            while len(kept) > MOST_SAMPLES:
                step *= 2
                kept[:] = [sample for sample in kept if sample[0] // JUDGED % step == 0]

    def mean(self, track: int) -> Quality | None:
        """The mean quality of a track; None where none was measured."""
        count, *rest = self.sums.get(track, (0.0,))
        return Quality(*(value / count for value in rest)) if count else None

    def dump(self) -> str:
        """As JSON."""
        rows = [(track, *values, self.samples.get(track, [])) for track, values in sorted(self.sums.items())]
        return msgspec.json.encode(rows).decode()

    @classmethod
    def read(cls, path: Path) -> QualityTotals:
        """What `dump` gave; empty where the file is missing or damaged: the film does not depend on it."""
        try:
            rows = msgspec.json.decode(path.read_bytes(), type=list[Row])
        except (OSError, msgspec.MsgspecError):
            return cls()
        return cls({row[0]: row[1:5] for row in rows}, {row[0]: row[5] for row in rows})
