"""Films for the benches of speed: so many faces, of one size, at any resolution; and clips in a loop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.bench.tools import CLIPS, SAMPLE, ffmpeg
from tests.scene import Pose, backdrop, head, paste

FPS = 25
MARGIN = 24
"""Pixels by which the scene is larger than the picture on each side: the camera sways by as much."""
SCALE = 0.54
"""Of the heads: their aligned windows are some 96 pixels, the same at every resolution; smaller ones are not all found
in 1080p."""
SIDES = {"360p": (640, 360), "720p": (1280, 720), "1080p": (1920, 1080)}
GRAIN = "noise=alls=3:allf=t"


@dataclass(frozen=True)
class Scene:
    """What a film shows: so many faces at one of `SIDES`, for so many seconds."""

    resolution: str
    faces: int
    seconds: float

    @property
    def name(self) -> str:
        return f"{self.resolution}, {self.faces} faces"

    @property
    def frames(self) -> int:
        return round(self.seconds * FPS)

    def film(self, folder: Path) -> Path:
        """The film, made where it is not in the folder yet."""
        path = folder / f"{self.resolution}-{self.faces}-{self.seconds:g}.mp4"
        if not path.exists():
            width, height = SIDES[self.resolution]
            still = path.with_suffix(".png")
            cv2.imwrite(str(still), _drawn(self.faces, width + 2 * MARGIN, height + 2 * MARGIN)[..., ::-1])
            sway = f"x='{MARGIN}+{MARGIN}*sin(t)':y='{MARGIN}+{MARGIN}*sin(0.7*t)'"
            look = f"crop={width}:{height}:{sway},{GRAIN},format=yuv420p"
            source = ["-loop", "1", "-framerate", FPS, "-i", still, "-t", self.seconds, "-vf", look]
            ffmpeg(*source, "-c:v", "libx264", "-preset", "veryfast", "-crf", "20", path)
        return path


def _drawn(faces: int, width: int, height: int) -> NDArray[np.uint8]:
    """Heads in a square grid before a backdrop, no two at the same place of their cell."""
    picture = backdrop(1, width, height)
    side = int(np.ceil(np.sqrt(faces)))
    for number in range(faces):
        row, column = divmod(number, side)
        middle = (column + 0.5) / side * width, (row + 0.5) / side * height
        picture = paste(picture, Pose(middle[0] + 5 * (number % 3), middle[1], SCALE), head())
    return picture


def clip(name: str) -> Path | None:
    """A shared clip, where it is at hand."""
    path = CLIPS / name
    return path if path.exists() else None


def looped(source: Path, seconds: float, folder: Path) -> Path:
    """A film's packets over and over, up to this length, nothing coded anew."""
    path = folder / f"{source.stem}-{seconds:g}.mp4"
    if not path.exists():
        ffmpeg("-stream_loop", "-1", "-i", source, "-t", seconds, "-map", "0:v", "-c", "copy", path)
    return path


def talking() -> Path:
    """The plain 720p case, or the sample where the shared clips are not at hand."""
    return clip("lp_s18_720p.mp4") or SAMPLE
