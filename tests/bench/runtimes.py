"""What else could run the network on a CPU: time, start and loss of each, alternately in one process.

    python -m tests.bench.runtimes FACES [CALIBRATION] [--faces N] [--runs N] [--threads N] [--compile]

FACES holds sharp aligned faces of 256 pixels; those of CALIBRATION, which must be others, give onnxruntime.quantization
the ranges of its int8 (per output channel, in the convolutions). OpenVINO runs the same file. What is not installed is
named and left out. Ratios are over torch in fp32; "loss" is PSNR-Y, 64 -> 256, below fp32's, mean and worst. "start" is
load and first call, when torch and the model are there; imports are told before. torch.compile needs a C++ compiler.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

from vidsr.data import degradation
from vidsr.data.faces import Images, load_stills
from vidsr.evaluate import metrics
from vidsr.evaluate.stills import reduced
from vidsr.networks import model_file
from vidsr.networks.generator import SCALE, Vidsr, enlarge
from vidsr.networks.model_file import Model
from vidsr.restore.restorer import Restorer

CALLS = ((32, 1), (32, 4), (32, 16), (64, 1), (64, 4), (64, 16), (128, 1), (128, 4))
"""Sides and batches; the last of each side is what a render calls the network with."""
CPU = torch.device("cpu")
CLIP, ADDED = "clip", "added"
Run = Callable[[Tensor], Tensor]


class Bare(nn.Module):
    """What the network adds, `(B, 3T, h, w) -> (B, 3, 4h, 4w)`: what is exported."""

    def __init__(self, network: Vidsr) -> None:
        super().__init__()
        self.network = network

    def forward(self, flat: Tensor) -> Tensor:
        return self.network.added(flat.unflatten(1, (self.network.window, 3)))


def exported(model: Model, path: Path) -> Path:
    """The network as ONNX, any batch and size."""
    assert isinstance(model.network, Vidsr)
    dims = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height"), 3: torch.export.Dim("width")}
    example = torch.rand(2, 3 * model.window, 32, 40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = torch.onnx.export(Bare(model.network), (example,), input_names=[CLIP], output_names=[ADDED],
                                 dynamo=True, dynamic_shapes=(dims,), verbose=False)  # fmt: skip
    assert made is not None
    made.save(str(path))
    return path


def eighths(path: Path, window: int, faces: Sequence[Images]) -> Path:
    """The same file with its convolutions in int8, by onnxruntime's own tools."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(faces)

        def get_next(self) -> dict[str, Images] | None:
            face = next(self._left, None)
            return None if face is None else {CLIP: clip_of(face, window).flatten(1, 2).numpy()}

    whole, small = path.with_suffix(".whole.onnx"), path.with_suffix(".int8.onnx")
    quant_pre_process(str(path), str(whole), skip_symbolic_shape=True)
    quantize_static(str(whole), str(small), Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                    op_types_to_quantize=["Conv"])  # fmt: skip
    return small


