"""Options from vidsr.toml: where they are found, what beats what, and what a file may not say."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from tests.program import refused, vidsr
from vidsr.cli import settings_file
from vidsr.cli.main import cli
from vidsr.errors import InputError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and a config folder beside it."""
    (tmp_path / "here").mkdir()
    (tmp_path / "config/vidsr").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def given(*words: str) -> dict[str, object]:
    """The parameters with which `vidsr WORDS` would be called."""
    command: click.Command = cli
    ctx: click.Context | None = None
    name, *rest = "vidsr", *words
    while isinstance(command, click.Group):
        ctx = click.Context(command, parent=ctx, info_name=name)
        name, *rest = rest
        command = command.commands[name]
    return command.make_context(name, rest, parent=ctx).params


def own(home: Path, text: str) -> Path:
    path = home / "config/vidsr/vidsr.toml"
    path.write_text(text)
    return path


def test_both_files_are_found_and_the_command_line_beats_them(home: Path) -> None:
    assert (given("enhance", "film.mp4")["crf"], given("enhance", "film.mp4")["scale"]) == (None, "auto")
    own(home, "[enhance]\ncrf = 20\nscale = 2\noverwrite = true\n[analyze]\ndetect-every = 7\n")
    found = given("enhance", "film.mp4")
    assert (found["crf"], found["scale"], found["overwrite"], found["detect_every"]) == (20.0, "2", True, 5)
    assert given("analyze", "film.mp4", "-o", "x.json")["detect_every"] == 7
    Path("vidsr.toml").write_text("[enhance]\ncrf = 22.5\n")
    found = given("enhance", "film.mp4")
    assert (found["crf"], found["scale"]) == (22.5, "2")
    assert given("enhance", "film.mp4", "--crf", "30")["crf"] == 30.0


def test_a_file_that_is_named_stands_alone(home: Path) -> None:
    own(home, "[enhance]\ncrf = 20\n")
    other = home / "other.toml"
    other.write_text('[enhance]\nscale = "4"\nwork_dir = "~/work"\n[evaluate.stills]\nmodel = ["plain", "vidsr_x4"]\n')
    found = given("enhance", "film.mp4", "--config", str(other))
    assert (found["crf"], found["scale"]) == (None, "4")
    assert found["work_dir"] == str(Path.home() / "work")
    assert given("evaluate", "stills", "faces", "--config", str(other))["names"] == ("plain", "vidsr_x4")
    with pytest.raises(InputError, match=r"none\.toml does not exist"):
        given("enhance", "film.mp4", "--config", "none.toml")


WRONG = {
    "[enhance]\ncfr = 20": r"vidsr\.toml: \[enhance\] cfr is unknown; did you mean crf\?",
    "[enhence]\ncrf = 20": "enhence is unknown; did you mean enhance",
    "crf = 20": "crf is unknown; each option stands in the section of its command",
    "enhance = 3": r"enhance is a command: write its options below \[enhance\]",
    "[enhance]\ncrf = 99": r"\[enhance\] crf is 99: .*not in the range",
    "[enhance]\ncrf = nan\nscale = 3": r"scale is 3: .*auto",
    "[enhance]\ncrf = 1979-05-27": "crf is .*: it must be a text or a number",
    '[enhance]\noverwrite = "yes"': "overwrite is 'yes': it must be true or false",
    "[enhance]\ncrf = true": "crf is true: it must be",
    "[enhance]\nscale = [1, 2]": "scale is .*: it must be",
    '[enhance]\nwork_dir = "a\\u0000b"': "work_dir is .*",
    '[enhance]\noutput = "x.mp4"': "output cannot stand in a settings file",
    '[enhance]\ntracks = "x.json"': "tracks cannot stand in a settings file",
    '[enhance]\nconfig = "x.toml"': "config cannot stand in a settings file",
    "[evaluate.stils]": r"\[evaluate\] stils is unknown; did you mean stills",
    "[enhance": "is not TOML",
    "x = " + "[" * 20000: "is not TOML",
    "#" * (1 << 20) + "#": "too large",
}


@pytest.mark.parametrize("text", WRONG, ids=[text[:30].replace("\n", " ") for text in WRONG])
def test_what_is_wrong_in_a_file_is_one_sentence(home: Path, text: str) -> None:
    own(home, text)
    with pytest.raises(InputError, match=WRONG[text]) as caught:
        given("analyze", "film.mp4", "-o", "x.json")  # a file is checked whole, whatever is run
    assert str(caught.value).count("\n") == 0 or "TOML" in WRONG[text]


@pytest.mark.parametrize(
    "line",
    [
        *("overwrite = true", "fresh = true", 'work_dir = "/tmp"', 'detector = "sfd"', 'model = "evil.safetensors"'),
        *('model = "/tmp/model"', "start = 3"),
    ],
)
def test_a_file_that_came_with_the_films_sets_harmless_options_only(home: Path, line: str) -> None:
    Path("evil.safetensors").touch()
    Path("vidsr.toml").write_text(f"[enhance]\n{line}\n")
    with pytest.raises(InputError, match="may not be set by a file in the working folder"):
        given("enhance", "film.mp4")
    Path("vidsr.toml").rename(home / "config/vidsr/vidsr.toml")
    given("enhance", "film.mp4")
    given("enhance", "film.mp4", "--config", str(home / "config/vidsr/vidsr.toml"))


def test_every_harmless_option_is_one() -> None:
    known = {
        name for command in ("enhance", "preview") for name in settings_file.options_by_name(cli.commands[command])
    }
    assert known >= settings_file.HARMLESS


def test_in_the_config_folder_itself_the_file_is_the_users_own(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own(home, "[enhance]\noverwrite = true\n")
    monkeypatch.chdir(home / "config/vidsr")
    assert given("enhance", "film.mp4")["overwrite"] is True


def test_a_working_folder_that_is_gone_has_no_file(home: Path) -> None:
    own(home, "[enhance]\ncrf = 20\n")
    Path.cwd().rmdir()
    assert given("enhance", "film.mp4")["crf"] == 20.0


def test_help_and_completion_do_not_look_at_a_broken_file(home: Path) -> None:
    own(home, "[enhance")
    assert vidsr("enhance", "--help").returncode == 0
    refused(vidsr("doctor"), 1, "vidsr.toml is not TOML")
