"""Networks of other projects, as `spandrel` recognises them, brought to our contract: one frame, RGB in 0..1, x4."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidsr.color import luma
from vidsr.config import BALANCE
from vidsr.errors import DeviceError, ModelError, VidsrError
from vidsr.networks.generator import SCALE, enlarge

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor

FACE = 512
"""Side of the aligned faces that face restorers take and give.

They are trained on FFHQ's squares, which are our window (`analysis/alignment.py`): facexlib's 512-pixel template, to
which these projects align films and photographs, is where landmarks lie in such squares. Measured on 300 FFHQ faces
with YuNet's landmarks, the way from our window to theirs is 1.006 in size, -0.3 degrees, and 2 pixels of 512 in place
(medians; one face deviates by 0.06, 3 degrees and 6 pixels), so the map is the enlargement to 512 alone.
"""
EXTRA = "spandrel_extra_arches"
CODEFORMER = ("position_emb", "idx_pred_layer.1.weight", "quantize.embedding.weight")
"""Tensors by which a CodeFormer is known where the package with its architecture is not installed."""

Named = Mapping[str, Tensor]


@contextmanager
def blamed(sentence: str) -> Iterator[None]:
    """Turn whatever another project's code raises inside the block into a ModelError of this sentence."""
    try:
        yield
    except (VidsrError, torch.cuda.OutOfMemoryError):  # the latter halves the batch
        raise
    except Exception as error:  # code of 40 architectures over files from anywhere: the kinds have no end
        if isinstance(error, MemoryError) or "allocate memory" in str(error) or "not enough memory" in str(error):
            raise DeviceError(f"{sentence}: it needs more memory than there is", str(error)) from error
        raise ModelError(sentence, f"{type(error).__name__}: {error}") from error


class _OneByOne(nn.Module):
    """`(B, 1, 3, h, w) -> (B, 3, 4h, 4w)`, every crop alone: networks that were written for one picture at a time
    may let pictures of a batch depend on each other, and ours promise that they do not."""

    def __init__(self, name: str, model: nn.Module) -> None:
        super().__init__()
        self.name, self.model = name, model

    def each(self, clip: Tensor, restored: Callable[..., Tensor], *others: Tensor) -> Tensor:
        """`restored` of each crop `(1, 3, h, w)` with its own of `others`, in one batch."""
        with blamed(f"the network of {self.name} failed on a crop of {clip.shape[-1]}x{clip.shape[-2]} pixels"):
            # Copies: some of these networks change their input in place.
            crops = [crop.clone(memory_format=torch.contiguous_format) for crop in clip]
            made = torch.cat([restored(crop, *rest) for crop, *rest in zip(crops, *others, strict=True)])
        if not bool(made.isfinite().all()):  # waits for the device
            raise ModelError(f"the network of {self.name} gave numbers that are not finite; try --precision fp32")
        return made


class Enlarger(_OneByOne):
    """An image network of any scale at x4: x2 is applied twice; else the result is enlarged or reduced by bicubic.

    A network of one channel restores the luma, and color is the plain enlargement's, as in VDSR.
    """

    def __init__(self, name: str, network: ImageModelDescriptor) -> None:
        super().__init__(name, network.model)
        self._network = network

    def forward(self, clip: Tensor) -> Tensor:
        return self.each(clip, self.restored)

    def restored(self, rgb: Tensor) -> Tensor:
        """`(1, 3, h, w) -> (1, 3, 4h, 4w)`."""
        if self._network.input_channels == 3:
            return self._large(rgb)
        y = luma(rgb)
        return enlarge(rgb) + self._large(y) - enlarge(y)

    def _large(self, picture: Tensor) -> Tensor:
        large: Tensor = self._network(picture)
        if self._network.scale == 2:
            large = self._network(large)
        size = SCALE * picture.shape[-2], SCALE * picture.shape[-1]
        if large.shape[-2:] == size:
            return large
        reduces = size[0] < large.shape[-2]
        wanted = F.interpolate(large.float(), size=size, mode="bicubic", align_corners=False, antialias=reduces)
        return wanted.to(large.dtype)


