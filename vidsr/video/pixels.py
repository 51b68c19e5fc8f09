"""Which planar YUV format stands for each pixel format that a decoder may give, or that an encoder can take."""

from __future__ import annotations

import re
from functools import cache, lru_cache

from vidsr.errors import InputError
from vidsr.frame import PixelFormat
from vidsr.video.ffprobe import Answer, ask
from vidsr.video.process import GLOBAL, run

SUBSAMPLING = {"420": (1, 1), "422": (1, 0), "444": (0, 0)}
DEPTHS = (8, 10, 12, 16)
_NAME = {shifts: name for name, shifts in SUBSAMPLING.items()}


def planar(depth: int, shift_x: int, shift_y: int) -> PixelFormat:
    """The working format of this depth (8, 10, 12 or 16) and chroma subsampling."""
    name = f"yuv{_NAME[shift_x, shift_y]}p" + ("" if depth == 8 else f"{depth}le")
    return PixelFormat(name, depth, shift_x, shift_y)


WORKING = {pixels.name: pixels for depth in DEPTHS for shifts in _NAME for pixels in [planar(depth, *shifts)]}


def nearest(name: str) -> tuple[PixelFormat, bool]:
    """The working format for ffmpeg's pixel format `name`, and whether samples are converted to reach it.

    Colour becomes 4:4:4, gray 4:2:0 with its luma unchanged, other subsamplings and depths the next finer one; alpha
    is dropped. InputError for a format that this ffmpeg does not know, or that only hardware can read.
    """
    plain = name.replace("yuvj", "yuv")
    if plain in WORKING:
        return WORKING[plain], False
    known = _described(name)
    depths = [depth for part in known.many("components") if (depth := part.integer("bit_depth"))]
    if not depths or known.one("flags").flag("hwaccel"):
        raise InputError(f"The pixel format {name} cannot be read.")
    depth = next((step for step in DEPTHS if step >= max(depths)), DEPTHS[-1])
    if is_colour(name):
        return planar(depth, 0, 0), True
    if len(depths) <= 2:
        return planar(depth, 1, 1), True
    across, down = (min(known.integer(f"log2_chroma_{side}") or 0, 1) for side in "wh")
    return planar(depth, across, min(across, down)), True


def is_colour(name: str) -> bool:
    """Whether the format holds RGB, so that a matrix must be chosen on the way to YUV."""
    flags = _described(name).one("flags")
    return flags.flag("rgb") or flags.flag("palette")


def has_alpha(name: str) -> bool:
    """Whether the format holds transparency; a palette may, and says nothing of it."""
    return _described(name).one("flags").flag("alpha") and not _described(name).one("flags").flag("palette")


@lru_cache(maxsize=1)
def _formats() -> dict[str, Answer]:
    answers = ask(["-show_pixel_formats"]).many("pixel_formats")
    return {name: answer for answer in answers if (name := answer.text("name"))}


def _described(name: str) -> Answer:
    return _formats().get(name, Answer(None))


@cache
def _taken_by(codec: str) -> tuple[PixelFormat, ...]:
    _, output, _ = run(["ffmpeg", *GLOBAL, "-loglevel", "error", "-h", f"encoder={codec}"])
    found = re.search(r"Supported pixel formats: (.*)", output.decode("utf-8", "replace"))
    names = found[1].split() if found else ["yuv420p"]
    return tuple(WORKING[name] for name in names if name in WORKING)


def storable(pixels: PixelFormat, codec: str) -> PixelFormat:
    """What `codec` stores for frames in `pixels`: the same where it can, else the nearest that loses least."""

    def loss(other: PixelFormat) -> tuple[int, int, int]:
        chroma = max(0, other.shift_x - pixels.shift_x) + max(0, other.shift_y - pixels.shift_y)
        surplus = abs(other.shift_x - pixels.shift_x) + abs(other.shift_y - pixels.shift_y)
        return max(0, pixels.depth - other.depth) + 4 * chroma, surplus, other.depth

    return min(_taken_by(codec), key=loss)
