"""The papers of the project: what they say is what is there."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.program import ROOT
from vidsr import __version__

yaml = pytest.importorskip("yaml")


def blocks(name: str = "README.md") -> list[str]:
    """The ```sh blocks of a page."""
    return re.findall(r"^```sh\n(.*?)\n```$", (ROOT / name).read_text(), re.MULTILINE | re.DOTALL)


def test_the_first_command_takes_both_packages_from_one_place_or_none() -> None:
    first, second = blocks()[:2]
    assert "\n" not in first and "\n" not in second
    cpu = first[first.index("{ test") : first.index("; }")]
    for words in ("--isolated", "PIP_CONFIG_FILE=/dev/null", "--retries 0", "torch torchvision", "|| true"):
        assert words in cpu
    assert "--extra-index-url" not in first
    assert first.index("whl/cpu") < first.index("pip install .")
    assert "pytest" in second


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, each on one line."""
    joined = re.sub(r"\\\n\s*", " ", (ROOT / "Dockerfile").read_text())
    lines = [line for line in joined.splitlines() if line and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]


def test_the_dockerfile_is_well_made() -> None:
    found = instructions()
    known = {"FROM", "RUN", "ARG", "WORKDIR", "COPY", "USER", "ENTRYPOINT", "CMD"}
    assert {name for name, _ in found} <= known
    users = [value for name, value in found if name == "USER"]
    assert users and users[-1] not in ("root", "0")
    assert not [value for name, value in found if name == "FROM" and (":" not in value or ":latest" in value)]
    for name, value in found:
        if name == "RUN" and "apt-get install" in value:
            assert value.startswith("apt-get update") and "--no-install-recommends" in value
            assert "rm -rf /var/lib/apt/lists/*" in value
            packages = value.split("--no-install-recommends")[1].split("&&")[0].split()
            assert all("=" in package for package in packages)
        if name == "RUN" and "pip install" in value:
            assert "--no-cache-dir" in value
        if name == "COPY" and not value.startswith("--from"):
            *sources, _ = value.split()
            assert all((ROOT / source).exists() for source in sources)
    entry = next(value for name, value in found if name == "ENTRYPOINT")
    assert entry.startswith("[")


def test_the_image_gets_what_the_package_needs() -> None:
    wanted = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        word for name, value in instructions() if name == "COPY" and "--from" not in value for word in value.split()
    }
    assert wanted <= copied


def test_the_workflow_runs_the_readmes_commands_on_three_systems() -> None:
    made = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text())
    systems = made["jobs"]["systems"]["strategy"]["matrix"]
    assert {name.split("-")[0] for name in systems["os"]} == {"ubuntu", "macos", "windows"}
    assert systems["python"] == ["3.10", "3.11", "3.12", "3.13", "3.14"]
    assert made["jobs"]["ffmpeg"]["strategy"]["matrix"]["ffmpeg"] == ["5", "6", "7", "8"]
    runs = [step.get("run", "") for job in made["jobs"].values() for step in job["steps"]]
    assert any(".ci/run" in run for run in runs)
    assert any("enhance tests/samples/portrait.mp4 --overwrite" in run for run in runs)


STUBS = """mkdir -p .venv/bin && for name in pip pytest ruff mypy; do
cp "$STUB" .venv/bin/$name; done && echo film > tests/samples/portrait.enhanced.mp4"""
STUB = """#!/bin/sh
echo "ran ${0##*/} $*"
echo "3 passed in 2s"
test "${0##*/}" != "$FAILS"
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the script is for Linux")
@pytest.mark.parametrize("fails", ["", "pip", "pytest", "ruff", "mypy"])
def test_ci_runs_the_readmes_commands_and_fails_where_one_does(tmp_path: Path, fails: str) -> None:
    for folder in (".ci", "bin", "tests/samples"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci")
    for name in ("stub", "bin/apt-get"):
        (tmp_path / name).write_text(STUB)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "README.md").write_text(f"```sh\n{STUBS}\n```\n```sh\n{blocks()[1]}\n```\n")
    told = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "STUB": str(tmp_path / "stub"), "FAILS": fails}
    run = subprocess.run(["bash", tmp_path / ".ci/run"], env=os.environ | told, capture_output=True, text=True)
    assert (run.returncode != 0) == bool(fails), run.stdout + run.stderr
    if fails != "pip":
        for words in ("pip install .[test]", "pytest", "ruff check .", "mypy", "--platform win32", "--platform darwin"):
            assert words in run.stdout


def test_the_papers_agree_on_the_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == __version__ and cited["license"] == "MIT"
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert setup["metadata"]["version"] == "attr: vidsr.__version__"
    assert setup["metadata"]["author"] == "The vidsr developers"
    for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        assert yaml.safe_load(path.read_text())


PAGES = [f"docs/{page.name}" for page in sorted(ROOT.glob("docs/*.md"))]


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md", *PAGES])
def test_what_a_paper_links_to_is_there(name: str) -> None:
    page = ROOT / name
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_papers_are_short() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 40
    assert len(re.findall(r"[^\s|]+", (ROOT / "README.md").read_text())) <= 1000
    assert Path(ROOT / "SECURITY.md").exists()
