"""One contract over every kind of film: each pts, each sample, each other stream; then what goes wrong, and how."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.clips import FILMS, X264, clock_set_back, ffmpeg, ffprobe, frame_hashes, packets, picture, resized
from tests.program import thinned
from vidsr.config import Encode
from vidsr.errors import InputError, OutputError, ToolError
from vidsr.frame import Frame
from vidsr.picture import reduce
from vidsr.stream import prefetch
from vidsr.video import (
    Film,
    Output,
    Reader,
    Writer,
    looked_at,
    output_suffix,
    passages,
    probe,
    publish,
    require_encoder,
    tools,
)
from vidsr.video.mux import _picture
from vidsr.video.process import Process
from vidsr.video.reader import repair
from vidsr.video.timing import pts_expression

CONTAINERS = ["irregular.mp4", "b-frames.mp4", "open gop.mkv", "late.mp4", "quicktime.mov", "opus.webm", "old.avi"]
CONTAINERS += ["no keyframes.mkv", "programme.mpg", "transport.ts", "moving.gif"]
COPIED = ["constant.mp4", "irregular.mp4", "b-frames.mp4", "open gop.mkv", "no keyframes.mkv", "thirds.mkv", "late.mp4"]
COPIED += ["late.mkv", "rotated.mp4", "everything.mp4", "everything.mkv", "cover.mp4", "quicktime.mov", "2020.mkv"]
COPIED += ["full range.mp4"]
FORMATS = ["constant.mp4", "rotated.mp4", "odd.mkv", "ten bit 420.mkv", "444.mp4", "422 twelve bit.mkv", "rgb.mkv"]
FORMATS += ["full range.mp4", "full range ten bit.mkv", "2020.mkv", "gray.mkv", "late.mp4", "irregular.mp4"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("films")


source_packets, source_hashes = lru_cache(packets), lru_cache(frame_hashes)
"""Of films of `FILMS`, which do not change."""
READ: dict[str, tuple[Film, list[Frame]]] = {}


def known(folder: Path, name: str) -> tuple[Film, list[Frame]]:
    """A film of `FILMS` and all its frames; made and read once."""
    if name not in READ:
        path = folder / name
        FILMS[name](path)
        film = probe(path)
        READ[name] = film, read(film)
    return READ[name]


def read(film: Film, first: int = 0, stop: int | None = None, timeline: NDArray[np.int64] | None = None) -> list[Frame]:
    with Reader(film, first=first, stop=stop, timeline=timeline) as reader:
        return list(reader)


def times(frames: list[Frame]) -> NDArray[np.int64]:
    return np.array([frame.pts for frame in frames], np.int64)


def fingerprint(frame: Frame) -> str:
    return hashlib.md5(frame.luma.tobytes() + frame.chroma.tobytes()).hexdigest()


def segments(film: Film, frames: list[Frame], encode: Encode, folder: Path, count: int = 3) -> list[Path]:
    """Encode `frames` in `count` segments of uneven length."""
    cuts = [0, *(len(frames) * (2 * k + 1) // (2 * count) for k in range(1, count)), len(frames)]
    paths = [folder / f"{k}.nut" for k in range(count)]
    for path, first, stop in zip(paths, cuts, cuts[1:], strict=False):
        with Writer(path, Output.of(film, encode), times(frames[first:stop])) as writer:
            for frame in frames[first:stop]:
                writer.write(frame)
    return paths


def children() -> list[str]:
    listed = subprocess.run(["ps", "-o", "comm=", "--ppid", str(os.getpid())], capture_output=True, check=False)
    return [name for name in listed.stdout.decode().split() if name.startswith("ff")]


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    before = open_files()
    yield
    assert children() == []
    assert open_files() <= before


# The contract


@pytest.mark.parametrize("name", FILMS)
def test_frames_are_the_decoders_own(folder: Path, name: str) -> None:
    film, frames = known(folder, name)
    entries = ["-select_streams", str(film.index), "-show_entries", "frame=best_effort_timestamp"]
    stamps = [frame.get("best_effort_timestamp") for frame in ffprobe(film.path, *entries)["frames"]]
    # ffprobe leaves the last frames of .mpg and .avi without a time stamp
    assert all(ours.pts == theirs for ours, theirs in zip(frames, stamps, strict=True) if theirs is not None)
    assert [frame.index for frame in frames] == list(range(len(stamps)))
    if not film.converted:
        assert [fingerprint(frame) for frame in frames] == source_hashes(film.path, film.index)


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_range_equals_the_slice_of_a_whole_read(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    # In half a second of film, margins of seconds would always end at its start.
    monkeypatch.setattr("vidsr.video.reader.SEEK_MARGINS_S", (0, Fraction(1, 10), Fraction(3, 10)))
    film, whole = known(folder, name)
    for first, stop in ((1, 3), (6, 9), (11, len(whole))):
        part = read(film, first, stop, times(whole))
        assert [(f.index, f.pts, fingerprint(f)) for f in part] == [
            (f.index, f.pts, fingerprint(f)) for f in whole[first:stop]
        ]


@pytest.mark.parametrize(
    "name", ["constant.mp4", "ten bit 420.mkv", "full range ten bit.mkv", "rgb.mkv", "rotated.mp4"]
)
def test_a_film_read_for_a_look_is_reduced_and_nothing_else(folder: Path, name: str) -> None:
    film, frames = known(folder, name)
    with Reader(film, side=48) as reader:
        small = list(reader)
    assert [(one.index, one.pts) for one in small] == [(one.index, one.pts) for one in frames]
    for one, frame in zip(small, frames, strict=True):
        known_small = reduce(frame, film.pixels.depth, 48)
        assert (one.luma.dtype, one.luma.shape) == (np.uint8, known_small.luma.shape)
        assert np.abs(one.luma.astype(int) - known_small.luma).mean() < 2
        rows, columns = one.chroma.shape[1:]
        for plane, wanted in zip(one.chroma, known_small.chroma, strict=True):
            wide = cv2.resize(wanted, (columns, rows), interpolation=cv2.INTER_AREA)
            assert np.abs(plane.astype(int) - wide).mean() < 3


@pytest.mark.parametrize("name", thinned(FILMS))
def test_a_published_film_is_the_same_film(folder: Path, tmp_path: Path, name: str) -> None:
    film, frames = known(folder, name)
    made = tmp_path / f"made{output_suffix(film, 'libx264')}"
    parts = segments(film, frames, Encode(preset="ultrafast"), tmp_path, 2)
    publish(film, parts, times(frames), made)
    result = probe(made)
    assert result.time_base == (film.time_base if film.container == result.container else Fraction(1, 1000))
    check_times(film, frames, result)
    check_sounds(film, result)
    check_looks(film, result)
    kinds = [stream.kind for stream in film.streams if stream.kind != "data"]
    assert [stream.kind for stream in result.streams if stream.kind != "data"] == kinds
    assert [s.language for s in result.streams][: len(kinds)] == [s.language for s in film.streams][: len(kinds)]
    assert [s.default for s in result.streams][: len(kinds)] == [s.default for s in film.streams][: len(kinds)]
    assert result.chapters == film.chapters
    if film.chapters:
        assert chapters(made) == chapters(film.path)


def chapters(path: Path) -> list[tuple[str, str, str]]:
    """Where each chapter begins and ends, and its title."""
    return [(c["start_time"], c["end_time"], c["tags"]["title"]) for c in ffprobe(path, "-show_chapters")["chapters"]]


@pytest.mark.parametrize("name", thinned(COPIED))
def test_a_film_is_published_with_its_own_picture(folder: Path, tmp_path: Path, name: str) -> None:
    film, frames = known(folder, name)
    made = tmp_path / f"made{film.path.suffix}"
    publish(film, [], times(frames), made)
    result = probe(made)
    check_times(film, frames, result)
    check_sounds(film, result)
    ours, theirs = packets(made, result.index), source_packets(film.path, film.index)
    assert [digest for _, digest in ours] == [digest for _, digest in theirs]
    assert (result.rotation, result.decoded, result.tags) == (film.rotation, film.decoded, film.tags)
    assert [s.default for s in result.streams] == [s.default for s in film.streams]
    assert frame_hashes(made, result.index) == source_hashes(film.path, film.index)


def test_as_many_packets_wait_as_memory_is_meant_for_them(folder: Path, tmp_path: Path) -> None:
    film, frames = known(folder, "silent.mp4")
    (small,), large = segments(film, frames, Encode(), tmp_path, 1), tmp_path / "large.nut"
    large.touch()
    os.truncate(large, 1 << 30)
    counts = (([], 13), ([large], 1000), ([large], 10))
    timeline = np.arange(1000, dtype=np.int64)
    queues = [_picture(film, [small, *more, small], timeline[:count], 1).queue for more, count in counts]
    assert queues == [4096, 31, 8]


@pytest.mark.parametrize("name", thinned(FORMATS, 2))
def test_samples_reach_a_lossless_encoder_bit_for_bit(folder: Path, tmp_path: Path, name: str) -> None:
    film, frames = known(folder, name)
    made = tmp_path / "made.mkv"
    publish(film, segments(film, frames, Encode("ffv1"), tmp_path), times(frames), made)
    result = probe(made)
    assert frame_hashes(made, result.index) == [fingerprint(frame) for frame in frames]
    check_times(film, frames, result)
    check_looks(film, result)


def check_times(film: Film, frames: list[Frame], made: Film) -> None:
    """Every pts the same, or where the ticks are coarser, the nearest; decoded, too, nothing lost or doubled."""
    wanted = [frame.pts * film.time_base for frame in frames]
    found = [frame.pts * made.time_base for frame in read(made)]
    tolerance = Fraction(0) if (film.time_base / made.time_base).denominator == 1 else made.time_base / 2
    assert len(found) == len(wanted)
    assert max(abs(a - b) for a, b in zip(found, wanted, strict=True)) <= tolerance


def check_sounds(film: Film, made: Film) -> None:
    before, after = ([s.index for s in f.streams if s.kind == "audio"] for f in (film, made))
    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        ours, theirs = packets(made.path, new), source_packets(film.path, old)
        assert [digest for _, digest in ours] == [digest for _, digest in theirs]
        tick = float(max(s.time_base or Fraction(0) for f in (film, made) for s in f.streams if s.kind == "audio"))
        off = [abs(a - b) for (a, _), (b, _) in zip(ours, theirs, strict=True) if a == a and b == b]
        assert max(off) <= (1.001 * tick if film.container != made.container else 1e-6)


def check_looks(film: Film, made: Film) -> None:
    assert made.full_range == film.full_range
    assert (made.tags.space, made.tags.primaries, made.tags.transfer) == (
        film.tags.space,
        film.tags.primaries,
        film.tags.transfer,
    )
    assert (made.sample_aspect or 1) == (film.sample_aspect or 1)
    assert made.rotation == 0
    assert made.pixels.depth == min(film.pixels.depth, made.pixels.depth)


@pytest.mark.parametrize("name", ["constant.mp4", "irregular.mp4", "late.mkv", "transport.ts", "programme.mpg"])
def test_a_range_is_published_with_its_sound(folder: Path, tmp_path: Path, name: str) -> None:
    film, frames = known(folder, name)
    span = range(4, 10)
    made = tmp_path / f"made{output_suffix(film, 'libx264')}"
    part = frames[span.start : span.stop]
    publish(film, segments(film, part, Encode("libx264"), tmp_path, 2), times(frames), made, frames=span)
    result = probe(made)
    check_times(film, [replace(frame, pts=frame.pts - part[0].pts) for frame in part], result)
    begin_s, end_s = (float(frames[index].pts * film.time_base) for index in (span.start, span.stop))
    sound = next(s.index for s in film.streams if s.kind == "audio")
    wanted = [digest for at_s, digest in packets(film.path, sound) if begin_s <= at_s < end_s]
    found = packets(made, next(s.index for s in result.streams if s.kind == "audio"))
    assert set(wanted) <= {digest for _, digest in found}
    assert len(found) <= len(wanted) + 2
    at_s = {digest: at_s for at_s, digest in packets(film.path, sound)}
    assert all(abs(now_s - (at_s[digest] - begin_s)) < 0.0021 for now_s, digest in found)


# What goes wrong


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv", "cut.avi"])
def test_a_film_cut_off_gives_its_frames_and_then_says_so(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    ffmpeg(*picture(frames=25), *X264, "-x264-params", "bframes=0", "-movflags", "faststart", path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 3 // 4])
    film = probe(path)
    frames: list[Frame] = []
    with Reader(film) as reader, pytest.raises(InputError, match=r"cut off: \d+ frames"):
        frames.extend(reader)
    assert 10 < len(frames) < 25
    with Reader(film, keep_going=True) as reader:
        assert len(list(reader)) == len(frames)
        assert reader.damage is not None
    assert [frame.pts for frame in read(film, 5, 9, times(frames))] == times(frames)[5:9].tolist()


@pytest.mark.parametrize(("make", "frames"), [(resized, 26), (clock_set_back, 26)])
def test_two_recordings_in_one_file_are_read_as_one_film(
    tmp_path: Path, make: Callable[[Path], None], frames: int
) -> None:
    make(tmp_path / "film.ts")
    film = probe(tmp_path / "film.ts")
    with Reader(film, keep_going=True) as reader:
        whole = list(reader)
    assert len(whole) == frames
    assert np.all(np.diff(times(whole)) > 0)
    for first in (3, 12, 14, 20):
        part = read(film, first, first + 4, times(whole))
        assert [fingerprint(frame) for frame in part] == [fingerprint(f) for f in whole[first : first + 4]]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("text.mp4", b"once upon a time\n" * 100, "not a film"),
        ("empty.mp4", b"", "is empty"),
        ("list.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfilm.ts\n", "playlist"),
        ("list.mp4", b"ffconcat version 1.0\nfile 'constant.mp4'\n", "playlist"),
        ("noise.mkv", bytes(range(256)) * 64, "not a film"),
    ],
)
def test_what_is_no_film_is_refused(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=says):
        probe(tmp_path / name)


def test_sound_alone_is_no_film_even_with_a_cover(folder: Path, tmp_path: Path) -> None:
    film = known(folder, "cover.mp4")[0]
    ffmpeg("-i", film.path, "-map", "0:1", "-map", "0:2", "-c", "copy", tmp_path / "song.m4a")
    with pytest.raises(InputError, match="no moving picture"):
        probe(tmp_path / "song.m4a")


def test_an_mp4_without_its_index_is_cut_off(folder: Path, tmp_path: Path) -> None:
    film = known(folder, "constant.mp4")[0]
    (tmp_path / "cut.mp4").write_bytes(film.path.read_bytes()[:9000])
    with pytest.raises(InputError, match="cut off"):
        probe(tmp_path / "cut.mp4")


def test_absent_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        probe(tmp_path / "nothing.mp4")
    with pytest.raises(InputError, match="not a file"):
        probe(tmp_path)


def test_a_tiny_picture_is_refused(tmp_path: Path) -> None:
    ffmpeg(*picture("14x14"), "-c:v", "ffv1", tmp_path / "tiny.mkv")
    with pytest.raises(InputError, match="14x14"):
        probe(tmp_path / "tiny.mkv")


@pytest.mark.parametrize("name", ["-y.mp4", "a 'b' \"c\" %d\n.mp4", "concat:a|b.mp4", "http:x.mp4", "[0:v]; ,=\\é.mp4"])
def test_any_file_name_will_do(folder: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(known(folder, "constant.mp4")[0].path.read_bytes())
    film = probe(Path(name))
    frames = read(film)
    part = Path(f"{name}.nut")
    with Writer(part, Output.of(film, Encode("ffv1")), times(frames)) as writer:
        for frame in frames:
            writer.write(frame)
    publish(film, [part], times(frames), Path(f"{name}.part"), suffix=".mkv")
    assert len(read(probe(Path(f"{name}.part")))) == len(frames)


def test_a_film_that_has_changed_is_not_read_by_the_old_timeline(folder: Path) -> None:
    film = known(folder, "constant.mp4")[0]
    with pytest.raises(InputError, match="analyze it again"):
        read(film, 5, 8, times(read(film)) + 1)


@pytest.mark.parametrize("codec", ["libx264", "libsvtav1"])
def test_odd_sides_are_made_even_where_they_must_be(folder: Path, tmp_path: Path, codec: str) -> None:
    film, frames = known(folder, "odd.mkv")
    assert (film.width, film.height) == (127, 95)
    output = Output.of(film, Encode(codec, crf=1))
    assert "128x96" in output.warnings[0]
    with Writer(tmp_path / "part.nut", output, times(frames)) as writer:
        for frame in frames:
            writer.write(frame)
    made = read(probe(tmp_path / "part.nut"))[0].luma.astype(int)
    assert made.shape == (96, 128)
    assert np.abs(made[:95, :127] - frames[0].luma).mean() < 2
    assert np.abs(made[:, 127] - made[:, 126]).mean() < 4


def test_time_stamps_that_are_missing_or_go_back_are_repaired(folder: Path) -> None:
    film = known(folder, "constant.mp4")[0]
    step = int(1 / (film.rate * film.time_base))
    assert repair(None, None, film) == 0
    assert repair(None, 10, film) == 10 + step
    assert repair(9, 10, film) == 11
    assert repair(0, 1000 * step, film) == 1001 * step


def test_a_reader_left_early_leaves_nothing(folder: Path) -> None:
    film = known(folder, "constant.mp4")[0]
    with Reader(film) as reader:
        for _ in reader:
            break
    with pytest.raises(KeyError), Reader(film) as reader:
        for _ in reader:
            raise KeyError
    with Reader(film) as reader, prefetch(reader, 2) as frames:
        next(frames)
    with Reader(film) as reader:
        next(iter(reader))
        reader.close()
        assert list(reader) == []


def test_a_writer_left_early_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    film, frames = known(folder, "constant.mp4")
    output, part = Output.of(film, Encode()), tmp_path / "part.nut"
    with pytest.raises(KeyError), Writer(part, output, times(frames)) as writer:
        writer.write(frames[0])
        raise KeyError
    assert not part.exists()
    with pytest.raises(ValueError, match="1 frames of 13"), Writer(part, output, times(frames)) as writer:
        writer.write(frames[0])
    assert not part.exists()
    with pytest.raises(ValueError, match="not frame 0"), Writer(part, output, times(frames)) as writer:
        writer.write(frames[1])
    with pytest.raises(ValueError, match="must be"), Writer(part, replace(output, width=64), times(frames)) as writer:
        writer.write(frames[0])
    with pytest.raises(OutputError), Writer(tmp_path / "no" / "part.nut", output, times(frames)) as writer:
        for frame in frames:
            writer.write(frame)


def test_equal_frames_give_equal_segments(folder: Path, tmp_path: Path) -> None:
    film, frames = known(folder, "b-frames.mp4")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        segments(film, frames, Encode(), tmp_path / name)
    for number in range(3):
        assert (tmp_path / f"a/{number}.nut").read_bytes() == (tmp_path / f"b/{number}.nut").read_bytes()


@pytest.mark.parametrize("codec", ["libx265", "libsvtav1", "libvpx-vp9"])
def test_other_encoders_keep_time_too(folder: Path, tmp_path: Path, codec: str) -> None:
    film = known(folder, "irregular.mp4")[0]
    try:
        require_encoder(codec)
    except ToolError:
        pytest.skip(f"this ffmpeg has no {codec}")
    frames = read(film)
    made = tmp_path / "made.mp4"
    publish(film, segments(film, frames, Encode(codec), tmp_path), times(frames), made)
    check_times(film, frames, probe(made))
    check_sounds(film, probe(made))


def test_a_film_that_came_out_wrong_is_not_published(folder: Path, tmp_path: Path) -> None:
    film, frames = known(folder, "constant.mp4")
    parts = segments(film, frames, Encode(), tmp_path)
    made = tmp_path / "made.mp4"
    with pytest.raises(OutputError, match="frames, not"):
        publish(film, parts[:2], times(frames), made)
    with pytest.raises(OutputError, match="wrong tick"):
        publish(film, parts, times(frames) + (np.arange(13) == 12), made)
    parts[1].write_bytes(b"something else")
    with pytest.raises(OutputError, match="does not continue"):
        publish(film, parts, times(frames), made)
    with pytest.raises(OutputError, match="not a whole segment"):
        publish(film, parts[1:], times(frames), made)
    assert not made.exists()


def test_what_does_not_fit_is_said(folder: Path) -> None:
    everything, pcm = known(folder, "everything.mkv")[0], known(folder, "quicktime.mov")[0]
    assert [re.findall("attachment|mov_text", line) for line in passages(everything, ".mp4")[1]] == [
        ["mov_text"],
        ["attachment"],
    ]
    assert passages(everything, ".mkv")[1] == []
    with pytest.raises(OutputError, match="choose"):
        passages(pcm, ".webm")
    with pytest.raises(OutputError, match="cannot be written"):
        passages(pcm, ".avi")
    assert output_suffix(pcm) == ".mov"
    assert output_suffix(pcm, "ffv1") == ".mkv"


def test_sound_that_no_film_can_hold_is_told_before_the_work(folder: Path) -> None:
    film = known(folder, "constant.mp4")[0]
    assert [stream.sample_rate for stream in film.streams] == [None, 44100]
    mute = replace(film, streams=(film.streams[0], replace(film.streams[1], sample_rate=None)))
    with pytest.raises(OutputError, match="without a sample rate"):
        passages(mute, output_suffix(mute))


def test_a_stream_of_an_unknown_codec_is_no_surprise_at_the_end(folder: Path) -> None:
    film = known(folder, "constant.mp4")[0]
    picture, sound = film.streams
    odd = replace(film, streams=(picture, sound, replace(picture, index=2, codec="unknown")))
    kept, lost = passages(odd, ".mp4")
    assert [one.stream.index for one in kept] == [0, 1]
    assert lost == ["Stream 2 (video, unknown) does not fit into .mp4: left out."]
    with pytest.raises(OutputError, match="sound of an unknown codec"):
        passages(replace(film, streams=(picture, replace(sound, codec="unknown"))), ".mp4")


def test_without_ffmpeg_the_error_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film, _ = known(folder, "constant.mp4")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ToolError, match="install ffmpeg"):
        tools()
    with pytest.raises(ToolError, match="install ffmpeg"):
        read(film)


def test_an_encoder_that_is_not_there_is_named() -> None:
    with pytest.raises(ToolError, match="libnothing"):
        require_encoder("libnothing")
    assert set(tools()) == {"ffmpeg", "ffprobe"}


def test_a_read_that_brings_nothing_ends(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = known(folder, "constant.mp4")[0]
    (tmp_path / "ffmpeg").write_text("#!/bin/sh\nexec sleep 100\n")
    (tmp_path / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with Reader(film, patience_s=0.2) as reader, pytest.raises(ToolError, match="no progress"):
        list(reader)
    with Process(["ffmpeg"], feed=True, patience_s=0.2) as tool, pytest.raises(ToolError, match="no progress"):
        tool.write(memoryview(bytes(8 << 20)))


@pytest.mark.parametrize("keep_going", [False, True])
def test_a_decoder_that_was_killed_is_not_the_end_of_the_film(tmp_path: Path, keep_going: bool) -> None:
    ffmpeg(*picture("640x360", 200), *X264, tmp_path / "film.mkv")
    film = probe(tmp_path / "film.mkv")
    with Reader(film, keep_going=keep_going) as reader, pytest.raises(ToolError, match="ended by signal 9"):
        for frame in reader:
            if frame.index == 3:
                found = subprocess.run(["pgrep", "-P", str(os.getpid()), "ffmpeg"], capture_output=True, check=True)
                os.kill(int(found.stdout), signal.SIGKILL)


ENDLESS = """
import time, threading
from vidsr.video.process import Process
command = ["ffmpeg", "-f", "lavfi", "-re", "-i", "anullsrc", "-f", "null", "-"]
def start():
    process = Process(command).__enter__()
    print(process.pid, flush=True)
