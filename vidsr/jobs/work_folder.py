"""The work folder: its manifest, its lock, its completion marker, and what of an earlier run can be used."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from vidsr import __version__, system
from vidsr.config import Enhance, options_of
from vidsr.errors import InputError, OutputError
from vidsr.files import Json, read_json, sha256, write_atomic
from vidsr.report.report import Report

if TYPE_CHECKING:
    from vidsr.jobs.plan import Plan

FORMAT = 2
OWN = re.compile(
    r"(lock|log\.txt|damage|delivered|manifest\.json|tracks\.(json|sha256)|whole(\.[0-9a-f]{8})?\.\w+"
    r"|\d+-\d+\.(nut|sha256|quality\.json))((\.[0-9a-f]{8})?\.partial)?"
)
"""Names in a work folder."""

FOUND = ("analysis", "ranges")
"""What the manifest says beside the job: the checksum of the analysis, and the ranges of frames of the segments."""

LOG = "log.txt"
AGAIN = "give --fresh to start again"

DELIVERED = "delivered"
"""The completion marker, made just before the output gets its name: killed after that, a run is known to be done."""

LAST = ("manifest.json", "lock", DELIVERED)
"""The order in which a folder's last files go: whenever the run is killed, the next one knows what is done."""


def manifest(work: Plan) -> Json:
    """Everything that changes a pixel of the output; a run is resumed only where all of it is equal."""
    unseen = {name for name, (_, option) in options_of(Enhance).items() if not option.changes}
    settings = {key: value for key, value in dataclasses.asdict(work.settings).items() if key not in unseen}
    made = {
        "format": FORMAT,
        "vidsr": __version__,
        "input": _facts(work.film.path) | {"sha256": sha256(work.film.path)},
        "settings": settings,
        "scale": work.scale,
        "model": {"name": work.model.name, "sha256": work.model.sha256},
        "tracks": sha256(Path(work.settings.tracks)) if work.settings.tracks else None,
    }
    known: Json = json.loads(json.dumps(made))
    return known


def _facts(film: Path) -> Json:
    """What tells a film that was changed."""
    told = film.stat()
    return {"bytes": told.st_size, "modified_ns": told.st_mtime_ns}


def _differences(old: object, new: object, name: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key), new.get(key), f"{name}.{key}" if name else str(key))
    elif old != new:
        yield name


@contextmanager
def locked(work: Plan) -> Iterator[Path]:
    """Make the folder and hold its lock; OutputError names the process that holds it already.

    The kernel drops the lock of a process that ends, however it ends.
    """
    folder = work.folder
    if folder.is_symlink() or folder.exists():
        _refuse_foreign(folder)
    try:
        folder.mkdir(exist_ok=True)
        lock = (folder / "lock").open("a+", encoding="ascii", errors="replace")
    except OSError as error:
        raise OutputError(f"the work folder {folder} could not be made: {error.strerror}") from error
    try:
        with lock:
            _take(lock, work)
            yield folder
    finally:
        _sweep(folder)


def _take(lock: TextIOWrapper, work: Plan) -> None:
    try:
        system.lock(lock)
    except BlockingIOError as error:
        lock.seek(0)
        raise OutputError(f"process {lock.read(20) or '?'} is working on {work.output} already") from error
    with suppress(FileNotFoundError):  # its holder removed it just before it ended
        if (work.folder / "lock").stat().st_ino == os.fstat(lock.fileno()).st_ino:
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            return
    raise OutputError(f"another run for {work.output} has just ended; give the same command again")


def _sweep(folder: Path) -> None:
    """On Windows a file that is open cannot be removed: these two go when all else has."""
    if not system.WINDOWS or not folder.is_dir() or {path.name for path in folder.iterdir()} - {"lock", LOG}:
        return
    with suppress(OSError):  # the next run holds it already
        for name in ("lock", LOG):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


