"""What fits into which container: found by writing the first second of it, before any work is done."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from vidsr.errors import RefusedError, VidsrError
from vidsr.frame import Frame
from vidsr.video.containers import ALIASES, CONTAINERS, Container, container_of
from vidsr.video.ffprobe import packet_rows
from vidsr.video.mux_command import ATTACH, COPY, REHEARSED_S, Order, Passage, Picture, command
from vidsr.video.probe import Film, Stream, probe_streams
from vidsr.video.process import GLOBAL, SAFE, Process, local, run
from vidsr.video.writer import CODED, Output, Writer

PATIENCE_S = 30.0
"""A stream that begins late would have the whole file read: after this, what is written is ended as it is."""
SAMPLES = {"u8": "u8", "s16": "s16le", "s32": "s32le", "flt": "f32le", "dbl": "f64le"}
"""The PCM that holds each of ffmpeg's sample formats."""
RELATED = {"mp1": "mp3", "mp2": "mp3", "subrip": "srt"}
"""Codecs that some containers do not tell from each other, and that one decoder reads."""


@lru_cache(maxsize=64)
def passages(film: Film, suffix: str) -> tuple[Sequence[Passage], Sequence[str]]:
    """Every stream of `film` that goes into a file with `suffix`, in order, and a sentence for each that does not, or
    that is changed.

    Sound stays as it is or is unpacked without loss: RefusedError where the container can hold neither. Text subtitles
    are converted; other subtitles, attachments and data that do not fit are left out.
    """
    target = container_of(suffix)
    streams = [stream for stream in film.streams if not _is_made_anew(film, stream)]
    first = [Passage(stream, choices[0]) for stream in streams if (choices := _choices(film, stream, target))]
    if len(first) == len(streams) and _fits(film, first, target):
        return first, [sentence for one in first for sentence in _changes(one, suffix)]
    kept, lost = [], []
    for stream in streams:
        tried = (Passage(stream, codec) for codec in _choices(film, stream, target))
        found = next((one for one in tried if stream.index == film.index or _fits(film, [one], target)), None)
        if found is None:
            if stream.kind == "audio" and any(packet_rows(film.path, "size", ["-select_streams", str(stream.index)])):
                raise _refused_sound(stream, suffix)
            lost.append(f"Stream {stream.index} ({stream.kind}, {stream.codec}) does not fit into {suffix}: left out.")
            continue
        kept.append(found)
        lost += _changes(found, suffix)
    return kept, lost


def _choices(film: Film, stream: Stream, target: Container) -> list[str]:
    """What a stream may become, best first."""
    if stream.index == film.index:
        return [COPY]
    if stream.attached_picture:
        return [ATTACH] if target.attaches else [COPY] if target.muxer in ("mp4", "mov") else []
    if stream.kind == "subtitle":
        return [COPY, target.text]
    if stream.kind == "audio" and (codec := _unpacked(stream)):
        return [COPY, codec]
    return [COPY]


def _unpacked(stream: Stream) -> str | None:
    """The plain PCM that holds a lossless sound unchanged."""
    form = (stream.sample_format or "").removesuffix("p")
    if form not in SAMPLES or not (stream.codec.startswith("pcm_") or stream.codec in _lossless()):
        return None
    short = form == "s32" and stream.bits is not None and stream.bits <= 24
    return "pcm_s24le" if short else f"pcm_{SAMPLES[form]}"


@lru_cache(maxsize=1)
def _lossless() -> frozenset[str]:
    _, output, _ = run(["ffmpeg", *GLOBAL, "-loglevel", "error", "-codecs"])
    return frozenset(re.findall(r"^ D.A.[.]S (\S+)", output.decode("utf-8", "replace"), re.MULTILINE))


def _is_made_anew(film: Film, stream: Stream) -> bool:
    """An mp4 holds its chapters and its time code as tracks, too, which muxers make of the film's own."""
    chapters = stream.kind == "data" and stream.codec == "bin_data" and film.chapters > 0
    return chapters or (stream.kind == "data" and stream.tag == "tmcd")


def _changes(one: Passage, suffix: str) -> list[str]:
    """A sentence where a stream is converted."""
    if one.codec in (COPY, ATTACH):
        return []
    stream, how = one.stream, "without loss, " if one.stream.kind == "audio" else ""
    return [f"Stream {stream.index} ({stream.kind}, {stream.codec}) is written {how}as {one.codec} in {suffix}."]


def _refused_sound(stream: Stream, suffix: str) -> RefusedError:
    leave_out = f"`ffmpeg -i FILM -map 0 -map -0:{stream.index} -c copy COPY.mkv` makes a copy without it."
    if stream.sample_rate is None or stream.codec == "unknown":
        what = "sound without a sample rate" if stream.sample_rate is None else "sound of an unknown codec"
        return RefusedError(f"Stream {stream.index} is {what}, which no film can hold: {leave_out}")
    other = leave_out if suffix == ".mkv" else "choose .mkv for the output."
    return RefusedError(f"{suffix} cannot hold {stream.codec} sound unchanged: {other}")


