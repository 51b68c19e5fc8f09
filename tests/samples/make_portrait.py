"""Make portrait.mp4: NASA's portrait of Eileen Collins (public domain, in scikit-image) as a small, poor film.

    python tests/samples/make_portrait.py

A hand-held camera drifts over the portrait, which is reduced until the face is about 45 pixels high; sensor noise and
H.264 do the rest; a quiet 440 Hz tone is the sound. 8 s at 25 frames a second.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np
from skimage.data import astronaut

HEIGHT, WIDTH, RATE, SECONDS = 180, 240, 25, 8
REDUCTION = 0.42  # of the 512-pixel portrait, whose face is 108 pixels high


def frames() -> list[np.ndarray]:
    """The film's frames `(180, 240, 3)` RGB, before any codec."""
    rng = np.random.default_rng(7)
    portrait = cv2.GaussianBlur(astronaut(), (0, 0), 0.9)
    made = []
    for number in range(RATE * SECONDS):
        time = number / RATE
        scale = REDUCTION * (1 + 0.06 * np.sin(2 * np.pi * time / 7))
        angle = np.deg2rad(2.0 * np.sin(2 * np.pi * time / 5))
        middle = np.array([224 + 14 * np.sin(2 * np.pi * time / 4.1), 190 + 9 * np.cos(2 * np.pi * time / 3.3)])
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        place = np.column_stack([turn, np.array([WIDTH / 2, HEIGHT / 2]) - turn @ middle])
        seen = cv2.warpAffine(portrait, place, (WIDTH, HEIGHT), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)
        noise = rng.normal(0, 3.0, (HEIGHT, WIDTH, 1)) + rng.normal(0, 1.5, (HEIGHT, WIDTH, 3))
        made.append(np.clip(np.rint(seen + noise), 0, 255).astype(np.uint8))
    return made


def main() -> None:
    """Write portrait.mp4 beside this script."""
    target = Path(__file__).with_name("portrait.mp4")
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "portrait.rgb")
        raw.write_bytes(b"".join(frame.tobytes() for frame in frames()))
        picture = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", str(RATE), "-i", str(raw)]
        sound = ["-f", "lavfi", "-i", f"sine=frequency=440:duration={SECONDS},volume=0.1"]
        coded = [
            "-c:v",
            "libx264",
            "-crf",
            "27",
            "-preset",
            "slow",
            "-pix_fmt",
            "yuv420p",
            "-c:a",
            "aac",
            "-b:a",
            "32k",
        ]
        subprocess.run(["ffmpeg", "-v", "error", "-y", *picture, *sound, *coded, "-shortest", str(target)], check=True)
    print(f"{target}: {target.stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    main()
