"""The note that a run makes just before the output gets its name: killed after that, it is known to be done."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from vidsr.errors import InputError
from vidsr.files import durable
from vidsr.record import Record
from vidsr.report import Report, parse

NAME = "delivered"


def note(folder: Path, finished: Path, report: Report) -> None:
    """Say in the work folder which file gets the output's name next, and what there is to say of it."""
    facts = finished.stat()
    made = {"inode": facts.st_ino, "bytes": facts.st_size, "report": dataclasses.asdict(report)}
    durable(folder / NAME, json.dumps(made))


def delivered(folder: Path, output: Path) -> Report | None:
    """The report on the output, where it is the file that the work folder's last run finished."""
    try:
        made, facts = Record.read(folder / NAME), output.stat()
        same = (made.value("inode"), made.value("bytes")) == (facts.st_ino, facts.st_size)
        return parse(made.record("report")) if same else None
    except (InputError, OSError):
        return None
