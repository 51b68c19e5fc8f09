"""Fixtures that every test may ask for, and what tests that run side by side need."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.program import ABSENT, ROOT, SAMPLE

if TYPE_CHECKING:
    import torch

if side_by_side := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):  # the libraries read these when they are loaded
    _THREADS = str(max(1, len(os.sched_getaffinity(0)) // int(side_by_side)))
    os.environ |= {"OMP_NUM_THREADS": _THREADS, "OPENCV_FOR_THREADS_NUM": _THREADS}


LONGEST = (
    "video",
    "odd",
    "hostile",
    "jobs",
    "commands",
    "ray_cluster",
    "process_pool",
    "pages",
    "preview",
    "train",
    "evaluate",
)
"""Files of tests that take longest."""
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])  # a process's


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test of strange file names wrote, and how it failed, crosses as UTF-8 to the process that reports."""
    report = yield
    report.sections = [(name, _utf8(text)) for name, text in report.sections]
    if _utf8(report.longreprtext) != report.longreprtext:
        report.longrepr = _utf8(report.longreprtext)
    return report


def _utf8(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files begin first, so that workers end together."""
    places = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line: how many tests had none of the research data that they need."""
    skipped = terminalreporter.stats.get("skipped", [])
    if count := sum(ABSENT in str(report.longrepr) for report in skipped):
        terminalreporter.write_line(f"{count} tests skipped for want of ../shared/data")


@pytest.fixture(autouse=True)
def seed() -> None:
    """torch's random numbers, where a test draws any, are the same whichever tests ran before it."""
    if "torch" in sys.modules:  # loaded later it starts with a fixed seed, too
        sys.modules["torch"].manual_seed(0)


def cuda_or_skip() -> torch.device:
    """The first CUDA device; without one the test is skipped, or fails where VIDSR_REQUIRE_CUDA=1."""
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda")
    if os.environ.get("VIDSR_REQUIRE_CUDA") == "1":
        pytest.fail("VIDSR_REQUIRE_CUDA=1, but torch sees no CUDA device")
    pytest.skip("no CUDA device; VIDSR_REQUIRE_CUDA=1 makes this a failure")


@pytest.fixture
def cuda() -> torch.device:
    return cuda_or_skip()


@pytest.fixture(scope="session")
def _short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("short") / "film.mp4"
    cut = ["-i", SAMPLE, "-frames:v", "12", "-c:v", "libx264", "-preset", "ultrafast", path]
    subprocess.run(["ffmpeg", "-v", "error", *cut], check=True)
    return path


@pytest.fixture
def film(_short: Path, tmp_path: Path) -> Path:
    """The first 12 frames of the sample, alone in the test's folder."""
    return Path(shutil.copy(_short, tmp_path))
