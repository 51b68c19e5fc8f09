"""One run of ffmpeg over the picture of a film: pictures from its stdout, their time stamps from its stderr."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from fractions import Fraction
from queue import Empty, SimpleQueue
from typing import TypeVar

import ffmpeg
import numpy as np

from vidsr.frame import Frame
from vidsr.picture import Samples
from vidsr.video.pixels import is_colour
from vidsr.video.probe import SPACES, Film
from vidsr.video.process import FILE, ONLY_FILES, Process, compiled

T = TypeVar("T")

THREADS = min(8, os.cpu_count() or 1)
SCALER = "accurate_rnd+bitexact+full_chroma_int+bicubic"
REDUCER = "accurate_rnd+bitexact+full_chroma_int+area"

NO_STAMP = -(1 << 63)
STAMP = re.compile(r"frame:(\d+)\s+pts:(\S+)|^vidsr=1$")
LANDING = re.compile(r"^(?:#(?:tb 0: (\S+)|.*)|0, *(-?\d+), *(-?\d+),.*)$")

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
        damage = re.compile(DAMAGE.format(index=index))
        self._kinds = {"damage": damage, "undecoded": UNDECODED, "began late": BEFORE_A_KEYFRAME}
        self._first: dict[str, str] = {}

    def hear(self, line: str | None) -> bool:
        """Take one line of stderr, None at its end; gives False: the line is not used up."""
        kind = next((kind for kind, lines in self._kinds.items() if lines.search(line or "")), None)
        if kind is not None:
            self._first.setdefault(kind, line or "")
        return False

    @property
    def worst(self) -> str | None:
        """The line that shows damage; None for a healthy film."""
        undecoded = None if "began late" in self._first else self._first.get("undecoded")
        return self._first.get("damage", undecoded)


class Decode:
    """A run of ffmpeg that decodes `film` from its start, or from the seek point `seek_s`; a context manager.

    The time stamp of every decoded frame is told; its picture follows only from `begin` ticks on, so that skipping a
    frame after a seek costs a line of text. `began` are the frames, of those told, with which a picture of another size
    or format begins. `reduced` says that `film` is smaller, or has fewer bits, than what is in
    the file.
    """

    def __init__(
        self, film: Film, begin: int | None, seek_s: Fraction | None, patience_s: float, reduced: bool = False
    ) -> None:
        self._film = film
        self._stamps: SimpleQueue[str | None] = SimpleQueue()
        self._landed: SimpleQueue[int | None] = SimpleQueue()
        self._base = film.time_base
        self._told = 0
        self.began: list[int] = []
        self.complaints = Complaints(film.index)
        self.process = Process(_command(film, begin, seek_s, reduced), patience_s=patience_s, on_line=self._hear)
        self._patience_s = patience_s

    def _hear(self, line: str | None) -> bool:
        """Sort what ffmpeg tells: time stamps, where the seek landed, and complaints."""
        if line is None:
            self._stamps.put(None)
            self._landed.put(None)
        elif found := STAMP.search(line):
            if found[2]:
                self._told += 1
                if found[1] == "0":  # filters begin anew where the picture changes its size
                    self.began.append(self._told - 1)
                self._stamps.put(found[2])
        elif found := LANDING.match(line):
            self._base = Fraction(found[1]) if found[1] else self._base
            if found[2]:
                self._landed.put(self._shown(int(found[2]), int(found[3])))
        else:
            return self.complaints.hear(line)
        return True

    def _shown(self, dts: int, pts: int) -> int | None:
        """When a packet of the copied stream is shown, in the film's ticks; None where it does not say it."""
        if pts != NO_STAMP:
            return round(pts * self._base / self._film.time_base) + self._film.shift_ticks
        if dts == NO_STAMP:
            return None
        # Without a pts, the frame is shown at its dts or later, by at most the 16 frames of any reordering.
        late = round((dts * self._base + 16 / self._film.rate) / self._film.time_base)
        return late + self._film.shift_ticks

    def landing(self) -> int | None:
        """The pts, in ticks, of the keyframe at which the seek landed; None where it is not known.

        Frames shown before that keyframe may come out of the decoder too, but what they are made of was not all read.
        """
        return self._next(self._landed)

    def stamps(self) -> Iterator[int | None]:
        """The pts of each decoded frame as the decoder gives it, None where it has none, until the end of the film."""
        while (told := self._next(self._stamps)) is not None:
            yield None if told == "NOPTS" else int(told)

    def _next(self, queue: SimpleQueue[T | None]) -> T | None:
        try:
            return queue.get(timeout=self._patience_s)
        except Empty:
            raise self.process.tired() from None

    def picture(self, index: int, pts: int) -> Frame | None:
        """The next selected picture, in a buffer of its own; None if the pipe ends inside it."""
        film = self._film
        buffer = np.empty(film.pixels.frame_bytes(film.height, film.width), np.uint8)
        if self.process.read_into(buffer.data) < len(buffer):
            return None
        samples: Samples = buffer if film.pixels.depth == 8 else buffer.view(np.uint16)
        area = film.height * film.width
        rows, columns = film.pixels.chroma_shape(film.height, film.width)
        luma = samples[:area].reshape(film.height, film.width)
        return Frame(index, pts, luma, samples[area:].reshape(2, rows, columns), film)


