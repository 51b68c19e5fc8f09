"""What a shell offers after the Tab key, by click's own scripts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.program import ROOT

CALLED = "import sys; sys.argv = ['vidsr']; from vidsr.cli.main import main\ntry:\n main()\nfinally:\n "
HEAVY = "assert not {'numpy', 'torch', 'cv2', 'tqdm'} & set(sys.modules)"


def asked(instruction: str, **words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "_VIDSR_COMPLETE": instruction, **words}
    found = subprocess.run(
        [sys.executable, "-c", CALLED + HEAVY], env=environment, capture_output=True, text=True, check=True
    )
    return found.stdout


def offered(line: str) -> list[str]:
    words = line.split(" ")
    return asked("bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1)).splitlines()


def test_commands_options_and_words_are_offered() -> None:
    assert offered("vidsr enh") == ["plain,enhance"]
    assert offered("vidsr enhance --fi") == ["plain,--fidelity"]
    assert offered("vidsr enhance --scale ") == ["plain,auto", "plain,1", "plain,2", "plain,4"]
    assert offered("vidsr enhance --faces l") == ["plain,largest"]


def test_files_are_left_to_the_shell() -> None:
    assert offered("vidsr enhance fi") == ["file,fi"]
    assert offered("vidsr enhance --tracks fi") == ["file,fi"]
    assert offered("vidsr enhance --work-dir fi") == ["dir,fi"]
    assert offered("vidsr enhance --model v") == ["file,v", "plain,vidsr_x4"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    script = asked(f"{shell}_source")
    assert f"_VIDSR_COMPLETE={shell}_complete" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
def test_bash_completes_a_line(tmp_path: Path) -> None:
    """The script as docs/cli.md says, and the function that bash calls when Tab is pressed."""
    command = tmp_path / "vidsr"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT / "cli.py"} "$@"\n')
    command.chmod(0o755)
    lines = (
        'compopt() { echo "$2"; }; eval "$(_VIDSR_COMPLETE=bash_source vidsr)"\n'
        "COMP_WORDS=(vidsr enhance --sca); COMP_CWORD=2; _vidsr_completion vidsr; echo ${COMPREPLY[@]}\n"
        "COMP_WORDS=(vidsr enhance x); COMP_CWORD=2; COMPREPLY=(); _vidsr_completion vidsr; echo ${COMPREPLY[@]}\n"
    )
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    found = subprocess.run(["bash", "-c", lines], capture_output=True, text=True, env=environment, check=True)
    assert found.stdout.splitlines() == ["--scale", "default", ""]
