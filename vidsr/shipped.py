"""The shipped models: where they lie, what their checksums are, and which one is meant; loads nothing heavy."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

from vidsr.config import BALANCE
from vidsr.errors import ModelError
from vidsr.files import sha256
from vidsr.shelf import added

if TYPE_CHECKING:
    from vidsr.weights import Model


def models_folder() -> Path:
    """Where the shipped models lie: inside the installed package, or at the top of a checkout."""
    here = Path(__file__).resolve().parent
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
class Later:
    """A shipped model, or `plain`, before it is opened: its name and checksum are known, all else opens it.

    A film without faces then needs neither the network nor torch.
    """

    name: str
    sha256: str
    family: str
    fidelity: float | None
    notes: tuple[str, ...] = ()

    @cached_property
    def opened(self) -> Model:
        """The model itself."""
        from vidsr.weights import open_model

        return open_model(self.family, self.fidelity)

    def __getattr__(self, name: str) -> object:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.opened, name)


def later(family: str, fidelity: float | None) -> Later | None:
    """What `open_model` would open, where it is `plain` or lies between two shipped and undamaged models; else None."""
    names = f"{family}_gan", f"{family}_fidelity"
    if family == "plain" and fidelity is None and not added().keys() & set(names):
        return Later("plain", "", "plain", None)
    known, promised = shipped(), checksums()
    wanted = BALANCE if fidelity is None else fidelity
    if not all(name in known for name in names) or not 0 < wanted < 1:
        return None
    digests = sha256(known[names[0]]), sha256(known[names[1]])
    if digests != tuple(promised.get(known[name].name) for name in names):
        return None  # opening them will say what is wrong
    return Later(*mixed(names, digests, wanted), family, wanted)


def model_for(name: str, fidelity: float | None) -> Model:
    """What `--model` and `--fidelity` mean, opened when it is needed where that is known to end well."""
    if (found := later(name, fidelity)) is not None:
        return cast("Model", found)
    from vidsr.weights import open_model

    return open_model(name, fidelity)
