"""A sharp film as degraded copies of itself, for measuring what a model gives back."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vidsr.errors import ToolError
from vidsr.video.probe import SPACES, Film
from vidsr.video.process import GLOBAL, SAFE, local, run

MULTIPLE = 8
"""The sharp copy's sides are multiples of this, so that a quarter of it is a film of even sides."""
CODECS = ("x264", "mpeg2", "mpeg4")
USUAL = {"mpeg2": (720 * 576, 3000.0), "mpeg4": (640 * 480, 800.0)}
"""Of DVD and DivX film: pixels of a picture, and kbit/s at USUAL_RATE."""
USUAL_RATE = 25
GROUPS = {
    "mpeg2": ("mpeg2video", "-g", "12", "-bf", "2", "-strict", "unofficial"),  # unofficial: frame rates of any kind
    "mpeg4": ("mpeg4", "-g", "250", "-bf", "1"),
}
"""A DVD has an I frame every half second; DivX seldom has one."""
SITED = "in_h_chr_pos=0:in_v_chr_pos=128:out_h_chr_pos=0:out_v_chr_pos=128"
"""Chroma left of the middle, as MPEG-2 and H.264 have it; else ffmpeg 5 takes it for centred."""


@dataclass(frozen=True)
class Coding:
    """How a film is coded: `x264` (preset medium) at a `crf`, `mpeg2` or `mpeg4` at a bit rate.

    `kbits` a second are for a film of the codec's usual size (see USUAL); a film of another size or rate gets as many
    bits a pixel.
    """

    codec: str
    crf: int = 0
    kbits: float = 0.0

    @property
    def name(self) -> str:
        return f"crf {self.crf}" if self.codec == "x264" else f"{self.codec} {self.kbits:g}k"

    def words(self, film: Film) -> list[str]:
        """ffmpeg's options for the picture of `film`."""
        if self.codec == "x264":
            return ["-c:v", "libx264", "-preset", "medium", "-crf", str(self.crf)]
        share = Fraction(film.width * film.height, USUAL[self.codec][0]) * film.rate / USUAL_RATE
        rate = ["-b:v", str(max(1, round(1000 * self.kbits * share)))]
        return ["-c:v", *GROUPS[self.codec], *rate]


def cut_copy(film: Film, output: Path, first: int, frames: int) -> None:
    """Write `frames` of a film from about frame `first` on, without loss (FFV1). Raises ToolError."""
    seek = ["-ss", f"{float(first / film.rate):.6f}"] if first else []
    encode([*seek, *_whole(film), "-frames:v", str(frames), "-an", "-c:v", "ffv1", local(output)])


def reduced_copy(film: Film, output: Path, factor: float, multiple: int = MULTIPLE) -> None:
    """Write a film reduced by `factor`, at most 1 (bicubic), in 8 bits, 4:2:0 and studio range, without loss (FFV1).

    What its sides have beyond a multiple is cut off on the right and below. Raises ToolError.
    """
    width, height = (round(length * factor) for length in (film.width, film.height))
    size = f"scale={width}:{height}:flags=bicubic+accurate_rnd+full_chroma_int:{SITED}:out_range=tv"
    tags = f"setparams=range=tv:colorspace={SPACES[film.matrix]}"  # a small copy's matrix would be guessed another
    filters = ",".join([size, "format=yuv420p", trim(width, height, multiple), tags])
    encode([*_whole(film), "-vf", filters, "-an", "-c:v", "ffv1", local(output)])


def coded_copy(film: Film, output: Path, coding: Coding) -> None:
    """Write a film in 4:2:0 as `coding` says. Raises ToolError.

    At a bit rate in two passes: in one, two films of 42 frames got 1.3 to 1.7 times what they should.
    """
    words, rest = [*_whole(film), *coding.words(film)], ["-pix_fmt", "yuv420p", local(output)]
    if coding.codec != "x264":
        # The log's name is taken as it is, so it stands for no protocol.
        log = ["-passlogfile", str(output.absolute())]
        # ffmpeg's rate control refuses a second pass whose rate is too low for the picture, or aborts over it.
        with suppress(ToolError):
            for number in "12":
                encode([*words, "-pass", number, *log, *rest])
            return
    encode([*words, *rest])


def _whole(film: Film) -> list[str]:
    return ["-i", local(film.path), "-map", f"0:{film.index}", "-fps_mode", "passthrough"]


def trim(width: int, height: int, multiple: int = MULTIPLE) -> str:
    """A filter that leaves sides of multiples, on the right and below."""
    return f"crop={width // multiple * multiple}:{height // multiple * multiple}:0:0"


def encode(words: list[str]) -> None:
    """Run ffmpeg with these words; raises ToolError."""
    code, _, complaints = run(["ffmpeg", *GLOBAL, "-loglevel", "error", *SAFE, *words])
    if code:
        raise ToolError("ffmpeg could not make a degraded copy of a film", complaints)
