"""The log in a work folder: what ran with which settings and versions, how long each stage took, what went wrong."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import platform
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib.metadata import version
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from vidsr import __version__
from vidsr.errors import VidsrError
from vidsr.files import shown
from vidsr.jobs.events import Meter, Progress
from vidsr.jobs.plan import Plan
from vidsr.jobs.work_folder import LOG
from vidsr.report.report import Report
from vidsr.system import open_log
from vidsr.video import tools

log = logging.getLogger("vidsr")

if TYPE_CHECKING:
    Say = logging.Logger | logging.LoggerAdapter[logging.Logger]


class _File(logging.FileHandler):
    """One film's log, which never stops the work: where the disk is full, lines are missing.

    It leaves out what is said of other films that are under way at the same time; ffmpeg's commands name their files.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        others = [other.before for other in log.handlers if isinstance(other, _File)]
        self.before: int = others[0] if others else log.level
        self.setFormatter(_Lines("%(asctime)s %(levelname)s %(message)s"))

    def filter(self, record: logging.LogRecord) -> bool:
        return getattr(record, "file", self.baseFilename) == self.baseFilename

    def handleError(self, record: logging.LogRecord) -> None:
        pass

    def _open(self) -> TextIOWrapper:
        return os.fdopen(open_log(self.baseFilename), "a", encoding="utf-8", errors="backslashreplace")


class _Lines(logging.Formatter):
    """One line a record, whatever a film's name holds; only a traceback takes more."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = shown(record.message)
        return super().formatMessage(record)


class _Stages:
    """Logs when each stage begins and how long it took, from what a Meter tells."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._name, self._frames, self._began = "", 0, 0.0

    def __call__(self, now: Progress) -> None:
        if now.phase != self._name:
            self.close()
            self._name, self._began = now.phase, time.monotonic()
            self._say.info("%s begins", now.phase)
        self._frames = now.frame

    def close(self) -> None:
        """The last stage has ended."""
        if self._name:
            count = f", {self._frames} frames" if self._frames else ""
            self._say.info("%s: %.1f s%s", self._name, time.monotonic() - self._began, count)


@contextmanager
def timed(meter: Meter, say: Say = log) -> Iterator[None]:
    """Log how long each stage takes that begins in the block."""
    stages = _Stages(say)
    meter.listeners.append(stages)
    try:
        yield
        meter.flush()
    finally:
        meter.listeners.remove(stages)
        stages.close()


@contextmanager
def logged(work: Plan, meter: Meter) -> Iterator[None]:
    """Keep the log of what happens in the block, its stages too, in the work folder, which the caller holds.

    While it is kept, the package's logger lets everything through.
    """
    say = _about(work)
    with _kept(work.folder / LOG):
        _begin(work, say)
        try:
            with timed(meter, say):
                yield
        except VidsrError as error:
            say.error("%s", error)
            for line in error.details.strip().splitlines():
                say.error("| %s", line)
            raise
        except Exception:
            say.exception("this is a bug")
            raise
        except BaseException as error:
            say.error("stopped: %s", type(error).__name__)
            raise


def tell(work: Plan, report: Report) -> None:
    """Log what came out."""
    say = _about(work)
    say.info("faces restored in %d of %d frames", report.restored, report.stop - report.first)
    for warning in report.warnings:
        say.warning("%s", warning)


def _about(work: Plan) -> Say:
    """What is said with this goes into one film's log only."""
    return logging.LoggerAdapter(log, {"file": str(work.folder / LOG)})


@contextmanager
def _kept(path: Path) -> Iterator[None]:
    try:
        handler = _File(path)
    except OSError:  # without a log, the film is enhanced all the same
        yield
        return
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        log.removeHandler(handler)
        if not any(isinstance(other, _File) for other in log.handlers):
            log.setLevel(handler.before)
        handler.close()


def _begin(work: Plan, say: Say) -> None:
    film = work.film
    say.info("%s", versions())
    say.info("process %d: %s", os.getpid(), shlex.join(sys.argv))
    size = f"{film.width}x{film.height}, {float(film.rate):.3f} frames/s, {film.duration_s} s"
    say.info("input %s: %s in %s, %s, %s", film.path, film.codec, film.container, size, film.decoded)
    say.info("output %s: x%d", work.output, work.scale)
    say.info("model %s, sha256 %s", work.model.name, work.model.sha256 or "none")
    say.info("settings %s", json.dumps(dataclasses.asdict(work.settings)))


@lru_cache(maxsize=1)
def versions() -> str:
    """Of the program and of what it stands on, for the first line of a log."""
    words = [f"vidsr {__version__}", f"Python {platform.python_version()}"]
    for name in ("torch", "numpy", "opencv-python"):
        with suppress(ModuleNotFoundError):
            words.append(f"{name} {version(name)}")
    with suppress(VidsrError):
        words += [f"{name} {found}" for name, found in tools().items()]
    return ", ".join([*words, platform.platform()])