class FaceRestorer(_OneByOne):
    """A restorer of aligned faces of 512 pixels, RGB in -1..1: the face is warped to the template and what the network
    changes is warped back."""

    def __init__(self, name: str, model: nn.Module, call: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__(name, model)
        self._call = call

    def forward(self, clip: Tensor) -> Tensor:
        """A crop that is the template's square already."""
        square = torch.eye(2, 3, device=clip.device).expand(len(clip), -1, -1) / clip.shape[-1]
        return enlarge(clip[:, 0]) + self.added_at(clip, square)

    def added_at(self, clip: Tensor, to_unit: Tensor) -> Tensor:
        """What is added to the plain enlargement of crops; `to_unit (B, 2, 3)` maps their pixels to the template."""
        return self.each(clip, self._added, to_unit)

    def _added(self, rgb: Tensor, to_unit: Tensor) -> Tensor:
        side = rgb.shape[-1]
        there = to_unit.double() @ _affine(side / 2, side / 2, to_unit.device)  # from -1..1 of the crop
        there = torch.cat([2 * there - _affine(0, 1, to_unit.device)[:2], there.new_tensor([[0, 0, 1.0]])])
        face = _looked_up(rgb, torch.linalg.inv(there)[:2], FACE, "border")
        made = self._call(self.model, 2 * face - 1)
        change = ((made + 1) / 2).clamp(0, 1) - face
        return _looked_up(change, there[:2], SCALE * side, "zeros")


def _affine(scale: float, shift: float, device: torch.device) -> Tensor:
    """`(3, 3)`: both coordinates times `scale` and moved by `shift`."""
    return torch.tensor([[scale, 0, shift], [0, scale, shift], [0, 0, 1]], dtype=torch.float64, device=device)


def _looked_up(source: Tensor, there: Tensor, side: int, outside: str) -> Tensor:
    """`source (1, 3, h, w)` by bicubic at `(1, 3, side, side)`; `there (2, 3)` maps its -1..1 to the source's."""
    grid = F.affine_grid(there[None].float(), [1, 3, side, side], align_corners=False)
    found = F.grid_sample(source.float(), grid, mode="bicubic", padding_mode=outside, align_corners=False)
    return found.to(source.dtype)


def _face(name: str, architecture: str, network: ImageModelDescriptor, fidelity: float | None) -> tuple[nn.Module, str]:
    options: dict[str, dict[str, object]] = {
        # Its own program draws new noise for every picture; the noise in the file gives the same face twice.
        "GFPGAN": {"return_rgb": False, "randomize_noise": False},
        "RestoreFormer": {},
        "CodeFormer": {"weight": BALANCE if fidelity is None else fidelity},
    }
    if architecture not in options:
        raise ModelError(f"{name} restores faces by {architecture}, which this version cannot align")

    def call(model: nn.Module, face: Tensor) -> Tensor:
        made: Tensor = model(face, **options[architecture])[0]
        return made

    return FaceRestorer(name, network.model, call), f"face restoration at {FACE} pixels"


def _image(name: str, network: ImageModelDescriptor) -> tuple[nn.Module, str]:
    channels = (network.input_channels, network.output_channels)
    if channels not in ((3, 3), (1, 1)):
        raise ModelError(f"{name} takes {channels[0]} channels and gives {channels[1]}, not a picture for a picture")
    how = {1: ", then enlarged by bicubic", 2: ", applied twice", SCALE: ""}
    usual = f", {'reduced' if network.scale > SCALE else 'enlarged'} to x{SCALE} by bicubic"
    gray = " of the luma" if network.input_channels == 1 else ""
    task = "restoration" if network.scale == 1 else "super-resolution"
    return Enlarger(name, network), f"{task} x{network.scale}{gray}{how.get(network.scale, usual)}"


def _recognised(path: Path, weights: Named) -> tuple[str, ImageModelDescriptor]:
    """The name of the architecture and the network with its weights."""
    from spandrel import MAIN_REGISTRY, UnsupportedModelError, canonicalize_state_dict

    registry, extra = MAIN_REGISTRY.copy(), _extra()
    registry.add(*extra or (), ignore_duplicates=True)
    found = canonicalize_state_dict(dict(weights))
    _check(path, found)
    misfit = f"the weights in {path} do not fit the network that they look like; fetch it again"
    with blamed(misfit), suppress(UnsupportedModelError):
        network = registry.load(found)
        return network.architecture.name, network
    if extra is None and all(name in found for name in CODEFORMER):
        raise ModelError(
            f"{path} is a CodeFormer; its architecture comes with {EXTRA}, for non-commercial use: pip install {EXTRA}"
        )
    raise ModelError(f"{path} holds weights of an architecture that spandrel does not know")


def _extra() -> list[object] | None:
    """Architectures whose licences forbid commercial use, if the user has installed them."""
    try:
        from spandrel_extra_arches import EXTRA_REGISTRY
    except ImportError:
        return None
    return list(EXTRA_REGISTRY)


def _check(path: Path, found: Mapping[object, object]) -> None:
    """ModelError for what is no set of weights, or claims more numbers than its file has bytes."""
    held = [value for value in found.values() if isinstance(value, Tensor)]
    if not held or not all(isinstance(name, str) for name in found):
        raise ModelError(f"{path} holds no named tensors: no weights of a network")
    if sum(value.numel() * value.element_size() for value in held) > 2 * path.stat().st_size:  # weights may be shared
        raise ModelError(f"{path} claims more weights than it holds: it is damaged")
    if not all(bool(value.isfinite().all()) for value in held):
        raise ModelError(f"{path} holds numbers that are not finite; fetch it again")


def adopt(path: Path, weights: Named, fidelity: float | None) -> tuple[nn.Module, str, str, tuple[torch.dtype, ...]]:
    """Recognise the weights of a file and bring their network to our contract; raises ModelError.

    `fidelity`, from sharpest to truest, is CodeFormer's own weight; no other network has such a knob. Gives the
    network, its architecture's name, what is done with it, and the numbers it can work in.
    """
    architecture, network = _recognised(path, weights)
    if fidelity is not None and architecture != "CodeFormer":
        raise ModelError(f"--fidelity means nothing to {architecture}, the network of {path}; leave it out")
    if network.purpose == "FaceSR":
        made, deed = _face(path.name, architecture, network, fidelity)
    elif network.purpose in ("SR", "Restoration"):
        made, deed = _image(path.name, network)
    else:
        raise ModelError(f"{path} is for {network.purpose.lower()} ({architecture}), not for restoring pictures")
    supported = {torch.bfloat16: network.supports_bfloat16, torch.float16: network.supports_half}
    dtypes = (torch.float32, *(dtype for dtype, works in supported.items() if works))
    return made.float().eval().requires_grad_(False), architecture, deed, dtypes
