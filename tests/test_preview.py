"""Which seconds a preview shows, what it analyses for them, and what it writes."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests import scene
from tests.clips import FILMS, TONE, ffmpeg, ffprobe
from tests.faces import track_of
from tests.program import thinned
from vidsr.analysis.detector import open_detector
from vidsr.analysis.tracks_file import Analysis, select
from vidsr.config import Analyze, Enhance, Preview, Render
from vidsr.errors import InputError, OutputError
from vidsr.frame import Frame, PixelFormat
from vidsr.jobs.events import Meter, Progress
from vidsr.jobs.passes import analyze_film, render_range
from vidsr.jobs.plan import plan
from vidsr.networks.model_file import load
from vidsr.previews import excerpt
from vidsr.previews.excerpt import MOST_FRAMES, Scene
from vidsr.previews.excerpt import scene as settle
from vidsr.previews.preview import Variant, preview
from vidsr.report import contact_sheet, report_page
from vidsr.report.html import filled, policy
from vidsr.report.report import VERSION, Report, Span
from vidsr.report.report_page import lane
from vidsr.report.side_by_side import Mosaic, even
from vidsr.video import Reader, probe
from vidsr.video.packets import promised_timeline

Picture = NDArray[np.uint8]
CUT, GONE, COUNT = 110, 160, 200
"""Frames of the film: where a face comes, where it goes, how many there are."""


class Heard(Meter):
    """Counts the frames of each stage."""

    def __init__(self) -> None:
        super().__init__("", self._heard)
        self.stages: dict[str, int] = {}

    def _heard(self, now: Progress) -> None:
        if now.phase:
            self.stages[now.phase] = now.frame


def made(path: Path, draw: Callable[[int], Picture], count: int, *words: str) -> Path:
    raw = b"".join(draw(index).tobytes() for index in range(count))
    size = f"{scene.WIDTH}x{scene.HEIGHT}"
    given = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", "25", "-i", "-", *words]
    coded = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "12", "-g", "25", "-pix_fmt", "yuv420p"]
    subprocess.run(["ffmpeg", "-v", "error", "-y", *given, *coded, path], input=raw, check=True)
    return path


def face(index: int) -> Picture:
    return scene.shown([(scene.Pose(150 + index), scene.head())])


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds: nobody, then, after a cut, a face that moves and is gone again."""
    empty, other = scene.backdrop(1), scene.backdrop(5)
    return made(
        tmp_path_factory.mktemp("long") / "film.mp4",
        lambda n: empty if n < CUT else walking(other, n),
        COUNT,
    )


def walking(picture: Picture, n: int) -> Picture:
    return scene.paste(picture, scene.Pose(100 + 3 * (n - CUT)), scene.head()) if n < GONE else picture


SETTINGS = Enhance(render=Render(scale="1", model="plain"))


def looked_at(film: Path, part: Preview, heard: Heard, settings: Enhance = SETTINGS) -> Scene:
    work = plan(film, film.with_name("out.mp4"), settings, load("plain"))
    return settle(work, part, heard)


def test_the_seconds_that_tell_the_most_are_found_and_little_else_is_analyzed(long: Path) -> None:
    heard = Heard()
    found = looked_at(long, Preview(duration=2.0), heard)
    assert found.stop - found.first == 50
    assert found.first < CUT < found.stop, "the cut"
    assert min(found.stop, GONE) - CUT >= 15, "the face"
    assert heard.stages["analyze"] == 100 and not found.whole
    assert len(found.tracks) == 1 and found.tracks[0].first == CUT
    shots = found.analysis.shots
    assert shots[0][0] == 0 and (CUT in {first for first, _ in shots}) and shots[-1][1] == COUNT


@pytest.fixture(scope="module")
def whole(long: Path) -> Analysis:
    return analyze_film(probe(long), SETTINGS, Heard())[0]


def test_of_a_film_with_tracks_they_tell(long: Path, whole: Analysis) -> None:
    first, stop = excerpt.telling_of(whole, probe(long), 2.0)
    assert first < CUT < stop and stop - first == 50 and min(stop, GONE) - CUT >= 35


def test_a_large_soft_face_counts_as_it_is_restored_when_reduced(long: Path, whole: Analysis) -> None:
    track = whole.tracks[0]
    large = dataclasses.replace(track, matrices=track.matrices / 4, boxes=track.boxes * 4, factor=4)
    assert large.window > 320 >= large.window / large.factor
    sharp, soft = (dataclasses.replace(large, factor=factor) for factor in (1, 4))
    spans = [
        excerpt.telling_of(dataclasses.replace(whole, tracks=(one,), shots=whole.shots[:1]), probe(long), 1.0)
        for one in (sharp, soft)
    ]
    assert spans[0] == (0, 25) and CUT <= spans[1][0] < GONE


