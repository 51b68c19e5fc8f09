"""How far the work has come: a bar on a terminal or in a notebook, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from typing_extensions import Self

EVERY_S = 5.0
UNCOUNTED = "{desc} [{elapsed}]"
"""Of a stage whose frames are not counted, or not yet."""


def _bar(what: str, frames: int | None) -> tqdm[None]:
    how = None if frames is not None else UNCOUNTED
    if "ipykernel" in sys.modules:  # a notebook's kernel, and nothing else, imports it
        from tqdm.auto import tqdm as in_notebook

        return in_notebook(total=frames, desc=what, bar_format=how, unit=" frames", mininterval=0.2, smoothing=0.1)
    terminal = sys.stderr.isatty()
    return tqdm(
        total=frames,
        desc=what,
        bar_format=how,
        unit=" frames",
        dynamic_ncols=terminal,
        mininterval=0.2 if terminal else EVERY_S,
        ascii=None if terminal else True,
        file=sys.stderr if terminal else _Lines(),
        smoothing=0.1,
    )


class Bars:
    """Draws a stage's progress on stderr: frames, frames a second, time left, faces. A context manager."""

    def __init__(self, name: str, quiet: bool = False) -> None:
        self._name = name
        self._quiet = quiet
        self._bar: tqdm[None] | None = None
        self._faces = 0
        self._words = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    def stage(self, name: str, frames: int | None) -> None:
        """Begin a stage of so many frames."""
        self._begin(f"{self._name}: {name}", frames)

    def _begin(self, what: str, frames: int | None) -> None:
        self.__exit__()
        self._faces = 0
        if not self._quiet:
            self._bar = _bar(what, frames)

    def advance(self, frames: int, faces: int) -> None:
        """So many frames more are done."""
        if self._bar is None:
            return
        self._faces += faces
        if self._faces or self._words:
            self._bar.set_postfix_str(f"{self._words}{self._faces} faces", refresh=False)
        self._bar.bar_format = None
        self._bar.update(frames)


class Board(Bars):
    """Draws the progress of many films under way at once as one bar: frames rendered of those that are analyzed."""

    def __init__(self, quiet: bool = False) -> None:
        super().__init__("films", quiet)
        self._begin("films", 0)
        self._done = self._failed = 0

    def film(self) -> Share:
        """A watch for one more film."""
        return Share(self)

    def ended(self, failed: bool) -> None:
        """One film more is done, or failed."""
        self._done += not failed
        self._failed += failed
        self._words = f"{self._done} films done, " + (f"{self._failed} failed, " if self._failed else "")
        self.advance(0, 0)

    def expect(self, frames: int) -> None:
        """So many frames more are to be rendered."""
        if self._bar is not None:
            self._bar.total = (self._bar.total or 0) + frames


class Share:
    """One film's part of a board: only rendered frames are counted."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._renders = False

    def stage(self, name: str, frames: int | None) -> None:
        """A stage begins."""
        self._renders = name == "render"
        if self._renders:
            self._board.expect(frames or 0)

    def advance(self, frames: int, faces: int) -> None:
        """So many frames more are done."""
        if self._renders:
            self._board.advance(frames, faces)


class _Lines:
    """Where no terminal is, each state of the bar is a line of its own."""

    def write(self, text: str) -> int:
        kept = text.strip("\r\n ")
        return sys.stderr.write(kept + "\n") if kept else 0

    def flush(self) -> None:
        sys.stderr.flush()