def _fits(film: Film, wanted: Sequence[Passage], target: Container) -> bool:
    """Whether a file of the beginnings of these streams, without the new picture, can be written and read back."""
    others = [one for one in wanted if one.stream.index != film.index and one.codec != ATTACH]
    if not others:
        return True
    for stream in (one.stream for one in others):
        # No muxer takes a stream of an unknown codec, or sound without a sample rate, though some begin to.
        unknown = stream.codec == "unknown" and stream.kind in ("video", "audio", "subtitle")
        if unknown or (stream.kind == "audio" and stream.sample_rate is None):
            return False
    with tempfile.TemporaryDirectory(prefix="vidsr-") as folder:
        made = Path(folder) / "rehearsal"
        order = Order(film, others, made, target.muxer, rehearsed=True)
        try:
            _write(command(order, {}), [])
            return _as_wanted(film, others, probe_streams(made))
        except VidsrError:
            return False


def _as_wanted(film: Film, wanted: Sequence[Passage], found: Sequence[Stream]) -> bool:
    """Whether what was written is what was meant; a track that begins later may not be there so far."""
    there = [(one.kind, RELATED.get(one.codec, one.codec)) for one in found]
    for one in wanted:
        codec = one.stream.codec if one.codec == COPY else one.codec
        mine = (one.stream.kind, RELATED.get(codec, codec))
        if mine in there:
            there.remove(mine)
        else:
            begins = (one.stream.start_s or film.start_s) < film.start_s + REHEARSED_S / 2
            if any(kind == one.stream.kind for kind, _ in there) or (one.stream.kind == "audio" and begins):
                return False
    return True


def _write(words: Sequence[str], segments: Sequence[Path]) -> None:
    """Run a rehearsal's command; VidsrError where it fails."""
    with Process(words, feed=True) as process:
        for segment in segments:
            process.write(memoryview(segment.read_bytes()))
        if process.finish_soon(PATIENCE_S) not in (0, 255):
            raise process.failure("cannot write it", RefusedError)


def output_suffix(film: Film, codec: str = "auto") -> str:
    """The suffix that keeps the container of `film` where it holds all that is in it, and what `codec` gives."""
    suffix = film.path.suffix.lower()
    known = CONTAINERS.get(ALIASES.get(suffix, suffix))
    if known is None or known.demuxer != film.container or codec not in ("auto", *known.codecs):
        return ".mkv"
    with suppress(RefusedError):
        kept, _ = passages(film, suffix)
        held = {one.stream.index for one in kept if one.stream.kind != "audio" or one.codec == COPY}
        if all(stream.index in held for stream in film.streams if stream.kind != "data"):
            return suffix
    return ".mkv"


@lru_cache(maxsize=64)
def rehearse(film: Film, output: Output, suffix: str) -> None:
    """Write the first second of the finished film as it would be written: two black frames by the encoder, and the
    beginnings of all other streams. RefusedError, with ffmpeg's last lines, where that does not work.

    What worked once is not tried again by the same process.
    """
    kept, _ = passages(film, suffix)
    with tempfile.TemporaryDirectory(prefix="vidsr-") as folder:
        segment, made = Path(folder) / "picture.nut", Path(folder) / "film"
        others = [one for one in kept if one.codec != ATTACH]
        picture = Picture(CODED[output.encode.codec], queue=8)
        order = Order(film, others, made, container_of(suffix).muxer, picture, rehearsed=True)
        try:
            _black(segment, film, output)
            _write(command(order, {}), [segment])
            found = probe_streams(made)
        except VidsrError as error:
            what = f"{output.encode.codec} in {suffix} cannot be written for {film.path}"
            raise RefusedError(f"{what}: choose another --codec, or .mkv for the output.", error.details) from error
        if not _as_wanted(film, [one for one in others if one.stream.index != film.index], found):
            raise RefusedError(
                f"{suffix} does not hold all streams of {film.path} together: choose .mkv for the output."
            )


def _black(path: Path, film: Film, output: Output) -> None:
    begin = max(0, round((film.start_s + float(film.shift_s)) / float(film.time_base)))
    step = max(1, round(1 / (film.rate * film.time_base)))
    pts = np.array([begin, begin + step], np.int64)
    shape = (output.height, output.width)
    black = Frame(0, begin, np.zeros(shape, np.uint8), np.zeros((2, *output.pixels.chroma_shape(*shape)), np.uint8))
    if output.pixels.depth > 8:
        black = replace(black, luma=black.luma.astype(np.uint16), chroma=black.chroma.astype(np.uint16))
    with Writer(path, output, pts) as writer:
        for index, stamp in enumerate(pts.tolist()):
            writer.write(replace(black, index=index, pts=stamp))


def covers(film: Film, kept: Sequence[Passage], folder: Path) -> dict[int, Path]:
    """The attached pictures of a film as files in a folder, by their streams."""
    found = {}
    for stream in (one.stream for one in kept if one.codec == ATTACH):
        path = found[stream.index] = folder / f"{stream.index}.cover"
        words = ["-i", local(film.path), "-map", f"0:{stream.index}", "-c", "copy", "-frames:v", "1", "-f", "rawvideo"]
        status, _, lines = run(["ffmpeg", *GLOBAL, "-loglevel", "error", *SAFE, *words, local(path)])
        if status != 0:
            raise RefusedError(f"the attached picture {stream.index} of {film.path} cannot be read", lines)
    return found
