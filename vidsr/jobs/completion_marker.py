"""The note that a run makes just before the output gets its name: killed after that, it is known to be done."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from vidsr.errors import InputError
from vidsr.files import read_json, write_atomic
from vidsr.report.report import Report

NAME = "delivered"


@dataclasses.dataclass(frozen=True)
class _Note:
    inode: int
    bytes: int
    report: Report


def note(folder: Path, finished: Path, report: Report) -> None:
    """Say in the work folder which file gets the output's name next, and what there is to say of it."""
    facts = finished.stat()
    write_atomic(folder / NAME, json.dumps(dataclasses.asdict(_Note(facts.st_ino, facts.st_size, report))))


def delivered(folder: Path, output: Path) -> Report | None:
    """The report on the output, where it is the file that the work folder's last run finished."""
    try:
        made, facts = read_json(folder / NAME, _Note), output.stat()
        return made.report if (made.inode, made.bytes) == (facts.st_ino, facts.st_size) else None
    except (InputError, OSError):
        return None
