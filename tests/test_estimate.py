"""What is said before the work: true to the film, and nothing is left of the trial."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.faces import track_of
from tests.jobs import LOSSLESS, Silent, settings
from tests.program import beginning, names, refused, tree, vidsr
from vidsr.analysis.tracks_file import save
from vidsr.config import Encode, Enhance, Render
from vidsr.jobs import estimate, film_job, passes
from vidsr.jobs.plan import Plan, plan
from vidsr.networks import model_file
from vidsr.report.report import OUTSIDE


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty frames of the sample with their sound, a keyframe every ten."""
    return beginning(tmp_path_factory.mktemp("trial"), 1.2, "-g", "10")


def planned(film: Path, output: Path, what: Enhance) -> Plan:
    return plan(film, output, what, model_file.open_model(what.render.model, what.render.fidelity))


def test_a_dry_run_tells_the_plan_and_writes_nothing(film: Path, tmp_path: Path) -> None:
    before = names(film.parent)
    home = tmp_path / "home"
    home.mkdir()
    words = ("--scale", "2", "--model", "plain", "--preset", "ultrafast", "--dry-run")
    found = vidsr("enhance", film, *words, "-q", TMPDIR=str(home))
    assert found.returncode == 0, found.stderr
    assert found.stderr == ""
    assert names(film.parent) == before
    assert names(home) == []
    for word in (
        "h264 240x180",
        "30 of 30 frames",
        "1 shots, 1 faces",
        "crops of 64x64",
        "film.enhanced.mp4, x2, 480x360",
    ):
        assert word in found.stdout, found.stdout
    for word in ("libx264 crf 17", "trial: frames 0 to 29", "MiB of picture"):
        assert word in found.stdout, found.stdout
    refused(vidsr("enhance", film, "-o", film, "--dry-run"), 1, "is the input")


def test_a_dry_run_of_a_finished_batch_says_what_the_run_does(film: Path, tmp_path: Path) -> None:
    films, out = tree(tmp_path, film, "a.mp4", "inner/b.mp4")
    words = ("enhance", films, "-o", out, "--scale", "1", "--model", "plain", "--preset", "ultrafast", "-q")
    (out / "a.enhanced.mp4").write_bytes(b"made before")
    found = vidsr(*words, "--dry-run")
    assert found.returncode == 0, found.stderr
    assert "a.enhanced.mp4 is there, newer than the film, and is kept" in found.stdout
    assert f"output: {out}/inner/b.enhanced.mp4, x1" in found.stdout
    assert names(out) == ["a.enhanced.mp4"]


