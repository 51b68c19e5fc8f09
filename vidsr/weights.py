"""Model files: list, load, save, interpolate; safetensors only, the architecture in the header, no pickle."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from vidsr.config import BALANCE
from vidsr.errors import ModelError
from vidsr.files import sha256 as sha256
from vidsr.lineage import Srgan, Vdsr
from vidsr.network import SCALE, Plain, Vidsr
from vidsr.shipped import checksums, mixed
from vidsr.shipped import models_folder as models_folder
from vidsr.shipped import shipped as shipped

FORMAT = "vidsr-1"
MAX_FILE_MIB = 512
ARCHITECTURES: dict[str, Callable[[int, int, int], nn.Module]] = {"vidsr": Vidsr, "srgan": Srgan, "vdsr": Vdsr}
"""Networks by name; each is made from its window, features and blocks."""


@dataclass(frozen=True)
class Card:
    """What a model file says of itself in its header; all text, so that any safetensors reader can show it."""

    architecture: str
    window: int
    features: int
    blocks: int
    stage: str  # "fidelity", "gan", or "none" for the plain enlargement
    licence: str
    data: str
    commit: str
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Model:
    """A network ready to run, with its name, its card, and the SHA-256 of its file ('' if it has none)."""

    name: str
    network: nn.Module
    card: Card
    sha256: str

    @property
    def window(self) -> int:
        return self.card.window


def save(path: Path, network: nn.Module, card: Card) -> None:
    """Write a model file under a temporary name and rename it."""
    header = {
        "format": FORMAT,
        "scale": str(SCALE),
        "architecture": card.architecture,
        "config": json.dumps({"window": card.window, "features": card.features, "blocks": card.blocks}),
        "stage": card.stage,
        "licence": card.licence,
        "data": card.data,
        "commit": card.commit,
        "metrics": json.dumps(dict(card.metrics)),
    }
    partial = path.with_name(path.name + ".partial")
    save_file({k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}, partial, header)
    partial.replace(path)


def find(name: str) -> Path:
    """The file of a shipped model's name, or of a path; raises ModelError with the names there are."""
    known = shipped()
    if name in known:
        return known[name]
    with suppress(OSError, RuntimeError):  # a name that no file can have; a home that nobody has
        path = Path(name).expanduser()
        if path.suffix == ".safetensors" and path.is_file():
            return path
    raise ModelError(
        f"there is no model {name!r}; shipped are: {', '.join([*known, 'plain'])}; or give a .safetensors file"
    )


def tensors(path: Path) -> dict[str, Any]:
    """What `torch.save` wrote of tensors and plain values; anything that would run code raises ModelError."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, UnpicklingError) as error:
        raise ModelError(f"{path} is no file of weights that can be loaded safely", str(error)) from error
    if not isinstance(found, dict):
        raise ModelError(f"{path} holds no named tensors")
    return found


def read_card(path: Path) -> Card:
    """Read and check a model file's header; nothing of the size of its weights is allocated."""
    try:
        if path.stat().st_size > MAX_FILE_MIB << 20:
            raise ModelError(f"{path} is larger than {MAX_FILE_MIB} MiB: not a model of this program")
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is not a whole safetensors file; fetch it again", str(error)) from error
    return _checked_card(path, header)


def _checked_card(path: Path, header: Mapping[str, str]) -> Card:
    if header.get("format") != FORMAT or header.get("scale") != str(SCALE):
        raise ModelError(
            f"{path} is a safetensors file, but not one that `vidsr train` made (format {FORMAT}, x{SCALE})"
        )
    try:
        config = json.loads(header["config"])
        window, features, blocks = (int(config[key]) for key in ("window", "features", "blocks"))
        metrics = {str(k): float(v) for k, v in json.loads(header.get("metrics", "{}")).items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"the header of {path} is damaged", str(error)) from error
    architecture = header.get("architecture", "")
    if architecture not in ARCHITECTURES:
        raise ModelError(f"{path} asks for the architecture {architecture!r}, which this version lacks")
    if not (1 <= window <= 15 and window % 2 and 1 <= features <= 512 and 1 <= blocks <= 128):
        raise ModelError(
            f"{path} asks for a network of an unlikely size: window {window}, {features} features, {blocks} blocks"
        )
    text = {key: header.get(key, "unknown") for key in ("stage", "licence", "data", "commit")}
    return Card(architecture, window, features, blocks, metrics=metrics, **text)


