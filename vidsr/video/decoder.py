"""One run of ffmpeg over the picture of a film: its pictures in one pipe, their time stamps in another."""

from __future__ import annotations

import os
import re
import weakref
from collections.abc import Iterator
from fractions import Fraction
from mmap import mmap

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from vidsr.frame import Frame, PixelFormat, Samples
from vidsr.video.pixels import full_range_name, is_colour
from vidsr.video.probe import SAFE, SPACES, Film
from vidsr.video.process import FILE, GLOBAL, Process, named, side_pipe

THREADS = min(8, os.cpu_count() or 1)
SCALER = "accurate_rnd+bitexact+full_chroma_int+bicubic"
REDUCER = "accurate_rnd+bitexact+full_chroma_int+area"

NO_STAMP = -(1 << 63)

DAMAGE = (
    r"corrupt input packet in stream {index}\b|corrupt decoded frame|partial file|ended prematurely|damaged"
    r"|[Tt]runcated|error while decoding MB|concealing \d|Invalid NAL unit size|LZW decode failed|[Rr]ead error"
    r"|Input/output error"
)
UNDECODED = re.compile(r"Error while decoding stream|Error submitting packet to decoder")
BEFORE_A_KEYFRAME = re.compile(r"non-existing [SP]PS|no frame!|Invalid frame dimensions 0x0|decode_slice_header error")
"""A recording that begins between keyframes is healthy, though its first packets cannot be decoded."""


class Complaints:
    """Tells a damaged film from a healthy one by what ffmpeg says while it decodes stream `index`."""

    def __init__(self, index: int) -> None:
        self._damage = re.compile(DAMAGE.format(index=index))
        self._first: str | None = None
        self._undecoded: str | None = None
        self._began_late = False

    def hear(self, line: str) -> None:
        """Take one line of stderr."""
        if self._damage.search(line):
            self._first = self._first or line
        elif UNDECODED.search(line):
            self._undecoded = self._undecoded or line
        elif BEFORE_A_KEYFRAME.search(line):
            self._began_late = True

    @property
    def worst(self) -> str | None:
        """The line that shows damage; None for a healthy film."""
        return self._first or (None if self._began_late else self._undecoded)


class _Buffers:
    """Memory for pictures, used anew once nobody holds the picture that was in it: to ask the system for new memory
    takes longer than to fill it. Not of the heap, which would keep it for smaller things when all is over.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._free: list[mmap] = []

    def take(self) -> NDArray[np.uint8]:
        """One picture's bytes, which whoever holds a view of them keeps; from one thread at a time."""
        memory = self._free.pop() if self._free else mmap(-1, self._size)
        buffer = np.frombuffer(memory, np.uint8)
        weakref.finalize(buffer, self._free.append, memory).atexit = False
        return buffer


class Decode:
    """A run of ffmpeg that decodes `film` from its start, or from the seek point `seek_s`; a context manager.

    The time stamp of every decoded frame is told; its picture follows only from `begin` ticks on, so that skipping a
    frame after a seek costs a line of text. `reduced` says that `film` is smaller, or has fewer bits, than what is in
    the file.
    """

    def __init__(
        self, film: Film, begin: int | None, seek_s: Fraction | None, patience_s: float, reduced: bool = False
    ) -> None:
        self._film = film
        self._stamps = side_pipe()
        self._landing = side_pipe()
        self._buffers = _Buffers(self.frame_bytes)
        self.complaints = Complaints(film.index)
        self.process = Process(
            _command(film, begin, seek_s, (self._stamps.name, self._landing.name), reduced),
            pipes=(self._stamps, self._landing),
            patience_s=patience_s,
            on_line=self.complaints.hear,
        )

    def landing(self) -> int | None:
        """The pts, in ticks, of the keyframe at which the seek landed; None where it is not known.

        Frames shown before that keyframe may come out of the decoder too, but what they are made of was not all read.
        """
        base = self._film.time_base
        while (line := self.process.read_line(self._landing)) is not None:
            if line.startswith("#tb 0:"):
                base = Fraction(line.split(":")[1].strip())
            elif not line.startswith("#"):
                dts, pts = (int(field) for field in line.split(",")[1:3])
                if pts != NO_STAMP:
                    return round(pts * base / self._film.time_base) + self._film.shift_ticks
                if dts == NO_STAMP:
                    return None
                # Without a pts, the frame is shown at its dts or later, by at most the 16 frames of any reordering.
                late = round((dts * base + 16 / self._film.rate) / self._film.time_base)
                return late + self._film.shift_ticks
        return None

    def stamps(self) -> Iterator[int | None]:
        """The pts of each decoded frame as the decoder gives it, None where it has none, until the end of the film."""
        while (line := self.process.read_line(self._stamps)) is not None:
            if found := re.match(r"frame:\d+\s+pts:(\S+)", line):
                yield None if found[1] == "NOPTS" else int(found[1])

    @property
    def frame_bytes(self) -> int:
        """Size of a picture in the pipe."""
        return self._film.pixels.frame_bytes(self._film.height, self._film.width)

    def gives(self, pixels: PixelFormat, width: int, height: int) -> bool:
        """Whether the pictures in the pipe are of this kind."""
        return (self._film.pixels, self._film.width, self._film.height) == (pixels, width, height)

    def picture(self, index: int, pts: int) -> Frame | None:
        """The next selected picture, in a buffer of its own; None if the pipe ends inside it."""
        film = self._film
        buffer = self._buffers.take()
        if self.process.read_into(buffer.data) < len(buffer):
            return None
        samples: Samples = buffer if film.pixels.depth == 8 else buffer.view(np.uint16)
        area = film.height * film.width
        rows, columns = film.pixels.chroma_shape(film.height, film.width)
        luma = samples[:area].reshape(film.height, film.width)
        return Frame(index, pts, luma, samples[area:].reshape(2, rows, columns), film)


