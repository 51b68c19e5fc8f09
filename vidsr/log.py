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
from typing import Protocol

from vidsr import __version__
from vidsr.console import shown
from vidsr.errors import VidsrError
from vidsr.plan import Plan
from vidsr.report import Report
from vidsr.video import tools

NAME = "log.txt"

log = logging.getLogger("vidsr")


class Watch(Protocol):
    """Who is told how far the work has come; see `jobs.Watch`."""

    def stage(self, name: str, frames: int | None) -> None: ...
    def advance(self, frames: int, faces: int) -> None: ...


class _File(logging.FileHandler):
    """A log that never stops the work: where the disk is full, lines are missing."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass

    def _open(self) -> TextIOWrapper:
        handle = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        return os.fdopen(handle, "a", encoding="utf-8", errors="backslashreplace")


class _Lines(logging.Formatter):
    """One line a record, whatever a film's name holds; only a traceback takes more."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = shown(record.message)
        return super().formatMessage(record)


class _Stages:
    """Logs how long each stage took, and tells the watch behind it."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._name = ""
        self._began = 0.0
        self._frames = 0

    def stage(self, name: str, frames: int | None) -> None:
        self.end()
        self._name, self._began, self._frames = name, time.monotonic(), 0
        log.info("%s begins", name)
        self._watch.stage(name, frames)

    def advance(self, frames: int, faces: int) -> None:
        self._frames += frames
        self._watch.advance(frames, faces)

    def end(self) -> None:
        if self._name:
            count = f", {self._frames} frames" if self._frames else ""
            log.info("%s: %.1f s%s", self._name, time.monotonic() - self._began, count)
        self._name = ""


@contextmanager
def logged(work: Plan, watch: Watch) -> Iterator[Watch]:
    """Keep the log of what happens in the block, in the work folder, which the caller holds; gives the watch to tell.

    While it is kept, the package's logger lets everything through.
    """
    with _kept(work.folder / NAME):
        _begin(work)
        stages = _Stages(watch)
        try:
            yield stages
        except VidsrError as error:
            log.error("%s", error)
            for line in error.details.strip().splitlines():
                log.error("| %s", line)
            raise
        except Exception:
            log.exception("this is a bug")
            raise
        except BaseException as error:
            log.error("stopped: %s", type(error).__name__)
            raise
        finally:
            stages.end()


@contextmanager
def _kept(path: Path) -> Iterator[None]:
    handler: logging.Handler = logging.NullHandler()
    with suppress(OSError):  # without a log, the film is enhanced all the same
        handler = _File(path)
    handler.setFormatter(_Lines("%(asctime)s %(levelname)s %(message)s"))
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(handler)
        handler.close()


def _begin(work: Plan) -> None:
    film = work.film
    log.info("%s", _versions())
    log.info("process %d: %s", os.getpid(), shlex.join(sys.argv))
    size = f"{film.width}x{film.height}, {float(film.rate):.3f} frames/s, {film.duration_s} s"
    log.info("input %s: %s in %s, %s, %s", film.path, film.codec, film.container, size, film.decoded)
    log.info("output %s: x%d", work.output, work.scale)
    log.info("model %s, sha256 %s", work.model.name, work.model.sha256 or "none")
    log.info("settings %s", json.dumps(dataclasses.asdict(work.settings)))


@lru_cache(maxsize=1)
def _versions() -> str:
    words = [f"vidsr {__version__}", f"Python {platform.python_version()}"]
    words += [f"{name} {version(name)}" for name in ("torch", "numpy", "opencv-python") if _installed(name)]
    with suppress(VidsrError):
        words += [f"{name} {found}" for name, found in tools().items()]
    return ", ".join([*words, platform.platform()])


def _installed(name: str) -> bool:
    try:
        version(name)
    except ModuleNotFoundError:
        return False
    return True


def tell(report: Report) -> None:
    """Log what came out."""
    log.info("faces restored in %d of %d frames", report.restored, report.stop - report.first)
    for warning in report.warnings:
        log.warning("%s", warning)