def test_a_range_and_its_margins_are_analyzed_and_give_the_films_own_faces(long: Path, whole: Analysis) -> None:
    heard = Heard()
    found = looked_at(long, Preview((130, 140)), heard)
    assert heard.stages == {"analyze": 60} and found.span == (130, 140)
    mine, theirs = found.tracks[0], whole.tracks[0]
    assert np.array_equal(found.analysis.timeline, whole.timeline)
    for frame in range(130, 140):
        near = mine.boxes[frame - mine.first] - theirs.boxes[frame - theirs.first]
        assert np.abs(near).max() < 4


def test_start_and_duration_are_seconds(long: Path) -> None:
    assert looked_at(long, Preview(start=1.0, duration=0.4), Heard()).span == (25, 35)
    with pytest.raises(InputError, match="--start"):
        looked_at(long, Preview(start=13.0), Heard())


def test_what_a_page_cannot_hold_is_refused(long: Path) -> None:
    with pytest.raises(InputError, match="200 frames"):
        looked_at(long, Preview((190, 210)), Heard())
    settings = dataclasses.replace(SETTINGS)
    film = dataclasses.replace(probe(long))
    assert excerpt.frames_of(1e9, film, MOST_FRAMES + 5) == MOST_FRAMES + 5
    with pytest.raises(OutputError, match="compare fewer"):
        ways = [Variant(str(n), load("plain")) for n in range(8)]
        large = dataclasses.replace(settings, render=Render(scale="4", model="plain"))
        wide = long.with_name("wide.mp4")
        ffmpeg("-f", "lavfi", "-i", "testsrc2=s=2000x64:r=25:d=0.2", wide)
        preview(wide, long.with_name("large"), Preview((0, 2)), large, ways, Heard())


@pytest.mark.parametrize("name", thinned([name for name in FILMS if not name.startswith("gray")]))
def test_what_packets_promise_is_what_the_decoder_gives_or_nothing_is_promised(name: str, tmp_path: Path) -> None:
    FILMS[name](tmp_path / name)
    film = probe(tmp_path / name)
    with Reader(film) as frames:
        real = [frame.pts for frame in frames]
    promised = promised_timeline(film)
    assert promised is None or promised.tolist() == real


@pytest.mark.slow
def test_a_sound_that_mp4_cannot_hold_does_not_stand_in_the_way(tmp_path: Path) -> None:
    film = tmp_path / "film.mkv"
    made(tmp_path / "film.mp4", face, 10)
    ffmpeg("-i", tmp_path / "film.mp4", *TONE, "-c:v", "copy", "-c:a", "pcm_f64le", "-shortest", film)
    files = preview(film, tmp_path / "look", Preview((2, 8)), SETTINGS, [Variant("restored", load("plain"))], Heard())
    assert [path.name for path in files] == ["preview.mp4", "index.html", "contact.png", "face.webp"]
    streams = ffprobe(tmp_path / "look/preview.mp4", "-show_streams", "-count_frames")["streams"]
    assert [(one["codec_type"], one["pix_fmt"], one["nb_read_frames"]) for one in streams] == [
        ("video", "yuv420p", "6")
    ]
    assert sorted(path.name for path in (tmp_path / "look").iterdir()) == [
        "contact.png",
        "face.webp",
        "index.html",
        "preview.mp4",
    ]


def test_the_first_face_is_on_disk_before_the_film_is_rendered(tmp_path: Path) -> None:
    film, folder = made(tmp_path / "film.mp4", face, 12), tmp_path / "look"

    class Waits(Heard):
        def stage(self, name: str, frames: int | None) -> None:
            if name == "render":
                assert cv2.imread(str(folder / "contact.png")).shape[1] == 6 * contact_sheet.TILE
            super().stage(name, frames)

    preview(film, folder, Preview((2, 8)), SETTINGS, [Variant("restored", load("plain"))], Waits())


def test_a_page_that_is_there_is_not_replaced_unasked(tmp_path: Path) -> None:
    film = made(tmp_path / "film.mp4", face, 4)
    (tmp_path / "index.html").write_text("somebody's own")
    with pytest.raises(OutputError, match="html exists"):
        preview(film, tmp_path, Preview((0, 2)), SETTINGS, [Variant("restored", load("plain"))], Heard())
    assert (tmp_path / "index.html").read_text() == "somebody's own"


