"""Encode one segment of a film so that every frame carries the time stamp that was promised for it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from vidsr.config import Encode
from vidsr.errors import OutputError
from vidsr.frame import Frame, PixelFormat
from vidsr.picture import Samples
from vidsr.video.containers import container_of
from vidsr.video.decoder import SCALER
from vidsr.video.pixels import storable
from vidsr.video.probe import Film, Tags
from vidsr.video.process import FILE, LONG_PATIENCE_S, Process, compiled, encoders, require_encoder
from vidsr.video.tags import numbered
from vidsr.video.timing import pts_expression

SEGMENT_SUFFIX = ".nut"
"""NUT keeps every time base, codec and pts exactly, and NUT files joined byte by byte are one stream."""

CODED = {"libx264": "h264", "libx265": "hevc", "libsvtav1": "av1", "libvpx-vp9": "vp9", "ffv1": "ffv1"}
"""What each encoder's streams are called."""
CRF = {"libx264": 17.0, "libx265": 19.0, "libsvtav1": 24.0, "libvpx-vp9": 24.0}
THREADS = 8
"""What x264 gives depends on its number of threads, and must not depend on the machine."""

ENCODER_OPTIONS: dict[str, dict[str, str | int]] = {
    "libx264": {"threads": THREADS},
    "libx265": {"x265-params": "log-level=error:frame-threads=3"},
    "libsvtav1": {},
    "libvpx-vp9": {"b:v": 0, "row-mt": 1, "threads": THREADS},
    "ffv1": {"level": 3, "slicecrc": 1, "g": 1, "threads": THREADS},
}


