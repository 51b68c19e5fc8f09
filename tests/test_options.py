"""Options that read well: headings, times, what the program says of itself, how much a summary says."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tests.program import ROOT
from tests.test_report import report
from vidsr import __version__
from vidsr.cli import doctor, options
from vidsr.cli.main import cli
from vidsr.report.report import MOST_TOLD, OUTSIDE, summary


def test_the_help_of_enhance_has_headings_and_no_option_twice_or_without_one() -> None:
    text = CliRunner().invoke(cli, ["enhance", "--help"]).output
    lines = text.splitlines()
    places = [lines.index(f"{heading}:") for heading in options.HEADINGS]
    assert places == sorted(places) and "Other:" not in lines
    assert lines[places[0] + 1].startswith("  --scale")
    given = [line.split()[0].rstrip(",") for line in lines if line.startswith("  -")]
    assert len(given) == len(set(given)) > 30
    assert "Exit codes" in text and "\n    3  of several films, some failed" in text


def test_options_of_one_name_have_the_help_of_their_own_command() -> None:
    said = {name: CliRunner().invoke(cli, [name, "--help"]).output for name in ("enhance", "train")}
    assert "Processes that share the work." in said["enhance"]
    assert "Processes that make batches ahead;" in said["train"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90.0), ("90.5", 90.5), (".5", 0.5), ("1:02:03.5", 3723.5), ("2:03", 123.0), ("0", 0.0), ("90:00", 5400.0)],
)
def test_times_are_seconds_or_have_colons(text: str, seconds: float) -> None:
    assert options.Time().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "-1", "1:60", "1:60:00", "1:2:3:4", "1:", "x", "nan", "1e3", "12.5:00", "9" * 20])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="no time"):
        options.Time().convert(text, None, None)


def test_the_summary_names_five_faces_and_counts_the_others() -> None:
    told = report()
    passed = replace(told.tracks[0], state="passed", reason="not chosen by --faces", warning="")
    beyond = replace(passed, reason=OUTSIDE)
    tracks = (*(replace(passed, id=n) for n in range(12)), *(replace(beyond, id=n) for n in range(40, 70)))
    lines = list(summary(replace(told, tracks=tracks, warnings=())))
    named = [line for line in lines if line.startswith("  face ")]
    assert len(named) == MOST_TOLD
    assert f"  and {12 - MOST_TOLD} more faces; --report tells of each" in lines
    assert f"  30 faces are {OUTSIDE}" in lines
    assert not any("more faces" in line for line in summary(replace(told, tracks=tracks[:5], warnings=())))


def test_the_version_names_what_it_stands_on_and_loads_no_torch() -> None:
    code = (
        "import sys\nfrom vidsr.cli.main import cli\n"
        "try: cli(['--version'])\nexcept SystemExit as end: assert not end.code\nassert 'torch' not in sys.modules"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    first, python, torch, ffmpeg = found.stdout.splitlines()
    assert first.startswith(f"vidsr {__version__}")
    assert python.startswith("Python 3.") and torch.startswith("torch ") and ffmpeg.startswith("ffmpeg ")


def test_the_commit_is_read_from_every_kind_of_checkout(tmp_path: Path) -> None:
    def git(*words: str, where: Path = tmp_path) -> str:
        who = {f"GIT_{kind}_{what}": "a@b" for kind in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        command = ["git", "-C", str(where), *words]
        return subprocess.run(command, env=os.environ | who, capture_output=True, text=True, check=True).stdout.strip()

    git("init", "-q", ".")
    assert doctor.commit(tmp_path) is None
    git("commit", "-q", "--allow-empty", "-m", "first")
    head = git("rev-parse", "HEAD")
    assert doctor.commit(tmp_path) == head
    beside = tmp_path / "beside"
    git("worktree", "add", "-q", "-b", "other", str(beside))
    assert doctor.commit(beside) == head
    git("pack-refs", "--all")
    assert doctor.commit(tmp_path) == doctor.commit(beside) == head
    git("checkout", "-q", "--detach")
    assert doctor.commit(tmp_path) == head
