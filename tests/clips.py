"""Tiny films made by ffmpeg's own test sources, one for each property that a film can have."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

TONE = ["-f", "lavfi", "-i", "sine=440:d=0.5:r=44100"]
X264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "6"]
AAC = ["-c:a", "aac"]

SUBTITLES = "1\n00:00:00,100 --> 00:00:00,200\nHello\n\n2\n00:00:00,300 --> 00:00:00,400\nGood bye\n"
CHAPTERS = (
    ";FFMETADATA1\ntitle=A film\n"
    "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=240\ntitle=One\n"
    "[CHAPTER]\nTIMEBASE=1/1000\nSTART=240\nEND=480\ntitle=Two\n"
)


def ffmpeg(*words: str | Path) -> None:
    """Run ffmpeg and insist that it succeeds."""
    run = subprocess.run(
        ["ffmpeg", "-nostdin", "-y", "-loglevel", "error", *map(str, words)], capture_output=True, check=False
    )
    assert run.returncode == 0, run.stderr.decode()


def bitmap_subtitle(path: Path, size: tuple[int, int] = (96, 64)) -> Path:
    """A PGS file (Blu-ray's subtitles, `.sup`): a white bar of 16x8 pixels from 0.1 s to 0.3 s."""

    def segment(at_s: float, kind: int, payload: bytes) -> bytes:
        return b"PG" + struct.pack(">IIBH", round(90000 * at_s), 0, kind, len(payload)) + payload

    def composition(number: int, state: int, objects: bytes) -> bytes:
        head = struct.pack(">HHBHBBBB", *size, 0x10, number, state, 0, 0, bool(objects))
        return head + objects

    window = struct.pack(">HHHH", 8, 8, 16, 8)
    lines = 8 * bytes([0, 0x80 | 16, 1, 0, 0])
    path.write_bytes(
        segment(0.1, 0x16, composition(0, 0x80, struct.pack(">HBBHH", 0, 0, 0, 8, 8)))
        + segment(0.1, 0x17, b"\1\0" + window)
        + segment(0.1, 0x14, bytes([0, 0, 1, 235, 128, 128, 255]))
        + segment(0.1, 0x15, struct.pack(">HBB", 0, 0, 0xC0) + (len(lines) + 4).to_bytes(3, "big") + window[4:] + lines)
        + segment(0.1, 0x80, b"")
        + segment(0.3, 0x16, composition(1, 0, b""))
        + segment(0.3, 0x17, b"\1\0" + window)
        + segment(0.3, 0x80, b"")
    )
    return path


def picture(size: str = "96x64", frames: int = 13, rate: str = "25") -> list[str]:
    """The input words of a moving picture."""
    source = "testsrc2" if int(size[-1]) % 2 == 0 else "testsrc"  # testsrc2 makes odd sides even
    return ["-f", "lavfi", "-i", f"{source}=s={size}:r={rate},trim=end_frame={frames}"]


def _plain(path: Path, *words: str) -> None:
    ffmpeg(*picture(), *TONE, *(words or [*X264, *AAC]), path)


def _irregular(path: Path) -> None:
    times = "setpts=1200*N+77*mod(N*N\\,7)+500*gte(N\\,7)"
    vfr = ["-vf", f"settb=1/90000,{times}", "-fps_mode", "passthrough", "-enc_time_base", "1:90000"]
    ffmpeg(*picture(), *TONE, *X264, "-bf", "2", *vfr, "-video_track_timescale", "90000", *AAC, path)


def _rotated(path: Path) -> None:
    # Versions differ in how a rotation is asked for; the matrix at its fixed place in the header does not.
    ffmpeg(*picture(), *X264, path)
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    turned = (0, 0x10000, 0, -0x10000, 0, 0, 64 << 16, 0, 0x40000000)
    data[place : place + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in turned)
    path.write_bytes(data)


def _everything(path: Path) -> None:
    words, chapters = path.with_suffix(".srt"), path.with_suffix(".txt")
    words.write_text(SUBTITLES)
    chapters.write_text(CHAPTERS)
    inputs = [*picture(), *TONE, "-f", "lavfi", "-i", "sine=880:d=0.5:r=48000", "-i", str(words), "-i", str(chapters)]
    maps = [word for number in range(4) for word in ("-map", str(number))]
    text = "mov_text" if path.suffix == ".mp4" else "srt"
    languages = ["-metadata:s:1", "language=eng", "-metadata:s:2", "language=fra", "-metadata:s:3", "language=deu"]
    extra: list[str | Path] = (
        [] if path.suffix == ".mp4" else ["-attach", str(words), "-metadata:s:t", "mimetype=text/plain"]
    )
    ffmpeg(
        *[*inputs, *maps, "-map_metadata", "4", "-map_chapters", "4", *X264, "-bf", "2", *AAC, "-c:s", text],
        *["-disposition:1", "0", "-disposition:2", "default", *languages, *extra, path],
    )


def _late(path: Path) -> None:
    fine = ["-movie_timescale", "90000"] if path.suffix == ".mp4" else []
    ffmpeg(*picture(), *TONE, *X264, *AAC, "-output_ts_offset", "1.50037", *fine, path)


def _with_cover(path: Path) -> None:
    plain = path.with_name("plain.mp4")
    cover = path.with_name("cover.png")
    _plain(plain)
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=32x32", "-frames:v", "1", cover)
    ffmpeg("-i", plain, "-i", cover, "-map", "0", "-map", "1", "-c", "copy", "-disposition:2", "attached_pic", path)


def resized(path: Path) -> None:
    """A transport stream whose picture changes its size half-way."""
    _two_in_one(path, ("96x64", "0"), ("128x96", "0.52"))


def clock_set_back(path: Path) -> None:
    """A transport stream whose time stamps jump back by ten seconds half-way."""
    _two_in_one(path, ("96x64", "10"), ("96x64", "0"))


def _two_in_one(path: Path, *parts: tuple[str, str]) -> None:
    with path.open("wb") as file:
        for size, offset in parts:
            part = path.with_suffix(".part")
            ffmpeg(*picture(size), *X264, "-output_ts_offset", offset, "-f", "mpegts", part)
            file.write(part.read_bytes())


def _tagged(space: str, primaries: str, transfer: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        tags = f"setparams=range=tv:colorspace={space}:color_primaries={primaries}:color_trc={transfer},setsar=4/3"
        words = ["-vf", tags, "-colorspace", space, "-color_primaries", primaries, "-color_trc", transfer]
        ffmpeg(*picture(), *X264, *words, path)

    return make


def _of(*words: str, size: str = "96x64", tone: bool = True) -> Callable[[Path], None]:
    return lambda path: ffmpeg(*picture(size), *(TONE if tone else []), *words, path)


FULL = ["-vf", "scale=out_range=pc,format=yuvj420p"]
OPEN = ["-x264-params", "open-gop=1:keyint=6:min-keyint=2:bframes=2"]
FFV1 = ["-c:v", "ffv1", "-pix_fmt"]
FILMS: dict[str, Callable[[Path], None]] = {
    "constant.mp4": _plain,
    "irregular.mp4": _irregular,
    "b-frames.mp4": _of(*X264, "-bf", "3", "-b_strategy", "0", *AAC),
    "open gop.mkv": _of(*X264, *OPEN, *AAC),
    "no keyframes.mkv": _of("-c:v", "libx264", "-x264-params", "intra-refresh=1:keyint=5", tone=False),
    "thirds.mkv": lambda path: ffmpeg(*picture(rate="30000/1001"), *TONE, *X264, "-c:a", "libopus", path),
    "rotated.mp4": _rotated,
    "odd.mkv": _of("-c:v", "ffv1", "-pix_fmt", "yuv420p", size="127x95"),
    "ten bit 420.mkv": _of("-c:v", "libx264", "-pix_fmt", "yuv420p10le", "-g", "5"),
    "444.mp4": _of("-c:v", "libx264", "-pix_fmt", "yuv444p", *AAC),
    "422 twelve bit.mkv": _of(*FFV1, "yuv422p12le"),
    "full range.mp4": _of("-c:v", "libx264", *FULL, *AAC),
    "full range ten bit.mkv": _of(
        "-c:v", "libx264", "-vf", "scale=out_range=pc,format=yuv420p10", "-color_range", "pc"
    ),
    "601.mp4": _tagged("smpte170m", "smpte170m", "smpte170m"),
    "709.mp4": _tagged("bt709", "bt709", "bt709"),
    "2020.mkv": _tagged("bt2020nc", "bt2020", "smpte2084"),
    "silent.mp4": _of(*X264, tone=False),
    "everything.mkv": _everything,
    "everything.mp4": _everything,
    "late.mp4": _late,
    "late.mkv": _late,
    "cover.mp4": _with_cover,
    "quicktime.mov": _of(*X264, "-bf", "2", "-c:a", "pcm_s16le"),
    "opus.webm": _of("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "5", "-c:a", "libopus"),
    "old.avi": _of("-c:v", "mpeg4", "-bf", "2", "-g", "5", "-c:a", "mp3"),
    "programme.mpg": _of("-c:v", "mpeg2video", "-bf", "2", "-g", "5", "-c:a", "mp2"),
    "transport.ts": _of(*X264, "-bf", "2", "-c:a", "mp2"),
    "gray.mkv": _of(*FFV1, "gray"),
    "rgb.mkv": _of(*FFV1, "bgr0"),
    "moving.gif": _of("-pix_fmt", "rgb8", tone=False),
}
"""How to make each film: a function that writes it under this name."""


def ffprobe(path: Path, *words: str) -> dict[str, list[dict[str, Any]]]:
    """ffprobe's answer as it is, for comparison with ours."""
    run = subprocess.run(
        ["ffprobe", "-loglevel", "error", "-of", "json", *words, f"file:{path}"], capture_output=True, check=True
    )
    answer: dict[str, list[dict[str, Any]]] = json.loads(run.stdout)
    return answer


def packets(path: Path, index: int) -> list[tuple[float, str]]:
    """Time in seconds and hash of each packet of stream `index`."""
    entries = ["-show_data_hash", "md5", "-show_entries", "packet=pts_time,data_hash", "-select_streams", str(index)]
    found = ffprobe(path, *entries)["packets"]
    return [(float(packet.get("pts_time", "nan")), packet["data_hash"]) for packet in found]


def frame_hashes(path: Path, index: int, *words: str) -> list[str]:
    """Hash of each frame as ffmpeg's own decoder and hash program give it."""
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-i", f"file:{path}", "-map", f"0:{index}", *words]
    run = subprocess.run([*command, "-fps_mode", "passthrough", "-f", "framemd5", "-"], capture_output=True, check=True)
    return [line.split(",")[-1].strip() for line in run.stdout.decode().splitlines() if not line.startswith("#")]
