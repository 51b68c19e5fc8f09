"""The work folder beside the output: its manifest, its lock, and what of an earlier run can be used."""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vidsr import __version__
from vidsr.errors import OutputError
from vidsr.plan import Plan
from vidsr.weights import sha256

FORMAT = 1
OWN = re.compile(r"(lock|damage|manifest\.json|tracks\.json|whole\.\w+|\d+-\d+\.(nut|sha256))(\.partial)?")
"""Names in a work folder."""


def settle(partial: Path, path: Path) -> None:
    """Bring a finished file to the disk, then give it its name."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def durable(path: Path, text: str) -> None:
    """Write under a temporary name, bring it to the disk, rename."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    settle(partial, path)


def _identity(path: Path) -> dict[str, str | int]:
    """What tells a film from another: name, size, time, and a hash of its first and last MiB."""
    facts = path.stat()
    with path.open("rb") as file:
        ends = file.read(1 << 20)
        file.seek(max(0, facts.st_size - (1 << 20)))
        ends += file.read()
    return {
        "name": path.name,
        "bytes": facts.st_size,
        "modified_ns": facts.st_mtime_ns,
        "sha256_of_ends": hashlib.sha256(ends).hexdigest(),
    }


def manifest(work: Plan) -> dict[str, object]:
    """Everything that changes a pixel of the output; a run is resumed only where all of it is equal."""
    settings = dataclasses.asdict(work.settings)
    settings.pop("overwrite")  # it changes no pixel
    return {
        "format": FORMAT,
        "vidsr": __version__,
        "input": _identity(work.film.path),
        "settings": settings,
        "scale": work.scale,
        "model": {"name": work.model.name, "sha256": work.model.sha256},
        "tracks": sha256(Path(work.settings.tracks)) if work.settings.tracks else None,
    }


def _differences(old: object, new: object, name: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key), new.get(key), f"{name}.{key}" if name else str(key))
    elif old != new:
        yield name


@contextmanager
def opened(work: Plan) -> Iterator[Path]:
    """The work folder, locked: a new one, or the one of an earlier run of the same job."""
    folder = work.folder
    wanted = json.loads(json.dumps(manifest(work)))
    if folder.is_dir():
        _refuse_foreign(folder)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"the work folder {folder} could not be made: {error.strerror}") from error
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            raise OutputError(f"process {lock.read().strip() or '?'} is working on {work.output} already") from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        _match(folder / "manifest.json", wanted, work)
        yield folder


def _refuse_foreign(folder: Path) -> None:
    """A folder that only happens to have the work folder's name is nobody's to empty: OutputError."""
    foreign = [path.name for path in folder.iterdir() if not OWN.fullmatch(path.name) or not path.is_file()]
    if foreign:
        raise OutputError(f"{folder} holds files that are not this program's, such as {foreign[0]!r}; move it away")


def _match(path: Path, wanted: dict[str, object], work: Plan) -> None:
    if path.exists():
        try:
            found = json.loads(path.read_text())
        except ValueError:
            found = None
        if isinstance(found, dict):
            changed = list(_differences(found, wanted))
            if changed:
                raise OutputError(
                    f"{work.folder} holds an unfinished run with another {', '.join(changed)}; "
                    "repeat that run to finish it, or give --fresh to start again"
                )
            return
    for stale in work.folder.iterdir():
        if stale.name != "lock":
            stale.unlink()
    durable(path, json.dumps(wanted, indent=1))


def whole(path: Path) -> bool:
    """Whether a segment of an earlier run is there and undamaged."""
    promised = path.with_suffix(".sha256")
    return path.exists() and promised.exists() and promised.read_text().strip() == sha256(path)


def worth_keeping(folder: Path) -> bool:
    return (folder / "tracks.json").exists() or any(folder.glob("*.sha256"))


def forget(work: Plan) -> None:
    """Drop what an earlier run of this output has left; OutputError where the folder holds anything else."""
    if work.folder.is_dir():
        _refuse_foreign(work.folder)
    shutil.rmtree(work.folder, ignore_errors=True)
