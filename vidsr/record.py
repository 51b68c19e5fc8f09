"""JSON from outside, read with suspicion: msgspec compares all of it with a type, and its errors name the place."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from vidsr.errors import InputError
from vidsr.files import check_readable

T = TypeVar("T")
Json = dict[str, object]
LONGEST_MIB = 2048
"""Nineteen hours of film with five faces in every frame."""


@contextmanager
def checked(path: Path, advice: str = "") -> Iterator[None]:
    """Inside the block, a file is read: what is wrong with it becomes an InputError that ends with the advice."""
    check_readable(path)
    if path.stat().st_size > LONGEST_MIB << 20:
        raise InputError(f"{path} is larger than {LONGEST_MIB} MiB: not a file of this program")
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise InputError(f"{path}: {error}{advice and '; ' + advice}") from error


def read(path: Path, kind: type[T], advice: str = "") -> T:
    """A file that holds one JSON object as a dataclass, whose types it must have; raises InputError."""
    with checked(path, advice):
        # Not msgspec's own parser: names of files need not be Unicode.
        values = json.loads(path.read_text(encoding="utf-8"), parse_float=_finite, parse_constant=_finite)
        return msgspec.convert(values, kind)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no finite number")
    return number
