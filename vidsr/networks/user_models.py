"""What `vidsr models` does with model files: lists them, tries them, adds them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from vidsr.config import SMALLEST_CROP
from vidsr.errors import ModelError
from vidsr.files import check_readable, sha256
from vidsr.networks import model_file, store
from vidsr.networks.generator import SCALE
from vidsr.networks.model_file import Model


def about(model: Model) -> str:
    """What a model is, in a few words."""
    card = model.card
    if model.ours:
        return f"{card.architecture} x{SCALE}, window {card.window}, {card.stage}"
    return f"{card.architecture}, {card.stage}"


def tried(model: Model) -> Model:
    """The model, after it restored one small picture; ModelError where it fails, or what it gives is no picture."""
    side = SMALLEST_CROP
    ramp = torch.linspace(0, 1, side)
    clip = (ramp[:, None] * ramp).expand(1, model.window, 3, side, side)
    with torch.inference_mode():
        made = model.network(clip)
    if made.shape != (1, 3, SCALE * side, SCALE * side) or not bool(made.isfinite().all()):
        raise ModelError(f"the network of {model.name} gives no picture of {SCALE} times the size")
    return model


def add(path: Path, name: str | None) -> tuple[str, Model]:
    """Check a model file by opening and trying it, and put a copy among the added models."""
    name = path.stem if name is None else name
    families = {shipped.rpartition("_")[0] for shipped in store.shipped()}
    store.check_name(name, {"plain", *store.shipped(), *families})
    check_readable(path)
    model = tried(model_file.load(str(path.absolute())))  # a whole path is no model's name
    store.put_model(name, path, model.sha256, about(model))
    return name, model


def inventory() -> Iterator[tuple[str, bool]]:
    """A line for each model, shipped or added, and whether its file is as it was promised."""
    promised = store.checksums()
    for name, path in store.shipped().items():
        card = model_file.read_card(path)
        measured = ", ".join(f"{key} {value:g}" for key, value in card.metrics.items())
        about = f"window {card.window}, {card.stage}, {measured}; {card.licence}"
        yield _line(f"{name}: x{SCALE}, ", path, about, promised.get(path.name))
    for name, one in store.added_models().items():
        yield _line(f"{name}: ", one.path, f"{one.about}; added", one.sha256)


def _line(head: str, path: Path, about: str, promised: str | None) -> tuple[str, bool]:
    intact = sha256(path) == promised
    state = "checksum ok" if intact else "CHECKSUM DIFFERS"
    return f"{head}{path.stat().st_size / 1e6:.1f} MB, {about}; {state}", intact
