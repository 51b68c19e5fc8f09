"""Interlaced film: recognised whatever its flags say, made whole in the decoder, each time stamp in its place."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from tests.clips import X264, ffmpeg
from tests.odd import made, odd, planned
from vidsr.cli.main import cli
from vidsr.config import Encode
from vidsr.frame import Frame
from vidsr.jobs import passes
from vidsr.video import Film, Reader, looked_at, probe

FRAMES = 30
MOVING = "testsrc2=s=512x432:r={rate},crop=480:416:8+4*mod(n\\,8):4"


def fields(path: Path, order: str, flags: str, rate: int = 25) -> Path:
    """A moving picture, two of whose frames are the fields of one; `flags` say so, say the other order, or nothing."""
    source = f"{MOVING.format(rate=2 * rate)},trim=end_frame={2 * FRAMES},tinterlace=mode=interleave_{order}"
    told = {"right": order, "wrong": "bottom" if order == "top" else "top", "none": "progressive"}[flags]
    field = {"top": "tff", "bottom": "bff", "progressive": "prog"}[told]
    coded = ["-flags", "+ildct+ilme"] if told != "progressive" else []
    ffmpeg("-f", "lavfi", "-i", f"{source},setfield={field}", *X264, "-crf", "8", *coded, path)
    return path


def truth(path: Path, rate: int = 25) -> list[NDArray[np.float64]]:
    """The frames that were there at the time of each first field."""
    source = f"{MOVING.format(rate=2 * rate)},trim=end_frame={2 * FRAMES},framestep=2"
    ffmpeg("-f", "lavfi", "-i", source, "-c:v", "ffv1", "-pix_fmt", "yuv420p", path)
    return [frame.luma.astype(float) for frame in read(probe(path))]


def read(film: Film, first: int = 0, stop: int | None = None, timeline: NDArray[np.int64] | None = None) -> list[Frame]:
    with Reader(film, first=first, stop=stop, timeline=timeline) as reader:
        return list(reader)


def psnr(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(10 * np.log10(255**2 / np.mean((one - other) ** 2)))


@pytest.mark.parametrize(
    ("order", "flags", "rate"), [("top", "right", 25), ("bottom", "none", 25), ("top", "wrong", 30)]
)
def test_fields_are_found_and_made_whole_at_the_films_own_rate(
    tmp_path: Path, order: str, flags: str, rate: int
) -> None:
    path = fields(tmp_path / "film.mkv", order, flags, rate)
    combed, film = probe(path), looked_at(probe(path))
    assert (film.fields, film.deinterlace) == ("tff" if order == "top" else "bff", "frame")
    raw, whole = read(combed), read(film)
    assert [frame.pts for frame in whole] == [frame.pts for frame in raw]
    wanted = truth(tmp_path / "truth.mkv", rate)[5:-5]
    before, after = (
        np.mean([psnr(frame.luma.astype(float), one) for frame, one in zip(frames[5:-5], wanted, strict=True)])
        for frames in (raw, whole)
    )
    assert after > before + 3


def test_a_range_of_a_deinterlaced_film_is_the_slice_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fractions import Fraction

    monkeypatch.setattr("vidsr.video.reader.SEEK_MARGINS_S", (0, Fraction(1, 2)))
    film = looked_at(probe(fields(tmp_path / "film.mkv", "top", "right")))
    whole = read(film)
    timeline = np.array([frame.pts for frame in whole], np.int64)
    part = read(film, 18, 22, timeline)
    assert [frame.pts for frame in part] == timeline[18:22].tolist()
    assert all(np.array_equal(a.luma, b.luma) for a, b in zip(part, whole[18:22], strict=True))


def test_each_field_becomes_a_frame_at_exact_halves(tmp_path: Path) -> None:
    path = fields(tmp_path / "film.mkv", "top", "right")
    film = looked_at(probe(path), "field")
    times = [frame.pts * film.time_base for frame in read(film)]
    raw = [frame.pts * probe(path).time_base for frame in read(probe(path))]
    assert times[::2] == raw
    assert times[1:-1:2] == [(a + b) / 2 for a, b in pairwise(raw)]


def test_interlaced_film_stays_so_where_it_is_asked_and_faces_are_passed(tmp_path: Path) -> None:
    path = fields(tmp_path / "film.mkv", "bottom", "right")
    found = made(path, tmp_path / "out.mkv", Encode(preset="ultrafast"), deinterlace="off")
    assert found.about["streams"][0]["field_order"] in ("bb", "bt")
    from tests.faces import track_of

    chosen, reasons = passes.chosen(found.work, (track_of(5, (50.0, 50.0), 60.0, ident=1),))
    assert (chosen, reasons) == ((), {1: passes.COMBED})


@pytest.mark.parametrize("flags", ["prog", "tff"])
def test_a_progressive_film_is_left_alone_whatever_its_flags_say(tmp_path: Path, flags: str) -> None:
    path = tmp_path / "film.mkv"
    coded = ["-flags", "+ildct+ilme"] if flags == "tff" else []
    ffmpeg(
        "-f", "lavfi", "-i", f"{MOVING.format(rate=25)},gblur=2,trim=end_frame=40,setfield={flags}", *X264, *coded, path
    )
    film = looked_at(probe(path))
    assert (film.fields, film.deinterlace) == ("", "")


def test_telecined_film_is_told_apart_and_brought_back_to_24_frames(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    source = f"{MOVING.format(rate='24000/1001')},trim=end_frame=40,telecine=pattern=23"
    ffmpeg("-f", "lavfi", "-i", source, *X264, "-crf", "8", "-flags", "+ildct+ilme", path)
    film = looked_at(probe(path))
    assert film.deinterlace == "match"
    assert any("telecined" in warning for warning in film.warnings)
    assert [frame.pts for frame in read(film)] == [frame.pts for frame in read(probe(path))]
    frames = read(looked_at(probe(path), "ivtc"))
    assert abs(len(frames) - 40) <= 1


@pytest.mark.parametrize("name", ["ilace.mpg", "hi.mp4"])
def test_films_as_people_have_them_come_out_whole(tmp_path: Path, name: str) -> None:
    found = made(odd(name), tmp_path, Encode(preset="ultrafast"))
    assert found.about["streams"][0].get("field_order", "progressive") in ("progressive", "unknown")
    assert any("interlaced" in note for note in found.notes)
    assert planned(odd(name), tmp_path / "out.mkv", deinterlace="off").film.deinterlace == ""


def test_a_small_picture_of_fine_patterns_is_not_taken_for_fields(tmp_path: Path) -> None:
    """A clip of 128 pixels combed in 37 of 48 frames by ffmpeg's measure, and lost 1.2 dB to the deinterlacer."""
    path = tmp_path / "film.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=128x128:r=50,trim=end_frame=60,tinterlace=mode=interleave_top", *X264, path)
    assert looked_at(probe(path)).deinterlace == ""


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_a_frozen_frame_of_two_fields_does_not_comb(tmp_path: Path, order: str) -> None:
    """What stands still is kept as it is by a deinterlacer that looks at neighbours, and this one combs."""
    path, name = tmp_path / "film.mkv", "top" if order == "tff" else "bottom"
    source = "testsrc2=s=512x432:r=50,gblur=2,crop=480:416:8+8*mod(n\\,4):4,trim=end_frame=8"
    frozen = f"{source},tinterlace=mode=interleave_{name},select=eq(n\\,2),loop=12:1,setpts=N/25/TB,setfield={order}"
    ffmpeg("-f", "lavfi", "-i", frozen, *X264, "-crf", "8", "-flags", "+ildct+ilme", path)
    film = looked_at(probe(path))
    assert film.deinterlace == "frame"
    before, after = (combing(read(one)[6].luma.astype(float)) for one in (probe(path), film))
    assert after < before / 3


