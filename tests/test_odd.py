"""Films as people have them: nothing lost, nothing refused that players play, no surprise at the end."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.clips import TONE, X264, bitmap_subtitle, ffmpeg, frame_hashes, picture
from tests.odd import asked, made, odd, planned
from tests.program import thinned, vidsr
from vidsr.config import Encode, Enhance
from vidsr.errors import InputError, RefusedError
from vidsr.jobs.events import Meter
from vidsr.jobs.passes import analyze_film
from vidsr.video import Reader, looked_at, probe, tools
from vidsr.video.tags import NUMBERS, numbered
from vidsr.video.timecode import later_timecode

QUICK = Encode(preset="ultrafast")
SHORT = picture(frames=8)
FFMPEG = int((re.search(r"\d+", tools()["ffmpeg"]) or ["9"])[0])
HOLDS_PCM = FFMPEG >= 6
"""Whether this ffmpeg writes PCM into mp4."""


# No surprise at publish


@pytest.mark.parametrize("number", [4, 5])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_transfer_that_options_do_not_know_by_its_name_is_kept(tmp_path: Path, number: int, suffix: str) -> None:
    path = tmp_path / f"film{suffix}"
    ffmpeg(*SHORT, *X264, "-vf", f"setparams=color_trc={number}", "-color_trc", str(number), path)
    name = {4: "bt470m", 5: "bt470bg"}[number]
    assert probe(path).tags.transfer == name
    assert made(path, tmp_path, QUICK).film.tags.transfer == name


def test_pal_keeps_its_transfer(tmp_path: Path) -> None:
    tags = made(odd("pal264.mp4"), tmp_path, QUICK).film.tags
    assert (tags.transfer, tags.space, tags.primaries) == ("bt470bg", "bt470bg", "bt470bg")


def test_a_tag_that_a_container_does_not_know_is_named_as_lost(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    ffmpeg(*SHORT, *X264, "-vf", "setparams=color_primaries=ebu3213", path)
    assert probe(path).tags.primaries == "ebu3213"
    found = made(path, tmp_path / "out.mp4", QUICK)
    told = "The picture's tag primaries (ebu3213) could not be kept." in found.notes
    assert told != (found.film.tags.primaries == "ebu3213")
    assert told or FFMPEG >= 6
    assert made(path, tmp_path / "out.mkv", QUICK).film.tags.primaries == "ebu3213"


def test_every_colour_name_has_a_number_that_every_option_takes() -> None:
    found = subprocess.run(["ffmpeg", "-v", "quiet", "-h", "full"], capture_output=True, text=True, check=True).stdout
    for option, names in NUMBERS.items():
        assert f"-{option} " in found
        assert all(numbered(option, name).isdecimal() for name in names)


@pytest.mark.parametrize("name", ["sony.mp4", "cam.mp4"])
def test_sound_that_mp4_does_not_hold_goes_into_mkv(tmp_path: Path, name: str) -> None:
    found = made(odd(name), tmp_path, QUICK)
    assert found.work.output.suffix == (".mp4" if HOLDS_PCM and name == "sony.mp4" else ".mkv")
    assert [stream.kind for stream in found.film.streams] == ["video", "audio"]


@pytest.mark.parametrize("codec", thinned(["pcm_s24be", "pcm_mulaw"]))
def test_quicktime_that_is_named_mp4_is_not_taken_for_one(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "film.mp4"
    ffmpeg(*SHORT, *TONE, *X264, "-c:a", codec, "-f", "mov", path)
    work = planned(path, tmp_path, QUICK)
    if HOLDS_PCM:  # as it is, or unpacked
        assert work.output.suffix == (".mp4" if codec == "pcm_s24be" else ".mkv")
        planned(path, tmp_path / "out.mp4", QUICK)
        return
    assert work.output.suffix == ".mkv"
    with pytest.raises(RefusedError, match=f"{codec}.*mkv"):
        planned(path, tmp_path / "out.mp4", QUICK)


@pytest.mark.parametrize(("name", "codec"), [("lpcm.vob", "pcm_s16le"), ("bd.m2ts", "pcm_s16le")])
def test_the_pcm_of_discs_is_unpacked_without_loss_and_said(tmp_path: Path, name: str, codec: str) -> None:
    found = made(odd(name), tmp_path, QUICK)
    assert [stream.codec for stream in found.film.streams if stream.kind == "audio"] == [codec]
    assert any("without loss" in note for note in found.notes)
    assert sound(odd(name)) == sound(found.work.output)


@pytest.mark.parametrize(("suffix", "output"), [(".mkv", ".mp4"), (".ts", ".mkv")])
def test_a_sound_without_a_packet_is_left_out_and_said(tmp_path: Path, suffix: str, output: str) -> None:
    path = tmp_path / f"film{suffix}"
    ffmpeg(*SHORT, *TONE, *X264, "-c:a", "aac", "-bsf:a", "noise=drop=gte(n\\,0)", path)
    found = made(path, tmp_path / f"out{output}", QUICK)
    assert [stream.kind for stream in found.film.streams] == ["video"]
    assert any("audio" in note and "left out" in note for note in found.notes)


def test_a_sound_that_a_container_swallows_is_refused_before_the_work(tmp_path: Path) -> None:
    """ffmpeg copies no packet of it into mov, and says nothing."""
    path = tmp_path / "film.mkv"
    ffmpeg(*SHORT, *TONE, *X264, "-c:a", "dfpwm", "-strict", "-2", path)
    with pytest.raises(RefusedError, match=r"dfpwm.*mkv"):
        planned(path, tmp_path / "out.mov", QUICK)


@pytest.mark.parametrize(("suffix", "codec"), thinned([(".ts", "s302m"), (".vob", "pcm_dvd")]))
def test_other_lossless_sound_that_fits_nowhere_is_unpacked(tmp_path: Path, suffix: str, codec: str) -> None:
    path = tmp_path / f"film{suffix}"
    tone = ["-f", "lavfi", "-i", "sine=440:d=0.5:r=48000", "-ac", "2"]
    ffmpeg(*SHORT, *tone, "-c:v", "mpeg2video", "-c:a", codec, "-strict", "-2", path)
    found = made(path, tmp_path, QUICK)
    assert next(s.codec for s in found.film.streams if s.kind == "audio").startswith("pcm_s")
    assert sound(path) == sound(found.work.output)


def sound(path: Path) -> str:
    """A hash of a film's decoded sound."""
    words = ["ffmpeg", "-v", "error", "-i", path, "-map", "0:a:0", "-c:a", "pcm_s32le", "-f", "md5", "-"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def test_what_cannot_be_written_is_refused_before_the_work_with_exit_code_2(tmp_path: Path) -> None:
    codec, name = ("wmav2", "film.mkv") if HOLDS_PCM else ("pcm_s16le", "film.mov")
    path = tmp_path / name
    ffmpeg(*SHORT, *TONE, *X264, "-c:a", codec, path)
    for more in ([], ["--dry-run"]):
        done = vidsr("enhance", path, "-o", tmp_path / "out.mp4", *more)
        assert done.returncode == 2
        assert codec in done.stderr and "Traceback" not in done.stderr
    assert sorted(one.name for one in tmp_path.iterdir()) == [name]


def test_an_encoder_that_cannot_do_it_is_known_before_the_work(tmp_path: Path) -> None:
    ffmpeg(*SHORT, *X264, tmp_path / "film.mkv")
    with pytest.raises(RefusedError, match="cannot be written"):
        planned(tmp_path / "film.mkv", tmp_path, Encode("libsvtav1", preset="ultrafast"))


# Time


def test_a_variable_rate_with_a_long_gap_is_right(tmp_path: Path) -> None:
    assert made(odd("slides.mp4"), tmp_path, QUICK).length_s == pytest.approx(6.25, abs=0.05)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_gaps_in_films_with_b_frames_are_no_bug(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "film.mp4"
    gaps = ["-vf", "setpts=N/25/TB+2*gte(N\\,7)/TB", "-fps_mode", "vfr", "-bf", "2"]
    ffmpeg(*picture(frames=10), "-c:v", codec, *gaps, "-video_track_timescale", "90000", path)
    shown = frame_hashes(path, 0)  # ffmpeg 7 makes an edit list that ends before the last one
    found = made(path, tmp_path, QUICK)
    assert not [note for note in found.notes if "last frame" in note]
    assert len(found.frames) == len(shown) >= (9 if FFMPEG >= 6 else 10)


@pytest.mark.parametrize("name", ["dvb.ts", "wrap.ts"])
def test_a_late_or_wrapping_clock_is_moved_and_nothing_else(tmp_path: Path, name: str) -> None:
    found = made(odd(name), tmp_path, QUICK)
    assert float(found.about["format"]["start_time"]) == pytest.approx(0, abs=0.05)
    assert found.length_s == pytest.approx(float(asked(odd(name))["format"]["duration"]), abs=0.1)
    assert apart(odd(name)) == pytest.approx(apart(found.work.output), abs=0.002)


@pytest.mark.parametrize(("offset", "codec"), [("40000", "ffv1"), ("95443.3", "auto")])
def test_all_streams_of_a_late_film_move_by_one_offset(tmp_path: Path, offset: str, codec: str) -> None:
    path = tmp_path / ("film.ts" if codec == "auto" else "film.mkv")
    ffmpeg(*picture(frames=13), *TONE, *X264, "-c:a", "ac3", "-output_ts_offset", offset, path)
    found = made(path, tmp_path, Encode(codec, preset=None if codec == "ffv1" else "ultrafast"))
    assert found.length_s < 2
    assert apart(path) == pytest.approx(apart(found.work.output), abs=0.002)


def apart(path: Path) -> float:
    """Seconds between the beginnings of picture and sound."""
    starts = [float(stream["start_time"]) for stream in asked(path)["streams"][:2]]
    return starts[1] - starts[0]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_last_frame_is_shown_as_long_as_it_was(tmp_path: Path, suffix: str) -> None:
    found = made(odd("lastdur.mp4"), tmp_path / f"out{suffix}", QUICK)
    assert found.length_s == pytest.approx(4.4167, abs=0.01)


def test_a_gif_whose_last_picture_stays_lasts_as_long(tmp_path: Path) -> None:
    ffmpeg(*picture(frames=5), "-final_delay", "300", tmp_path / "film.gif")
    wanted = float(asked(tmp_path / "film.gif")["format"]["duration"])
    assert wanted > 3
    assert made(tmp_path / "film.gif", tmp_path, QUICK).length_s == pytest.approx(wanted, abs=0.05)


def test_a_duration_of_all_ones_is_unknown_and_no_damage(tmp_path: Path) -> None:
    path = odd("sample_fragmented.mp4")
    found = probe(path).duration_s
    assert found is None or (FFMPEG >= 6 and found < 2)  # newer ones add the fragments up
    assert len(made(path, tmp_path, QUICK).frames) == 30


@pytest.mark.parametrize(("codec", "output"), [("dvbsub", ".mkv"), ("dvdsub", ".mkv"), ("dvdsub", ".mp4")])
def test_a_subtitle_that_nobody_ended_is_not_the_films_length(tmp_path: Path, codec: str, output: str) -> None:
    path, words = tmp_path / "film.mkv", bitmap_subtitle(tmp_path / "words.sup")
    ffmpeg(*picture(frames=13), "-i", words, *X264, "-c:s", codec, path)
    assert float(asked(path)["format"]["duration"]) > 1e6
    assert probe(path).duration_s is None
    found = made(path, tmp_path / f"out{output}", QUICK)
    assert len(found.frames) == 13
    kept = [stream.codec for stream in found.film.streams if stream.kind == "subtitle"]
    if output == ".mkv":
        assert kept == [asked(path)["streams"][1]["codec_name"]]
    else:
        assert not kept and "subtitle" in " ".join(found.notes)


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "libx264"), (".mov", "mpeg4")])
def test_an_edit_list_that_ends_among_b_frames_shows_what_players_show(tmp_path: Path, suffix: str, codec: str) -> None:
    path = tmp_path / f"film{suffix}"
    ffmpeg(*picture(frames=13), "-c:v", codec, "-pix_fmt", "yuv420p", "-bf", "2", path)
    data = bytearray(path.read_bytes())
    place = data.index(b"elst") + 12
    data[place : place + 4] = (int.from_bytes(data[place : place + 4], "big") * 9 // 13).to_bytes(4, "big")
    path.write_bytes(data)
    shown = frame_hashes(path, 0)
    assert 8 < len(shown) < 12
    assert len(made(path, tmp_path, QUICK).frames) == len(shown)


@pytest.mark.parametrize(("suffix", "codec"), [(".mkv", "libx264"), (".mpg", "mpeg2video"), (".avi", "mpeg4")])
def test_one_damaged_packet_is_told_with_what_to_do(tmp_path: Path, suffix: str, codec: str) -> None:
    whole, path = tmp_path / f"whole{suffix}", tmp_path / f"film{suffix}"
    ffmpeg(*picture("320x240", frames=12), "-c:v", codec, "-pix_fmt", "yuv420p", "-g", "4", whole)
    ffmpeg("-i", whole, "-c", "copy", "-bsf:v", f"noise=amount={20 if FFMPEG < 9 else 3}*eq(n\\,5)", path)
    with pytest.raises(InputError, match="--keep-going"), Reader(probe(path)) as reader:
        list(reader)
    with Reader(probe(path), keep_going=True) as reader:
        assert len(list(reader)) >= 10


@pytest.mark.parametrize(("suffix", "codec"), [(".ts", "libx264"), (".m2v", "mpeg2video")])
@pytest.mark.parametrize("sizes", [("96x64", "128x96"), ("128x96", "96x64")])
def test_a_picture_that_changes_its_size_is_told(
    tmp_path: Path, suffix: str, codec: str, sizes: tuple[str, str]
) -> None:
    path = tmp_path / f"film{suffix}"
    with path.open("wb") as file:
        for number, size in enumerate(sizes):
            part = tmp_path / f"{number}{suffix}"
            ffmpeg(*picture(size), "-c:v", codec, "-output_ts_offset", f"{0.52 * number}", part)
            file.write(part.read_bytes())
    _, told = analyze_film(probe(path), Enhance(keep_going=True), Meter())
    frame = 13 if suffix == ".ts" else 12  # MPEG-2's decoder loses the last one before another header
    assert f"changes its size or format at frame {frame}: all of it is {sizes[0]}" in told


def test_two_pictures_of_a_webm_become_two_of_an_mp4(tmp_path: Path) -> None:
    path = tmp_path / "film.webm"
    ffmpeg(*picture(frames=2, rate="1000"), "-c:v", "libvpx-vp9", "-deadline", "realtime", path)
    assert len(made(path, tmp_path / "out.mp4", QUICK).frames) == 2


def test_two_pictures_of_one_time_stamp_are_both_kept(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    twice = ["-bsf:v", "setts=ts=if(eq(N\\,4)\\,PREV_OUTPTS\\,TS)"]
    ffmpeg(*picture(frames=8), "-c:v", "mjpeg", *twice, path)
    found = made(path, tmp_path, QUICK)
    assert len(found.frames) == 8
    assert len(np.unique([frame.pts for frame in found.frames])) == 8


# Reports


def test_a_report_never_replaces_the_film_or_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    ffmpeg(*SHORT, *X264, path)
    before = path.read_bytes()
    tracks = tmp_path / "tracks.json"
    tracks.write_text("{}")
    for report, more in (
        (tmp_path / "out.mkv", ["-o", tmp_path / "out.mkv"]),
        (tmp_path / "film.enhanced.mkv", []),
        (path, []),
        (tracks, ["--tracks", tracks]),
    ):
        done = vidsr("enhance", path, *more, "--report", report, "--model", "plain", "--overwrite")
        assert done.returncode == 2
        assert "choose another name" in done.stderr
    assert path.read_bytes() == before and tracks.read_text() == "{}"
    assert not (tmp_path / "out.mkv").exists()


# Tags and streams


@pytest.mark.parametrize("name", thinned(["iphone.mov", "android.mp4", "sample_sef_slow_motion.mp4"]))
@pytest.mark.parametrize("suffix", thinned([".mov", ".mp4"]))
def test_what_phones_write_beside_a_film_is_kept(tmp_path: Path, name: str, suffix: str) -> None:
    found = made(odd(name), tmp_path / f"out{suffix}", QUICK)
    theirs, ours = asked(odd(name))["format"]["tags"], found.about["format"]["tags"]
    for key, value in theirs.items():
        if key.startswith(("com.", "location", "creation_time", "title")):
            assert ours[key][:19] == value[:19]
    lost = [note for note in found.notes if "tag" in note]
    assert all(FFMPEG >= 9 and "creation_time" in note for note in lost)  # it writes none into the tracks of mov


def test_exiftool_finds_where_and_with_what_a_phone_filmed(tmp_path: Path) -> None:
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not here")
    found = made(odd("iphone.mov"), tmp_path / "out.mov", QUICK)
    told = subprocess.run(["exiftool", found.work.output], capture_output=True, text=True, check=True).stdout
    for word in ("iPhone 14", "Apple", "48 deg 51'", "2024:05:01 10:00:00+02:00"):
        assert word in told


@pytest.mark.parametrize("key", ["com.example.camera", "reel"])
def test_any_tag_is_kept_in_mp4(tmp_path: Path, key: str) -> None:
    path = tmp_path / "film.mkv"
    ffmpeg(*SHORT, *X264, "-metadata", f"{key}=A 7", path)
    found = made(path, tmp_path / "out.mp4", QUICK)
    assert "A 7" in found.about["format"]["tags"].values()


def test_a_cover_stays_an_attachment(tmp_path: Path) -> None:
    found = made(odd("cover.mkv"), tmp_path, QUICK)
    assert [(s.kind, s.attached_picture) for s in found.film.streams] == [("video", False), ("video", True)]
    assert dict(found.film.streams[1].metadata)["filename"] == "cover.jpg"


@pytest.mark.parametrize("codec", thinned(["png", "mjpeg"]))
def test_the_cover_of_an_mp4_becomes_an_attachment_of_an_mkv(tmp_path: Path, codec: str) -> None:
    film, cover = tmp_path / "film.mp4", tmp_path / f"cover.{'png' if codec == 'png' else 'jpg'}"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=32x32", "-frames:v", "1", cover)
    ffmpeg(
        *SHORT, "-i", cover, "-map", "0", "-map", "1", *X264, "-c:v:1", "copy", "-disposition:1", "attached_pic", film
    )
    found = made(film, tmp_path / "out.mkv", QUICK)
    assert [(s.codec, s.attached_picture) for s in found.film.streams] == [("h264", False), (codec, True)]


def test_stale_statistics_go_and_marks_stay(tmp_path: Path) -> None:
    found = made(odd("st.mkv"), tmp_path, QUICK)
    head = found.film.streams[0]
    assert not [key for key, _ in head.metadata if key.upper().startswith(("BPS", "NUMBER", "_STAT", "DURATION-"))]
    assert head.dispositions == {"default", "original"}
    assert [sorted(s.dispositions) for s in found.film.streams[1:]] == [["forced"], [], ["comment"]]
    assert dict(head.metadata)["title"] == "Main picture"


@pytest.mark.parametrize(("language", "mark"), thinned([("eng", "hearing_impaired"), ("de", "dub")]))
def test_statistics_of_other_languages_go_and_other_marks_stay(tmp_path: Path, language: str, mark: str) -> None:
    path = tmp_path / "film.mkv"
    stale = [f"-metadata:s:v:BPS-{language}=9", f"NUMBER_OF_FRAMES-{language}=7", f"DURATION-{language}=00:00:09"]
    words = [word for one in stale for word in ("-metadata:s:v", one.removeprefix("-metadata:s:v:"))]
    ffmpeg(*SHORT, *TONE, *X264, "-c:a", "aac", *words, "-disposition:a", mark, path)
    found = made(path, tmp_path / "out.mkv", QUICK)
    assert not [key for key, _ in found.film.streams[0].metadata if key.upper().startswith(("BPS", "NUMBER"))]
    assert mark in found.film.streams[1].dispositions


@pytest.mark.parametrize(
    ("code", "seconds", "later"),
    [("01:00:00:00", 2, "01:00:02:00"), ("23:59:59:24", 1, "00:00:00:24"), ("10:00:00;00", 60, "10:01:00;02")],
)
def test_a_time_code_moves_with_the_beginning(tmp_path: Path, code: str, seconds: int, later: str) -> None:
    from dataclasses import replace
    from fractions import Fraction

    path = tmp_path / "film.mov"
    ffmpeg(*SHORT, *X264, "-timecode", "01:00:00:00", path)
    film = probe(path)
    assert later_timecode(film, Fraction(0)) == "01:00:00:00"
    rate = Fraction(30000, 1001) if ";" in code else Fraction(25)
    told = replace(film, rate=rate, metadata=(("timecode", code),))
    assert later_timecode(told, Fraction(seconds) * round(rate) / rate) == later


# What headers do not say


def test_hdr_that_only_the_stream_tells_of_is_kept(tmp_path: Path) -> None:
    found = made(odd("hdrsei.mp4"), tmp_path, QUICK)
    assert found.work.settings.encode.codec == "libx265"
    assert light(found.work.output) == light(odd("hdrsei.mp4")) != []
    assert found.film.pixels.depth == 10


@pytest.mark.parametrize("codec", thinned(["auto", "libx265"]))
def test_hdr_is_kept_by_each_encoder(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "film.mkv"
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(40000000,50)"
    params = f"log-level=error:master-display={display}:max-cll=900,300"
    tags = "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc:range=tv"
    ffmpeg(*SHORT, "-vf", tags, "-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params", params, path)
    assert light(made(path, tmp_path / "out.mkv", Encode(codec, preset="ultrafast")).work.output) == light(path) != []


def light(path: Path) -> list[str]:
    """What the first frame says of mastering display and light level."""
    words = ["-select_streams", "v:0", "-read_intervals", "%+#2", "-show_frames", path]
    told = subprocess.run(["ffprobe", "-v", "error", *words], capture_output=True, text=True, check=True).stdout
    names = ("red_", "green_", "blue_", "white_", "min_lum", "max_lum", "max_content", "max_average")
    return sorted({line for line in told.splitlines() if line.startswith(names)})


def test_transparency_that_is_lost_is_named_and_not_claimed(tmp_path: Path) -> None:
    found = made(odd("transparent.webm"), tmp_path)
    assert (found.work.output.suffix, found.film.codec) == (".webm", "av1")
    assert any("alpha" in note for note in found.notes)
    assert "alpha_mode" not in dict(found.film.streams[0].metadata)


@pytest.mark.parametrize("pixels", ["yuva444p10le", "argb"])
def test_transparency_in_the_samples_is_named(tmp_path: Path, pixels: str) -> None:
    path = tmp_path / "film.mov"
    coded = ["-c:v", "prores_ks"] if pixels.startswith("yuva") else ["-c:v", "qtrle"]
    ffmpeg(*SHORT, *coded, "-pix_fmt", pixels, path)
    assert any("alpha" in warning for warning in probe(path).warnings)


def test_dolby_vision_that_only_its_own_players_show_is_refused(tmp_path: Path) -> None:
    from dataclasses import replace

    path = tmp_path / "film.mkv"
    ffmpeg(*SHORT, *X264, path)
    film = replace(probe(path), dolby_vision=5)
    with pytest.raises(RefusedError, match="profile 5"):
        looked_at(film)
    assert looked_at(film, ignore_dolby_vision=True).path == path
    assert looked_at(replace(film, dolby_vision=8)).path == path


@pytest.mark.parametrize(
    ("suffix", "pixels", "codec"), [(".webm", "yuv420p", "libsvtav1"), (".mkv", "yuv420p", "libx264")]
)
def test_auto_takes_what_the_container_asks_for(tmp_path: Path, suffix: str, pixels: str, codec: str) -> None:
    path = tmp_path / f"film{suffix}"
    ffmpeg(*SHORT, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-pix_fmt", pixels, path)
    assert planned(path, tmp_path).settings.encode.codec == codec


@pytest.mark.parametrize(("suffix", "told"), thinned([(".mkv", "tag"), (".mp4", "stream"), (".mp4", "container")]))
@pytest.mark.parametrize("output", thinned([".mp4", ".mkv"]))
def test_stereo_3d_is_kept(tmp_path: Path, suffix: str, told: str, output: str) -> None:
    path = tmp_path / f"film{suffix}"
    if told == "stream":
        ffmpeg(*SHORT, *X264, "-x264-params", "frame-packing=4", path)
    else:
        first = path.with_name("first.mkv")
        ffmpeg(*SHORT, *X264, "-metadata:s:v", "stereo_mode=top_bottom", first)
        ffmpeg("-i", first, "-c", "copy", "-strict", "unofficial", path)
    if FFMPEG >= 6 and looked_at(probe(path)).tags.stereo is None:
        pytest.skip("this ffmpeg copies no mark of stereo 3D into mp4")
    found = made(path, tmp_path / f"out{output}", QUICK)
    assert looked_at(found.film).tags.stereo == "top_bottom"
    assert not [note for note in found.notes if "tereo" in note]


@pytest.mark.parametrize("mode", thinned(["right_left", "bottom_top"]))
def test_stereo_3d_that_is_lost_is_named(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "film.mkv"
    ffmpeg(*SHORT, *X264, "-metadata:s:v", f"stereo_mode={mode}", path)
    assert any(mode in note for note in made(path, tmp_path / "out.mp4", QUICK).notes)
    assert made(path, tmp_path / "out.mkv", QUICK).film.tags.stereo == mode


def test_without_an_encoder_of_av1_a_webm_gets_vp9(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidsr.video.writer.encoders", lambda: frozenset(["libvpx-vp9", "libx264"]))
    path = tmp_path / "film.webm"
    ffmpeg(*SHORT, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-pix_fmt", "yuv420p", path)
    found = made(path, tmp_path)
    assert (found.work.output.suffix, found.film.codec) == (".webm", "vp9")
    assert [frame.pts for frame in found.frames] == [frame.pts for frame in Reader(found.film)]
