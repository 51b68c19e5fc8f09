"""Models on real film: degraded, enhanced, and compared with the sharp film inside the faces.

A sharp clip's middle is reduced by 4 (bicubic) and coded, once for each coding. Its largest face is shown in several
ways, measured at the same places: enlarged by bicubic (`plain`); by the whole pipeline, as its frames reach the encoder
(`pipeline`); by the same without what steadies (`frame by frame`); and by the network alone on the film's own pixels
(`network`), so that the difference is what the pipeline loses. `scene.py` says which frames, of which size.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vidsr.analysis.alignment import similarity
from vidsr.config import Encode, Enhance, Render, Ruler
from vidsr.data.faces import Images
from vidsr.evaluate import metrics, motion, native
from vidsr.evaluate.degraded_copy import USUAL, Coding
from vidsr.evaluate.reference_clip import Degraded, Picture, Scene, degraded, pictures, scene
from vidsr.evaluate.stills import Metrics
from vidsr.frame import Floats
from vidsr.jobs import passes
from vidsr.jobs.events import Meter
from vidsr.jobs.plan import plan
from vidsr.networks.generator import Alone
from vidsr.networks.model_file import Model

SIDE = 128  # of the aligned face whose flicker is measured
RECOGNISER: Floats = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)
"""Where eyes, nose and mouth corners lie in the recogniser's 112 x 112 picture (ArcFace, Deng 2019)."""
NAN = float("nan")
LOOKS = 4  # frames of a clip for LPIPS and identity, which are slow
PLAIN, PIPELINE, NETWORK, SINGLY = "plain", "pipeline", "network", "frame by frame"
"""The ways in which a face is shown."""


@dataclass(frozen=True)
class Row:
    """Means over one face of one clip, shown in one way; NaN where a measure was not asked for.

    `psnr_y` inside the face's ellipse; `lpips` over its box; `identity` is the cosine of MobileFaceNet, `distance`
    that of dlib's recogniser; `flicker` the mean absolute difference of successive aligned faces, over the truth's;
    `jitter` the mean second difference of the landmarks that are found in the picture, over the truth's; `warping` the
    mean absolute difference of a frame's luma to the last frame's, carried along by the truth's optical flow.
    """

    clip: str
    coding: str
    model: str
    way: str
    psnr_y: float = NAN
    lpips: float = NAN
    identity: float = NAN
    distance: float = NAN
    flicker: float = NAN
    jitter: float = NAN
    warping: float = NAN


def codings(ruler: Ruler) -> list[Coding]:
    """What a ruler asks for: x264 once for each crf, others once, at their bit rate."""
    found = [Coding("x264", crf=crf) for crf in ruler.crf] if "x264" in ruler.codec else []
    rated = [codec for codec in USUAL if codec in ruler.codec]
    return [*found, *(Coding(codec, kbits=ruler.bitrate or USUAL[codec][1]) for codec in rated)]


