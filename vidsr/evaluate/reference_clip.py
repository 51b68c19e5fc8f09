"""A sharp clip as a ruler: the truth, the film that a quarter of it makes, and that film's degraded copies.

Frames come from the clip's middle, behind a lead-in that is coded with them: the first frames of a coded film, which
begin with an I frame, are better than the others. The truth is first reduced until the face is FACE pixels high, as a
soft truth punishes whoever sharpens.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidsr.analysis.tracks_file import Analysis
from vidsr.config import Enhance, Ruler
from vidsr.data.faces import Images
from vidsr.errors import InputError
from vidsr.evaluate.degraded_copy import Coding, coded_copy, cut_copy, reduced_copy
from vidsr.frame import Floats, Frame, Track
from vidsr.jobs import passes
from vidsr.jobs.events import Meter
from vidsr.jobs.passes import promised_frames
from vidsr.networks.generator import SCALE
from vidsr.picture import small_rgb
from vidsr.video import Film, Reader, probe

FACE = 256  # pixels: height of the truth's face; a smaller one stays as it is
LEAD, TAIL = 24, 12
"""Frames before and after the measured ones: codec, network and averaging over time look at them."""
MARGIN = 0.25  # of the face's union box, around the region in which landmarks and flow are found


@dataclass(frozen=True)
class Picture:
    """A frame as it is judged: `luma (h, w)` in the film's 8-bit samples, studio range; `rgb (h, w, 3)` uint8."""

    luma: Floats
    rgb: Images


@dataclass(frozen=True)
class Scene:
    """A clip to be compared on: the truth's measured frames, and the lossless `film` of which degraded copies are made.

    `face` lies in the truth's pixels; its frames are numbered as those of `film`, of which those in `span` are
    measured. The truth is `scale` times as large as `film`.
    """

    name: str
    film: Film
    truths: list[Picture]
    face: Track
    span: tuple[int, int]
    scale: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the truth."""
        height, width = self.truths[0].luma.shape
        return height, width

    @property
    def places(self) -> list[int]:
        """The face's own numbers of the measured frames."""
        return [index - self.face.first for index in range(*self.span)]

    def landmarks(self, n: int) -> Floats:
        """Those of the face `(5, 2)` in the measured frame `n`, counted from 0."""
        return np.asarray(self.face.landmarks[self.places[n]], np.float32)

    @cached_property
    def boxes(self) -> list[tuple[slice, slice]]:
        """Rows and columns of the face in each measured frame."""
        return [_rectangle(self.face.boxes[n], self.size) for n in self.places]

    @cached_property
    def masks(self) -> list[NDArray[np.bool_]]:
        """In each measured frame the face: the ellipse in its box, `(h, w)`."""
        return [_ellipse(self.face.boxes[n], self.size) for n in self.places]

    @cached_property
    def region(self) -> tuple[slice, slice]:
        """Rows and columns around the face in all measured frames."""
        boxes = self.face.boxes[self.places]
        low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
        reach = MARGIN * (high - low)
        return _rectangle(np.concatenate([low - reach, high + reach]), self.size)


def _rectangle(box: Floats, size: tuple[int, int]) -> tuple[slice, slice]:
    height, width = size
    x0, y0, x1, y1 = np.clip(np.rint(box), 0, [width, height] * 2).astype(int).tolist()
    return slice(y0, y1), slice(x0, x1)


def _ellipse(box: Floats, size: tuple[int, int]) -> NDArray[np.bool_]:
    y, x = np.ogrid[: size[0], : size[1]]
    centre, radii = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    return np.asarray(np.hypot((x + 0.5 - centre[0]) / radii[0], (y + 0.5 - centre[1]) / radii[1]) < 1)


def pictures(film: Film, frames: Iterable[Frame]) -> list[Picture]:
    """Frames of one film, or of its enlargement, as they are judged."""
    return [
        Picture(np.asarray(frame.luma, np.float32), small_rgb(frame, film, max(frame.luma.shape))) for frame in frames
    ]


def scene(path: Path, folder: Path, ruler: Ruler) -> Scene:
    """Make the truth of a clip and the film to be coded, in `folder`; InputError where no face is large enough."""
    clip = probe(path)
    there = promised_frames(clip) or LEAD + ruler.frames + TAIL
    lead = max(0, min(LEAD, there - ruler.frames - TAIL))
    first = max(0, (there - ruler.frames) // 2 - lead)
    cut_copy(clip, folder / "cut.mkv", first, lead + ruler.frames + TAIL)
    cut = probe(folder / "cut.mkv")
    analysis = passes.analyze_film(cut, Enhance(), Meter())[0]
    span = lead, min(lead + ruler.frames, analysis.frames)
    face = largest(path.name, analysis, span)
    factor = min(1.0, FACE / face.height)
    reduced_copy(cut, folder / "truth.mkv", factor)
    reduced_copy(probe(folder / "truth.mkv"), folder / "film.mkv", 1 / SCALE, 2)
    film = probe(folder / "film.mkv")
    truth = film if ruler.scale == 1 else probe(folder / "truth.mkv")
    face = _resized(face, factor * ruler.scale / SCALE)
    span = max(span[0], face.first), min(span[1], face.stop)
    with Reader(truth, first=span[0], stop=span[1]) as frames:
        return Scene(path.name, film, pictures(truth, frames), face, span, ruler.scale)


def largest(name: str, analysis: Analysis, span: tuple[int, int]) -> Track:
    """The face that is seen most in the measured frames."""

    def seen(track: Track) -> float:
        return max(0, min(track.stop, span[1]) - max(track.first, span[0])) * track.height

    face = max(analysis.tracks, key=seen, default=None)
    if face is None or seen(face) == 0:
        raise InputError(f"{name} shows no face in its middle that is large and long enough to be measured")
    return face


def _resized(face: Track, factor: float) -> Track:
    """A track in the pixels of a picture that is `factor` as large."""
    matrices = face.matrices.copy()
    matrices[:, :, :2] /= factor
    return replace(face, landmarks=face.landmarks * factor, boxes=face.boxes * factor, matrices=matrices)


@dataclass(frozen=True)
class Degraded:
    """A scene's film after its codec: all its decoded frames, and what the analysis finds in it."""

    coding: str
    film: Film
    frames: list[Frame]
    analysis: Analysis


def degraded(at: Scene, coding: Coding, folder: Path) -> Degraded:
    """Code a scene's film, decode it, and analyze it."""
    path = folder / f"{coding.name.replace(' ', '-')}.mkv"
    coded_copy(at.film, path, coding)
    film = replace(probe(path), matrix=at.film.matrix)
    with Reader(film) as frames:
        decoded = list(frames)
    return Degraded(coding.name, film, decoded, passes.analyze_film(film, Enhance(), Meter())[0])
