"""What comes from outside and means harm, or was damaged on its way: tracks, manifests, notes, limits, signals."""

from __future__ import annotations

import copy
import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from tests import jobs
from tests.clips import X264, ffmpeg, picture
from tests.program import ROOT, SAMPLE, forked, refused, vidsr
from vidsr.analysis import tracks_file
from vidsr.errors import InputError, ModelError, OutputError
from vidsr.jobs.plan import Plan, plan
from vidsr.jobs.work_folder import delivered, locked, manifest, match
from vidsr.networks import model_file
from vidsr.video import probe

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
NUMBERS = st.integers() | st.floats(allow_nan=True) | st.sampled_from([0, -1, 1 << 31, 1 << 63, 1e308, 10**400])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)


def changed(value: object, path: list[float], new: object) -> object:
    """A copy of a JSON value in which one node, reached by fractions of the lists' lengths, is another."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    if not keys or not path:
        return new
    made = copy.copy(value)
    key = keys[int(path[0] * len(keys))]
    made[key] = changed(made[key], path[1:], new)  # type: ignore[index]
    return made


PLACES = st.lists(st.floats(0, 0.999), max_size=5)


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tracks file of one face in eight frames."""
    path = tmp_path_factory.mktemp("tracks") / "tracks.json"
    row = [1.0, 0.9, 10, 10, 50, 60, *([20.0, 30.0] * 5), 1.5, 0.0, 3.0, 0.0, 1.5, 4.0]
    head = {"format": tracks_file.FORMAT, "version": tracks_file.VERSION, "shots": [[0, 8]], "timeline": [[0, 512, 8]]}
    film = {"name": "film.mp4", "width": 96, "height": 64, "frames": 8, "time_base": "1/12800"}
    rows = [[frame, 1, *row] for frame in range(2, 7)]
    whole = {**head, "film": film, "columns": list(tracks_file.COLUMNS), "tracks": [{"id": 1, "rows": rows}]}
    path.write_text(json.dumps(whole))
    assert len(tracks_file.load(path).tracks) == 1
    return path


def loaded(path: Path) -> None:
    """A tracks file is refused with a sentence, or what it gives is sound."""
    try:
        found = tracks_file.load(path)
    except InputError as error:
        assert path.name in str(error)
        return
    assert np.all(np.diff(found.timeline) > 0)
    assert found.shots[0][0] == 0 and found.shots[-1][1] == found.frames
    for track in found.tracks:
        assert 0 <= track.first < track.stop <= found.frames
        assert all(np.isfinite(part).all() for part in (track.landmarks, track.boxes, track.matrices, track.weight))


@QUICK
@given(place=PLACES, new=VALUES)
def test_a_tracks_file_with_one_strange_value(tracks: Path, place: list[float], new: object) -> None:
    path = tracks.with_name("strange.json")
    path.write_text(json.dumps(changed(json.loads(tracks.read_text()), place, new)))
    loaded(path)


@QUICK
@given(content=st.binary(max_size=64) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_a_tracks_file_of_anything(tracks: Path, content: bytes) -> None:
    path = tracks.with_name("anything.json")
    path.write_bytes(content)
    loaded(path)


@QUICK
@given(at=st.floats(0, 0.999), new=st.binary(max_size=8))
def test_a_tracks_file_with_other_bytes(tracks: Path, at: float, new: bytes) -> None:
    path, data = tracks.with_name("bytes.json"), tracks.read_bytes()
    place = int(at * len(data))
    path.write_bytes(data[:place] + new + data[place + len(new) :])
    loaded(path)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "1" * 100_000, "\ud800", "null"])
