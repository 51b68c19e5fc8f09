"""Frames -> analysis: find the faces of a film, follow them through their shots, and steady their crops."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vidsr.analysis.alignment import frontal
from vidsr.analysis.cuts import Look, looks
from vidsr.analysis.detector import Detector, intersection_over_union
from vidsr.analysis.linking import Linker, Tracklet
from vidsr.analysis.roi import RegionOfInterest
from vidsr.analysis.rotated_heads import RotatedHeads
from vidsr.analysis.smoothing import along, keys_without_noise, steady
from vidsr.analysis.tracks_file import Analysis
from vidsr.config import Analyze
from vidsr.errors import InputError
from vidsr.frame import LANDMARKS, Detection, Floats, Frame, Track
from vidsr.picture import Colour, to_rgb
from vidsr.stream import prefetch
from vidsr.video.probe import Film

AHEAD = 16
"""Reduced frames that wait between two steps of the analysis."""
SAME_FACE = 0.45
"""Boxes that overlap by more than this are on one face."""

Seen = tuple[Look, list[Detection] | None]


def find_tracks(
    frames: Iterable[Frame],
    film: Film,
    settings: Analyze,
    detector: Detector,
    progress: Callable[[int], None] | None = None,
) -> Analysis:
    """Find and follow the faces in all frames of a film, in one pass and in bounded memory.

    `progress` is called with the number of frames done so far. Raises InputError for a film without frames.
    """
    fps = float(film.rate)
    linker = Linker(settings, bridge=round(settings.bridge_s * fps))
    timeline: list[int] = []
    starts: list[int] = []
    tracks: list[Track] = []
    scale = (1.0, 1.0)
    # Cuts, faces and flow are found side by side: each runs a few frames ahead of the next.
    with (
        prefetch(looks(frames, film, settings.detect_side), AHEAD) as seen,
        prefetch(detected(seen, film, settings, detector), AHEAD) as found,
    ):
        for look, detections in found:
            if look.cut:
                shot = Shot(starts[-1] if starts else 0, len(timeline), scale)
                tracks += _tracks(linker.close(), shot, settings, fps)
                starts.append(len(timeline))
            scale = look.small.scale
            linker.step(look, detections)
            timeline.append(look.pts)
            if progress is not None:
                progress(len(timeline))
    if not timeline:
        raise InputError(f"{film.path.name} has no frames")
    tracks += _tracks(linker.close(), Shot(starts[-1], len(timeline), scale), settings, fps)
    return Analysis(
        name=film.path.name,
        width=film.width,
        height=film.height,
        time_base=film.time_base,
        timeline=np.array(timeline, np.int64),
        shots=tuple(zip(starts, [*starts[1:], len(timeline)], strict=True)),
        tracks=tuple(replace(track, id=number) for number, track in enumerate(tracks, 1)),
    )


def detected(source: Iterable[Look], colour: Colour, settings: Analyze, detector: Detector) -> Iterator[Seen]:
    """Add detections to the first and last frame of each shot and to every `detect_every`th between.

    A detector that takes one picture at a time looks only where it must (see `RegionOfInterest`). For one that likes
    many at once, up to `(batch - 1) * detect_every` looks are held.
    """
    if detector.batch == 1:
        region = RegionOfInterest(detector, colour, settings.min_score)
        for look, due in _due(source, settings.detect_every):
            yield look, _large(region(look), look, settings) if due else None
        return
    turned = RotatedHeads(detector, colour, settings.min_score)
    held: list[tuple[Look, bool]] = []
    for look, due in _due(source, settings.detect_every):
        held.append((look, due))
        if sum(due for _, due in held) in (0, detector.batch):
            yield from _with_detections(held, colour, settings, turned)
            held = []
    yield from _with_detections(held, colour, settings, turned)


def _due(source: Iterable[Look], every: int) -> Iterator[tuple[Look, bool]]:
    last: Look | None = None
    age = 0
    for look in source:
        if last is not None:
            yield last, look.cut or age % every == 0
        age = 0 if look.cut else age + 1
        last = look
    if last is not None:
        yield last, True


def _with_detections(
    held: list[tuple[Look, bool]], colour: Colour, settings: Analyze, turned: RotatedHeads
) -> Iterator[Seen]:
    pictures = [to_rgb(look.small, colour) for look, due in held if due]
    found = iter(turned.detector(pictures) if pictures else [])
    for look, due in held:
        yield look, _large(turned.all(look, next(found)), look, settings) if due else None


def _large(found: list[Detection], look: Look, settings: Analyze) -> list[Detection]:
    """Those whose box has sides of at least `min_face`, pixels of the frame."""
    sides = [np.diff(one.box.astype(float).reshape(2, 2), axis=0) * look.small.scale for one in found]
    return [one for one, side in zip(found, sides, strict=True) if side.min() >= settings.min_face]


@dataclass(frozen=True)
class Shot:
    """Frames from `first` up to `stop`, whose reduced pictures times `scale` are the frame."""

    first: int
    stop: int
    scale: tuple[float, float]


def _tracks(paths: list[Tracklet], shot: Shot, settings: Analyze, fps: float) -> list[Track]:
    """Tracks of the paths that are surely faces, long enough, and not the same face twice."""
    likely = [path for path in paths if _is_face(path, settings)]
    tracks = [_track(path, shot, settings, fps) for path in likely]
    shortest = settings.min_track_s * fps
    tracks = [track for track in tracks if len(track) >= shortest]
    tracks.sort(key=lambda track: float(track.score.sum()), reverse=True)
    kept: list[Track] = []
    for track in tracks:
        if not any(_same_face(track, other) for other in kept):
            kept.append(track)
    return sorted(kept, key=lambda track: (track.first, -track.height))


def _is_face(path: Tracklet, settings: Analyze) -> bool:
    """Whether two detections, and a third of all, are as strong as one that begins a path."""
    strong = sum(key.score >= settings.min_score for key in path.keys)
    return strong >= max(2, len(path.keys) / 3)


def _same_face(track: Track, other: Track) -> bool:
    """Whether a track lies on another for most of the frames that it has."""
    first, stop = max(track.first, other.first), min(track.stop, other.stop)
    if stop <= first:
        return False
    mine, theirs = (one.boxes[first - one.first : stop - one.first] for one in (track, other))
    return bool(np.sum(intersection_over_union(mine, theirs) > SAME_FACE) > len(track) / 2)


def _track(path: Tracklet, shot: Shot, settings: Analyze, fps: float) -> Track:
    scale = np.array(shot.scale)
    seen = along(path, np.array([key.points for key in path.keys])) * scale
    smooth = along(path, keys_without_noise(path, fps)) * scale
    first, n = path.keys[0].frame - len(path.head), len(seen)
    scores = np.interp(np.arange(n), [key.frame - first for key in path.keys], [key.score for key in path.keys])
    observed = _observed(path, n, settings.detect_every)
    fade = _fade(observed, settings.fade_frames, opens=first > shot.first, closes=first + n < shot.stop)
    return Track(
        id=0,
        first=first,
        landmarks=np.round(seen[:, :LANDMARKS], 2).astype(np.float32),
        boxes=np.round(seen[:, LANDMARKS:].reshape(n, 4), 2).astype(np.float32),
        score=np.round(scores, 3).astype(np.float32),
        observed=observed,
        matrices=steady(smooth[:, :LANDMARKS], fps, settings.smooth_s),
        weight=np.round(fade * frontal(smooth[:, :LANDMARKS]), 3).astype(np.float32),
    )


def _observed(path: Tracklet, n: int, every: int) -> NDArray[np.bool_]:
    """Frames `(n,)` in which flow saw the face, or that lie between detections in their regular distance."""
    observed = np.ones(n, bool)
    at = len(path.head)
    for trail in path.trails:
        if not trail.whole and trail.frames > every:
            observed[at + len(trail.ahead) + 1 : at + trail.frames - len(trail.back)] = False
        at += trail.frames
    return observed


def _fade(observed: NDArray[np.bool_], frames: int, opens: bool, closes: bool) -> Floats:
    """Weights `(n,)` that are 0 where the face is hidden, and rise and fall over `frames` beside that.

    A track that opens or closes inside its shot is hidden just outside of its frames. To fade out and in for a few
    frames, a flash, would be more visible than to go on.
    """
    hidden = ~_without_short_gaps(np.concatenate([[not opens], observed, [not closes]]), frames)
    never = len(hidden) + frames
    places, at = np.concatenate([[-never], np.flatnonzero(hidden), [2 * never]]), np.arange(1, len(observed) + 1)
    after = np.searchsorted(places, at)
    far = np.minimum(places[after] - at, at - places[after - 1])
    return np.asarray(np.round(np.minimum(far / (frames + 1), 1.0), 3), np.float32)


def _without_short_gaps(known: NDArray[np.bool_], frames: int) -> NDArray[np.bool_]:
    """`known` with its gaps of up to `frames` filled, but those at the ends."""
    filled: NDArray[np.bool_] = known.copy()
    for before, after in pairwise(np.flatnonzero(known).tolist()):
        filled[before:after] |= after - before - 1 <= frames
    return filled
