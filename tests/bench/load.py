"""Twenty films in one command, three of them bad: what comes out, and whether memory stays flat.

    python -m tests.bench.load [--films 20]

Three good films take turns, so that the peak of resident memory over each round of three can be compared: the last
whole round may be no more than 5 % above the second. The bad ones are a text, a film cut in half and an empty file.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
import time
from pathlib import Path

from tests.bench.tools import SAMPLE, Trial, command, ffmpeg

SIZES = ("240:180", "160:120", "320:240")


def films(folder: Path, count: int) -> list[Path]:
    """`count` films, of which the 4th, the middle one and the last but two are bad."""
    good = []
    for number, size in enumerate(SIZES):
        good.append(folder / f"good{number}.mp4")
        shape = ["-t", "0.8", "-vf", f"scale={size}", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "copy"]
        ffmpeg("-i", SAMPLE, *shape, good[-1])
    contents = [path.read_bytes() for path in good]
    for path in good:
        path.unlink()
    bad = {3: b"no film\n" * 99, count // 2: contents[0][: len(contents[0]) // 2], count - 3: b""}
    made, turn = [], 0
    for number in range(count):
        made.append(folder / f"{number:02d}{'bad' if number in bad else 'good'}.mp4")
        made[-1].write_bytes(bad.get(number, contents[turn % 3]))
        turn += number not in bad
    return made


def watched(words: list[str], out: Path, log: Path) -> tuple[int, dict[int, float]]:
    """Run; the exit code, and for each count of finished films the most memory seen while it stood so, MiB."""
    peaks: dict[int, float] = {}
    with log.open("w") as file:
        run = subprocess.Popen(words, stderr=file, stdout=file)
        while run.poll() is None:
            done = sum(1 for path in out.iterdir() if path.is_file())
            try:
                found = re.search(r"^VmRSS:\s+(\d+)", Path(f"/proc/{run.pid}/status").read_text(), re.MULTILINE)
            except OSError:
                found = None
            if found:
                peaks[done] = max(peaks.get(done, 0.0), int(found[1]) / 1024)
            time.sleep(0.02)
    return run.returncode, peaks


def main() -> None:
    """Run and compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--films", type=int, default=20)
    given = parser.parse_args()
    trial = Trial()
    with tempfile.TemporaryDirectory() as name:
        folder, out, log = Path(name, "in"), Path(name, "out"), Path(name, "log")
        folder.mkdir()
        out.mkdir()
        made = films(folder, given.films)
        code, peaks = watched(command("enhance", folder, "-o", out, "--scale", "1", "--preset", "ultrafast"), out, log)
        said = log.read_text()
        bad = [path for path in made if "bad" in path.name]
        named = [path for path in bad if re.search(f"^error: .*{path.name}", said, re.MULTILINE)]
        outputs = sorted(path.name for path in out.iterdir())
        wanted = sorted(f"{path.stem}.enhanced.mp4" for path in made if path not in bad)
        trial.line("exit code", [] if code == 3 else [f"{code}"], f"{code}")
        trial.line("outputs", [] if outputs == wanted else [f"{outputs}"], f"{len(outputs)}")
        trial.line("bad films named", [] if named == bad else [said[-300:]], f"{len(named)}")
        rounds = [max(peaks.get(done, 0.0) for done in range(at, at + 3)) for at in range(0, len(wanted) - 2, 3)]
        growth = rounds[-1] / rounds[1] - 1
        figures = f"{rounds[1]:.0f} MiB in round 2, {rounds[-1]:.0f} MiB in round {len(rounds)} ({growth:+.1%})"
        trial.line("memory over the batch", [] if growth <= 0.05 else ["it grows"], figures)
    trial.end()


if __name__ == "__main__":
    main()
