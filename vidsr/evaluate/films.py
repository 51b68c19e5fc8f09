"""Models on real film: made poor, enhanced by the whole pipeline, compared with the sharp film inside the faces.

A sharp clip is reduced by 4 (bicubic) and coded in H.264; `vidsr enhance --scale 4` makes it large again. The face is
the largest track of the sharp clip; every model is measured at the same places.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vidsr import jobs, metrics
from vidsr.analysis import save
from vidsr.config import Analyze, Encode, Enhance, Render
from vidsr.data.stills import Images
from vidsr.detect import CenterFace
from vidsr.errors import InputError
from vidsr.evaluate.stills import Judges
from vidsr.frame import Floats, Track
from vidsr.network import Alone
from vidsr.picture import small_rgb
from vidsr.plan import plan
from vidsr.tasks import Silent
from vidsr.template import similarity
from vidsr.video import Reader, probe
from vidsr.video.poor import poor_copy, still_copy
from vidsr.weights import Model

SIDE = 128  # of the aligned face whose flicker is measured
RECOGNISER: Floats = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)
"""Where eyes, nose and mouth corners lie in the recogniser's 112 x 112 picture (ArcFace, Deng 2019)."""
EVERY = 5  # LPIPS and identity are slow: every fifth frame
MARGIN = 0.25  # of the face's union box, around the region in which landmarks and flow are found
LOST = 12.0  # grey levels: where the truth itself differs by more after warping, something was hidden or uncovered


@dataclass(frozen=True)
class Row:
    """Means over one face of one clip; NaN where no weights for a measure were given.

    `psnr_y` and `lpips` over the face's box; `identity` is the cosine of a face recogniser; `flicker` the mean absolute
    difference of successive aligned faces, over the truth's; `jitter` the mean second difference of the landmarks that
    are found in the picture, over the truth's; `warping` the mean absolute difference of a frame's luma to the last
    frame's, carried along by the truth's optical flow (Lai 2018, section 4.2, here in grey levels).
    """

    clip: str
    model: str
    psnr_y: float
    lpips: float
    identity: float
    flicker: float
    jitter: float
    warping: float


@dataclass(frozen=True)
class Scene:
    """A clip to be compared on: its two copies, and where its face is."""

    name: str
    sharp: Path
    poor: Path
    face: Track
    region: tuple[int, int, int, int]  # x0, y0, x1, y1 around all the face's boxes


@dataclass(frozen=True)
class Views:
    """What is looked at of one film: a face in each frame, by its box, aligned, for the recogniser, and its region."""

    boxes: list[Images]
    aligned: list[NDArray[np.float64]]
    recognised: list[Images]
    regions: list[Images]


def _region(face: Track, width: int, height: int) -> tuple[int, int, int, int]:
    x0, y0 = face.boxes[:, :2].min(0)
    x1, y1 = face.boxes[:, 2:].max(0)
    across, down = MARGIN * (x1 - x0), MARGIN * (y1 - y0)
    return (
        max(0, int(x0 - across)),
        max(0, int(y0 - down)),
        min(width, int(x1 + across)),
        min(height, int(y1 + down)),
    )


def scene(name: str, sharp: Path, poor: Path) -> Scene:
    """Find the largest face of a sharp copy; raises InputError where there is none."""
    film = probe(sharp)
    tracks = jobs.analyse_film(film, Enhance(), Silent())[0].tracks
    if not tracks:
        raise InputError(f"{name} shows no face that is large and long enough to be measured")
    face = max(tracks, key=lambda track: len(track) * track.height)
    return Scene(name, sharp, poor, face, _region(face, film.width, film.height))


