"""Peak memory of `vidsr enhance` on a 640x360 film of 20 s and on one of 10 minutes, the same picture looped.

    python -m tests.bench.memory [SECONDS ...]

The film is the sample at 12 frames a second with a border, one face in every frame. What is printed is the largest
resident set of the program itself (ffmpeg's processes are not in it), and how much larger the long film's is.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
RATE = 12


def film(folder: Path, seconds: int) -> Path:
    """The sample, looped to this length, with a border to 640x360."""
    path = folder / f"{seconds}.mp4"
    source = ["-stream_loop", "-1", "-i", str(ROOT / "tests/samples/portrait.mp4"), "-t", str(seconds)]
    shape = ["-vf", f"fps={RATE},pad=640:360:200:90", "-c:v", "libx264", "-preset", "ultrafast"]
    subprocess.run(["ffmpeg", "-v", "error", *source, *shape, "-c:a", "copy", str(path)], check=True)
    return path


def peak_mib(path: Path) -> float:
    """Largest resident set of one run, in MiB."""
    command = [
        sys.executable,
        str(ROOT / "cli.py"),
        "enhance",
        str(path),
        "--scale",
        "1",
        "--preset",
        "ultrafast",
        "-q",
    ]
    child = os.posix_spawn(sys.executable, command, dict(os.environ))
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"{path.name}: status {status}")
    return usage.ru_maxrss / 1024


def main() -> None:
    """Measure both and compare."""
    lengths = [int(word) for word in sys.argv[1:]] or [20, 600]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for seconds in lengths:
            path = film(Path(folder), seconds)
            began = time.monotonic()
            found.append(peak_mib(path))
            fps = seconds * RATE / (time.monotonic() - began)
            print(f"{seconds:5} s, {seconds * RATE:6} frames: {found[-1]:7.0f} MiB, {fps:5.1f} fps", flush=True)
    print(f"longest over shortest: {found[-1] / found[0]:.3f}")


if __name__ == "__main__":
    main()
