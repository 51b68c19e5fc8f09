"""Our networks as ONNX: any batch, any size, checked against torch before the file gets its name."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from vidsr import __version__
from vidsr.errors import ModelError, OutputError
from vidsr.files import check_writable, fsync_rename, partial_of, storage_errors
from vidsr.networks.generator import SCALE
from vidsr.networks.model_file import Model

TOLERANCE = 1e-4
"""Largest difference from torch, of values in 0..1: a fortieth of a gray level."""
SIZES = ((1, 32, 32), (3, 24, 40), (2, 17, 17))
"""Batches, heights and widths at which the file is compared with torch."""
CLIP, RESTORED = "clip", "restored"
"""Names of the network's input `(B, T, 3, h, w)` and output `(B, 3, 4h, 4w)`, RGB in 0..1."""


def export(model: Model, path: Path, overwrite: bool) -> float | None:
    """Write a network of this program as an ONNX file; raises ModelError or OutputError, and then leaves nothing.

    Needs the packages of `vidsr[onnx]`. Gives the largest difference from torch, None where onnxruntime is not there to
    compare.
    """
    if not model.ours:
        raise ModelError(f"{model.name} is {model.card.architecture}, another project's network: export it with theirs")
    absent = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if absent:
        raise ModelError(f"an ONNX file needs {' and '.join(absent)}: pip install 'vidsr[onnx]'")
    check_writable(path, overwrite)
    partial = partial_of(path)
    with storage_errors(path):
        try:
            _write(model, partial)
            difference = _difference(model.network, partial, model.window) if find_spec("onnxruntime") else None
            if difference is not None and not difference <= TOLERANCE:
                raise OutputError(f"{path} was not written: it differs from torch by {difference:.2g}")
            fsync_rename(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    return difference


def _clip(window: int, batch: int, height: int, width: int) -> Tensor:
    """A clip of which no two values are alike, and which is the same every time."""
    numbers = torch.Generator().manual_seed(batch * height * width)
    return torch.rand(batch, window, 3, height, width, generator=numbers)


def _write(model: Model, path: Path) -> None:
    import onnx

    moving = {0: torch.export.Dim("batch"), 3: torch.export.Dim("height"), 4: torch.export.Dim("width")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about its own future
        made = torch.onnx.export(
            model.network,
            (_clip(model.window, *SIZES[1]),),
            input_names=[CLIP],
            output_names=[RESTORED],
            dynamo=True,
            dynamic_shapes=(moving,),
            verbose=False,
        )
    if made is None:
        raise ModelError("this torch gives no ONNX program; install torch 2.5 or newer")
    file, card = made.model_proto, model.card
    facts = {
        "model": model.name,
        "sha256": model.sha256,
        "scale": str(SCALE),
        "window": str(card.window),
        "input": "RGB in 0..1: batch, neighbouring frames of one aligned face, 3, height, width",
        "output": f"RGB: batch, 3, {SCALE} * height, {SCALE} * width, of the middle frame",
        "architecture": card.architecture,
        "stage": card.stage,
        "licence": card.licence,
        "data": card.data,
    }
    onnx.helper.set_model_props(file, facts)
    file.producer_name, file.producer_version = "vidsr", __version__
    onnx.checker.check_model(file)
    onnx.save(file, str(path))


def _difference(network: nn.Module, path: Path, window: int) -> float:
    """The largest difference between the file, run by onnxruntime, and torch."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst = 0.0
    for size in SIZES:
        clip = _clip(window, *size)
        with torch.inference_mode():
            wanted = network(clip)
        found = torch.from_numpy(session.run([RESTORED], {CLIP: clip.numpy()})[0])
        worst = max(worst, float((found - wanted).abs().max()))
    return worst