def look(path: Path, at: Scene) -> Views:
    """The face of a scene in another copy of its film, `path`, of the sharp copy's size."""
    film, face = probe(path), at.face
    found = Views([], [], [], [])
    x0, y0, x1, y1 = at.region
    with Reader(film) as frames:
        for frame in frames:
            if not face.first <= frame.index < face.stop:
                continue
            picture = small_rgb(frame, film, max(film.width, film.height))
            n = frame.index - face.first
            a, b, c, d = np.clip(np.rint(face.boxes[n]), 0, [film.width, film.height] * 2).astype(int)
            found.boxes.append(picture[b:d, a:c].copy())
            found.aligned.append(metrics.luma(_warped(picture, face.matrices[n] * SIDE, SIDE)))
            found.recognised.append(_warped(picture, _for_recogniser(face.landmarks[n]), metrics.FACE))
            found.regions.append(picture[y0:y1, x0:x1].copy())
    return found


def _warped(picture: Images, matrix: Floats, side: int) -> Images:
    centred = matrix.astype(np.float64)  # from pixel centres at .5, as tracks have them, to OpenCV's at 0
    centred[:, 2] += centred[:, :2] @ [0.5, 0.5] - 0.5
    return np.asarray(cv2.warpAffine(picture, centred, (side, side), flags=cv2.INTER_LINEAR), np.uint8)


def _for_recogniser(landmarks: Floats) -> Floats:
    matrix, _ = cv2.estimateAffinePartial2D(landmarks, RECOGNISER, method=cv2.LMEDS)
    return np.asarray(matrix if matrix is not None else similarity(landmarks[None])[0] * metrics.FACE, np.float32)


def _flicker(aligned: Sequence[NDArray[np.float64]]) -> float:
    return float(np.mean([np.abs(b - a).mean() for a, b in pairwise(aligned)]))


def landmarks(regions: Iterable[Images]) -> Floats:
    """The largest face's landmarks in each picture, `(n, 5, 2)`; NaN where no face is found."""
    detector = CenterFace(Analyze().min_score)
    found = []
    for region in regions:
        faces = detector([region])[0]
        best = max(faces, key=lambda face: float(np.prod(face.box[2:] - face.box[:2])), default=None)
        found.append(best.landmarks if best is not None else np.full((5, 2), np.nan, np.float32))
    return np.asarray(found, np.float32)


def jitter(points: Floats) -> float:
    """The mean length of the second difference of landmarks `(n, 5, 2)`, pixels; frames without a face left out."""
    bends = np.linalg.norm(points[2:] - 2 * points[1:-1] + points[:-2], axis=-1)
    return float(np.nanmean(bends)) if np.isfinite(bends).any() else float("nan")


def _warping(made: Sequence[Images], truth: Sequence[Images]) -> float:
    flow_of = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    height, width = truth[0].shape[:2]
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
    errors = []
    for t in range(1, len(truth)):
        before, now = (cv2.cvtColor(truth[i], cv2.COLOR_RGB2GRAY) for i in (t - 1, t))
        place = grid + flow_of.calc(now, before, np.zeros_like(grid))

        def carried(picture: Images, place: NDArray[np.float32] = place) -> NDArray[np.float64]:
            gray = metrics.luma(picture).astype(np.float32)
            return np.asarray(cv2.remap(gray, place[..., 0], place[..., 1], cv2.INTER_LINEAR), np.float64)

        kept = np.abs(carried(truth[t - 1]) - metrics.luma(truth[t])) < LOST
        errors.append(np.abs(carried(made[t - 1]) - metrics.luma(made[t]))[kept].mean())
    return float(np.mean(errors))


@dataclass(frozen=True)
class Truth:
    """What the sharp film is compared by, measured once."""

    views: Views
    flicker: float
    jitter: float


def truth_of(at: Scene) -> Truth:
    """Measure the sharp film itself."""
    views = look(at.sharp, at)
    return Truth(views, _flicker(views.aligned), jitter(landmarks(views.regions)))


def measure(at: Scene, truth: Truth, model: str, made: Path, judges: Judges) -> Row:
    """Compare the film `made` with the truth."""
    views, sharp = look(made, at), truth.views
    boxes = list(zip(views.boxes, sharp.boxes, strict=True))
    faces = list(zip(views.recognised, sharp.recognised, strict=True))[::EVERY]
    nan = float("nan")
    return Row(
        at.name,
        model,
        psnr_y=float(np.mean([min(metrics.psnr_y(a, b), 99.0) for a, b in boxes])),
        lpips=float(np.mean([judges.lpips(a, b) for a, b in boxes[::EVERY]])) if judges.lpips else nan,
        identity=float(np.mean([judges.identity(a, b) for a, b in faces])) if judges.identity else nan,
        flicker=_flicker(views.aligned) / max(truth.flicker, 1e-9),
        jitter=jitter(landmarks(views.regions)) / max(truth.jitter, 1e-9),
        warping=_warping(views.regions, sharp.regions),
    )