def combing(luma: NDArray[np.float64]) -> float:
    """How far lines lie from the mean of those above and below them."""
    return float(np.mean(np.abs(luma[1:-1] - (luma[:-2] + luma[2:]) / 2)))


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_a_small_film_that_says_it_is_interlaced_is_made_whole(tmp_path: Path, order: str) -> None:
    path, name = tmp_path / "film.mkv", "top" if order == "tff" else "bottom"
    source = f"{MOVING.format(rate=50)},scale=352:288,trim=end_frame=40,tinterlace=mode=interleave_{name}"
    ffmpeg("-f", "lavfi", "-i", f"{source},setfield={order}", *X264, "-flags", "+ildct+ilme", path)
    film = looked_at(probe(path))
    assert (film.fields, film.deinterlace) == (order, "frame")


@pytest.mark.slow
def test_analyze_and_preview_take_deinterlace_as_enhance_does(tmp_path: Path) -> None:
    path, tracks, look = fields(tmp_path / "film.mkv", "top", "right"), tmp_path / "tracks.json", tmp_path / "look"
    for mode, frames in (("frame", FRAMES), ("field", 2 * FRAMES)):
        words = ["analyze", str(path), "-o", str(tracks), "--overwrite", "--deinterlace", mode]
        assert f"{frames} frames" in CliRunner().invoke(cli, words, catch_exceptions=False).output
    words = [*("preview", str(path), "-o", str(look), "--model", "plain", "--scale", "1"), "--tracks", str(tracks)]
    CliRunner().invoke(cli, [*words, "--frames", "4:9", "--deinterlace", "field"], catch_exceptions=False)
    assert probe(look / "preview.mp4").rate == 50
    asked = CliRunner().invoke(cli, [*words, "--frames", "4:9", "--deinterlace", "frame", "--overwrite"])
    assert "another --deinterlace" in str(asked.exception)