def page_data(folder: Path) -> dict[str, object]:
    page = (folder / "index.html").read_text()
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    data: dict[str, object] = json.loads(found[1])
    return data


def test_frames_with_irregular_times_keep_them_on_the_page(tmp_path: Path) -> None:
    FILMS["irregular.mp4"](tmp_path / "film.mp4")
    film = probe(tmp_path / "film.mp4")
    with Reader(film) as frames:
        pts = [frame.pts for frame in frames]
    preview(tmp_path / "film.mp4", tmp_path, Preview((2, 9)), SETTINGS, [Variant("x", load("plain"))], Heard())
    expected = [float((one - pts[2]) * film.time_base) for one in pts[2:9]]
    assert page_data(tmp_path)["times"] == pytest.approx(expected, abs=1e-5)
    shown = ffprobe(tmp_path / "preview.mp4", "-show_entries", "frame=pts_time", "-select_streams", "v")["frames"]
    assert [float(one["pts_time"]) for one in shown] == pytest.approx(expected, abs=1e-4)


def test_a_mosaic_holds_the_same_samples_as_the_pictures() -> None:
    rng = np.random.default_rng(3)
    for depth, shift, shape in ((8, 1, (50, 71)), (10, 0, (64, 96)), (8, 0, (33, 40))):
        pixels = PixelFormat("x", depth, shift, shift)
        rows, columns = pixels.chroma_shape(*shape)
        pictures = [
            Frame(
                4,
                7,
                rng.integers(0, pixels.peak, shape).astype(pixels.dtype),
                rng.integers(0, pixels.peak, (2, rows, columns)).astype(pixels.dtype),
            )
            for _ in range(3)
        ]
        mosaic = Mosaic(shape[1], shape[0], ("a", "b", "c"))
        whole = mosaic.joined(pictures, depth)
        assert whole.luma.shape[::-1] == mosaic.size and (whole.index, whole.pts) == (4, 7)
        for (x, y), picture in zip(mosaic.corners, pictures, strict=True):
            assert x % 2 == y % 2 == 0
            part = whole.luma[y : y + shape[0], x : x + shape[1]].astype(int)
            assert np.abs(part - picture.luma / (1 << (depth - 8))).max() <= 0.5
            assert whole.luma[y - mosaic.strip : y, x : x + shape[1]].max() > 150, "its label"
            if (depth, shift) == (8, 1):
                chroma = whole.chroma[:, y // 2 : y // 2 + rows, x // 2 : x // 2 + columns]
                assert np.array_equal(chroma, picture.chroma)


def test_a_row_that_would_be_too_wide_is_broken() -> None:
    assert Mosaic(1920, 1080, ("a", "b", "c")).columns == 3
    many = Mosaic(2560, 1440, tuple("abcdefghi"))
    assert many.columns == 3 and max(many.size) == even(2560) * 3


def test_a_contact_sheet_shows_the_face_at_its_own_size_and_enlarged() -> None:
    picture = np.zeros((300, 400, 3), np.uint8)
    picture[100:140, 200:230] = (255, 0, 0)
    seen = contact_sheet.view(picture, (200, 100, 230, 140), 1, crisp=True)
    assert (seen.exact[..., 0] == 255).sum() == 40 * 30
    share = contact_sheet.TILE / 60
    assert (seen.whole[..., 0] == 255).sum() == pytest.approx(40 * 30 * share**2, rel=0.05)
    corner = contact_sheet.view(picture, (-20, -10, 10, 30), 1)  # 25 x 40 of its 60 x 60 pixels lie in the picture
    assert (corner.exact == 0).all(2).sum() == 25 * 40  # the rest is dark ground, not the edge repeated
    assert corner.exact.shape == corner.whole.shape == (contact_sheet.TILE, contact_sheet.TILE, 3)
    large = contact_sheet.view(picture, (100, 50, 180, 150), 4)
    assert large.exact.shape == (contact_sheet.TILE, contact_sheet.TILE, 3)


def test_a_face_is_named_by_a_frame_and_a_place() -> None:
    one, other = track_of(10, (50.0, 60.0), 40.0, ident=3), track_of(10, (90.0, 60.0), 40.0, first=5, ident=8)
    tracks: Sequence = (one, other)
    assert select(tracks, "2@50x60") == (one,)
    assert select(tracks, "7@90x60") == (other,)
    assert select(tracks, "7@88x60, 3") == (one, other)
    for wrong in ("2@90x60", "99@50x60", "2@50", "a@bxc", "2@50x60x1", "@"):
        with pytest.raises(InputError):
            select(tracks, wrong)


def test_the_name_that_the_page_copies_finds_the_face_in_the_whole_film(long: Path, whole: Analysis) -> None:
    folder = long.with_name("look")
    preview(long, folder, Preview((130, 140)), SETTINGS, [Variant("restored", load("plain"))], Heard())
    faces = page_data(folder)["faces"]
    assert isinstance(faces, list) and "@" in faces[0]["option"]
    assert len(select(whole.tracks, faces[0]["option"])) == 1


def test_names_from_outside_stay_text() -> None:
    bad = "</script><script>alert(1)</script>\udcff & \" '"
    values = {
        **dict.fromkeys(("first", "last", "frames", "scale", "unshown"), 0),
        "title": bad,
        "name": bad,
        "from_s": "0",
        "to_s": "1",
        "chosen": bad,
        "size": (1, 1),
        "cells": [bad],
        "whole": True,
        "faces": [],
        "command": bad,
        "data": {"command": bad},
    }
    page = filled("preview", values)
    assert page.count("<script") == 2 and "<script>alert" not in page


def test_under_two_frames_a_second_the_search_for_a_cut_ends(tmp_path: Path) -> None:
    fast = made(tmp_path / "fast.mp4", lambda n: scene.backdrop(2 + 5 * (n // 12)), 24)
    film = tmp_path / "film.mkv"
    ffmpeg("-r", "1", "-i", fast, "-c:v", "libx264", film)
    about = probe(film)
    timeline = promised_timeline(about)
    assert timeline is not None and len(timeline) == 24 and about.rate < 2
    first, stop = excerpt.telling(about, timeline, Analyze(), open_detector(Analyze()), 5.0)
    assert first < 12 < stop


def test_a_page_may_run_only_its_own_script_and_open_nothing() -> None:
    rules = policy("a {}", "let a;")
    assert "default-src 'none'" in rules and "unsafe" not in rules and "http" not in rules
    assert policy("a {}", "let a;") != policy("a {}", "let b;")
    assert "script-src" not in policy("a {}", "")


def test_bars_of_a_long_film_stay_few() -> None:
    parts = [(n, n + 1) for n in range(0, 200_000, 2)]
    assert len(lane(parts, 0, 200_000)) < 100
    assert lane([(0, 50)], 0, 100) == "M0 0H500V100H0Z"
    assert lane([(20, 30), (60, 70)], 20, 120).count("M") == 2


def test_a_report_without_frames_has_a_page() -> None:
    none = Report(VERSION, "in.mp4", "out.mp4", "plain", 1, 5, 5, (Span(5, 5, "passed", "no face"),), (), ())
    assert "no face" in report_page.page(none)


def test_the_preview_is_what_enhance_renders(tmp_path: Path) -> None:
    """The restored half, decoded again, is near the frames of the one path that films and previews share."""
    film = made(tmp_path / "film.mp4", face, 12)
    settings = dataclasses.replace(SETTINGS, render=Render(scale="1"))
    model = load("vidsr_x4_fidelity")
    preview(film, tmp_path, Preview((4, 7)), settings, [Variant("restored", model)], Heard())
    work = plan(film, tmp_path / "o.mp4", settings, model)
    analysis, _ = analyze_film(work.film, settings, Heard())
    from vidsr.jobs.passes import make_job

    job = make_job(work, analysis.tracks)
    want = list(render_range(work, job, analysis.timeline, (4, 7), Heard()))
    mosaic = Mosaic(work.film.width, work.film.height, ("a", "b"))
    with Reader(probe(tmp_path / "preview.mp4")) as shown, Reader(work.film, first=4, stop=7) as sources:
        for joined, wanted, source in zip(shown, want, sources, strict=True):
            halves = [joined.luma[y : y + mosaic.height, x : x + mosaic.width] for x, y in mosaic.corners]
            for half, luma in zip(halves, (source.luma, wanted.luma), strict=True):
                assert np.abs(half.astype(int) - luma).mean() < 1.5
            assert np.abs(halves[0].astype(int) - halves[1]).max() > 5


def test_a_detector_that_sees_nothing_still_gives_seconds(tmp_path: Path) -> None:
    film = made(tmp_path / "film.mp4", lambda n: scene.backdrop(2 + n // 40), 80)
    span = excerpt.telling(probe(film), np.arange(80, dtype=np.int64) * 512, Analyze(), open_detector(Analyze()), 1.0)
    assert span[1] - span[0] == 25 and 0 <= span[0] < 40 < span[1] <= 80
