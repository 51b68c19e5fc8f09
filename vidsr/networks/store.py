"""Which models there are, shipped and added; loads nothing heavy."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_path

from vidsr.errors import ModelError, OutputError
from vidsr.files import fsync_rename, partial_of, storage_errors, write_atomic
from vidsr.system import is_portable

KINDS = (".safetensors", ".pth", ".pt", ".ckpt")
"""How names of model files end."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


def models_folder() -> Path:
    """Where the shipped models lie: inside the installed package, or at the top of a checkout."""
    here = Path(__file__).resolve().parents[1]
    installed = here / "models"
    return installed if installed.is_dir() else here.parent / "models"


def shipped() -> dict[str, Path]:
    """The shipped models by name."""
    return {path.stem: path for path in sorted(models_folder().glob("*.safetensors"))}


def checksums() -> dict[str, str]:
    """The SHA-256 that `models/SHA256SUMS` promises for each shipped file name."""
    listing = models_folder() / "SHA256SUMS"
    if not listing.is_file():
        raise ModelError(f"{listing} is missing; install vidsr again")
    return {name: digest for digest, name in (line.split() for line in listing.read_text().splitlines() if line)}


def mixed(names: tuple[str, str], digests: tuple[str, str], fidelity: float) -> tuple[str, str]:
    """Name and SHA-256 of the network between two: (0) a sharp one and (1) a true one."""
    digest = hashlib.sha256(f"{digests[0]}{digests[1]}{fidelity!r}".encode()).hexdigest()
    return f"{names[0]}+{names[1]}@{fidelity:g}", digest


@dataclass(frozen=True)
class Added:
    """A model that the user added: its file, the SHA-256 that it was added with, and one line about what it is."""

    path: Path
    sha256: str
    about: str


def added_folder() -> Path:
    """Where added models lie: `$VIDSR_MODELS`, else `vidsr/models` in the user's data folder (`$XDG_DATA_HOME`)."""
    given = os.environ.get("VIDSR_MODELS")
    return Path(given).expanduser() if given else user_data_path("vidsr", appauthor=False) / "models"


def _note(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def added_models() -> dict[str, Added]:
    """The added models by name; none where there is no such folder, or it may not be read."""
    found = {}
    with suppress(OSError):
        for path in sorted(added_folder().iterdir()):
            if path.suffix in KINDS and _note(path).is_file():
                about, _, line = _note(path).read_text(encoding="utf-8", errors="replace").partition("\n")
                found[path.stem] = Added(path, line.split(" ")[0].strip(), about.removeprefix("# "))
    return found


def check_name(name: str, taken: set[str]) -> None:
    """ModelError for a name that no model can be added under."""
    if not NAME.fullmatch(name) or name.endswith(KINDS) or not is_portable(name):
        raise ModelError(f"{name!r} cannot be a model's name: letters, digits, '.', '_', '+' and '-', 64 at most")
    if name in taken:
        raise ModelError(f"there is a model {name!r} that comes with the program; give another --name")
    if name in added_models():
        raise ModelError(f"there is a model {name!r} already; `vidsr models remove {name}`, or give another --name")


def put_model(name: str, source: Path, digest: str, about: str) -> Path:
    """Copy a file to the added models; its note, as `sha256sum -c` reads it, comes first: no copy is without one."""
    path = added_folder() / (name + source.suffix.lower())
    partial = partial_of(path)
    with storage_errors(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, partial)
            write_atomic(_note(path), f"# {about}\n{digest}  {path.name}\n")
            fsync_rename(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    return path


def remove_model(name: str) -> Path:
    """Remove an added model; raises ModelError where it is none of the user's."""
    found = added_models().get(name)
    if found is None:
        raise ModelError(f"there is no added model {name!r}; added are: {', '.join(added_models()) or 'none'}")
    try:
        found.path.unlink()
        _note(found.path).unlink()
    except OSError as error:
        raise OutputError(f"{found.path} could not be removed: {error.strerror}") from error
    return found.path
