"""One film's work: equal samples where nothing is restored, equal packets however often it was stopped."""

from __future__ import annotations

import dataclasses
import json
import logging
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.faces import track_of
from tests.jobs import LOSSLESS, Silent, contents, film, hashes, packets, run, settings
from tests.networks import CARD, network
from tests.program import ROOT, needs, thinned
from tests.test_report import validate
from vidsr.analysis.tracks_file import save
from vidsr.config import Encode, Enhance, Render
from vidsr.errors import OutputError
from vidsr.files import read_json
from vidsr.frame import Frame
from vidsr.jobs import film_job, log, passes
from vidsr.jobs.events import Meter
from vidsr.jobs.plan import auto_scale, copies_picture, plan
from vidsr.jobs.work_folder import forget, locked, match
from vidsr.networks import model_file
from vidsr.report.report import OUTSIDE, Report, summary
from vidsr.restore import pipeline
from vidsr.video import Film, probe

__all__ = ["film"]
CLIPS = ROOT.parent / "shared/data/test/clips"


@pytest.fixture(scope="module")
def unbroken(film: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The packets of the film enhanced in one go."""
    output = tmp_path_factory.mktemp("unbroken") / "out.mp4"
    run(film, output, settings())
    return packets(output)


def test_a_film_without_faces_passes_without_torch(tmp_path: Path) -> None:
    source, output = tmp_path / "empty.mkv", tmp_path / "out.mkv"
    scene = ["-f", "lavfi", "-i", "testsrc2=s=96x64:r=5,trim=end_frame=60"]
    subprocess.run(["ffmpeg", "-v", "error", *scene, "-c:v", "libx264", "-preset", "ultrafast", source], check=True)
    words = ["enhance", str(source), "-o", str(output), "--scale", "1", "--codec", "ffv1", "-q"]
    code = f"import sys; sys.argv = ['vidsr', *{words}]; from vidsr.cli.main import main; main(); "
    seen = "print({'torch', 'scipy'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code + seen], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout.strip()) == (0, "set()"), found.stderr
    assert hashes(output) == hashes(source)


EMPTY = Enhance(render=Render(scale="1"))


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film without faces, with B-frames and sound."""
    path = tmp_path_factory.mktemp("empty") / "empty.mp4"
    scene = ["-f", "lavfi", "-i", "testsrc2=s=96x64:r=5,trim=end_frame=20", "-f", "lavfi", "-i", "sine=d=4"]
    subprocess.run(["ffmpeg", "-v", "error", *scene, "-c:v", "libx264", "-c:a", "aac", path], check=True)
    return path


def test_a_picture_in_which_nothing_changes_is_copied(empty: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    report = run(empty, output, EMPTY)
    assert packets(output) == packets(empty) != []
    assert (report.copied, report.restored, report.stop) == (True, 0, 20)
    assert any("copied" in line for line in summary(report))
    report.save(tmp_path / "report.json")
    assert read_json(tmp_path / "report.json", Report) == report
    assert list(tmp_path.glob("*.vidsr")) == []


@pytest.mark.parametrize("changes", [{"encode": Encode(crf=30.0)}, {"end": 2.0}])
def test_a_picture_is_coded_where_more_was_asked_for_than_a_copy(
    empty: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    output = tmp_path / "out.mp4"
    report = run(empty, output, dataclasses.replace(EMPTY, **changes))  # type: ignore[arg-type]
    assert not report.copied
    assert contents(output, "v") != contents(empty, "v")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("out.mp4", {"encode": Encode(preset="ultrafast")}),
        ("out.mp4", {"encode": Encode("libx265")}),
        ("out.mkv", {}),
        ("out.mp4", {"render": Render(scale="2")}),
    ],
)
def test_another_codec_file_or_size_is_no_copy(
    empty: Path, tmp_path: Path, name: str, changes: dict[str, object]
) -> None:
    plain = model_file.load("plain")
    assert copies_picture(plan(empty, tmp_path / "out.mp4", EMPTY, plain))
    other = dataclasses.replace(EMPTY, **changes)  # type: ignore[arg-type]
    assert not copies_picture(plan(empty, tmp_path / name, other, plain))


def test_a_copied_picture_loses_nothing(tmp_path: Path) -> None:
    film = tmp_path / "fields.mp4"
    scene = ["-f", "lavfi", "-i", "testsrc2=s=96x64:r=25,trim=end_frame=10,setfield=tff", "-flags", "+ilme+ildct"]
    subprocess.run(["ffmpeg", "-v", "error", *scene, "-c:v", "libx264", "-x264-params", "tff=1", film], check=True)
    kept = dataclasses.replace(EMPTY, deinterlace="off")
    copied = run(film, tmp_path / "copied.mp4", kept)
    assert (copied.copied, copied.warnings) == (True, ())
    coded = run(film, tmp_path / "coded.mp4", dataclasses.replace(kept, encode=Encode(crf=17.0)))
    assert [bool(re.search("interlaced", warning)) for warning in coded.warnings] == [True]


def test_a_picture_whose_copy_fails_is_coded(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = film_job.publish

    def failing(film: Film, paths: list[Path], *words: object, **named: object) -> list[str]:
        if not paths:
            raise OutputError("the copy is not the film")
        return real(film, paths, *words, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(film_job, "publish", failing)
    report = run(empty, tmp_path / "out.mp4", EMPTY)
    assert (report.copied, report.stop) == (False, 20)
    assert contents(tmp_path / "out.mp4", "v") != contents(empty, "v")


def test_a_network_that_does_nothing_gives_the_films_own_samples(film: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mkv"
    report = run(film, output, settings(encode=LOSSLESS))
    assert report.restored == 30
    assert hashes(output) == hashes(film)
    assert contents(output, "a") == contents(film, "a") != []


def test_faces_change_and_nothing_else_does(film: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mkv"
    run(film, output, settings(encode=LOSSLESS, render=Render(scale="1")))

    def picture(path: Path) -> np.ndarray:
        raw = ["-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "gray", "-"]
        found = subprocess.run(["ffmpeg", "-v", "error", "-i", path, *raw], capture_output=True, check=True)
        return np.frombuffer(found.stdout, np.uint8).reshape(180, 240)

    changed = np.argwhere(picture(output) != picture(film))
    assert 200 < len(changed) < 180 * 240 / 4
    height, width = np.ptp(changed, axis=0)
    assert height < 90 and width < 90


@pytest.mark.slow
def test_the_length_of_the_segments_changes_no_picture(film: Path, tmp_path: Path) -> None:
    found, model = [], tmp_path / "small.safetensors"
    model_file.save(model, network(), CARD)
    render = Render(scale="1", model=str(model))
    for length in (0.28, 0.6, 10.0):
        output = tmp_path / f"{length}.mkv"
        run(film, output, settings(encode=LOSSLESS, segment_s=length, render=render, end=0.8))
        found.append(hashes(output))
    assert found[0] == found[1] == found[2]
    assert not set(found[0]) & set(hashes(film))


@pytest.mark.parametrize("stop_after", thinned([12, 1, 25]))
def test_a_stopped_run_goes_on_and_ends_alike(film: Path, unbroken: list[str], tmp_path: Path, stop_after: int) -> None:
    output = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        run(film, output, settings(), Silent(stop_after))
    assert not output.exists()
    assert output.with_name("out.mp4.vidsr").is_dir()
    watch = Silent()
    run(film, output, settings(), watch)
    assert watch.stages == ["render", "publish"]  # the analysis is not made again
    assert packets(output) == unbroken
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4"]


def processes(folder: Path) -> str:
    """Command lines that name a folder."""
    found = subprocess.run(["pgrep", "-fa", str(folder)], capture_output=True, text=True, check=False)
    return found.stdout


@pytest.mark.parametrize("sight", thinned(["*.nut.partial", "*.sha256"]))
def test_a_run_that_was_killed_goes_on_and_ends_alike(
    film: Path, unbroken: list[str], tmp_path: Path, sight: str
) -> None:
    """Kill -9 when a file is seen in the work folder: no process is left, and the next run ends as if unbroken.

    In the analysis and at other moments, the trial of kills does it, which test_hostile runs in small.
    """
    output = tmp_path / "out.mp4"
    code = (
        "from pathlib import Path\nfrom tests.jobs import run, settings\n"
        f"run(Path({str(film)!r}), Path({str(output)!r}), settings())"
    )
    victim = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    folder = tmp_path / "out.mp4.vidsr"
    while not (folder.is_dir() and any(folder.glob(sight))) and victim.poll() is None:
        time.sleep(0.002)
    victim.kill()
    assert victim.wait() == -9
    deadline = time.monotonic() + 3
    while (left := processes(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == ""
    assert not output.exists()
    run(film, output, settings())
    assert packets(output) == unbroken
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4"]


def test_a_segment_that_was_damaged_is_made_again(film: Path, unbroken: list[str], tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        run(film, output, settings(), Silent(25))
    first = min((tmp_path / "out.mp4.vidsr").glob("*.nut"))
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)
    run(film, output, settings())
    assert packets(output) == unbroken


def test_other_settings_are_named_and_not_mixed_in(film: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        run(film, output, settings(), Silent(25))
    with pytest.raises(OutputError, match=r"settings\.encode\.crf.*--fresh"):
        run(film, output, settings(encode=Encode(crf=30, preset="ultrafast")))
    work = plan(film, output, settings(encode=Encode(crf=30, preset="ultrafast")), model_file.load("plain"))
    forget(work)
    film_job.enhance(work, Silent())
    assert output.exists()


@pytest.mark.parametrize("text", thinned(["", '{"format": 1']))
def test_a_manifest_cut_in_half_starts_the_work_again(film: Path, tmp_path: Path, text: str) -> None:
    """What else may lie there, test_hostile tries, without the run after it."""
    output = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        run(film, output, settings(), Silent(25))
    (tmp_path / "out.mp4.vidsr" / "manifest.json").write_text(text)
    watch = Silent()
    run(film, output, settings(), watch)
    assert watch.stages == ["analyze", "render", "publish"]
    assert output.exists()


def test_a_folder_that_only_has_the_name_is_left_alone(film: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out.mp4.vidsr"
    folder.mkdir()
    (folder / "thesis.txt").write_text("precious")
    work = plan(film, tmp_path / "out.mp4", settings(), model_file.load("plain"))
    for action in (lambda: film_job.enhance(work, Silent()), lambda: forget(work)):
        with pytest.raises(OutputError, match=r"thesis\.txt"):
            action()
    assert (folder / "thesis.txt").read_text() == "precious"


def test_two_runs_do_not_share_a_work_folder(film: Path, tmp_path: Path) -> None:
    work = plan(film, tmp_path / "out.mp4", settings(), model_file.load("plain"))
    with locked(work) as folder:
        match(work)
        with pytest.raises(OutputError, match="working on"):
            film_job.enhance(work, Silent())
        with pytest.raises(OutputError, match="working on"):
            forget(work)
        assert (folder / "manifest.json").exists()  # the one that came first still has its folder


def test_segments_of_other_ranges_are_not_joined(film: Path, unbroken: list[str], tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        run(film, output, settings(), Silent(25))
    path = tmp_path / "out.mp4.vidsr/manifest.json"
    told = json.loads(path.read_text())
    assert told["ranges"] == [[0, 10], [10, 20], [20, 30]]
    path.write_text(json.dumps(told | {"ranges": [[0, 15], [15, 30]]}))
    watch = Silent()
    run(film, output, settings(), watch)
    assert watch.stages == ["render", "publish"]
    assert packets(output) == unbroken


def test_segments_lie_on_one_grid_wherever_a_range_begins(film: Path) -> None:
    plain, what = probe(film), settings(segment_s=1.0)  # 25 frames a second
    assert passes.segments(0, 60, plain, what) == [(0, 25), (25, 50), (50, 60)]
    assert passes.segments(30, 60, plain, what) == [(30, 50), (50, 60)]


def test_a_thousand_frames_a_second_are_cut_into_more_segments(film: Path) -> None:
    fast = dataclasses.replace(plan(film, None, settings(), model_file.load("plain")).film, rate=Fraction(1000))
    spans = passes.segments(0, 4500, fast, settings(segment_s=10.0))
    assert spans == [(0, 2000), (2000, 4000), (4000, 4500)]


def test_the_report_covers_every_frame_once(film: Path, tmp_path: Path) -> None:
    report = run(film, tmp_path / "out.mp4", settings())
    covered = [index for span in report.frames for index in range(span.first, span.stop)]
    assert covered == list(range(30))
    path = tmp_path / "report.json"
    report.save(path)
    assert json.loads(path.read_text())["tracks"][0]["state"] == "restored"
    validate(path)
    none = run(film, tmp_path / "none.mp4", settings(render=Render(scale="1", model="plain", faces="1"), start=0.2))
    assert none.frames[0].first == 5
    none.save(path)
    validate(path)


@pytest.mark.parametrize(
    ("stage", "place"), [("decode", 0), ("decode", 29), ("network", 14), ("encode", 0), ("encode", 29)]
)
def test_a_stage_that_fails_ends_the_run_with_its_error(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, place: int
) -> None:
    import threading

    def failing(frames: Iterator[Frame]) -> Iterator[Frame]:
        for frame in frames:
            if frame.index == place:
                raise RuntimeError(f"{stage} at {place}")
            yield frame

    if stage == "decode":
        before = passes.Reader.__iter__
        monkeypatch.setattr(passes.Reader, "__iter__", lambda self: failing(before(self)))
    elif stage == "network":
        whole = pipeline.render
        monkeypatch.setattr(pipeline, "render", lambda *words: failing(whole(*words)))
    else:
        write = passes.Writer.write

        def wrong(self: passes.Writer, frame: Frame) -> None:
            if frame.index == place:
                raise RuntimeError(f"{stage} at {place}")
            write(self, frame)

        monkeypatch.setattr(passes.Writer, "write", wrong)
    with pytest.raises(RuntimeError, match=f"{stage} at {place}"):
        run(film, tmp_path / "out.mp4", settings())
    assert not (tmp_path / "out.mp4").exists()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("vidsr")]
    children = subprocess.run(
        ["pgrep", "-P", str(__import__("os").getpid()), "ffmpeg"], capture_output=True, check=False
    )
    assert children.stdout == b""


@needs(CLIPS)
def test_a_film_without_faces_reaches_the_encoder_untouched(tmp_path: Path) -> None:
    output = tmp_path / "out.mkv"
    report = run(CLIPS / "noface_bottles.mp4", output, Enhance(render=Render(scale="1"), encode=LOSSLESS))
    assert [(span.state, span.reason) for span in report.frames] == [("passed", "no face found")]
    assert hashes(output) == hashes(CLIPS / "noface_bottles.mp4")


def test_scale_auto_stays_within_its_short_side() -> None:
    sizes = [(240, 180), (640, 360), (640, 480), (1280, 720), (1920, 1080), (360, 640), (3840, 2160)]
    assert [auto_scale(*size) for size in sizes] == [4, 4, 2, 2, 1, 4, 1]


def test_the_report_on_a_part_of_a_film_knows_which_faces_are_not_in_it(film: Path, tmp_path: Path) -> None:
    whole, tracks = tmp_path / "whole.json", tmp_path / "tracks.json"
    analysis, _ = passes.analyze(film, whole, settings(), Silent())
    early = track_of(8, (50.0, 50.0), 40.0, ident=2)
    save(dataclasses.replace(analysis, tracks=(*analysis.tracks, early)), tracks)
    report = run(film, tmp_path / "out.mp4", settings(tracks=str(tracks), start=0.6))
    assert [(fate.id, fate.state, fate.reason) for fate in report.tracks] == [
        (1, "restored", ""),
        (2, "passed", OUTSIDE),
    ]
    assert {span.reason for span in report.frames} == {""}


def test_a_face_that_is_never_seen_from_the_front_is_passed_with_its_reason() -> None:
    seen = track_of(5, (50.0, 50.0), 60.0, ident=1)
    profile = dataclasses.replace(track_of(5, (90.0, 50.0), 60.0, ident=2), weight=np.zeros(5, np.float32))
    chosen, reasons = passes.restorable((seen, profile), "all")
    assert [track.id for track in chosen] == [1]
    assert "profile" in reasons[2]


def test_the_log_says_what_ran_and_how_it_ended(film: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        run(film, output, settings(), Silent(25))
    path = tmp_path / "out.mp4.vidsr/log.txt"
    first = path.read_text()
    for words in (
        "INFO vidsr 0",
        "torch 2",
        "ffmpeg",
        f"input {film}: h264",
        '"crf": null',
        "model plain, sha256 none",
    ):
        assert words in first
    assert re.search(r"INFO analyze: \d+\.\d s, 30 frames", first)
    assert re.search(r"DEBUG ffmpeg .*-i .*film\.mp4", first)
    assert first.splitlines()[-1].endswith("ERROR stopped: KeyboardInterrupt")
    run(film, output, settings(keep_work=True))
    both = path.read_text()
    assert both.startswith(first)
    assert re.search(r"INFO publish: \d+\.\d s\n$", both)
    assert "faces restored in 30 of 30 frames" in both
    assert not [line for line in both.splitlines() if not re.match(r"[-\d]{10} [\d:,]{12} [A-Z]+ ", line)]


def test_the_log_keeps_what_ffmpeg_said(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> list[str]:
        raise OutputError("the disk is full", "av_write: No space\nline two")

    monkeypatch.setattr(film_job, "publish", broken)
    with pytest.raises(OutputError, match="full"):
        run(film, tmp_path / "out.mp4", settings())
    told = (tmp_path / "out.mp4.vidsr/log.txt").read_text()
    assert re.search(r"ERROR the disk is full\n.* ERROR \| av_write: No space\n.* ERROR \| line two\n", told)


def test_a_log_that_cannot_be_written_stops_nothing(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log._File, "_open", full)
    run(film, tmp_path / "none.mp4", settings())
    monkeypatch.undo()
    monkeypatch.setattr(log._Lines, "formatMessage", full)
    run(film, tmp_path / "half.mp4", settings())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["half.mp4", "none.mp4"]
    assert not log.log.handlers
    assert log.log.level == 0


def test_films_that_are_under_way_together_have_logs_of_their_own(film: Path, tmp_path: Path) -> None:
    works = [plan(film, tmp_path / f"{name}.mp4", settings(), model_file.load("plain")) for name in "ab"]
    for work in works:
        work.folder.mkdir()
    before = log.log.level
    watch, another = Meter(), Meter()
    one, other = log.logged(works[0], watch), log.logged(works[1], another)
    one.__enter__()
    other.__enter__()
    another.stage("render", 3)
    watch.stage("analyze", 3)
    one.__exit__(None, None, None)
    assert log.log.level == logging.DEBUG
    log.log.debug("a command")
    other.__exit__(None, None, None)
    assert log.log.level == before
    first, second = ((work.folder / "log.txt").read_text() for work in works)
    for text, own, foreign in ((first, "a.mp4: x1", "b.mp4"), (second, "b.mp4: x1", "a.mp4")):
        assert own in text
        assert foreign not in text
    assert ("render begins" in first, "a command" in first) == (False, False)
    assert ("analyze begins" in second, "a command" in second) == (False, True)