def test_a_tracks_file_that_aims_at_the_parser(tmp_path: Path, text: str) -> None:
    path = tmp_path / "aimed.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError, match=r"aimed\.json"):
        tracks_file.load(path)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The plan of a small film."""
    folder = tmp_path_factory.mktemp("work")
    ffmpeg(*picture(), *X264, folder / "film.mp4")
    return plan(folder / "film.mp4", folder / "out.mp4", jobs.settings(), model_file.load("plain"))


def goes_on(work: Plan, content: bytes) -> None:
    """A manifest is taken up, refused with a sentence that names --fresh, or made anew."""
    work.folder.mkdir(exist_ok=True)
    path, segment = work.folder / "manifest.json", work.folder / "00000000-00000013.nut"
    path.write_bytes(content)
    segment.touch()
    try:
        with locked(work):
            match(work)
            found = json.loads(path.read_text())
            assert {key: found[key] for key in manifest(work)} == manifest(work)
            assert path.read_bytes() == content or not segment.exists()
    except OutputError as error:
        assert "--fresh" in str(error)


@QUICK
@given(place=PLACES, new=VALUES)
def test_a_manifest_with_one_strange_value(work: Plan, place: list[float], new: object) -> None:
    goes_on(work, json.dumps(changed(manifest(work), place, new)).encode())


@QUICK
@given(content=st.binary(max_size=64) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_a_manifest_of_anything(work: Plan, content: bytes) -> None:
    goes_on(work, content)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": 1'])
def test_a_manifest_that_says_nothing_is_made_anew(work: Plan, text: str) -> None:
    work.folder.mkdir(exist_ok=True)
    path, segment = work.folder / "manifest.json", work.folder / "00000000-00000013.nut"
    path.write_text(text)
    segment.touch()
    with locked(work):
        match(work)
        assert manifest(work).items() <= json.loads(path.read_text()).items()
        assert not segment.exists()


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 100_000, "\ud800"])
def test_a_manifest_that_aims_at_the_parser(work: Plan, text: str) -> None:
    goes_on(work, text.encode("utf-8", "surrogatepass"))


@QUICK
@given(place=PLACES, new=VALUES)
def test_a_delivery_note_with_one_strange_value(tracks: Path, place: list[float], new: object) -> None:
    output, span = tracks.with_name("output"), {"first": 0, "stop": 2, "state": "passed", "reason": "no face found"}
    output.write_text("film")
    face = {
        "id": 1,
        "first": 0,
        "stop": 2,
        "height": 9.5,
        "score": 0.5,
        "shown": 1.0,
        "agreement": 0.9,
        "sharpness_before": 4.0,
        "sharpness_after": None,
        "state": "restored",
        "reason": "",
        "warning": "",
    }
    report = {"version": 1, "input": "a", "output": "b", "model": "c", "scale": 1, "first": 0, "stop": 2}
    report |= {"frames": [span], "tracks": [face], "warnings": ["one"]}
    note = {"inode": output.stat().st_ino, "bytes": 4, "report": report}
    path = tracks.with_name("delivered")
    path.write_text(json.dumps(note))
    assert delivered(tracks.parent, output) is not None
    path.write_text(json.dumps(changed(note, place, new)))
    found = delivered(tracks.parent, output)
    assert found is None or (found.version == 1 and all(span.stop >= 0 for span in found.frames))


# Limits


def test_a_header_that_promises_a_million_frames(tmp_path: Path) -> None:
    path = tmp_path / "promise.mp4"
    ffmpeg(*picture(), *X264, "-movflags", "frag_keyframe+empty_moov", path)
    data = bytearray(path.read_bytes())
    for box, place in ((b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)):  # their lengths: a million frames in all
        at = data.index(box) + place
        clock = int.from_bytes(data[at - 4 : at], "big") if box != b"tkhd" else 1000
        data[at : at + 4] = (40_000 * clock).to_bytes(4, "big")
    path.write_bytes(data)
    with pytest.raises(InputError, match="promises 1,000,000 frames"):
        probe(path)


def test_more_frames_a_second_than_any_film_has(tmp_path: Path) -> None:
    path = tmp_path / "fast.mp4"
    ffmpeg(*picture(rate="5000"), *X264, "-video_track_timescale", "5000", path)
    with pytest.raises(InputError, match="5000 frames a second"):
        probe(path)


def test_more_streams_and_pixels_than_can_be_handled(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    maps = [word for _ in range(201) for word in ("-map", "1")]
    ffmpeg(*picture(), "-f", "lavfi", "-i", "sine=d=0.1", "-map", "0", *maps, *X264, "-c:a", "pcm_s16le", path)
    with pytest.raises(InputError, match="202 streams"):
        probe(path)
    ffmpeg(*picture("16000x3000", 1), "-c:v", "mjpeg", tmp_path / "wide.mkv")
    with pytest.raises(InputError, match="35 million pixels"):
        probe(tmp_path / "wide.mkv")
    ffmpeg(*picture("8192x64", 1), "-c:v", "mjpeg", tmp_path / "long.mkv")
    with pytest.raises(OutputError, match="32768x256"):
        plan(
            tmp_path / "long.mkv",
            None,
            jobs.settings(render=jobs.Render(scale="4")),
            model_file.load("plain"),
        )


def test_a_tool_that_answers_without_end_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vidsr.errors import ToolError
    from vidsr.video import process

    (tmp_path / "ffprobe").write_text("#!/bin/sh\nexec cat /dev/zero\n")
    (tmp_path / "ffprobe").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(process, "LONGEST_ANSWER", 1 << 20)
    with pytest.raises(ToolError, match="more than 1 MiB"):
        process.run(["ffprobe"])


# Models


class Trap:
    """A pickle that runs code when it is read."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return Path(self.victim).write_text, ("trapped",)


