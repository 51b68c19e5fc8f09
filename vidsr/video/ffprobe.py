"""ffprobe's JSON, read with suspicion: a value that is absent or odd is None, never a KeyError."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from vidsr.errors import InputError
from vidsr.video.process import SAFE, Process, local, run

PROBE = ("ffprobe", "-hide_banner", "-loglevel", "error")
BLOCK = 1 << 16


class Answer:
    """One JSON object of ffprobe's."""

    def __init__(self, value: object) -> None:
        self._fields: dict[str, object] = value if isinstance(value, dict) else {}

    def text(self, name: str) -> str | None:
        """A string that says something; 'unknown', 'N/A' and the like are None."""
        value = self._fields.get(name)
        known = isinstance(value, str) and value not in ("", "unknown", "unspecified", "N/A", "reserved")
        return str(value) if known else None

    def integer(self, name: str) -> int | None:
        value = self._fields.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def number(self, name: str) -> float | None:
        """A finite number, written as one or as a string."""
        value = self._fields.get(name)
        try:
            number = float(value) if isinstance(value, (str, int, float)) else math.nan
        except ValueError:
            return None
        return number if math.isfinite(number) else None

    def fraction(self, name: str) -> Fraction | None:
        """A fraction above zero, written `a/b` or `a:b`."""
        above, _, below = (self.text(name) or "").replace(":", "/").partition("/")
        if not (above.isascii() and above.isdigit() and below.isascii() and below.isdigit()):
            return None
        return Fraction(int(above), int(below)) if int(above) and int(below) else None

    def flag(self, name: str) -> bool:
        return self._fields.get(name) == 1

    def names(self) -> list[str]:
        """What this object tells of."""
        return list(self._fields)

    def pairs(self, name: str) -> tuple[tuple[str, str], ...]:
        """The names and texts of an object inside this one."""
        fields = self.one(name)._fields
        return tuple((key, value) for key, value in fields.items() if isinstance(value, str))

    def one(self, name: str) -> Answer:
        """An object inside this one; an empty one where there is none."""
        return Answer(self._fields.get(name))

    def many(self, name: str) -> list[Answer]:
        """A list of objects inside this one."""
        value = self._fields.get(name)
        return [Answer(item) for item in value] if isinstance(value, list) else []


def ask(entries: Sequence[str], path: Path | None = None) -> Answer:
    """What ffprobe answers, of a file; InputError, with its last lines as details, where it fails."""
    words = [*entries] if path is None else [*SAFE, *entries, local(path)]
    status, output, lines = run([*PROBE, "-of", "json", *words])
    if status != 0:
        raise InputError("ffprobe cannot read it.", lines)
    try:
        return Answer(json.loads(output.decode("utf-8", "replace")))
    except ValueError as error:
        raise InputError(f"ffprobe gave an answer that is no JSON: {error}.", lines) from error


def packet_rows(path: Path, columns: str, words: Sequence[str] = ()) -> Iterator[list[str]]:
    """These columns of each packet of a file, in its order, one after the other; InputError where ffprobe fails."""
    entries = ["-show_entries", f"packet={columns}", "-of", "csv=p=0"]
    rest, block = b"", memoryview(bytearray(BLOCK))
    with Process([*PROBE, *SAFE, *words, *entries, local(path)]) as process:
        while count := process.read_into(block):
            *lines, rest = (rest + bytes(block[:count])).split(b"\n")
            yield from (line.decode("ascii", "replace").strip().split(",") for line in lines if line.strip())
        if process.finish() != 0:
            raise process.failure(f"cannot read {path}", InputError)