def _weights(path: Path, network: nn.Module) -> dict[str, Tensor]:
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    try:
        with safe_open(path, "pt") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            if found != wanted:
                raise ModelError(f"the weights in {path} do not fit the network that its header names")
            tensors = {name: file.get_tensor(name) for name in wanted}
            return {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is damaged; fetch it again", str(error)) from error


def load(name: str) -> Model:
    """Load a shipped model by name, a `.safetensors` file by path, or `plain`, the network that does nothing.

    A shipped file whose SHA-256 differs from `SHA256SUMS` raises ModelError, as does one that holds NaN.
    """
    if name == "plain":
        return Model("plain", Plain(), Card("plain", 1, 0, 0, "none", "MIT", "none", "", {}), "")
    path = find(name)
    digest = sha256(path)
    if path.parent == models_folder() and checksums().get(path.name) != digest:
        raise ModelError(
            f"the checksum of {path} is not the one in SHA256SUMS: the file is damaged; install vidsr again"
        )
    card = read_card(path)
    with torch.device("meta"):  # nothing is allocated before the shapes have been compared with the file's
        network = build(card)
    weights = _weights(path, network)
    if not all(bool(torch.isfinite(value).all()) for value in weights.values()):
        raise ModelError(f"{path} holds numbers that are not finite; train or fetch it again")
    network.load_state_dict(weights, assign=True)
    return Model(path.stem, network.eval().requires_grad_(False), card, digest)


def build(card: Card) -> nn.Module:
    """A fresh network as the card describes it."""
    return ARCHITECTURES[card.architecture](card.window, card.features, card.blocks)


def interpolated(sharp: Model, true: Model, fidelity: float) -> Model:
    """The network between two of one architecture: 0 is `sharp`, 1 is `true` (Wang 2018, ESRGAN, section 3.4)."""
    wanted = {name: value.shape for name, value in sharp.network.state_dict().items()}
    if wanted != {name: value.shape for name, value in true.network.state_dict().items()}:
        raise ModelError(f"{sharp.name} and {true.name} differ in size: nothing lies between them")
    ends = sharp.network.state_dict(), true.network.state_dict()
    network = build(sharp.card)
    network.load_state_dict({name: torch.lerp(ends[0][name], ends[1][name], fidelity) for name in ends[0]})
    name, digest = mixed((sharp.name, true.name), (sharp.sha256, true.sha256), fidelity)
    return Model(name, network.eval().requires_grad_(False), sharp.card, digest)


def open_model(name: str, fidelity: float | None) -> Model:
    """What `--model` and `--fidelity` mean: a family of a fidelity and a GAN model, or one file.

    A family NAME is shipped as NAME_fidelity and NAME_gan; `fidelity` lies between them, and None is BALANCE, or the
    one that is shipped. A single model takes no `fidelity`. Raises ModelError.
    """
    ends = [f"{name}_{stage}" for stage in ("gan", "fidelity")]
    known = [end for end in ends if end in shipped()]
    if not known:
        if fidelity is not None:
            raise ModelError(f"--fidelity needs a family of models such as vidsr_x4; {name!r} is not one")
        return load(name)
    if fidelity is None and len(known) == 2:
        fidelity = BALANCE
    if fidelity is None or fidelity in (0.0, 1.0):
        wanted = known[0] if fidelity is None else ends[int(fidelity)]
        if wanted not in known:
            raise ModelError(f"{wanted} is not shipped with this version; leave --fidelity out")
        return load(wanted)
    if len(known) < 2:
        raise ModelError(f"{name} is shipped as {known[0]} only: there is nothing to mix it with; leave --fidelity out")
    return interpolated(load(ends[0]), load(ends[1]), fidelity)


def inventory() -> Iterator[tuple[str, bool]]:
    """A line for each shipped model, and whether its checksum holds."""
    promised = checksums()
    for name, path in shipped().items():
        intact = promised.get(path.name) == sha256(path)
        card = read_card(path)
        found = ", ".join(f"{key} {value:g}" for key, value in card.metrics.items())
        size = path.stat().st_size / 1e6
        state = "checksum ok" if intact else "CHECKSUM DIFFERS"
        yield (
            f"{name}: x{SCALE}, {size:.1f} MB, window {card.window}, {card.stage}, {found}; {card.licence}; {state}",
            intact,
        )
