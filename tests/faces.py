"""Material for tests that needs no data: a public-domain face, frames and tracks made from it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from skimage.data import astronaut

from vidsr.color import Color
from vidsr.frame import Frame, PixelFormat, Track
from vidsr.networks.transfer import Transfer
from vidsr.restore.blend import Restored, differences, fineness, masks, merged, patches, shown
from vidsr.restore.crop import CropPath, Cut, Planes, cut
from vidsr.restore.quality import measured
from vidsr.restore.quality_totals import Quality
from vidsr.restore.resample import reduced

YUV420 = PixelFormat("yuv420p", 8, 1, 1)
FACE = (222.0, 108.0)
"""Middle of the face in the portrait, pixels; it is about 108 pixels high."""


@lru_cache(maxsize=1)
def portrait() -> NDArray[np.uint8]:
    """NASA's portrait of Eileen Collins, `(512, 512, 3)` RGB."""
    return np.asarray(astronaut(), np.uint8)


def planes(scale: int = 1, pixels: PixelFormat = YUV420, full_range: bool = False, left: bool = True) -> Planes:
    return Planes(pixels, Color("bt601", full_range, pixels.depth), left, scale)


def frame_of(rgb: NDArray[np.uint8], index: int = 0, pixels: PixelFormat = YUV420) -> Frame:
    """An RGB picture as a frame of BT.601 planes; chroma by area, so sited in the middle."""
    color = Color("bt601", False, pixels.depth)
    flat = rgb.reshape(-1, 3).astype(np.float64) / 255
    yuv = flat @ color.to_yuv.double().numpy().T + color.offset.double().numpy()
    image = yuv.reshape(rgb.shape)
    rows, columns = pixels.chroma_shape(*rgb.shape[:2])
    chroma = [cv2.resize(image[..., i], (columns, rows), interpolation=cv2.INTER_AREA) for i in (1, 2)]

    def whole(plane: NDArray[np.float64]) -> NDArray[np.uint8]:
        return np.clip(np.rint(plane), 0, pixels.peak).astype(pixels.dtype)

    return Frame(index, index, whole(image[..., 0]), np.stack([whole(plane) for plane in chroma]))


def track_of(
    frames: int, middle: tuple[float, float], window: float, first: int = 0, ident: int = 1, angle: float = 0.0
) -> Track:
    """A still face whose upright window of `window` pixels has this middle."""
    cos, sin = np.cos(angle) / window, np.sin(angle) / window
    turn = np.array([[cos, -sin], [sin, cos]])
    matrix = np.column_stack([turn, np.array([0.5, 0.5]) - turn @ np.array(middle)]).astype(np.float32)
    x, y = middle
    box = np.array([x - window / 4, y - window / 3, x + window / 4, y + window / 3], np.float32)
    ones = np.ones(frames, np.float32)
    return Track(
        ident, first, np.zeros((frames, 5, 2), np.float32), np.repeat(box[None], frames, 0), ones,
        np.ones(frames, bool), np.repeat(matrix[None], frames, 0), ones,
    )  # fmt: skip


def crop(frame: Frame, track: Track, planes: Planes) -> Cut:
    """Cut the face of `track` out of `frame`."""
    way = CropPath(track, frame.luma.shape, planes)
    return cut(frame, track.id, way.place(frame.index, way.side(frame.index)), planes)


def pictures(face: Restored) -> tuple[torch.Tensor, torch.Tensor]:
    """What is shown of one face, `(1, 4, h, w)`, and its outline."""
    inside = masks(torch.from_numpy(face.cut.to_unit)[None], face.cut.place.side, face.fine)
    return shown(face.residual[None], inside, face.fine), inside


def blend(frame: Frame, faces: Sequence[Restored], planes: Planes) -> Frame:
    """`merged` for faces that are at hand, one by one."""
    found = []
    for given in faces:
        few = reduced(given.residual, given.fine // fineness(given.cut.place, planes))
        face = Restored(given.cut, few, given.weight)
        luma, chroma = differences(pictures(face)[0], [face], planes, Transfer(face.residual.device))
        found.append(patches(face.cut.place, luma[0].numpy(), chroma[0].numpy(), frame, planes))
    return merged(frame, found, planes)


def quality(face: Restored) -> Quality:
    """Judge one restored face that is at hand."""
    rgb = torch.from_numpy(face.cut.rgb.transpose(2, 0, 1)[None])
    found = measured(pictures(face)[0], rgb, torch.tensor([face.weight]), pictures(face)[1])[0]
    return Quality(*found.tolist())
