"""What a camera and a codec do to a sharp face: from truth to the network's input, seeded."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import ffmpeg
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vidsr.data.faces import Images, Rng
from vidsr.errors import ToolError
from vidsr.networks.generator import SCALE
from vidsr.video.process import tool


def bicubic(truth: Tensor) -> Tensor:
    """Pillow's bicubic reduction by 4, rounded to 8 bits: `(N, 3, 4h, 4w) -> (N, 3, h, w)`, 0..1."""
    small = F.interpolate(truth, scale_factor=1 / SCALE, mode="bicubic", antialias=True)
    return (small.clamp(0, 1) * 255).round() / 255


def camera_path(rng: Rng, frames: int, reach: float) -> NDArray[np.float32]:
    """A smooth random walk `(frames, 2)` in pixels that is at the origin in the middle frame."""
    velocity = rng.normal(0, reach / 4, 2)
    shake = np.cumsum(rng.normal(0, reach / 8, (frames, 2)), axis=0)
    path = np.arange(frames)[:, None] * velocity + shake
    return np.asarray(np.clip(path - path[frames // 2], -reach, reach), np.float32)


@dataclass(frozen=True)
class CameraParams:
    """Strengths drawn for one clip: one lens, one exposure, one sensor, one place of the camera."""

    blur: tuple[float, float]  # standard deviations along two axes, pixels of the truth
    smear: float  # longest motion blur of a frame, pixels of the truth
    turn: float  # angle of both, radians
    reduction: str  # a key of REDUCTIONS
    noise: float  # of the luma, 0..1
    jpeg: int  # quality of each frame, 0 for none
    pose: NDArray[np.float32] | None  # (2, 3): the camera's place; undone after the codec, as the crop does


REDUCTIONS = {"bicubic": 0.5, "area": 0.2, "lanczos": 0.15, "linear": 0.15}
"""How pictures are made smaller, and how often; all but area and linear as Pillow does, with a filter of full width."""


def draw_film(rng: Rng, side: int) -> CameraParams:
    """Draw the strengths of one clip of `side` pixels; half of all clips are sharp, half without noise."""
    wide = float(rng.uniform(0.4, 2.2)) if rng.random() < 0.4 else 0.0
    return CameraParams(
        blur=(wide, wide * (1.0 if rng.random() < 0.5 else float(rng.uniform(0.4, 1.0)))),
        smear=float(rng.uniform(2, 9)) if rng.random() < 0.1 else 0.0,
        turn=float(rng.uniform(0, np.pi)),
        reduction=str(rng.choice(list(REDUCTIONS), p=list(REDUCTIONS.values()))),
        noise=float(rng.uniform(0.0, 0.03)) if rng.random() < 0.4 else 0.0,
        jpeg=int(rng.integers(40, 95)) if rng.random() < 0.1 else 0,
        pose=draw_pose(rng, side) if rng.random() < 0.5 else None,
    )


def draw_pose(rng: Rng, side: int) -> NDArray[np.float32]:
    """A place of the camera `(2, 3)`: turned a little, up to a fifth farther away."""
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), float(rng.uniform(-8, 8)), float(rng.uniform(0.82, 1.0)))
    shift = np.column_stack([np.zeros((2, 2)), rng.uniform(-SCALE, SCALE, 2)])
    return np.asarray(turn + shift, np.float32)


def _kernel(film: CameraParams, smear: float) -> NDArray[np.float32]:
    """The lens and the exposure of a frame as one kernel of 15 x 15 that sums to 1."""
    y, x = np.mgrid[-7:8, -7:8].astype(np.float32)
    cos, sin = np.cos(film.turn), np.sin(film.turn)
    along, across = cos * x + sin * y, cos * y - sin * x
    long, wide = max(film.blur[0], 0.3), max(film.blur[1], 0.3)
    beyond = np.maximum(np.abs(along) - smear / 2, 0)
    kernel = np.exp(-0.5 * ((beyond / long) ** 2 + (across / wide) ** 2))
    return np.asarray(kernel / kernel.sum(), np.float32)


def _reduced(image: Images, reduction: str) -> Images:
    """One frame `(4h, 4w, 3)` made smaller by 4."""
    height, width = image.shape[0] // SCALE, image.shape[1] // SCALE
    if reduction == "area":
        return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    if reduction == "linear":  # looks at two neighbours only: the lens must have filtered before
        soft = cv2.GaussianBlur(image, (0, 0), 1.2)
        return np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    kind = Image.Resampling.BICUBIC if reduction == "bicubic" else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(image).resize((width, height), kind))