def enhanced(at: Scene, model: Model, folder: Path, settings: Enhance) -> Path:
    """Enhance the poor copy by the whole pipeline, without loss."""
    output = folder / f"{model.name}.mkv"
    work = plan(at.poor, output, replace(settings, encode=Encode(codec="ffv1"), overwrite=True), model)
    jobs.enhance(work, Silent())
    return output


def frame_by_frame(at: Scene, model: Model, folder: Path, settings: Enhance) -> Path:
    """The same without what steadies: every frame detected and aligned for itself, and seen alone by the network."""
    alone = replace(model, name=f"{model.name}-alone", network=Alone(model.network, model.window))
    grainy = replace(settings.render, keep_grain=True)
    single = replace(settings, analyze=replace(settings.analyze, detect_every=1), render=grainy)
    film = probe(at.poor)
    analysis = jobs.analyse_film(film, single, Silent())[0]
    tracks = tuple(replace(track, matrices=similarity(track.landmarks)) for track in analysis.tracks)
    save(replace(analysis, tracks=tracks), folder / "alone.json")
    return enhanced(at, alone, folder, replace(single, tracks=str(folder / "alone.json")))


Enhancer = Callable[[Scene, Model, Path, Enhance], Path]


def films(
    paths: Sequence[Path], models: Sequence[Model], judges: Judges, frames: int, crf: int, alone: bool
) -> Iterable[Row]:
    """A row for each clip and model, the truth first; with `alone` another one, frame by frame, for each model."""
    ways: list[tuple[str, Enhancer]] = [("", enhanced)]
    ways += [(", frame by frame", frame_by_frame)] if alone else []
    settings = Enhance(render=Render(scale="4"))
    for path in paths:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            poor_copy(probe(path), folder / "sharp.mkv", folder / "poor.mp4", frames, crf)
            at = scene(path.name, folder / "sharp.mkv", folder / "poor.mp4")
            truth = truth_of(at)
            yield measure(at, truth, "truth", at.sharp, judges)
            for model in models:
                for suffix, way in ways if model.name != "plain" else ways[:1]:
                    yield measure(at, truth, model.name + suffix, way(at, model, folder, settings), judges)


def still_scenes(paths: Sequence[Path], models: Sequence[Model], frames: int, crf: int, noise: int) -> Iterable[Row]:
    """Clips of which one frame stands still under fresh noise and H.264: `flicker` is over the plain enlargement's.

    The first of `models` is what the others are divided by; the other measures are left out (NaN).
    """
    settings = Enhance(render=Render(scale="4"))
    for path in paths:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            sharp, poor = folder / "sharp.mkv", folder / "poor.mp4"
            still_copy(probe(path), 0, sharp, poor, frames, crf, noise, seed=1)
            at = scene(path.name, sharp, poor)
            unit: float | None = None
            for model in models:
                found = _flicker(look(enhanced(at, model, folder, settings), at).aligned)
                unit = found if unit is None else unit
                nan = float("nan")
                yield Row(at.name, model.name, nan, nan, nan, found / unit, nan, nan)


def means(rows: Sequence[Row]) -> list[Row]:
    """The mean over clips for each model, in the order in which they came."""
    names = list(dict.fromkeys(row.model for row in rows))
    numbers = [field.name for field in fields(Row)][2:]
    return [
        Row("mean", name, *(float(np.mean([getattr(r, n) for r in rows if r.model == name])) for n in numbers))
        for name in names
    ]


def plain_rows(rows: Sequence[Row]) -> list[dict[str, str | float]]:
    """The rows as plain values, for JSON."""
    return [asdict(row) for row in rows]
