"""A model whose name and checksum are known before it is opened: a film without faces then needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast

from vidsr.config import BALANCE
from vidsr.files import sha256
from vidsr.networks.store import added_models, checksums, mixed, shipped

if TYPE_CHECKING:
    from vidsr.networks.model_file import Model


@dataclass(frozen=True)
class LazyModel:
    """A shipped model, or `plain`, before it is opened: its name and checksum are known, all else opens it."""

    name: str
    sha256: str
    family: str
    fidelity: float | None
    notes: tuple[str, ...] = ()

    @cached_property
    def opened(self) -> Model:
        """The model itself."""
        from vidsr.networks.model_file import open_model

        return open_model(self.family, self.fidelity)

    def __getattr__(self, name: str) -> object:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.opened, name)


def lazy_model(family: str, fidelity: float | None) -> LazyModel | None:
    """What `open_model` would open, where it is `plain` or lies between two shipped and undamaged models; else None."""
    names = f"{family}_gan", f"{family}_fidelity"
    if family == "plain" and fidelity is None and not added_models().keys() & set(names):
        return LazyModel("plain", "", "plain", None)
    known, promised = shipped(), checksums()
    wanted = BALANCE if fidelity is None else fidelity
    if not all(name in known for name in names) or not 0 < wanted < 1:
        return None
    digests = sha256(known[names[0]]), sha256(known[names[1]])
    if digests != tuple(promised.get(known[name].name) for name in names):
        return None  # opening them will say what is wrong
    return LazyModel(*mixed(names, digests, wanted), family, wanted)


def model_for(name: str, fidelity: float | None) -> Model:
    """What `--model` and `--fidelity` mean, opened when it is needed where that is known to end well."""
    if (found := lazy_model(name, fidelity)) is not None:
        return cast("Model", found)
    from vidsr.networks.model_file import open_model

    return open_model(name, fidelity)