def test_a_model_that_is_a_pickle_runs_no_code(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    with pytest.raises(FileNotFoundError):
        victim.read_text()
    for name in ("evil.safetensors", "evil.pth"):
        path = tmp_path / name
        path.write_bytes(pickle.dumps(Trap(victim)))
        with pytest.raises(ModelError, match="evil"):
            model_file.load(str(path))
    torch.save({"x": torch.zeros(1), "y": Trap(victim)}, tmp_path / "zip.pth")
    for name in ("evil.pth", "zip.pth"):
        with pytest.raises(ModelError, match="loaded safely"):
            model_file.tensors(tmp_path / name)
    assert not victim.exists()
    pickle.loads((tmp_path / "evil.pth").read_bytes())
    assert victim.exists(), "the trap must be one"


@pytest.mark.parametrize(("features", "blocks"), [(100_000, 2), (512, 128), (8, 10**9)])
def test_a_header_that_asks_for_ten_gigabytes(tmp_path: Path, features: int, blocks: int) -> None:
    path = tmp_path / "huge.safetensors"
    wanted = json.dumps({"window": 5, "features": features, "blocks": blocks})
    header = {"format": model_file.FORMAT, "scale": "4", "architecture": "vidsr", "config": wanted}
    save_file({"x": torch.zeros(1)}, path, header)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match=r"huge\.safetensors"):
        model_file.load(str(path))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # KiB


def test_names_of_models_that_no_file_can_have() -> None:
    for name in (f"{'x' * 300}.safetensors", "~nobody-of-this-name/m.safetensors", "/dev/zero"):
        with pytest.raises(ModelError, match="there is no model"):
            model_file.load(name)


# The command line


def test_a_name_cannot_command_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "evil\x1b[2J\nerror: done.mp4"
    path.write_text("no film")
    found = vidsr("enhance", path, "-q")
    refused(found, 1, r"evil\x1b[2J\nerror: done.mp4")
    assert "\x1b" not in found.stderr
    assert len([line for line in found.stderr.splitlines() if line.startswith("error")]) == 1


def test_two_films_that_would_become_one(tmp_path: Path) -> None:
    for name in ("a", "b", "out"):
        (tmp_path / name).mkdir()
    ffmpeg("-i", SAMPLE, "-frames:v", "4", "-c:v", "libx264", "-preset", "ultrafast", tmp_path / "a/film.mp4")
    (tmp_path / "b/film.mp4").write_bytes((tmp_path / "a/film.mp4").read_bytes())
    words = ["--scale", "1", "--model", "plain", "-q", "--overwrite", "-o", tmp_path / "out"]
    found = vidsr("enhance", tmp_path / "a", tmp_path / "b", *words)
    refused(found, 3, "would both become", "1 of 2 films done")


def test_a_report_that_cannot_be_written_is_told_before_the_work(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(SAMPLE.read_bytes())
    (tmp_path / "old.json").write_text("precious")
    for report, words in (
        (tmp_path / "none/r.json", "does not exist"),
        (tmp_path, "not a file"),
        (film, "is the input"),
    ):
        code = 2 if report == film else 1
        refused(vidsr("enhance", film, "--model", "plain", "--report", report, "--overwrite"), code, words)
    refused(vidsr("enhance", film, "--model", "plain", "--report", tmp_path / "old.json"), 1, "--overwrite")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mp4", "old.json"]


STUBBORN = """
import time
from vidsr.cli import signals
signals.listen(lambda: print("farewell", flush=True))
while True:
    try:
        print("ready", flush=True)
        time.sleep(9)
    except BaseException:
        pass
"""


@pytest.mark.parametrize(
    ("signs", "code", "within_s"),
    [
        ((signal.SIGINT, signal.SIGINT), 130, 1.5),
        ((signal.SIGTERM, signal.SIGINT), 143, 1.5),
        ((signal.SIGINT,), 130, 5.5),
    ],
)
def test_a_run_that_does_not_end_is_ended(signs: tuple[signal.Signals, ...], code: int, within_s: float) -> None:
    def default_signals() -> None:  # a shell's background jobs ignore SIGINT, and so would this one
        signal.signal(signal.SIGINT, signal.default_int_handler)

    run = subprocess.Popen(
        [sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True, cwd=ROOT, preexec_fn=default_signals
    )
    assert run.stdout is not None
    assert run.stdout.readline() == "ready\n"
    began = time.monotonic()
    for sign in signs:
        run.send_signal(sign)
        time.sleep(0.3)
    said, _ = run.communicate(timeout=20)
    assert time.monotonic() - began < within_s
    assert run.returncode == code
    assert said.endswith("farewell\n")


# Trials, in small


DISK_AND_DEVICE = ("full-disk-of-the-output", "out-of-memory-on-cuda")


@pytest.mark.timeout(600)  # some twenty runs of the program each, on a machine that may be busy
@pytest.mark.parametrize(
    "words",
    [
        pytest.param(words, marks=() if words[0] == "escape" else pytest.mark.slow, id=" ".join(words[:2]))
        for words in (
            ["kill", "--few", "--count", "2"],
            ["fuzz", "--few", "--count", "6"],
            ["escape"],
            ["faults", "ffmpeg-killed", "decoder-that-hangs", "two-at-once", *DISK_AND_DEVICE],
        )
    ],
)
def test_a_trial_holds(words: list[str]) -> None:
    found = forked(f"tests.bench.{words[0]}", *words[1:], limit_s=590)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "FAILS" not in found.stdout
