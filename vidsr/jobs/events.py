"""How far the work has come, as values for a program beside it: a callback's, or a line of JSON each."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from vidsr.errors import Cancelled, OutputError

if TYPE_CHECKING:
    from vidsr.report.report import Report

    Say = logging.Logger | logging.LoggerAdapter[logging.Logger]

VERSION = 1
"""Of the lines, as `events.schema.json` describes them: what is there keeps its name and meaning."""
EVERY_S = 0.25
"""How often, at most, progress is told within a phase."""


@dataclass(frozen=True)
class Progress:
    """How far one film has come: in its `phase`, `frame` frames of `of` are done (None: their number is not known).

    `fps` are frames a second since the phase began, `seconds_left` those until its end (None: not known), `faces` how
    many faces the frames of this phase had, `file` is the film.
    """

    phase: str = ""
    frame: int = 0
    of: int | None = None
    fps: float = 0.0
    seconds_left: float | None = None
    faces: int = 0
    file: str = ""


Tell = Callable[[Progress], object]


class Meter:
    """Counts the frames and faces of each phase of a film's work, and tells its listeners.

    They hear of each phase's beginning and end, and at most every EVERY_S between. Where one gives False, the work ends
    with Cancelled; where it raises, with what it raises. How long each phase took goes into the log `say`.
    """

    def __init__(self, file: str = "", *listeners: Tell, clock: Callable[[], float] = time.monotonic) -> None:
        self._file, self._clock = file, clock
        self._listeners = listeners
        self.say: Say = logging.getLogger("vidsr")
        self._phase, self._frame, self._faces = "", 0, 0
        self._of: int | None = None
        self._began = self._last = clock()
        self._told = True

    def stage(self, name: str, frames: int | None) -> None:
        """A phase of so many frames begins; None where their number is not known yet."""
        self.flush()
        self.end()
        self._phase, self._of, self._frame, self._faces = name, frames, 0, 0
        self._began = self._clock()
        self.say.info("%s begins", name)
        self._tell(self._began)

    def advance(self, frames: int, faces: int) -> None:
        """So many frames more are done, with so many faces in them."""
        self._frame, self._faces, self._told = self._frame + frames, self._faces + faces, False
        now = self._clock()
        if now - self._last >= EVERY_S or self._frame == self._of:
            self._tell(now)

    def flush(self) -> None:
        """Tell what was not told yet."""
        if not self._told:
            self._tell(self._clock())

    def end(self) -> None:
        """Log how long the phase took that has ended, if there is one."""
        if self._phase:
            count = f", {self._frame} frames" if self._frame else ""
            self.say.info("%s: %.1f s%s", self._phase, self._clock() - self._began, count)
            self._phase = ""

    def _tell(self, now: float) -> None:
        self._last, self._told = now, True
        passed = now - self._began
        fps = self._frame / passed if passed > 0 else 0.0
        left = None if self._of is None or not fps else round(max(0.0, (self._of - self._frame) / fps), 1)
        told = Progress(self._phase, self._frame, self._of, round(fps, 2), left, self._faces, self._file)
        if any(answer is False for answer in [listener(told) for listener in self._listeners]):
            raise Cancelled(f"the work on {self._file} was cancelled; the same call goes on where it stopped")


@dataclass
class Lines:
    """Writes each event as one line of JSON, or nothing where `to` is None."""

    to: TextIO | None

    def progress(self, now: Progress) -> None:
        """How far a film has come; what a Meter tells."""
        self._write("progress", **asdict(now))

    def done(self, report: Report) -> None:
        """A film is done."""
        for warning in report.warnings:
            self._write("warning", file=report.input, message=warning)
        frames = report.stop - report.first
        self._write("result", file=report.input, output=report.output, frames=frames, restored=report.restored)

    def failed(self, film: Path, error: Exception) -> None:
        """A film could not be enhanced."""
        self._write("error", file=str(film), message=str(error))

    def end(self, code: int) -> None:
        """Nothing follows: the command ends with this exit code."""
        self._write("end", code=code)

    def _write(self, event: str, **values: object) -> None:
        if self.to is not None:
            self.to.write(json.dumps({"version": VERSION, "event": event, **values}) + "\n")
            self.to.flush()


@contextmanager
def lines(progress: str) -> Iterator[Lines]:
    """The lines that `--progress` asks for: none for `bar`, on stderr for `json`, in a file for `json:FILE`.

    The last one says with which exit code the block ends.
    """
    kind, _, name = progress.partition(":")
    on_stderr = nullcontext(sys.stderr if kind == "json" else None)
    try:
        file = Path(name).open("w", encoding="utf-8") if kind == "json" and name else on_stderr  # noqa: SIM115
    except OSError as error:
        raise OutputError(f"{name} cannot be written: {error.strerror}") from error
    with file as to:
        told = Lines(to)
        try:
            yield told
        except BaseException as error:
            if isinstance(error, Exception):
                told.failed(Path(), error)
            told.end(code_of(error))
            raise
        told.end(0)


def code_of(error: BaseException) -> int:
    """The exit code that an error brings."""
    if isinstance(error, SystemExit):
        return int(error.code or 0)
    return 130 if isinstance(error, KeyboardInterrupt) else int(getattr(error, "exit_code", 1))
