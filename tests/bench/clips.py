"""Enhance every clip of a folder at its automatic scale and compare time stamps, sound and length with the source.

    python -m tests.bench.clips [FOLDER] [-o OUTPUT_FOLDER]

Prints a row a clip; exits with 1 if one differs.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Facts:
    """What is compared: exact times of the frames in seconds, hashes of the sound's packets, length in seconds."""

    times: list[Fraction]
    sound: list[str]
    duration_s: float


def ask(path: Path, *words: str) -> str:
    command = ["ffprobe", "-v", "error", *words, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def facts(path: Path) -> Facts:
    """Decode the picture for its time stamps; read the sound's packets."""
    shown = ["-select_streams", "v:0", "-show_entries", "frame=best_effort_timestamp:stream=time_base", "-of", "json"]
    answer = json.loads(ask(path, *shown))
    base = Fraction(answer["streams"][0]["time_base"])
    times = [int(frame["best_effort_timestamp"]) * base for frame in answer["frames"]]
    show = ["-select_streams", "a", "-show_entries", "packet=data_hash", "-show_data_hash", "md5", "-of", "csv"]
    length = json.loads(ask(path, "-show_entries", "format=duration", "-of", "json"))["format"]["duration"]
    return Facts(times, re.findall(r"MD5:\w+", ask(path, *show)), float(length))


def differences(source: Facts, output: Facts, tick: Fraction) -> list[str]:
    """What differs; `tick` is the output container's coarsest time."""
    found = []
    if len(source.times) != len(output.times):
        found.append(f"{len(source.times)} frames became {len(output.times)}")
    worst = max(abs(a - b) for a, b in zip(source.times, output.times, strict=False))
    if worst > tick / 2:
        found.append(f"times differ by {float(worst):.6f} s")
    if source.sound != output.sound:
        found.append("the sound's packets differ")
    frame = float(source.times[-1] - source.times[0]) / max(1, len(source.times) - 1)
    if abs(source.duration_s - output.duration_s) > frame + 0.001:
        found.append(f"{source.duration_s:.3f} s became {output.duration_s:.3f} s")
    return found


def main() -> None:
    """Run over a folder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT.parent / "shared/data/test/clips")
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    out = given.output or Path(tempfile.mkdtemp())
    failed = False
    for clip in sorted(given.folder.iterdir()):
        report = out / f"{clip.stem}.json"
        began = time.monotonic()
        words = ["enhance", str(clip), "-o", str(out), "--report", str(report), "--overwrite", "-q"]
        done = subprocess.run([sys.executable, str(ROOT / "cli.py"), *words], check=False)
        took = time.monotonic() - began
        if done.returncode:
            print(f"{clip.name:28} FAILED with {done.returncode}", flush=True)
            failed = True
            continue
        told = json.loads(report.read_text())
        output = Path(told["output"])
        tick = Fraction(0) if output.suffix in (".mp4", ".mov") else Fraction(1, 1000)
        wrong = differences(facts(clip), facts(output), tick)
        failed = failed or bool(wrong)
        restored = sum(s["stop"] - s["first"] for s in told["frames"] if s["state"] == "restored")
        print(
            f"{clip.name:28} x{told['scale']} {told['stop']:4} frames, {restored:4} restored, "
            f"{len(told['tracks']):2} faces, {told['stop'] / took:5.1f} fps  {'; '.join(wrong) or 'equal'}",
            flush=True,
        )
    sys.exit(failed)


if __name__ == "__main__":
    main()
