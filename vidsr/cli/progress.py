"""How far the work has come: a bar on a terminal or in a notebook, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tqdm import tqdm

from vidsr.jobs.events import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from vidsr.jobs.batch import Source
    from vidsr.jobs.scheduler import Ended

EVERY_S = 5.0
UNCOUNTED = "{desc} [{elapsed}]"
"""Of a stage whose frames are not counted, or not yet."""


def _bar(what: str, frames: int | None) -> tqdm[None]:
    how = {"total": frames, "desc": what, "bar_format": UNCOUNTED if frames is None else None, "unit": " frames"}
    if "ipykernel" in sys.modules:  # a notebook's kernel, and nothing else, imports it
        from tqdm.auto import tqdm as in_notebook

        return in_notebook(**how, mininterval=0.2, smoothing=0.1)
    if sys.stderr.isatty():
        return tqdm(**how, mininterval=0.2, smoothing=0.1, dynamic_ncols=True)
    return tqdm(**how, mininterval=EVERY_S, smoothing=0.1, ascii=True, file=_Lines())


class Bars:
    """Draws what a Meter tells on stderr: frames, frames a second, time left, faces. A context manager."""

    def __init__(self, name: str, quiet: bool = False) -> None:
        self._name = name
        self._quiet = quiet
        self._bar: tqdm[None] | None = None
        self._phase, self._frame = "", 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    def __call__(self, now: Progress) -> None:
        """One state of a film's work."""
        if now.phase != self._phase or now.frame < self._frame:
            self._begin(f"{self._name}: {now.phase}", now.of)
            self._phase, self._frame = now.phase, 0
        self._show(now.frame - self._frame, f"{now.faces} faces" if now.faces else "")
        self._frame = now.frame

    def _begin(self, what: str, frames: int | None) -> None:
        self.__exit__()
        if not self._quiet:
            self._bar = _bar(what, frames)

    def _show(self, frames: int, words: str) -> None:
        if self._bar is not None and frames:
            if words:
                self._bar.set_postfix_str(words, refresh=False)
            self._bar.bar_format = None
            self._bar.update(frames)


class Board(Bars):
    """Draws the progress of many films under way at once as one bar: frames rendered of those that are analyzed."""

    def __init__(self, quiet: bool = False) -> None:
        super().__init__("films", quiet)
        self._begin("films", 0)
        self._done = self._failed = self._faces = 0

    def film(self) -> Callable[[Progress], None]:
        """What hears of one film more."""
        before = Progress()

        def heard(now: Progress) -> None:
            nonlocal before
            if now.phase == "render":
                if before.phase != "render" and self._bar is not None:
                    self._bar.total = (self._bar.total or 0) + (now.of or 0)
                    before = Progress("render")
                self._faces += now.faces - before.faces
                self._show(now.frame - before.frame, self._words())
            before = now

        return heard

    def ended(self, end: Ended[Source]) -> None:
        """One film more is done, or failed."""
        self._done += end.error is None
        self._failed += end.error is not None and not end.kept
        if self._bar is not None:
            self._bar.set_postfix_str(self._words(), refresh=False)
            self._bar.update(0)

    def _words(self) -> str:
        done = f"{self._done} films done, " if self._done or self._failed else ""
        return done + (f"{self._failed} failed, " if self._failed else "") + f"{self._faces} faces"


class _Lines:
    """Where no terminal is, each state of the bar is a line of its own."""

    def write(self, text: str) -> int:
        kept = text.strip("\r\n ")
        return sys.stderr.write(kept + "\n") if kept else 0

    def flush(self) -> None:
        sys.stderr.flush()
