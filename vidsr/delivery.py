"""The note that a run makes just before the output gets its name: killed after that, it is known to be done."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from vidsr.errors import InputError
from vidsr.files import durable
from vidsr.record import Record

NAME = "delivered"


def note(folder: Path, finished: Path, warnings: Sequence[str]) -> None:
    """Say in the work folder which file gets the output's name next, and what could not be kept."""
    facts = finished.stat()
    made = {"inode": facts.st_ino, "bytes": facts.st_size, "warnings": "\n".join(warnings)}
    durable(folder / NAME, json.dumps(made))


def delivered(folder: Path, output: Path) -> bool:
    """Whether the output is the file that the work folder's last run finished."""
    try:
        made = Record.read(folder / NAME)
        facts = output.stat()
        return made.value("inode") == facts.st_ino and made.value("bytes") == facts.st_size
    except (InputError, OSError):
        return False


def warnings(folder: Path) -> list[str]:
    """What that run could not keep."""
    return Record.read(folder / NAME).text("warnings").splitlines()