def _command(
    film: Film, begin: int | None, seek_s: Fraction | None, pipes: tuple[str, str], reduced: bool
) -> list[str]:
    stamps, landing = pipes
    clock: dict[str, str | int | None] = {}
    if seek_s is not None:
        clock = {"seek_timestamp": 1, "ss": f"{float(seek_s - film.shift_s):.6f}", "noaccurate_seek": None}
    source = ffmpeg.input(FILE, threads=THREADS, **SAFE, **clock)
    picture = frames = source[str(film.index)]
    for name, options in _whole_frames(film):
        frames = frames.filter(name, **options)
    # Every tick from here on is one of the film's, whatever this version of ffmpeg does by default.
    frames = frames.filter("settb", str(film.time_base))
    if film.shift_ticks:  # by -itsoffset, frames whose packets begin before 0 were seen to move once more
        frames = frames.filter("setpts", f"PTS+({film.shift_ticks})")
    frames = frames.filter("metadata", "add", key="vidsr", value="1").filter("metadata", "print", file=stamps, direct=1)
    if begin is not None:
        # By pts, not by number: where the picture changes its size, filters begin anew, and count from 0 again.
        frames = frames.filter("select", f"gte(pts,{begin})")
    for name, options in _conversion(film, reduced):
        frames = frames.filter(name, **options)
    outputs = [ffmpeg.output(frames, "pipe:1", f="rawvideo", fps_mode="passthrough")]
    if seek_s is not None:
        outputs.append(ffmpeg.output(picture, landing, c="copy", f="framecrc", flush_packets=1, **{"frames:v": 1}))
    run = ffmpeg.merge_outputs(*outputs).global_args(*GLOBAL, "-loglevel", "level+warning", "-copyts")
    return named(run.compile(), film.path)


def _whole_frames(film: Film) -> list[tuple[str, dict[str, str | int]]]:
    """Filters that make whole frames of an interlaced film's fields."""
    whole: dict[str, str | int] = {"mode": "send_frame", "parity": film.fields, "deint": "all"}
    if film.deinterlace in ("frame", "field"):
        return [("bwdif", whole | {"mode": f"send_{film.deinterlace}"})]
    if film.deinterlace not in ("match", "ivtc"):
        return []
    matched: list[tuple[str, dict[str, str | int]]] = [("fieldmatch", {"order": film.fields})]
    matched.append(("bwdif", whole | {"deint": "interlaced"}))
    return [*matched, ("decimate", {})] if film.deinterlace == "ivtc" else matched


def _conversion(film: Film, reduced: bool) -> list[tuple[str, dict[str, str | int]]]:
    """Filters from the decoder's format to the working one: none that does anything where the film is neither
    converted nor reduced.

    A scaler of equal size passes frames through; it is there for films whose picture changes size on the way.
    """
    size: dict[str, str | int] = {"w": film.width, "h": film.height, "flags": REDUCER if reduced else SCALER}
    reach = "pc" if film.full_range else "tv"
    if not film.converted:
        if reduced:
            size |= {"in_range": reach, "out_range": reach}
        names = [film.pixels.name, full_range_name(film.pixels)]
        return [("scale", size), ("format", {"pix_fmts": "|".join(name for name in names if name)})]
    if is_colour(film.decoded):
        size |= {"out_color_matrix": SPACES[film.matrix], "out_range": "tv"}
    else:
        size |= {"in_range": reach, "out_range": reach}
    return [("scale", size), ("format", {"pix_fmts": film.pixels.name})]