def films(path: Path, models: Sequence[Model], judges: Metrics, ruler: Ruler) -> Iterator[Row]:
    """Rows of one clip: for each coding the plain enlargement, then each model in each way.

    Raises InputError where the clip shows no face to measure.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        at = scene(path, folder, ruler)
        judge = Judge(at, judges, ruler.motion)
        for coding in codings(ruler):
            film = degraded(at, coding, folder)
            there = native.grid(at, film)
            yield judge(film.coding, "bicubic", PLAIN, native.plain(there))
            for model in models:
                yield judge(film.coding, model.name, PIPELINE, pipeline(at, film, model, folder))
                if model.name == "plain":
                    continue
                if model.ours:
                    yield judge(film.coding, model.name, NETWORK, native.alone(at, there, model))
                if ruler.alone:
                    yield judge(film.coding, model.name, SINGLY, frame_by_frame(at, film, model, folder))


def pipeline(at: Scene, film: Degraded, model: Model, folder: Path, keep_grain: bool = False) -> list[Picture]:
    """The measured frames as the whole pipeline hands them to its encoder."""
    render = Render(scale=str(at.scale), keep_grain=keep_grain)
    settings = Enhance(render=render, encode=Encode(codec="ffv1"), overwrite=True)
    work = plan(film.film.path, folder / "made.mkv", settings, model)
    tracks, _ = passes.restorable(film.analysis.tracks, render.faces)
    made = passes.render_range(work, passes.make_job(work, tracks), film.analysis.timeline, at.span, Meter())
    return pictures(film.film, made)


def frame_by_frame(at: Scene, film: Degraded, model: Model, folder: Path) -> list[Picture]:
    """The same without what steadies: every frame detected and aligned for itself, and seen alone by the network."""
    every = Enhance(analyze=replace(Enhance().analyze, detect_every=1))
    found = passes.analyze_film(film.film, every, Meter())[0]
    shaky = tuple(replace(track, matrices=similarity(track.landmarks)) for track in found.tracks)
    single = replace(model, name=f"{model.name}-alone", network=Alone(model.network, model.window))
    return pipeline(at, replace(film, analysis=replace(found, tracks=shaky)), single, folder, keep_grain=True)


class Judge:
    """Compares ways of showing a scene's face with its truth, of which all is measured once."""

    def __init__(self, at: Scene, judges: Metrics, with_motion: bool) -> None:
        self._at = at
        self._judges = judges
        self._motion = with_motion
        self._looks = sorted({round(n) for n in np.linspace(0, len(at.truths) - 1, LOOKS)})
        self._truth = self._persons(at.truths)
        self._flicker = motion.flicker(aligned(at, at.truths)) if with_motion else 1.0
        self._jitter = motion.jitter(motion.landmarks(self._regions(at.truths))) if with_motion else 1.0

    def __call__(self, coding: str, model: str, way: str, made: Sequence[Picture]) -> Row:
        at = self._at
        decibels = [metrics.psnr(a.luma, b.luma, mask) for a, b, mask in zip(made, at.truths, at.masks, strict=True)]
        found = self._by_weights(made) | (self._movement(made) if self._motion else {})
        return Row(at.name, coding, model, way, float(np.mean(decibels)), **found)

    def _by_weights(self, made: Sequence[Picture]) -> dict[str, float]:
        """By the measures that need weights, over the frames that are looked at."""
        at, lpips, found = self._at, self._judges.lpips, dict[str, list[float]]()
        if lpips is not None:
            found["lpips"] = [lpips(made[n].rgb[at.boxes[n]], at.truths[n].rgb[at.boxes[n]]) for n in self._looks]
        for name, persons in self._persons(made).items():
            pairs = zip(persons, self._truth[name], strict=True)
            found[name] = [float(a @ b if name == "identity" else np.linalg.norm(a - b)) for a, b in pairs]
        return {name: float(np.mean(values)) for name, values in found.items()}

    def _persons(self, made: Sequence[Picture]) -> dict[str, list[metrics.Numbers]]:
        """What each recogniser makes of the face, in the frames that are looked at."""
        faces = [(made[n].rgb, self._at.landmarks(n)) for n in self._looks]
        found: dict[str, list[metrics.Numbers]] = {}
        if (judge := self._judges.identity) is not None:
            found["identity"] = [judge.embed(_warped(a, _for_recogniser(b), metrics.FACE)) for a, b in faces]
        if (other := self._judges.distance) is not None:
            found["distance"] = [other.embed(_chip(a, b)) for a, b in faces]
        return found

    def _movement(self, made: Sequence[Picture]) -> dict[str, float]:
        regions = self._regions(made)
        return {
            "flicker": motion.flicker(aligned(self._at, made)) / max(self._flicker, 1e-9),
            "jitter": motion.jitter(motion.landmarks(regions)) / max(self._jitter, 1e-9),
            "warping": motion.warping(regions, self._regions(self._at.truths)),
        }

    def _regions(self, made: Sequence[Picture]) -> list[Images]:
        return [np.ascontiguousarray(picture.rgb[self._at.region]) for picture in made]


def aligned(at: Scene, made: Sequence[Picture]) -> list[NDArray[np.float64]]:
    """The luma of a scene's face, upright, `(SIDE, SIDE)`, in each measured frame."""
    places = zip(at.places, made, strict=True)
    return [metrics.luma(_warped(picture.rgb, at.face.matrices[n] * SIDE, SIDE)) for n, picture in places]


def _warped(picture: Images, matrix: Floats, side: int) -> Images:
    centred = matrix.astype(np.float64)  # from pixel centres at .5, as tracks have them, to OpenCV's at 0
    centred[:, 2] += centred[:, :2] @ [0.5, 0.5] - 0.5
    return np.asarray(cv2.warpAffine(picture, centred, (side, side), flags=cv2.INTER_LINEAR), np.uint8)


def _for_recogniser(landmarks: Floats) -> Floats:
    matrix, _ = cv2.estimateAffinePartial2D(landmarks, RECOGNISER, method=cv2.LMEDS)
    return np.asarray(matrix if matrix is not None else similarity(landmarks[None])[0] * metrics.FACE, np.float32)


def _chip(picture: Images, landmarks: Floats) -> Images:
    """The face for dlib's recogniser; made twice as large first, as the faces of the truth are."""
    fit = similarity(np.stack([landmarks, metrics.CHIP_POINTS]))
    whole = [np.vstack([matrix.astype(np.float64), [0, 0, 1]]) for matrix in fit]
    matrix = (np.linalg.inv(whole[1]) @ whole[0])[:2]
    large = _warped(picture, np.asarray(2 * matrix, np.float32), 2 * metrics.CHIP)
    return np.asarray(cv2.resize(large, (metrics.CHIP, metrics.CHIP), interpolation=cv2.INTER_AREA), np.uint8)


def means(rows: Sequence[Row]) -> list[Row]:
    """The mean over clips for each coding, model and way, in the order in which they came."""
    kinds = dict[tuple[str, str, str], list[tuple[float, ...]]]()
    for row in rows:
        kinds.setdefault((row.coding, row.model, row.way), []).append(astuple(row)[4:])
    return [Row("mean", *kind, *np.mean(same, axis=0).tolist()) for kind, same in kinds.items()]
