"""The network alone on the film's own pixels: what is to be had if nothing on the way to it and back loses anything.

A window of whole pixels covers the face; neighbouring frames are cut at the same place and warped to the middle one as
the pipeline does it. What the network makes lies on the film's grid times 4, and at scale 1 is reduced by bicubic: no
mask, no averaging over time, no agreement.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vidsr.color import Color, yuv_difference
from vidsr.evaluate.reference_clip import Degraded, Picture, Scene
from vidsr.frame import Floats, Frame
from vidsr.networks.generator import SCALE, added, enlarge
from vidsr.networks.model_file import Model
from vidsr.restore.blend import base_delta
from vidsr.restore.crop import Place, Planes, cut, window
from vidsr.restore.resample import narrowed

MULTIPLE, AROUND = 16, 8
"""Pixels: of the window's side, and at least around the face."""


@dataclass(frozen=True)
class Grid:
    """A degraded film's frames, and the plain enlargement of the measured ones: `luma (m, H, W)` in samples, `large
    (m, 3, H, W)` in 0..1; at scale 1 these are the frames as decoded."""

    frames: list[Frame]
    luma: Tensor
    large: Tensor
    planes: Planes


def grid(at: Scene, film: Degraded) -> Grid:
    """The frames of a scene's degraded film."""
    planes = Planes(film.film.pixels, Color(film.film.matrix, film.film.full_range, film.film.pixels.depth), True)
    measured = film.frames[slice(*at.span)]
    luma = torch.from_numpy(np.stack([frame.luma[None].astype(np.float32) for frame in measured]))
    large = torch.from_numpy(np.stack([_rgb(frame, planes) for frame in measured]))
    if at.scale != 1:
        luma, large = enlarge(luma), enlarge(large)
    return Grid(film.frames, luma[:, 0], large, planes)


def _rgb(frame: Frame, planes: Planes) -> Floats:
    """A whole frame `(3, h, w)`, made RGB as crops are."""
    height, width = frame.luma.shape
    side = max(height, width) + max(height, width) % 2
    whole = cut(frame, 0, Place(0, 0, side, 1, 0, np.eye(2, 3, dtype=np.float32)), planes)
    return np.ascontiguousarray(whole.rgb[:height, :width].transpose(2, 0, 1))


def plain(there: Grid) -> list[Picture]:
    """The measured frames enlarged by bicubic, which gains are counted from."""
    return [_picture(*pair) for pair in zip(there.luma, there.large, strict=True)]


def alone(at: Scene, there: Grid, model: Model) -> list[Picture]:
    """The measured frames with what the network adds in a window around the face, and nothing else done to it."""
    side, corners = windows(at)
    found = []
    for n, (corner, index) in enumerate(zip(corners, range(*at.span), strict=True)):
        with torch.inference_mode():
            clip = _clip(there, model, index, Place(*corner, side, 1, 0, np.eye(2, 3, dtype="f")))
            new = narrowed(added(model.network, clip), SCALE // at.scale)
            if at.scale != SCALE:
                new += base_delta(clip[:, model.window // 2], at.scale)
        luma, large = there.luma[n].clone(), there.large[n].clone()
        x, y = (place * at.scale for place in corner)
        _add(luma[None], yuv_difference(new, there.planes.color)[0, :1], x, y)
        _add(large, new[0], x, y)
        found.append(_picture(luma, large))
    return found


def windows(at: Scene) -> tuple[int, list[tuple[int, int]]]:
    """The side of the face's window, and its even corner x y in each measured frame, pixels of the degraded film."""
    boxes = at.face.boxes[at.places].astype(np.float64) / at.scale
    longest = float((boxes[:, 2:] - boxes[:, :2]).max())
    side = int(np.ceil((longest + 2 * AROUND) / MULTIPLE)) * MULTIPLE
    corners = 2 * np.rint((boxes[:, :2] + boxes[:, 2:] - side) / 4).astype(int)
    return side, [(int(x), int(y)) for x, y in corners]


def _clip(there: Grid, model: Model, index: int, place: Place) -> Tensor:
    """The network's window of frames at one place `(1, T, 3, side, side)`; beyond an edge, what is nearest stands."""
    near = (min(max(index + step, 0), len(there.frames) - 1) for step in model.card.frames)
    cuts = [cut(there.frames[other], 0, place, there.planes) for other in near]
    return torch.from_numpy(window(cuts[model.window // 2], cuts)[None])


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