def _refuse_foreign(folder: Path) -> None:
    """A folder that only happens to have the work folder's name is nobody's to write to or to empty: OutputError."""
    if folder.is_symlink() or not folder.is_dir():
        raise OutputError(f"{folder} is in the place of the work folder, and is none; move it away")
    for path in folder.iterdir():
        # A link would lead what is written here to another place.
        if not OWN.fullmatch(path.name) or path.is_symlink() or not path.is_file():
            raise OutputError(f"{folder} holds files that are not this program's, such as {path.name!r}; move it away")


def match(work: Plan) -> None:
    """Go on with the manifest that is there, or drop all and write a new one; OutputError where it is another job's."""
    path, wanted = work.folder / "manifest.json", manifest(work)
    with suppress(InputError):
        found = {key: value for key, value in read_json(path, Json).items() if key not in FOUND}
        changed = list(_differences(found, wanted))
        if changed:
            raise OutputError(
                f"{work.folder} holds an unfinished run with another {', '.join(changed)}; "
                "repeat that run to finish it, or give --fresh to start again"
            )
        return
    if not work.settings.overwrite and delivered(work.folder, work.output):
        return  # all is done, and was being removed
    for old in work.folder.iterdir():
        if old.name not in ("lock", LOG):
            old.unlink()
    write_atomic(path, json.dumps(wanted, indent=1))


def agree(folder: Path, analysis: str, ranges: Sequence[tuple[int, int]]) -> None:
    """Enter the analysis's checksum and the segments' ranges in the manifest; segments made by others are dropped."""
    path = folder / "manifest.json"
    values = read_json(path, Json, AGAIN)
    new: Json = {"analysis": analysis, "ranges": [list(one) for one in ranges]}
    if any(values.get(key) != value for key, value in new.items()):
        for segment in folder.glob("[0-9]*"):
            segment.unlink()
        write_atomic(path, json.dumps(values | new, indent=1))


def check_unchanged(work: Plan) -> None:
    """InputError where the film is not the file any more that the manifest speaks of."""
    known = read_json(work.folder / "manifest.json", Json, AGAIN).get("input")
    if not isinstance(known, dict) or known | _facts(work.film.path) != known:
        raise InputError(f"{work.film.path} was changed while it was being enhanced; {AGAIN}")


@dataclasses.dataclass(frozen=True)
class _Delivered:
    inode: int
    bytes: int
    report: Report


def mark_delivered(folder: Path, finished: Path, report: Report) -> None:
    """Say in the work folder which file gets the output's name next, and what there is to say of it."""
    facts = finished.stat()
    marker = _Delivered(facts.st_ino, facts.st_size, report)
    write_atomic(folder / DELIVERED, json.dumps(dataclasses.asdict(marker)))


def delivered(folder: Path, output: Path) -> Report | None:
    """The report on the output, where it is the file that the work folder's last run finished."""
    try:
        made, facts = read_json(folder / DELIVERED, _Delivered), output.stat()
        return made.report if (made.inode, made.bytes) == (facts.st_ino, facts.st_size) else None
    except (InputError, OSError):
        return None


def whole(path: Path) -> bool:
    """Whether a file of an earlier run is there and undamaged."""
    promised = path.with_suffix(".sha256")
    return path.exists() and promised.exists() and promised.read_bytes().strip() == sha256(path).encode()


def worth_keeping(folder: Path) -> bool:
    """Whether the next try has less to do thanks to this folder."""
    return any(folder.glob("*.sha256"))


def has_segments(folder: Path) -> bool:
    """Whether finished segments are in the folder."""
    return any(folder.glob("[0-9]*.sha256"))


def remove(folder: Path) -> None:
    """Remove the folder, whose lock the caller holds, with all that is this program's in it."""
    own = [path for path in folder.iterdir() if OWN.fullmatch(path.name) and path.name not in LAST]
    for path in [*own, *(folder / name for name in LAST)]:
        with suppress(*((PermissionError,) if system.WINDOWS else ())):  # see `_sweep`
            path.unlink(missing_ok=True)
    with suppress(OSError):  # what somebody else put there in the meantime stays
        folder.rmdir()


def forget(work: Plan) -> None:
    """Drop what an earlier run of this output has left; OutputError where the folder is in use or is not ours."""
    if work.folder.exists():
        with locked(work):
            remove(work.folder)
