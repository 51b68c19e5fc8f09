"""Model files: list, load, save, interpolate. Ours are safetensors that say what they are; others are recognised."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vidsr.config import BALANCE
from vidsr.errors import ModelError
from vidsr.files import fsync_rename, partial_of, sha256
from vidsr.networks import store
from vidsr.networks.baselines import Srgan, Vdsr
from vidsr.networks.generator import SCALE, Plain, Vidsr

FORMAT = "vidsr-1"
MAX_FILE_MIB = 512
MAX_EXTERNAL_MIB = 4096
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


Config = Mapping[str, int | tuple[int, ...]]
"""What a network is made with: the arguments of its class, and `offsets`."""


@dataclass(frozen=True)
class Card:
    """What a model file says of itself in its header; all text, so that any safetensors reader can show it.

    `config` holds the network's arguments, `window` among them, and may hold `offsets`: the frames of the window,
    counted from the middle one, where they are not neighbours.
    """

    architecture: str
    config: Config
    stage: str  # "fidelity", "gan", or "none" for the plain enlargement
    licence: str
    data: str
    commit: str
    metrics: Mapping[str, float]

    @property
    def window(self) -> int:
        window = self.config["window"]
        assert isinstance(window, int)
        return window

    @property
    def frames(self) -> tuple[int, ...]:
        """The window's frames, counted from the middle one."""
        offsets = self.config.get("offsets")
        return offsets if isinstance(offsets, tuple) else tuple(range(-(self.window // 2), self.window // 2 + 1))


ARCHITECTURES: dict[str, type[nn.Module]] = {"vidsr": Vidsr, "srgan": Srgan, "vdsr": Vdsr}
"""Networks by name."""


@dataclass(frozen=True)
class Model:
    """A network ready to run, with its name, its card, and the SHA-256 of its file ('' if it has none).

    `dtypes` are the numbers it can work in, `layout` how they lie in memory; `notes` are sentences for the report.
    """

    name: str
    network: nn.Module
    card: Card
    sha256: str
    dtypes: tuple[torch.dtype, ...] = DTYPES
    layout: torch.memory_format = torch.channels_last
    notes: tuple[str, ...] = ()

    @property
    def window(self) -> int:
        return self.card.window

    @property
    def ours(self) -> bool:
        """Whether it is of this program's making, and not another project's."""
        return self.card.architecture in ("plain", *ARCHITECTURES)


TEXTS = ("architecture", "stage", "licence", "data", "commit")
"""What a card says in words."""


def save(path: Path, network: nn.Module, card: Card) -> None:
    """Write a model file under a temporary name and rename it."""
    header = {"format": FORMAT, "scale": str(SCALE)} | {name: getattr(card, name) for name in TEXTS}
    header |= {"config": json.dumps(dict(card.config)), "metrics": json.dumps(dict(card.metrics))}
    partial = partial_of(path)
    save_file({k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}, partial, header)
    fsync_rename(partial, path)


def find(name: str) -> Path:
    """The file of a shipped or added model's name, or of a path; raises ModelError with the names there are."""
    if name in store.shipped():
        return store.shipped()[name]
    own = store.added_models()
    if name in own:
        return own[name].path
    with suppress(OSError, RuntimeError):  # a name that no file can have; a home that nobody has
        path = Path(name).expanduser()
        if path.is_file():
            if path.suffix.lower() in store.KINDS:
                return path
            raise ModelError(f"{path} is no model file: their names end in {', '.join(store.KINDS)}")
    known = ", ".join([*store.shipped(), *own, "plain"])
    raise ModelError(f"there is no model {name!r}; there are: {known}; or give a file ({', '.join(store.KINDS)})")


def tensors(path: Path) -> dict[str, Any]:
    """What a file holds of tensors and plain values: a safetensors file, or what `torch.save` wrote.

    Anything that would run code raises ModelError.
    """
    try:
        if path.suffix.lower() == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the ways in which a damaged pickle fails have no end
        raise ModelError(
            f"{path} is no file of weights that can be loaded safely; fetch it again", str(error)
        ) from error
    if not isinstance(found, dict):
        raise ModelError(f"{path} holds no named tensors")
    return found


def _header(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is not a whole safetensors file; fetch it again", str(error)) from error


def is_ours(path: Path) -> bool:
    """Whether a model file was written by this program; raises ModelError where it is damaged."""
    return path.suffix.lower() == ".safetensors" and _header(path).get("format", "").startswith("vidsr-")


def read_card(path: Path) -> Card:
    """Read and check a model file's header; nothing of the size of its weights is allocated."""
    if path.stat().st_size > MAX_FILE_MIB << 20:
        raise ModelError(f"{path} is larger than {MAX_FILE_MIB} MiB: not a model of this program")
    header = _header(path)
    if header.get("format") != FORMAT or header.get("scale") != str(SCALE):
        raise ModelError(
            f"{path} is a safetensors file, but not one that `vidsr train` made (format {FORMAT}, x{SCALE})"
        )
    try:
        known = {name: value for name, value in json.loads(header["config"]).items() if value != []}
        config = {name: tuple(map(int, v)) if isinstance(v, list) else int(v) for name, v in known.items()}
        metrics = {str(k): float(v) for k, v in json.loads(header.get("metrics", "{}")).items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"the header of {path} is damaged", str(error)) from error
    text = {name: header.get(name, "unknown") for name in TEXTS}
    if (architecture := text["architecture"]) not in ARCHITECTURES:
        raise ModelError(f"{path} asks for the architecture {architecture!r}, which this version lacks")
    if not _likely(config):
        told = ", ".join(f"{name} {value}" for name, value in config.items())
        raise ModelError(f"{path} asks for a network of an unlikely size: {told}")
    return Card(config=config, metrics=metrics, **text)


def _likely(config: Config) -> bool:
    """Whether a network of this size can be meant: a damaged or hostile header must not ask for all memory."""
    window, offsets = config.get("window", 0), config.get("offsets", (0,))
    if not isinstance(window, int) or not 1 <= window <= 15 or window % 2 == 0 or not isinstance(offsets, tuple):
        return False
    if "offsets" in config and (len(offsets) != window or offsets[window // 2] != 0 or max(map(abs, offsets)) > 32):
        return False
    sizes = [value for name, value in config.items() if name != "offsets"]
    numbers = [one for value in sizes for one in (value if isinstance(value, tuple) else (value,))]
    return min(numbers) >= 1 and max(numbers) <= 512 and len(numbers) <= 32


def load(name: str, fidelity: float | None = None) -> Model:
    """Load a shipped or added model by name, a file by path, or `plain`, the network that does nothing.

    Files of other projects are recognised by `spandrel`; `fidelity` is for the one architecture of theirs that has
    such a knob. A file whose SHA-256 is not the promised one raises ModelError, as does one that holds NaN.
    """
    if name == "plain":
        return Model("plain", Plain(), Card("plain", {"window": 1}, "none", "MIT", "none", "", {}), "")
    path = find(name)
    digest, ships = sha256(path), path.parent == store.models_folder()
    if ships:
        promised = store.checksums().get(path.name)
    else:
        promised = {one.path: one.sha256 for one in store.added_models().values()}.get(path, digest)
    if digest != promised:
        cure = "install vidsr again" if ships else "remove it and add it again"
        raise ModelError(f"the checksum of {path} is not the promised one: the file is damaged; {cure}")
    return _own(path, digest) if is_ours(path) else _external(path, digest, fidelity)


def load_own(name: str) -> Model:
    """Load a model of this program's making, to go on from; raises ModelError for any other."""
    model = load(name)
    if not model.ours:
        raise ModelError(f"{name} is another project's network ({model.card.architecture}); this wants one of ours")
    return model


def _shapes(named: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in named.items()}


def _own(path: Path, digest: str) -> Model:
    card = read_card(path)
    with torch.device("meta"):  # nothing of the size that a header claims is allocated
        network = build(card)
    weights = tensors(path)
    if _shapes(weights) != _shapes(network.state_dict()):
        raise ModelError(f"the weights in {path} do not fit the network that its header names")
    if not all(bool(torch.isfinite(value).all()) for value in weights.values()):
        raise ModelError(f"{path} holds numbers that are not finite; train or fetch it again")
    whole = {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}
    network.load_state_dict(whole, assign=True)
    return Model(path.stem, network.eval().requires_grad_(False), card, digest)


def _external(path: Path, digest: str, fidelity: float | None) -> Model:
    """A file of another project. Its network keeps the common layout: theirs may count on it."""
    from vidsr.networks.external import adopt  # opens the 40 architectures that spandrel knows: over a second

    if path.stat().st_size > MAX_EXTERNAL_MIB << 20:
        raise ModelError(f"{path} is larger than {MAX_EXTERNAL_MIB} MiB: no model that this program can run")
    network, architecture, deed, dtypes = adopt(path, tensors(path), fidelity)
    card = Card(architecture, {"window": 1}, deed, "its author's", "unknown", "", {})
    mark = digest if fidelity is None else hashlib.sha256(f"{digest}{fidelity!r}".encode()).hexdigest()
    note = f"{path.name} is another project's network ({architecture}): {deed}; it sees every frame alone"
    return Model(path.stem, network, card, mark, dtypes, torch.contiguous_format, (note,))


def build(card: Card) -> nn.Module:
    """A fresh network as the card describes it; raises ModelError where its class cannot be made so."""
    arguments = {name: value for name, value in card.config.items() if name != "offsets"}
    try:
        return ARCHITECTURES[card.architecture](**arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"this version makes no {card.architecture} of {arguments}", str(error)) from error


def interpolated(sharp: Model, true: Model, fidelity: float) -> Model:
    """The network between two of one architecture: 0 is `sharp`, 1 is `true` (Wang 2018, ESRGAN, section 3.4)."""
    ends = sharp.network.state_dict(), true.network.state_dict()
    if _shapes(ends[0]) != _shapes(ends[1]):
        raise ModelError(f"{sharp.name} and {true.name} differ in size: nothing lies between them")
    network = deepcopy(sharp.network)
    network.load_state_dict({name: torch.lerp(ends[0][name], ends[1][name], fidelity) for name in ends[0]})
    name, digest = store.mixed((sharp.name, true.name), (sharp.sha256, true.sha256), fidelity)
    return replace(sharp, name=name, network=network, sha256=digest)


def open_model(name: str, fidelity: float | None) -> Model:
    """What `--model` and `--fidelity` mean: a family of a fidelity and a GAN model, or one file.

    A family NAME is shipped or added as NAME_fidelity and NAME_gan; `fidelity` lies between them, and None is BALANCE,
    or the one that is there. A single model takes no `fidelity`. Raises ModelError.
    """
    ends = [f"{name}_{stage}" for stage in ("gan", "fidelity")]
    known = [end for end in ends if end in store.shipped() or end in store.added_models()]
    if not known:
        if fidelity is not None and (name == "plain" or is_ours(find(name))):
            raise ModelError(f"--fidelity needs a family of models such as vidsr_x4; {name!r} is not one")
        return load(name, fidelity)
    if fidelity is None and len(known) == 2:
        fidelity = BALANCE
    if fidelity is None or fidelity in (0.0, 1.0):
        wanted = known[0] if fidelity is None else ends[int(fidelity)]
        if wanted not in known:
            raise ModelError(f"{wanted} is not there; leave --fidelity out")
        return load(wanted)
    if len(known) < 2:
        raise ModelError(f"{name} is there as {known[0]} only: there is nothing to mix it with; leave --fidelity out")
    return interpolated(load(ends[0]), load(ends[1]), fidelity)
