"""The log in a work folder: what ran with which settings and versions, how long each stage took, what went wrong."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import platform
import shlex
import sys
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
from vidsr.jobs.events import Meter
from vidsr.jobs.plan import Plan
from vidsr.jobs.work_folder import LOG
from vidsr.report.report import Report
from vidsr.system import open_log
from vidsr.video import tools

if TYPE_CHECKING:
    from vidsr.jobs.events import Say

log = logging.getLogger("vidsr")


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


@contextmanager
def logged(work: Plan, meter: Meter) -> Iterator[None]:
    """Keep the log of what happens in the block, its stages too, in the work folder, which the caller holds.

    While it is kept, the package's logger lets everything through.
    """
    say = _about(work)
    with _kept(work.folder / LOG):
        _begin(work, say)
        meter.say = say
        try:
            try:
                yield
                meter.flush()
            finally:
                meter.end()
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
