"""The command line, as a user runs it: its own process, its exit codes, its sentences, its files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.program import FAST, LIGHT, ROOT, SAMPLE, names, refused, spawned, thinned, tree, vidsr
from tests.test_report import report as some_report
from tests.test_report import validate
from vidsr import config, system
from vidsr.cli import doctor, main
from vidsr.data.video_faces import films_below
from vidsr.jobs.batch import walk


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['vidsr', '--help']\n"
        "from vidsr.cli.main import cli\n"
        "cli(standalone_mode=False)\n"
        "print(sorted({'numpy', 'torch', 'cv2', 'tqdm'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert found.stdout.splitlines()[-1] == "[]"
    times = []
    for _ in range(9):
        began = processor_s()
        assert spawned("--help").returncode == 0
        times.append(processor_s() - began)
    assert min(times) < 0.3


def processor_s() -> float:
    """Seconds that the processes started here have computed: other work on the machine does not count."""
    told = os.times()
    return told.children_user + told.children_system


@pytest.mark.parametrize(
    "command", [[], ["enhance"], ["analyze"], ["preview"], ["report"], ["models"], ["doctor"], ["train"]]
)
def test_every_command_explains_itself(command: list[str]) -> None:
    found = vidsr(*command, "--help")
    assert found.returncode == 0
    assert "Usage:" in found.stdout


def test_options_are_named_and_preset_as_the_settings() -> None:
    given = {option.name: option for option in main.cli.commands["enhance"].params}
    for kind in (config.Render, config.Analyze, config.Encode, config.Enhance):
        for name, (field, _) in config.options_of(kind).items():
            assert given[name].default == field.default
            assert f"--{name.replace('_', '-')}" in given[name].opts


def test_enhance_writes_beside_the_input_and_reports(film: Path) -> None:
    report = film.with_name("report.json")
    found = vidsr("enhance", film, *FAST, "--report", report)
    assert found.returncode == 0, found.stderr
    assert names(film.parent) == ["film.enhanced.mp4", "film.mp4", "report.json"]
    told = json.loads(report.read_text())
    validate(report)
    assert [(span["first"], span["stop"], span["state"]) for span in told["frames"]] == [(0, 12, "restored")]
    assert len(told["tracks"]) == 1


def test_an_output_that_exists_is_kept_unless_told(film: Path) -> None:
    output = film.with_name("out.mp4")
    output.write_text("precious")
    refused(vidsr("enhance", film, *LIGHT, "-o", output), 1, "exists", "--overwrite")
    assert output.read_text() == "precious"
    assert vidsr("enhance", film, *FAST, "-o", output, "--overwrite").returncode == 0
    assert output.stat().st_size > 1000


def test_the_input_is_never_the_output(film: Path) -> None:
    before = film.read_bytes()
    link = film.with_name("link.mp4")
    link.symlink_to(film)
    for output in (film, link):
        refused(vidsr("enhance", film, *LIGHT, "-o", output, "--overwrite"), 1, "is the input")
    assert film.read_bytes() == before


def bad_input(folder: Path, how: str) -> tuple[Path, int]:
    path = folder / "bad.mp4"
    if how == "no such file":
        return path, 1
    if how == "a folder without films":
        (folder / "empty").mkdir()
        return folder / "empty", 2
    if how == "text":
        path.write_text("This is no film.\n" * 50)
    if how == "zero bytes":
        path.touch()
    if how == "audio only":
        sound = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=duration=0.3", path]
        subprocess.run(sound, check=True)
    if how == "half an mp4":
        path.write_bytes(SAMPLE.read_bytes()[: SAMPLE.stat().st_size // 2])
    return path, 1


@pytest.mark.parametrize(
    "how", ["no such file", "a folder without films", "text", "zero bytes", "audio only", "half an mp4"]
)
def test_bad_input_gets_a_sentence_and_leaves_nothing(tmp_path: Path, how: str) -> None:
    path, code = bad_input(tmp_path, how)
    before = names(tmp_path)
    refused(vidsr("enhance", path, *LIGHT), code, path.name)
    assert names(tmp_path) == before


def test_a_film_cut_off_is_enhanced_only_when_told(tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.mkv", tmp_path / "cut.mkv"
    subprocess.run(["ffmpeg", "-v", "error", "-i", SAMPLE, "-t", "1", "-c", "copy", whole], check=True)
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    whole.unlink()
    refused(vidsr("enhance", path, *LIGHT), 1, "cut.mkv")
    assert names(tmp_path) == ["cut.mkv"]
    report = tmp_path / "report.json"
    found = vidsr("enhance", path, *FAST, "--keep-going", "--report", report)
    assert found.returncode == 0, found.stderr
    told = json.loads(report.read_text())
    assert 3 < told["stop"] < 25
    assert any("damaged" in warning for warning in told["warnings"])


def test_a_folder_that_cannot_be_written_to(film: Path) -> None:
    if os.geteuid() == 0:
        refused(vidsr("enhance", film, *LIGHT, "-o", "/proc/out.mp4"), 1, "/proc")
        return
    locked = film.with_name("locked")
    locked.mkdir(mode=0o500)
    refused(vidsr("enhance", film, *LIGHT, "-o", locked / "out.mp4"), 1, "cannot be written")


def test_ffmpeg_missing(film: Path, tmp_path: Path) -> None:
    refused(vidsr("enhance", film, *LIGHT, PATH=str(tmp_path)), 1, "ffprobe", "install")
    found = vidsr("doctor", PATH=str(tmp_path))
    assert found.returncode == 1
    assert "install ffmpeg" in found.stdout


def test_models_that_are_not_there_or_damaged(film: Path) -> None:
    refused(vidsr("enhance", film, "--model", "nothing"), 1, "nothing", "vidsr_x4")
    broken = film.with_name("broken.safetensors")
    broken.write_bytes(b"\x08\0\0\0\0\0\0\0{broken}")
    refused(vidsr("enhance", film, "--model", broken), 1, "broken.safetensors")
    assert names(film.parent) == ["broken.safetensors", "film.mp4"]


@pytest.mark.parametrize(
    "words",
    [["--crf", "99"], ["--scale", "3"], ["--batch", "0"], ["--codec", "gif"], ["--nothing"], ["--fidelity", "2"]],
)
def test_wrong_usage_is_exit_2(film: Path, words: list[str]) -> None:
    found = vidsr("enhance", film, *words)
    assert found.returncode == 2
    assert "Usage:" in found.stderr


def test_faces_that_are_not_there(film: Path) -> None:
    refused(vidsr("enhance", film, *LIGHT, "--faces", "7"), 1, "'7'")
    assert names(film.parent) == ["film.mp4"]


def test_one_bad_film_does_not_stop_the_others(film: Path, tmp_path: Path) -> None:
    folder, out = tree(tmp_path, film, "a.mp4", "c.mp4")
    (folder / "b.mp4").write_text("no film")
    (folder / "notes.txt").write_text("not even named like one")
    found = vidsr("enhance", folder, *FAST, "-o", out)
    refused(found, 3, "b.mp4", "2 of 3 films done")
    assert names(out) == ["a.enhanced.mp4", "c.enhanced.mp4"]


def test_start_and_end_cut_the_film(film: Path) -> None:
    report = film.with_name("report.json")
    found = vidsr("enhance", film, *FAST, "--start", "0.1", "--end", "0.3", "--report", report)
    assert found.returncode == 0, found.stderr
    told = json.loads(report.read_text())
    assert (told["first"], told["stop"]) == (3, 8)
    refused(vidsr("enhance", film, *LIGHT, "--start", "9", "--overwrite"), 1, "--start")


def test_a_report_becomes_a_page_at_once_and_later(film: Path) -> None:
    told, page = film.with_name("told.json"), film.with_name("told.html")
    found = vidsr("enhance", film, *FAST, "--report", page)
    assert found.returncode == 0, found.stderr
    assert "data:image/jpeg" in page.read_text() and "--scale 1" in page.read_text()
    some_report().save(told)
    refused(vidsr("report", told), 1, "told.html", "--overwrite")
    found = vidsr("report", told, "--overwrite")
    assert found.returncode == 0, found.stderr
    assert "There are no pictures" in page.read_text() and "too large" in page.read_text()


def test_analyze_writes_what_enhance_takes(film: Path) -> None:
    tracks = film.with_name("tracks.json")
    found = vidsr("analyze", film, "-o", tracks)
    assert found.returncode == 0, found.stderr
    assert "1 faces" in found.stdout
    assert len(json.loads(tracks.read_text())["tracks"]) == 1
    assert vidsr("enhance", film, *FAST, "--tracks", tracks).returncode == 0
    tracks.write_text(tracks.read_text()[:300])
    refused(vidsr("enhance", film, *LIGHT, "--tracks", tracks, "--overwrite"), 1, "tracks.json")


def test_preview_shows_a_range(film: Path) -> None:
    folder = film.with_name("look")
    found = vidsr("preview", film, "--frames", "2:6", "-o", folder, "--scale", "2")
    assert found.returncode == 0, found.stderr
    assert names(folder) == ["contact.png", "face.webp", "index.html", "preview.mp4"]
    refused(vidsr("preview", film, "--frames", "2:60", "-o", folder, "--overwrite"), 1, "12 frames")
    assert vidsr("preview", film, "--frames", "6:2", "-o", folder).returncode == 2
    assert vidsr("preview", film, "--frames", "2:6", "--start", "0", "-o", folder).returncode == 2


def test_preview_opens_its_page_when_told(film: Path) -> None:
    folder, browser, opened = film.with_name("look"), film.with_name("browser"), film.with_name("opened")
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    words = ["--frames", "2:6", "-o", folder, "--scale", "1", "--model", "plain", "--open"]
    found = vidsr("preview", film, *words, BROWSER=f"{browser} %s")
    assert found.returncode == 0, found.stderr
    assert opened.read_text().strip() == (folder / "index.html").as_uri()


def test_preview_chooses_and_compares(film: Path) -> None:
    folder = film.with_name("look")
    words = ["--scale", "1", "--duration", "0.2", "--fidelity", "0", "--fidelity", "1", "--model", "vidsr_x4"]
    found = vidsr("preview", film, "-o", folder, *words)
    assert found.returncode == 0, found.stderr
    page = (folder / "index.html").read_text()
    assert "restored, fidelity 0<" in page and "restored, fidelity 1<" in page
    assert "chosen by faces, motion and cuts" in page
    many = [word for n in range(9) for word in ("--fidelity", f"0.{n}")]
    assert vidsr("preview", film, "-o", folder, "--overwrite", *many).returncode == 2


@pytest.mark.parametrize(("sign", "code"), thinned([(signal.SIGINT, 130), (signal.SIGTERM, 143)]))
def test_a_signal_stops_the_run_and_the_same_command_goes_on(film: Path, sign: signal.Signals, code: int) -> None:
    folder = film.parent
    words = [sys.executable, "-m", "vidsr", "enhance", str(film), "--scale", "1", "--preset", "ultrafast"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    def default_signals() -> None:  # a shell's background jobs ignore SIGINT, and so would this one
        signal.signal(signal.SIGINT, signal.default_int_handler)

    run = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment, preexec_fn=default_signals)
    deadline = time.monotonic() + 60
    while not (folder / "film.enhanced.mp4.vidsr/tracks.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    run.send_signal(sign)
    _, said = run.communicate(timeout=10)
    assert run.returncode == code, said
    assert "the same command goes on" in said
    assert "Traceback" not in said
    found = subprocess.run(["pgrep", "-f", str(film)], capture_output=True, text=True, check=False)
    assert found.stdout == ""
    assert not (folder / "film.enhanced.mp4").exists()
    again = vidsr(*words[3:], "--model", "vidsr_x4")
    assert again.returncode == 0, again.stderr
    assert "analyze" not in again.stderr
    assert names(folder) == ["film.enhanced.mp4", "film.mp4"]


def test_a_signal_in_a_callback_of_the_interpreter_still_ends_the_run() -> None:
    script = """
