"""Make docs/portrait.jpg: one frame of the sample film, enlarged plainly and restored, side by side.

python -m tests.bench.picture
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).parents[2]
FRAME = 100
ROWS, COLUMNS = slice(20, 500), slice(200, 760)  # of the enlarged picture: the face and its surroundings


def picture(film: Path, size: tuple[int, int]) -> np.ndarray:
    """One frame as `(h, w, 3)` BGR, enlarged by ffmpeg's Lanczos where it is smaller than `size`."""
    chosen = f"select=eq(n\\,{FRAME}),scale={size[0]}:{size[1]}:flags=lanczos"
    words = ["-i", str(film), "-vf", chosen, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "bgr24", "-"]
    raw = subprocess.run(["ffmpeg", "-v", "error", *words], capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(size[1], size[0], 3)


def main() -> None:
    """Enhance the sample and write the picture."""
    sample, size = ROOT / "tests/samples/portrait.mp4", (960, 720)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "out.mp4")
        command = [
            sys.executable,
            str(ROOT / "cli.py"),
            "enhance",
            str(sample),
            "-o",
            str(output),
            "--scale",
            "4",
            "-q",
        ]
        subprocess.run(command, check=True)
        pair = [picture(film, size)[ROWS, COLUMNS] for film in (sample, output)]
    target = ROOT / "docs/portrait.jpg"
    cv2.imwrite(str(target), np.hstack(pair), [cv2.IMWRITE_JPEG_QUALITY, 92])
    print(f"{target}: {target.stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    main()