def by_onnxruntime(path: Path, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda clip: torch.from_numpy(session.run([ADDED], {CLIP: clip.flatten(1, 2).numpy()})[0])


def by_openvino(path: Path, threads: int, **hints: str) -> Run:
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", **hints}
    net = core.compile_model(core.read_model(str(path)), "CPU", settings)
    return lambda clip: torch.from_numpy(net([clip.flatten(1, 2).numpy()])[0].copy())


def by_torch(model: Model, dtype: torch.dtype) -> Run:
    return Restorer(model, CPU, dtype).added


def compiled(model: Model) -> Run:
    assert isinstance(model.network, Vidsr)
    network = torch.compile(Bare(deepcopy(model.network)).to(torch.bfloat16).to(memory_format=torch.channels_last))

    def run(clip: Tensor) -> Tensor:
        with torch.inference_mode():
            made: Tensor = network(clip.flatten(1, 2).bfloat16()).float()
            return made

    return run


def ways(
    model: Model, folder: Path, calibration: Sequence[Images], threads: int
) -> Iterator[tuple[str, Callable[[], Run]]]:
    """Each runtime by name, and what starts it; names what is absent."""
    yield "torch fp32", lambda: by_torch(model, torch.float32)
    yield "torch bf16", lambda: by_torch(model, torch.bfloat16)
    absent = []
    for name in ("onnxruntime", "openvino", "onnx", "onnxscript"):
        if find_spec(name) is None:
            absent.append(name)
            print(f"{name} is not installed: what needs it is left out", flush=True)
            continue
        began = time.perf_counter()
        import_module(name)
        print(f"import {name}: {time.perf_counter() - began:.2f} s", flush=True)
    if {"onnx", "onnxscript"} & set(absent):
        return
    whole = exported(model, folder / "added.onnx")
    there = "onnxruntime" not in absent
    small = eighths(whole, model.window, calibration) if there and calibration else None
    if there:
        yield "onnxruntime fp32", lambda: by_onnxruntime(whole, threads)
        if small is not None:
            yield "onnxruntime int8", lambda: by_onnxruntime(small, threads)
    if "openvino" not in absent:
        yield "OpenVINO fp32", lambda: by_openvino(whole, threads, INFERENCE_PRECISION_HINT="f32")
        yield "OpenVINO bf16", lambda: by_openvino(whole, threads)
        if small is not None:
            yield "OpenVINO int8", lambda: by_openvino(small, threads, INFERENCE_PRECISION_HINT="f32")


def clip_of(face: Images, window: int) -> Tensor:
    """A face, reduced by 4, in every frame of a window."""
    return degradation.as_tensor(reduced(face)[None, None]).expand(-1, window, -1, -1, -1)


def psnr(run: Run, window: int, faces: Sequence[Images]) -> list[float]:
    """PSNR-Y of each face, dB."""
    found = []
    for face in faces:
        clip = clip_of(face, window)
        rgb = (enlarge(clip[:, 0]) + run(clip))[0].clamp(0, 1)
        shown = (rgb * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        found.append(metrics.psnr_y(np.asarray(shown), face))
    return found


def times(runs: dict[str, Run], clips: Tensor, count: int) -> dict[str, float]:
    """Milliseconds a face: the median of some rounds in which each has its turn."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(count + 1):
        for name, run in runs.items():
            began = time.perf_counter()
            run(clips)
            if turn:
                found[name].append(1000 * (time.perf_counter() - began) / len(clips))
    return {name: median(each) for name, each in found.items()}


def started(begin: Callable[[], Run], window: int) -> tuple[Run, float]:
    """A runtime, and the seconds from its import to its first result."""
    began = time.perf_counter()
    run = begin()
    found = run(torch.rand(1, window, 3, 64, 64))
    assert found.shape == (1, 3, 64 * SCALE, 64 * SCALE)
    return run, time.perf_counter() - began


def some(folder: Path, count: int) -> list[Images]:
    faces = load_stills(folder)[0]
    return [faces[int(index)] for index in np.linspace(0, len(faces) - 1, min(count, len(faces)))]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("faces_at", type=Path, metavar="FACES")
    parser.add_argument("calibration", type=Path, nargs="?")
    parser.add_argument("--faces", type=int, default=50)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    model = model_file.open_model("vidsr_x4", None)
    faces = some(given.faces_at, given.faces)
    calibration = some(given.calibration, 40) if given.calibration else []
    runs: dict[str, Run] = {}
    exact: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        begins = dict(ways(model, Path(folder), calibration, given.threads))
        if given.compile:
            begins["torch.compile bf16"] = lambda: compiled(model)
        for name, begin in begins.items():
            runs[name], start = started(begin, model.window)
            found = psnr(runs[name], model.window, faces)
            exact = exact or found
            lost = np.subtract(exact, found)
            print(f"{name:20} start {start:5.2f} s, loss {lost.mean():+.4f} dB, worst {lost.max():+.4f}", flush=True)
        for side, batch in CALLS:
            found_ms = times(runs, torch.rand(batch, model.window, 3, side, side), given.runs)
            base = found_ms["torch fp32"]
            print(f"crop {side}, batch {batch}: torch fp32 {base:.2f} ms a face", flush=True)
            print("  " + ", ".join(f"{name} x{base / one:.2f}" for name, one in found_ms.items()), flush=True)


if __name__ == "__main__":
    main()