def test_the_size_of_frames_that_are_alike_is_foretold(film: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mkv"
    work = planned(film, output, settings(encode=LOSSLESS))
    found = estimate.estimate(work, Silent())
    film_job.enhance(work, Silent())
    assert found.picture_bytes + found.copied_bytes == pytest.approx(output.stat().st_size, rel=0.05)
    words = ["-v", "error", "-select_streams", "a", "-show_entries", "packet=size", "-of", "csv=p=0"]
    told = subprocess.run(["ffprobe", *words, film], capture_output=True, text=True, check=True).stdout
    assert found.copied_bytes == sum(int(word) for word in re.findall(r"\d+", told))


def test_faces_that_are_passed_through_get_their_reasons(film: Path, tmp_path: Path) -> None:
    whole = planned(film, tmp_path / "out.mp4", settings(render=Render(scale="1", model="plain", faces="1")))
    found = estimate.estimate(whole, Silent())
    assert found.reasons == {}
    tracks = _with_an_early_face(film, tmp_path)
    part = planned(film, tmp_path / "out.mp4", settings(tracks=str(tracks), start=0.6))
    found = estimate.estimate(part, Silent())
    assert found.reasons == {2: OUTSIDE}
    said = "\n".join(estimate.lines(found))
    assert re.search(rf"face 2: frames 0 to 7, \d+ px high: passed through, {OUTSIDE}", said)
    assert "15 of 30 frames" in said


@pytest.mark.parametrize(
    ("faceless", "encode", "copied"),
    [(True, Encode(), True), (True, Encode(crf=20.0), False), (False, Encode(), False)],
)
def test_a_picture_that_may_be_copied_is_told(
    film: Path, tmp_path: Path, faceless: bool, encode: Encode, copied: bool
) -> None:
    tracks = tmp_path / "tracks.json"
    analysis, _ = passes.analyze(film, tracks, settings(), Silent())
    save(dataclasses.replace(analysis, tracks=() if faceless else analysis.tracks), tracks)
    work = planned(film, tmp_path / "out.mp4", settings(tracks=str(tracks), encode=encode))
    assert ("its picture is copied" in "\n".join(estimate.lines(estimate.estimate(work, Silent())))) == copied


def _with_an_early_face(film: Path, folder: Path) -> Path:
    whole, tracks = folder / "whole.json", folder / "tracks.json"
    analysis, _ = passes.analyze(film, whole, settings(), Silent())
    save(dataclasses.replace(analysis, tracks=(*analysis.tracks, track_of(8, (50.0, 50.0), 40.0, ident=2))), tracks)
    return tracks


def test_a_long_film_is_sampled(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "WHOLE_S", 0.5)
    monkeypatch.setattr(estimate, "SAMPLES", 2)
    monkeypatch.setattr(estimate, "SAMPLE_S", 0.32)
    work = planned(film, tmp_path / "out.mp4", settings(start=0.2))
    watch = Silent()
    look = estimate.sampled_analysis(work, watch)
    assert watch.stages == ["samples"]
    assert watch.done == look.frames == 16
    assert look.seen == ((7, 15), (20, 28))
    assert [(track.id, track.first, track.stop) for track in look.analysis.tracks] == [(1, 7, 15), (2, 20, 28)]
    exact = passes.analyze_film(work.film, work.settings, Silent())[0]
    assert (look.analysis.timeline == exact.timeline).all()
    where = exact.tracks[0].boxes[20 - exact.tracks[0].first]
    assert np.abs(look.analysis.tracks[1].boxes[0] - where).max() < 6
    found = estimate.estimate(work, Silent())
    assert any(found.trial[0] >= a and found.trial[1] <= b for a, b in look.seen)
    said = "\n".join(estimate.lines(found))
    assert "looked at 2 samples" in said
    assert "--tracks" in said


def test_a_film_whose_packets_lie_is_read_whole(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "WHOLE_S", 0.5)
    monkeypatch.setattr(estimate, "SAMPLES", 2)
    monkeypatch.setattr(estimate, "SAMPLE_S", 0.2)
    promised = estimate.promised_timeline
    monkeypatch.setattr(estimate, "promised_timeline", lambda film: np.delete(promised(film), 5))
    look = estimate.sampled_analysis(planned(film, tmp_path / "out.mp4", settings()), Silent())
    assert look.whole
    assert look.frames == 30


def test_a_face_of_an_enlarged_film_counts_by_its_reduced_crop() -> None:
    face = track_of(10, (100.0, 100.0), 80.0)
    enlarged = dataclasses.replace(track_of(10, (400.0, 400.0), 320.0), factor=4)
    assert estimate._crop(enlarged) == f"{estimate._crop(face)} at 1/4 of the size"
    assert (estimate._units([enlarged], 10) == estimate._units([face], 10)).all()


def test_the_trial_is_where_the_most_faces_are() -> None:
    units = np.zeros(100)
    units[40:45], units[70:90] = 1.0, 0.6
    assert estimate._telling(units, [(0, 100)], 10) == (70, 80)
    assert estimate._telling(units, [(0, 30), (35, 60)], 10) == (35, 45)
    assert estimate._telling(np.zeros(9), [(0, 9)], 10) == (0, 9)
