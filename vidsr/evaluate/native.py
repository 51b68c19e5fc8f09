"""The network alone on the film's own pixels: what is to be had if nothing on the way to it and back loses anything.

A window of whole pixels covers the face; neighbouring frames are cut at the same place. Luma is read as decoded, chroma
enlarged once from its site. What the network adds lies on the film's grid times 4.

Cutting neighbours along the face's path, by whole pixels, gains less with the models of today: on eight clips in H.264
+1.20, +0.71 and +0.37 dB over bicubic at crf 1, 18 and 28, not +1.25, +0.74 and +0.37.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidsr.color import Color, rgb_from, yuv_difference
from vidsr.evaluate.scene import Picture, Poor, Scene
from vidsr.frame import Floats, Frame
from vidsr.network import SCALE, added, enlarge

MULTIPLE, AROUND = 16, 8
"""Pixels: of the window's side, and at least around the face."""
TO_CHROMA = np.array([[0.5, 0, 0], [0, 0.5, -0.25]])
"""From luma's pixels to samples of 4:2:0 that lie left of the middle, centres at whole numbers."""


@dataclass(frozen=True)
class Grid:
    """A poor film as the network sees it, `rgb (n, 3, h, w)` in 0..1, and the plain enlargement of its measured frames,
    `luma (m, H, W)` in samples and `large (m, 3, H, W)` in 0..1; at scale 1 these are the frames as decoded."""

    rgb: Tensor
    luma: Tensor
    large: Tensor
    color: Color


def grid(at: Scene, film: Poor) -> Grid:
    """The frames of a scene's poor film, which is in 4:2:0."""
    color = Color(film.film.matrix, film.film.full_range, film.film.pixels.depth)
    samples = torch.from_numpy(np.stack([_samples(frame) for frame in film.frames]))
    rgb, measured = rgb_from(samples, color), slice(*at.span)
    luma, large = samples[measured, :1], rgb[measured]
    if at.scale != 1:
        luma, large = enlarge(luma), enlarge(large)
    return Grid(rgb, luma[:, 0], large, color)


def _samples(frame: Frame) -> Floats:
    """Y, U and V `(3, h, w)` on luma's grid."""
    height, width = frame.luma.shape
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    chroma = [
        cv2.warpAffine(
            plane.astype(np.float32), TO_CHROMA, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        for plane in frame.chroma
    ]
    return np.stack([frame.luma, *chroma]).astype(np.float32)


def plain(there: Grid) -> list[Picture]:
    """The measured frames enlarged by bicubic, which gains are counted from."""
    return [_picture(*pair) for pair in zip(there.luma, there.large, strict=True)]


def alone(at: Scene, there: Grid, network: nn.Module) -> list[Picture]:
    """The measured frames with what the network adds in a window around the face, and nothing else done to it."""
    side, corners = windows(at)
    found = []
    with torch.inference_mode():
        for n, (corner, index) in enumerate(zip(corners, range(*at.span), strict=True)):
            new = added(network, _clip(there, network, index, corner, side))
            new = new if at.scale == SCALE else F.avg_pool2d(new, SCALE // at.scale)
            luma, large = there.luma[n].clone(), there.large[n].clone()
            x, y = (place * at.scale for place in corner)
            _add(luma[None], yuv_difference(new, there.color)[0, :1], x, y)
            _add(large, new[0], x, y)
            found.append(_picture(luma, large))
    return found


def windows(at: Scene) -> tuple[int, list[tuple[int, int]]]:
    """The side of the face's window, and its corner x y in each measured frame, pixels of the poor film."""
    boxes = at.face.boxes[at.places].astype(np.float64) / at.scale
    longest = float((boxes[:, 2:] - boxes[:, :2]).max())
    side = int(np.ceil((longest + 2 * AROUND) / MULTIPLE)) * MULTIPLE
    corners = np.rint((boxes[:, :2] + boxes[:, 2:] - side) / 2).astype(int)
    return side, [(int(x), int(y)) for x, y in corners]


def _clip(there: Grid, network: nn.Module, index: int, corner: tuple[int, int], side: int) -> Tensor:
    """The network's window of frames at one place `(1, T, 3, side, side)`; beyond an edge, what is nearest stands."""
    (x, y), (height, width) = corner, there.rgb.shape[-2:]
    assert isinstance(network.window, int)
    near = torch.arange(network.window) - network.window // 2 + index
    rows, columns = torch.arange(y, y + side).clamp(0, height - 1), torch.arange(x, x + side).clamp(0, width - 1)
    frames = there.rgb[near.clamp(0, len(there.rgb) - 1)]
    return frames[:, :, rows][:, :, :, columns][None]


def _add(picture: Tensor, difference: Tensor, x: int, y: int) -> None:
    """Add `(C, s, t)` to the part of `(C, h, w)` whose corner is at x y; what lies outside is dropped."""
    height, width = picture.shape[-2:]
    rows, columns = difference.shape[-2:]
    top, left = max(0, y), max(0, x)
    bottom, right = min(height, y + rows), min(width, x + columns)
    picture[:, top:bottom, left:right] += difference[:, top - y : bottom - y, left - x : right - x]


def _picture(luma: Tensor, rgb: Tensor) -> Picture:
    whole = (rgb.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0)
    return Picture(luma.round().clamp(0, 255).numpy(), whole.numpy())
