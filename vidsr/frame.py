"""The values that flow from stage to stage: frozen, checked when made, shapes in every message."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vidsr.picture import Colour, Samples, png, small_rgb

Floats = NDArray[np.float32]

LANDMARKS = 5
"""Left eye, right eye, nose tip, left and right mouth corner, as seen in the picture."""

SHOWN_SIDE = 1280
"""Long side of a frame in a notebook, pixels: a larger one is reduced."""


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)


@dataclass(frozen=True)
class PixelFormat:
    """How ffmpeg stores a planar YUV frame: `name` is ffmpeg's, little-endian above 8 bits.

    `shift_x` and `shift_y` are the base-2 logarithms of the chroma subsampling: (1, 1) is 4:2:0.
    """

    name: str
    depth: int
    shift_x: int
    shift_y: int

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        return np.uint8 if self.depth == 8 else np.uint16

    @property
    def peak(self) -> int:
        """The largest sample value."""
        return (1 << self.depth) - 1

    def chroma_shape(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of each chroma plane; odd sizes round up, as in ffmpeg."""
        return -(-height >> self.shift_y), -(-width >> self.shift_x)

    def frame_bytes(self, height: int, width: int) -> int:
        """Size of one frame in bytes."""
        rows, columns = self.chroma_shape(height, width)
        return (height * width + 2 * rows * columns) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, repr=False)
class Frame:
    """One decoded picture: `luma (H, W)` and `chroma (2, h, w)`, uint8 or uint16, as the decoder gave them.

    `index` counts frames of the film from 0 in presentation order; `pts` is in ticks of the stream's time base.
    `colour` says what the samples mean, where that is known; only what shows a frame to a person asks for it.
    """

    index: int
    pts: int
    luma: Samples
    chroma: Samples
    colour: Colour | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        _check(self.luma.ndim == 2, f"luma must be (H, W), not {self.luma.shape}")
        _check(
            self.chroma.ndim == 3 and self.chroma.shape[0] == 2,
            f"chroma must be (2, h, w), not {self.chroma.shape}",
        )
        _check(
            self.luma.dtype == self.chroma.dtype and self.luma.dtype in (np.uint8, np.uint16),
            f"planes must both be uint8 or uint16, not {self.luma.dtype} and {self.chroma.dtype}",
        )

    def __repr__(self) -> str:
        return (
            f"Frame({self.index}, pts={self.pts}, luma={self.luma.shape} {self.luma.dtype}, chroma={self.chroma.shape})"
        )

    def _repr_png_(self) -> bytes | None:
        """For a notebook: the picture by its film's own matrix and range; None where these are not known."""
        return None if self.colour is None else png(small_rgb(self, self.colour, SHOWN_SIDE))


@dataclass(frozen=True, repr=False)
class Detection:
    """One face in one frame: `box (4,)` x0 y0 x1 y1, `landmarks (5, 2)` x y, pixels of the frame, centres at .5."""

    box: Floats
    landmarks: Floats
    score: float

    def __post_init__(self) -> None:
        _check(self.box.shape == (4,), f"box must be (4,), not {self.box.shape}")
        _check(self.landmarks.shape == (LANDMARKS, 2), f"landmarks must be (5, 2), not {self.landmarks.shape}")

    def __repr__(self) -> str:
        return f"Detection({np.round(self.box, 1).tolist()}, score={self.score:.2f})"


@dataclass(frozen=True, repr=False)
class Track:
    """One face over `n` consecutive frames of one shot, from frame `first`.

    `landmarks (n, 5, 2)` are raw (as seen) and `matrices (n, 2, 3)` steadied: a similarity that maps frame pixels to
    the unit square of the crop template (0..1 in x and y; FFHQ's alignment), so that multiplying its rows by the
    crop's side gives pixels. `boxes (n, 4)`; `score (n,)`; `observed (n,)` is False where the face was bridged, not
    seen; `weight (n,)` in 0..1 is how much of the effect is shown: it fades where the track begins and ends inside a
    shot, and where the face is hidden for a while. `factor`, 1, 2 or 4, is by how much the frame can be reduced there
    without loss of detail (see `detail`).
    """

    id: int
    first: int
    landmarks: Floats
    boxes: Floats
    score: Floats
    observed: NDArray[np.bool_]
    matrices: Floats
    weight: Floats
    factor: int = 1

    def __post_init__(self) -> None:
        n = len(self.landmarks)
        _check(n > 0, "a track has at least one frame")
        shapes = {"landmarks": (n, LANDMARKS, 2), "boxes": (n, 4), "matrices": (n, 2, 3)}
        for name, shape in {**shapes, **dict.fromkeys(("score", "observed", "weight"), (n,))}.items():
            found = getattr(self, name).shape
            _check(found == shape, f"{name} must be {shape}, not {found}")

    def __len__(self) -> int:
        return len(self.landmarks)

    @property
    def stop(self) -> int:
        """The frame after the last."""
        return self.first + len(self)

    def moment(self, first: int, stop: int) -> int:
        """The middle of those frames from `first` to `stop`, in which it must be, where it is shown the most."""
        first, stop = max(self.first, first), min(self.stop, stop)
        weight = self.weight[first - self.first : stop - self.first]
        best = np.flatnonzero(weight == weight.max())
        return first + int(best[len(best) // 2])

    @property
    def height(self) -> float:
        """Median height of the face's box, pixels of the frame."""
        return float(np.median(self.boxes[:, 3] - self.boxes[:, 1]))

    @property
    def window(self) -> float:
        """Median side of the aligned window, pixels of the frame."""
        scale = np.hypot(self.matrices[:, 0, 0], self.matrices[:, 1, 0])
        return float(np.median(1 / scale))

    def __repr__(self) -> str:
        return f"Track({self.id}, frames {self.first}..{self.stop - 1}, {self.height:.0f} px high)"