import signal, time, weakref
from vidsr.cli import signals
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
signals.listen(lambda: print("stopped", flush=True))
signals.GRACE_S = 0.2
class Thing: pass
thing = Thing()
watched = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
del thing
print("went on", flush=True)
time.sleep(30)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=20)
    assert (run.returncode, run.stdout.split("\n")[:2], run.stderr) == (130, ["went on", "stopped"], "")


def test_models_and_doctor_find_the_install_whole() -> None:
    found = vidsr("models")
    assert found.returncode == 0
    assert "vidsr_x4_fidelity" in found.stdout
    assert "checksum ok" in found.stdout
    found = vidsr("doctor")
    assert found.returncode == 0, found.stdout
    assert "ok  ffmpeg" in found.stdout
    assert "ok  models" in found.stdout
    assert "encoder auto" not in found.stdout and "ok  encoder libx264" in found.stdout


def test_doctor_says_which_torch_there_is_and_what_would_be_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(system, "may_have_gpu", lambda: True)
    checks = {check.name: check for check in doctor.examine("cpu")}
    assert f"torch {torch.__version__} (for the CPU)" in checks["device"].found
    assert "torch is for the CPU only" in checks["faster"].found and "without the CPU" in checks["faster"].advice


def test_quiet_says_nothing_and_verbose_says_what_is_done(film: Path) -> None:
    found = vidsr("enhance", film, *FAST)
    assert (found.stdout, found.stderr) == ("", "")
    loud = [word for word in FAST if word != "-q"]
    found = vidsr("enhance", film, *loud, "--overwrite", "-v")
    assert "analyze:" in found.stderr
    assert "torch" in found.stderr
    assert "pipe:1" not in found.stderr
    found = vidsr("enhance", film, *loud, "--overwrite", "-vv")
    assert "pipe:1" in found.stderr
    found = vidsr("enhance", film, *loud, "-vv", "-q")
    assert found.stdout == ""
    assert found.stderr.count("exists") == 1
    assert len(found.stderr.splitlines()) == 1


def test_a_folder_is_searched_for_the_films_that_training_finds(tmp_path: Path) -> None:
    for name in ("a.VOB", "b.txt", "c.mp4", "d.enhanced.mp4", "e.3gp"):
        (tmp_path / name).touch()
    wanted = [tmp_path / name for name in ("a.VOB", "c.mp4", "e.3gp")]
    assert [source.path for source in walk([tmp_path])] == wanted
    assert films_below(tmp_path) == [*wanted[:2], tmp_path / "d.enhanced.mp4", wanted[2]]
