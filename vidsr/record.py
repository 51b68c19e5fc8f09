"""JSON from outside, read with suspicion: every value is checked when it is taken, and every error names its place."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidsr.errors import InputError
from vidsr.files import check_readable

Json = dict[str, object]
LONGEST_MIB = 2048
"""Nineteen hours of film with five faces in every frame."""


@dataclass(frozen=True, repr=False)
class Record:
    """An object of a JSON file; for messages, `place` says which, and `advice` what to do where it is wrong."""

    path: Path
    place: str
    values: Json
    advice: str = ""

    @classmethod
    def read(cls, path: Path, advice: str = "") -> Record:
        """Read a file that holds one JSON object; raises InputError."""
        check_readable(path)
        if path.stat().st_size > LONGEST_MIB << 20:
            raise InputError(f"{path} is larger than {LONGEST_MIB} MiB: not a file of this program")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from error
        except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
            raise InputError(f"{path} is no JSON file: {error}") from error
        if not isinstance(values, dict):
            raise InputError(f"{path} does not hold a JSON object")
        return cls(path, "", values, advice)

    def error(self, what: str) -> InputError:
        """An error that says where it is."""
        where, advice = self.place and f", {self.place}", self.advice and f"; {self.advice}"
        return InputError(f"{self.path}{where}: {what}{advice}")

    def has(self, key: str) -> bool:
        """Whether `key` holds something: for what files of earlier versions lack."""
        return self.values.get(key) not in (None, [])

    def value(self, key: str) -> object:
        """What `key` holds, unchecked."""
        if key not in self.values:
            raise self.error(f"{key!r} is missing")
        return self.values[key]

    def text(self, key: str) -> str:
        """A string."""
        value = self.value(key)
        if not isinstance(value, str):
            raise self.error(f"{key!r} must be a text, not {_short(value)}")
        return value

    def whole(self, key: str, low: int, high: int) -> int:
        """An integer from `low` to `high`, both included."""
        value = self.value(key)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.error(f"{key!r} must be a whole number from {low} to {high}, not {_short(value)}")
        return value

    def number(self, key: str) -> float:
        """A finite number."""
        value = self.value(key)
        if not (isinstance(value, int | float) and _is_number(value)):
            raise self.error(f"{key!r} must be a finite number, not {_short(value)}")
        return float(value)

    def number_or_none(self, key: str) -> float | None:
        """A finite number, or null."""
        return None if self.value(key) is None else self.number(key)

    def texts(self, key: str) -> list[str]:
        """A list of strings."""
        found = [one for one in self._list(key) if isinstance(one, str)]
        if len(found) != len(self._list(key)):
            raise self.error(f"each of {key!r} must be a text")
        return found

    def fraction(self, key: str) -> Fraction:
        """A positive fraction, written as "1/30000"."""
        text = self.text(key)
        try:
            value = Fraction(text[:40])
        except (ValueError, ZeroDivisionError):
            value = Fraction(0)
        if value <= 0:
            raise self.error(f"{key!r} must be a fraction such as 1/30000, not {_short(text)}")
        return value

    def record(self, key: str) -> Record:
        """An object inside this one."""
        return self._inner(self.value(key), key)

    def records(self, key: str) -> list[Record]:
        """A list of objects."""
        return [self._inner(one, f"{key}[{n}]") for n, one in enumerate(self._list(key))]

    def wholes(self, key: str, width: int) -> list[list[int]]:
        """A list, not empty, of lists of `width` integers."""
        return [self._row(row, key, width) for row in self._filled(key)]

    def _row(self, row: object, key: str, width: int) -> list[int]:
        cells = row if isinstance(row, list) else []
        whole = [one for one in cells if isinstance(one, int) and not isinstance(one, bool)]
        if not len(cells) == len(whole) == width:
            raise self.error(f"each of {key!r} must be {width} whole numbers, not {_short(row)}")
        return whole

    def numbers(self, key: str, width: int) -> NDArray[np.float64]:
        """A table `(n, width)`, n > 0, of finite numbers."""
        rows = self._filled(key)
        for n, row in enumerate(rows):
            if not (isinstance(row, list) and len(row) == width and all(_is_number(one) for one in row)):
                raise self.error(f"row {n} of {key!r} must be {width} finite numbers, not {_short(row)}")
        return np.array(rows, np.float64)

    def _filled(self, key: str) -> list[object]:
        rows = self._list(key)
        if not rows:
            raise self.error(f"{key!r} is empty")
        return rows

    def _list(self, key: str) -> list[object]:
        value = self.value(key)
        if not isinstance(value, list):
            raise self.error(f"{key!r} must be a list, not {_short(value)}")
        return value

    def _inner(self, value: object, place: str) -> Record:
        if not isinstance(value, dict):
            raise self.error(f"{place!r} must be an object, not {_short(value)}")
        return Record(self.path, f"{self.place}.{place}" if self.place else place, value, self.advice)


def _is_number(value: object) -> bool:
    # Compared, not converted: an integer of a thousand digits cannot become a float. NaN compares false.
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e30 < value < 1e30


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