def _command(film: Film, begin: int | None, seek_s: Fraction | None, reduced: bool) -> list[str]:
    clock: dict[str, str | int | None] = {}
    if seek_s is not None:
        clock = {"seek_timestamp": 1, "ss": f"{float(seek_s - film.shift_s):.6f}", "noaccurate_seek": None}
    # Every tick from here on is one of the film's, whatever this version of ffmpeg does by default.
    filters = [*_whole_frames(film), f"settb={film.time_base}"]
    if film.shift_ticks:  # by -itsoffset, frames whose packets begin before 0 were seen to move once more
        filters.append(f"setpts=PTS+({film.shift_ticks})")
    # What ffmpeg tells beside the picture goes between its complaints, in whole lines; other metadata of a frame is not
    # to be taken for one.
    filters += ["metadata=add:key=vidsr:value=1", r"metadata=print:key=vidsr:file=pipe\\:2:direct=1"]
    if begin is not None:
        # By pts, not by number: where the picture changes its size, filters begin anew, and count from 0 again.
        filters.append(f"select='gte(pts,{begin})'")
    filters += _conversion(film, reduced)
    chain = f"[0:{film.index}]{','.join(filters)}[frames]"
    source = ffmpeg.input(FILE, threads=THREADS, **ONLY_FILES, **clock)
    run = source.output("pipe:1", filter_complex=chain, map="[frames]", f="rawvideo", fps_mode="passthrough")
    if seek_s is not None:
        first = {"c": "copy", "frames:v": 1, "f": "framecrc", "flush_packets": 1}
        run = ffmpeg.merge_outputs(run, source[str(film.index)].output("pipe:2", **first))
    return compiled(run, film.path, "-loglevel", "level+warning", "-copyts")


def _whole_frames(film: Film) -> list[str]:
    """Filters that make whole frames of an interlaced film's fields."""
    if film.deinterlace in ("frame", "field"):
        made = [f"bwdif=send_{film.deinterlace}:{film.fields}:all"]
        if film.pixels.depth == 8 and not film.converted:  # fieldmatch knows no other samples
            # In a frame that stands still, as in a freeze of a moving picture, bwdif leaves both fields as they are.
            made.append(f"fieldmatch={film.fields}:mode=pc:combmatch=full")
            made.append(f"estdif=mode=frame:deint=interlaced:parity={film.fields}")
        return made
    if film.deinterlace not in ("match", "ivtc"):
        return []
    matched = [f"fieldmatch={film.fields}", f"bwdif=send_frame:{film.fields}:interlaced"]
    return [*matched, "decimate"] if film.deinterlace == "ivtc" else matched


def _conversion(film: Film, reduced: bool) -> list[str]:
    """Filters from the decoder's format to the working one: none that does anything where the film is neither
    converted nor reduced.

    A scaler of equal size passes frames through; it is there for films whose picture changes size on the way.
    """
    scale = f"scale={film.width}:{film.height}:flags={REDUCER if reduced else SCALER}"
    names = [film.pixels.name]
    if film.converted and is_colour(film.decoded):
        scale += f":out_color_matrix={SPACES[film.matrix]}:out_range=tv"
    elif film.converted or reduced:
        reach = "pc" if film.full_range else "tv"
        scale += f":in_range={reach}:out_range={reach}"
    if not film.converted and film.pixels.depth == 8:
        names.append(film.pixels.name.replace("yuv", "yuvj"))  # ffmpeg's older name for the same planes in full range
    return [scale, f"format={'|'.join(names)}"]