def _sensed(image: Images, film: CameraParams, rng: Rng) -> Images:
    """Sensor noise, fresh in every frame, and JPEG."""
    if film.noise:
        gray = rng.normal(0, film.noise * 255, (*image.shape[:2], 1))
        color = rng.normal(0, film.noise * 128, image.shape)
        image = np.clip(np.rint(image + gray + color), 0, 255).astype(np.uint8)
    if film.jpeg:
        coded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, film.jpeg])[1]
        image = np.ascontiguousarray(np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])
    return image


def _warped(image: Images, matrix: NDArray[np.floating]) -> Images:
    size = image.shape[1::-1]
    return np.asarray(
        cv2.warpAffine(image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT), np.uint8
    )


def filmed(clip: Images, film: CameraParams, rng: Rng) -> Images:
    """Film a sharp clip `(T, 4h, 4w, 3)` uint8: `(T, h, w, 3)`, before any codec.

    The lens and the camera's place stay; each frame has noise of its own, and as much motion blur as the camera shook.
    """
    frames = []
    for image in clip:
        if film.pose is not None:
            image = _warped(image, film.pose)
        if film.blur[0] or film.smear:
            smear = film.smear * float(rng.uniform(0.4, 1.0))
            image = cv2.filter2D(image, -1, _kernel(film, smear), borderType=cv2.BORDER_REFLECT)
        frames.append(_sensed(_reduced(np.asarray(image, np.uint8), film.reduction), film, rng))
    return np.stack(frames)


def upright(clip: Images, film: CameraParams) -> Images:
    """Undo the camera's place in a filmed clip `(T, h, w, 3)`, by bicubic sampling as the crops of a film are made."""
    if film.pose is None:
        return clip
    half = 0.5 / SCALE - 0.5  # centres of pixels lie at .5 in both grids
    small = film.pose.astype(np.float64).copy()
    small[:, 2] = small[:, 2] / SCALE + half - small[:, :2] @ np.array([half, half])
    back = cv2.invertAffineTransform(small)
    return np.stack([_warped(frame, back) for frame in clip])


def h264(frames: Images, crf: int, preset: str) -> Images:
    """Code `(T, H, W, 3)` RGB as H.264 4:2:0 at quality `crf` and x264's `preset`, and decode it again; H, W even."""
    _, height, width, _ = frames.shape
    raw = {"format": "rawvideo", "pix_fmt": "rgb24", "video_size": (width, height), "framerate": 25}
    coded = {"format": "nut", "vcodec": "libx264", "crf": crf, "preset": preset, "pix_fmt": "yuv420p"}
    plain = {"format": "rawvideo", "pix_fmt": "rgb24", "sws_flags": "bicubic+accurate_rnd+full_chroma_int"}
    stream = _run(ffmpeg.input("pipe:", **raw).output("pipe:", **coded), np.ascontiguousarray(frames).tobytes())
    decoded = _run(ffmpeg.input("pipe:", format="nut").output("pipe:", **plain), stream)
    return np.frombuffer(decoded, np.uint8).reshape(frames.shape)


def _run(graph: ffmpeg.nodes.OutputStream, data: bytes) -> bytes:
    try:
        output: bytes = graph.run(cmd=tool("ffmpeg"), input=data, capture_stdout=True, quiet=True)[0]
    except ffmpeg.Error as error:
        raise ToolError("ffmpeg could not code training frames", error.stderr.decode(errors="replace")) from error
    return output


def moved(face: Images, frames: int, reach: int, rng: Rng) -> Images:
    """Let a sharp face `(s, s, 3)` drift by whole pixels, up to `reach`: `(frames, s, s, 3)`, nothing resampled.

    It is at its own place in the middle frame; beyond its edges it is mirrored.
    """
    if reach == 0:
        return np.repeat(face[None], frames, axis=0)
    side = face.shape[0]
    padded = np.pad(face, ((reach, reach), (reach, reach), (0, 0)), "reflect")
    path = np.rint(camera_path(rng, frames, reach)).astype(int) + reach
    return np.stack([padded[dy : dy + side, dx : dx + side] for dx, dy in path])


def mosaic(tiles: Images, columns: int) -> Images:
    """Lay faces `(N, h, w, 3)` out as one picture, `columns` a row; N must be a multiple of `columns`."""
    n, h, w, _ = tiles.shape
    grid = tiles.reshape(n // columns, columns, h, w, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(grid.reshape(n // columns * h, columns * w, 3))


def unmosaic(picture: Images, columns: int, height: int, width: int) -> Images:
    """Cut a mosaic into its faces again: `(N, height, width, 3)`."""
    rows = picture.shape[0] // height
    grid = picture.reshape(rows, height, columns, width, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(grid.reshape(rows * columns, height, width, 3))


def as_tensor(images: Images) -> Tensor:
    """`(..., h, w, 3)` uint8 -> `(..., 3, h, w)` float32 in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, -3))).float() / 255
