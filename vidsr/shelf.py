"""The models that a user has added, by name: copies in a folder of the user's, each with the checksum it came with."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_path

from vidsr.errors import ModelError, OutputError
from vidsr.files import durable, partial_of, settle, told
from vidsr.system import is_portable

KINDS = (".safetensors", ".pth", ".pt", ".ckpt")
"""How names of model files end."""
NOTE = ".sha256"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


@dataclass(frozen=True)
class Added:
    """A model on the shelf: its file, the SHA-256 that it was added with, and one line about what it is."""

    path: Path
    sha256: str
    about: str


def folder() -> Path:
    """Where added models lie: `$VIDSR_MODELS`, else `vidsr/models` in the user's data folder (`$XDG_DATA_HOME`)."""
    given = os.environ.get("VIDSR_MODELS")
    return Path(given).expanduser() if given else user_data_path("vidsr", appauthor=False) / "models"


def _note(path: Path) -> Path:
    return path.with_name(path.name + NOTE)


def _noted() -> Iterator[Added]:
    for path in sorted(folder().iterdir()):
        if path.suffix in KINDS and _note(path).is_file():
            about, _, line = _note(path).read_text(encoding="utf-8", errors="replace").partition("\n")
            yield Added(path, line.split(" ")[0].strip(), about.removeprefix("# "))


def added() -> dict[str, Added]:
    """The added models by name; none where there is no such folder, or it may not be read."""
    with suppress(OSError):
        return {one.path.stem: one for one in _noted()}
    return {}


def check_name(name: str, taken: set[str]) -> None:
    """ModelError for a name that no model can be added under."""
    if not NAME.fullmatch(name) or name.endswith(KINDS) or not is_portable(name):
        raise ModelError(f"{name!r} cannot be a model's name: letters, digits, '.', '_', '+' and '-', 64 at most")
    if name in taken:
        raise ModelError(f"there is a model {name!r} that comes with the program; give another --name")
    if name in added():
        raise ModelError(f"there is a model {name!r} already; `vidsr models remove {name}`, or give another --name")


def put(name: str, source: Path, sha256: str, about: str) -> Path:
    """Copy a file to the shelf; the note, as `sha256sum -c` reads it, comes first, so that no copy is without one."""
    path = folder() / (name + source.suffix.lower())
    partial = partial_of(path)
    with told(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, partial)
            durable(_note(path), f"# {about}\n{sha256}  {path.name}\n")
            settle(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    return path


def remove(name: str) -> Path:
    """Take a model off the shelf; raises ModelError where it is none of the user's."""
    found = added().get(name)
    if found is None:
        raise ModelError(f"there is no added model {name!r}; added are: {', '.join(added()) or 'none'}")
    try:
        found.path.unlink()
        _note(found.path).unlink()
    except OSError as error:
        raise OutputError(f"{found.path} could not be removed: {error.strerror}") from error
    return found.path