thread = threading.Thread(target=start)
thread.start(); thread.join()
time.sleep(20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux holds the leash")
def test_ffmpeg_dies_with_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", ENDLESS], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(0.2)
    assert alive(child), "it must outlive the thread that started it"
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 5
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(child)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("seed", range(3))
def test_an_expression_gives_every_pts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pts = np.cumsum(rng.choice([1, 33, 33, 34, 4000], 700)).astype(np.int64) + 2**40
    expression = pts_expression(pts)
    python = re.sub(r"\bif\(", "choose(", expression)
    names = {"choose": lambda holds, a, b: a if holds else b, "lt": lambda a, b: a < b}
    code = compile(python, "expression", "eval")
    found = [eval(code, {**names, "N": float(number)}) for number in range(len(pts))]
    assert [int(value) for value in found] == pts.tolist()


def test_time_stamps_that_no_encoder_takes_are_refused() -> None:
    for pts in ([], [0, 0], [2, 1], [2**60, 2**60 + 1]):
        with pytest.raises(ValueError, match="time stamps"):
            pts_expression(np.array(pts, np.int64))


@pytest.mark.parametrize(("codec", "name"), [("h263", "film.3gp"), ("mpeg4", "film.mp4")])
def test_a_frame_is_the_same_where_the_file_calls_every_packet_a_keyframe(
    tmp_path: Path, codec: str, name: str
) -> None:
    whole = tmp_path / f"whole.{name.partition('.')[2]}"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=128x96:r=10,trim=end_frame=24", "-c:v", codec, "-g", "24", whole)
    (tmp_path / name).write_bytes(whole.read_bytes().replace(b"stss", b"skip"))  # the table of keyframes
    film = looked_at(probe(tmp_path / name))
    with Reader(film) as frames:
        luma = {frame.pts: frame.luma.copy() for frame in frames}
    with Reader(film, first=13, stop=15, timeline=np.array(list(luma), np.int64)) as part:
        assert all(np.array_equal(frame.luma, luma[frame.pts]) for frame in part)
    assert looked_at(probe(whole)).seekable
