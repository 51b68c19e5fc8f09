"""How long a preview of 3 seconds of 720p takes, and how long until its first picture is on disk.

python -m tests.bench.preview FILM...
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.tools import command, ffmpeg

WHOLE_S, FIRST_S = 60.0, 15.0
"""Limits on two cores."""


def timed(film: Path, folder: Path, *words: str) -> tuple[float, float]:
    """Seconds until contact.png appears, and until the end."""
    began, first = time.monotonic(), float("inf")
    run = subprocess.Popen(command("preview", film, "-o", folder, "-q", *words))
    while run.poll() is None:
        if first == float("inf") and (folder / "contact.png").exists():
            first = time.monotonic() - began
        time.sleep(0.05)
    if run.returncode:
        sys.exit(f"{film}: exit code {run.returncode}")
    return first, time.monotonic() - began


def main() -> None:
    """Bring each film to 1280x720, preview it, and say whether the limits hold."""
    held = True
    with tempfile.TemporaryDirectory() as scratch:
        for number, film in enumerate(sys.argv[1:]):
            clip = Path(scratch, f"{number}.mp4")
            fit = "scale=1280:720:force_original_aspect_ratio=increase,crop=1280:720"
            ffmpeg("-i", film, "-vf", fit, "-c:v", "libx264", "-crf", "16", "-an", clip)
            for words in ((), ("--start", "0.5")):
                first, whole = timed(clip, Path(scratch, f"{number}{len(words)}"), *words)
                fine = first < FIRST_S and whole < WHOLE_S
                held = held and fine
                name = f"{Path(film).name} {' '.join(words) or 'by itself'}"
                print(f"{'holds' if fine else 'FAILS'}  {name:44} first {first:.1f} s, whole {whole:.1f} s", flush=True)
    sys.exit(not held)


if __name__ == "__main__":
    main()