@dataclass(frozen=True)
class Output:
    """The picture stream to write: frames of `width` x `height` in `pixels`; time and aspect are those of `film`.

    `fields` is "tff" or "bff" where the frames are to stay interlaced.
    """

    film: Film
    width: int
    height: int
    pixels: PixelFormat
    tags: Tags
    encode: Encode
    fields: str

    @classmethod
    def of(cls, film: Film, encode: Encode, scale: int = 1) -> Output:
        """The picture stream that keeps everything of `film`'s but its size, which is multiplied by `scale`."""
        encode = replace(encode, codec=chosen_codec(film)) if encode.codec == "auto" else encode
        fields = film.fields if film.deinterlace == "" and scale == 1 and not film.rotation % 180 else ""
        return cls(film, film.width * scale, film.height * scale, film.pixels, film.tags, encode, fields)

    @property
    def stored(self) -> PixelFormat:
        """What the encoder stores: `pixels`, or the nearest that it can hold."""
        return storable(self.pixels, self.encode.codec)

    @property
    def stored_size(self) -> tuple[int, int]:
        """Width and height as stored: odd sides grow by a pixel where subsampled chroma needs even ones."""
        if self.encode.codec == "ffv1":
            return self.width, self.height
        across, down = 1 << self.stored.shift_x, 1 << self.stored.shift_y
        return -(-self.width // across) * across, -(-self.height // down) * down

    @property
    def warnings(self) -> list[str]:
        """What the encoder cannot keep of the samples."""
        codec, (width, height) = self.encode.codec, self.stored_size
        losses = []
        if self.fields and codec != "libx264":
            losses.append(f"{codec} does not keep that the picture is interlaced: choose --codec libx264.")
        if self.tags.mastering and codec not in PARAMS:
            losses.append(f"Mastering display and light level (HDR10) are not kept by {codec}: choose --codec libx265.")
        if self.stored != self.pixels:
            losses.append(f"{codec} cannot hold {self.pixels.name}: the picture is stored as {self.stored.name}.")
        if (width, height) != (self.width, self.height):
            losses.append(f"{codec} needs even sides: the picture is stored as {width}x{height}, its edge repeated.")
        return losses


@dataclass(eq=False, repr=False)
class Writer:
    """Encodes the frames of one segment into the file `path`; a context manager.

    `pts` (n,) int64 are the time stamps of its frames, in ticks of `output.film`; exactly those frames must be
    written, in that order: ValueError otherwise. Equal frames give an equal file. If the block raises, or ffmpeg fails
    (OutputError with its last lines), no file is left.
    """

    path: Path
    output: Output
    pts: NDArray[np.int64]
    count: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        require_encoder(self.output.encode.codec)
        words = _command(self.path, self.output, self.pts)
        self._process = Process(words, feed=True, patience_s=LONG_PATIENCE_S)

    def __enter__(self) -> Writer:
        self._process.__enter__()
        return self

    def write(self, frame: Frame) -> None:
        """Encode the next frame."""
        if self.count >= len(self.pts) or frame.pts != self.pts[self.count]:
            raise ValueError(f"{frame} is not frame {self.count} of {len(self.pts)} of the segment {self.path.name}")
        output, (width, height) = self.output, self.output.stored_size
        self._hand(frame.luma, (output.height, output.width), (height, width))
        chroma = output.pixels.chroma_shape(output.height, output.width)
        self._hand(frame.chroma, (2, *chroma), (2, *output.pixels.chroma_shape(height, width)))
        self.count += 1

    def _hand(self, plane: Samples, shape: tuple[int, ...], stored: tuple[int, ...]) -> None:
        dtype = self.output.pixels.dtype
        if plane.shape != shape or plane.dtype != dtype:
            raise ValueError(f"a plane must be {shape} {dtype.__name__}, not {plane.shape} {plane.dtype}")
        wider = [(0, there - here) for there, here in zip(stored, shape, strict=True)]
        samples = np.ascontiguousarray(plane if stored == shape else np.pad(plane, wider, "edge"))
        self._process.write(samples.data.cast("B"))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        whole = False
        try:
            if kind is None:
                if self.count != len(self.pts):
                    raise ValueError(f"{self.path.name} got {self.count} frames of {len(self.pts)}")
                if self._process.finish() != 0 or not self.path.exists():
                    raise self._process.failure(f"could not encode {self.path}", OutputError)
                whole = True
        finally:
            self._process.stop()
            if not whole:
                self.path.unlink(missing_ok=True)


def _command(path: Path, output: Output, pts: NDArray[np.int64]) -> list[str]:
    source = ffmpeg.input(
        "pipe:0",
        f="rawvideo",
        pixel_format=output.pixels.name,
        video_size=output.stored_size,
        framerate=str(output.film.rate),
        protocol_whitelist="pipe",
    )
    chain = f"[0]{','.join(_filters(output, pts))}[frames]"
    coding = {"fps_mode": "passthrough", "write_index": 0, "f": "nut", **_coding(output)}
    return compiled(source.output(FILE, filter_complex=chain, map="[frames]", **coding), path, "-loglevel", "error")


def _filters(output: Output, pts: NDArray[np.int64]) -> list[str]:
    tags = output.tags
    # FFV1 has no place for the range: newer versions would convert to limited range; its container is told by publish.
    reach = None if output.encode.codec == "ffv1" else tags.range
    names = {"range": reach, "color_primaries": tags.primaries, "color_trc": tags.transfer}
    names |= {"colorspace": tags.space}
    told = [f"{name}={numbered(name, value)}" for name, value in names.items() if value]
    filters = [f"settb={output.film.time_base}", f"setpts='{pts_expression(pts)}'"]
    if told:
        # Tags on the frames themselves: as options of the output, newer versions take them as orders to convert.
        filters.append(f"setparams={':'.join(told)}")
    if output.fields:
        filters.append(f"setfield={output.fields}")
    if output.film.sample_aspect:
        filters.append(f"setsar={output.film.sample_aspect}:65535")
    if output.stored != output.pixels:
        reach = tags.range or "tv"
        filters.append(f"scale=in_range={reach}:out_range={reach}:flags={SCALER}")
    return filters


def _coding(output: Output) -> dict[str, str | int | float]:
    encode = output.encode
    interlaced = "+ildct+ilme" if output.fields and encode.codec == "libx264" else ""
    options: dict[str, str | int | float] = {
        "c:v": encode.codec,
        "pix_fmt": output.stored.name,
        "enc_time_base": f"{output.film.time_base.numerator}:{output.film.time_base.denominator}",
        "avoid_negative_ts": "disabled",  # it would shift a segment that begins at 0 and has B-frames
        "fflags": "+bitexact",
        "flags:v": f"+bitexact{interlaced}",
        **ENCODER_OPTIONS[encode.codec],
    }
    options |= _told(output, options)
    if encode.codec in CRF:
        options["crf"] = CRF[encode.codec] if encode.crf is None else encode.crf
        if encode.preset is not None:
            options["cpu-used" if encode.codec == "libvpx-vp9" else "preset"] = encode.preset
    if output.tags.chroma_location:
        options["chroma_sample_location"] = output.tags.chroma_location
    return options


PARAMS = {"libx264": "x264-params", "libx265": "x265-params", "libsvtav1": "svtav1-params"}
"""Where each encoder takes what ffmpeg has no option for: the rate, HDR10's mastering display and light level."""
FASTEST_AV1 = 240
"""SVT-AV1 takes no more frames a second."""
PACKED = {
    "checkerboard_lr": 0,
    "col_interleaved_lr": 1,
    "row_interleaved_lr": 2,
    "left_right": 3,
    "top_bottom": 4,
    "block_lr": 5,
}
"""x264's numbers for the kinds of stereo 3D: H.264's frame packing arrangement, with the left eye's view first."""


def _told(output: Output, options: dict[str, str | int | float]) -> dict[str, str | int | float]:
    """The encoder's options with the film's rate, what HDR10 says of the display, and how the frame holds two views.

    The rate is told here because ffmpeg 7 takes it from the time base where that was set: levels of films many times as
    fast, and refusals by SVT-AV1.
    """
    codec, tags = output.encode.codec, output.tags
    if codec not in PARAMS:
        return {}
    words = [str(options[PARAMS[codec]])] if PARAMS[codec] in options else []
    rate = min(output.film.rate, Fraction(FASTEST_AV1)) if codec == "libsvtav1" else output.film.rate
    number = "fps-num={}:fps-denom={}" if codec == "libsvtav1" else "fps={}/{}"
    words.append(number.format(rate.numerator, rate.denominator))
    names = {"libx264": ("mastering-display", "cll"), "libx265": ("master-display", "max-cll")}
    display, light = names.get(codec, ("mastering-display", "content-light"))
    if tags.mastering is not None:
        words.append(f"{display}={_in_units(tags.mastering) if codec == 'libsvtav1' else tags.mastering}")
    if tags.light is not None:
        words.append(f"{light}={tags.light}")
    if codec == "libx264" and tags.stereo in PACKED:
        words.append(f"frame-packing={PACKED[tags.stereo]}")
    return {PARAMS[codec]: ":".join(words)}


def _in_units(mastering: str) -> str:
    """SVT-AV1 takes the same in units, not in fractions of them."""
    head, tail = mastering.rsplit("L(", 1)
    scaled = re.sub(r"\d+", lambda found: f"{int(found[0]) / 50000:.5f}", head)
    return scaled + "L(" + re.sub(r"\d+", lambda found: f"{int(found[0]) / 10000:.4f}", tail)


def chosen_codec(film: Film, suffix: str = ".mkv") -> str:
    """The encoder that `auto` means: what the film asks for, of those that the container's players know.

    HDR becomes HEVC, which players take it in, and so do samples that H.264 cannot hold but HEVC can; all else H.264.
    """
    codecs = container_of(suffix).codecs
    hdr = film.tags.transfer in ("smpte2084", "arib-std-b67") and film.pixels.depth > 8  # PQ, HLG
    finer = storable(film.pixels, "libx264") != film.pixels == storable(film.pixels, "libx265")
    if "libx265" in codecs and "libx265" in encoders() and (hdr or finer):
        return "libx265"
    return next((codec for codec in codecs if codec in encoders()), codecs[0])
