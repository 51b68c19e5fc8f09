"""Do tracks keep people apart? Made films of real faces on known paths, and the same detections given to libraries.

    python -m tests.bench.identity STILLS [--films N] [--with norfair] [--with trackers]

STILLS is a folder of aligned 256-pixel faces of different people. Prints for each kind of film and each tracker how
often a track changed the person, how often a person got a second track, and the share of frames with a visible face
that had none. Exits with 1 where our own tracks change the person.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from tests.actors import LENGTH, PLAYS, Casting, Places, Play, casting, of_still
from tests.scene import FPS, film, frames
from vidsr.analysis.analyze import find_tracks
from vidsr.analysis.cuts import looks
from vidsr.analysis.detector import Detector, open_detector
from vidsr.config import Analyze
from vidsr.data.faces import load_stills
from vidsr.frame import Detection, Frame
from vidsr.picture import Rgb, to_rgb

Tracker = Callable[[Sequence[Frame]], list[Places]]
SETTINGS = Analyze()


class Remembered:
    """A detector that is asked once for each picture, whoever tracks."""

    batch = 1

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._known: dict[bytes, list[Detection]] = {}

    def __call__(self, pictures: Sequence[Rgb]) -> list[list[Detection]]:
        return [self._one(picture) for picture in pictures]

    def _one(self, picture: Rgb) -> list[Detection]:
        key = picture.tobytes()
        if key not in self._known:
            self._known[key] = self._detector([picture])[0]
        return self._known[key]

    def forget(self) -> None:
        self._known.clear()


DETECTOR = Remembered(open_detector(SETTINGS))


def ours(made: Sequence[Frame]) -> list[Places]:
    """The tracks that are restored, where they are shown."""
    found = []
    for track in find_tracks(made, film(), SETTINGS, DETECTOR).tracks:
        middle = track.boxes.reshape(-1, 2, 2).mean(1)
        shown = np.flatnonzero(track.weight > 0)
        found.append({track.first + int(n): (float(middle[n, 0]), float(middle[n, 1])) for n in shown})
    return found


def _detections(made: Sequence[Frame], every: int) -> list[tuple[int, bool, list[Detection]]]:
    """Every so many frames what the detector sees, and whether a shot begins there."""
    found, cut = [], False
    for look in looks(made, film(), SETTINGS.detect_side):
        cut = cut or look.cut
        if look.index % every == 0:
            found.append((look.index, cut, DETECTOR([to_rgb(look.small, film())])[0]))
            cut = False
    return found


class Gathered:
    """Detections by track; positions between two of them that are near in time lie on a line."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._tracks: dict[tuple[int, int], list[tuple[int, float, float]]] = {}

    def add(self, shot: int, ident: int, frame: int, box: Sequence[float]) -> None:
        self._tracks.setdefault((shot, ident), []).append((frame, (box[0] + box[2]) / 2, (box[1] + box[3]) / 2))

    def tracks(self) -> list[Places]:
        return [self._filled(rows) for rows in self._tracks.values()]

    def _filled(self, rows: list[tuple[int, float, float]]) -> Places:
        at = {frame: (x, y) for frame, x, y in rows}
        for (a, ax, ay), (b, bx, by) in pairwise(rows):
            for n in range(a + 1, b) if b - a <= self._every else ():
                at[n] = (ax + (bx - ax) * (n - a) / (b - a), ay + (by - ay) * (n - a) / (b - a))
        return at


def norfair(every: int) -> Tracker:
    """Norfair with its Kalman filter on boxes, a gap of a second, and a fresh tracker at each cut."""
    import norfair as library

    def fresh() -> library.Tracker:
        return library.Tracker("iou", 0.9, hit_counter_max=FPS // every, initialization_delay=1)

    def run(made: Sequence[Frame]) -> list[Places]:
        tracker, found, shot = fresh(), Gathered(every), 0
        for frame, cut, detections in _detections(made, every):
            tracker, shot = (fresh(), shot + 1) if cut else (tracker, shot)
            strong = [one for one in detections if one.score >= SETTINGS.min_score]
            given = [library.Detection(one.box.reshape(2, 2).astype(float)) for one in strong]
            for one in tracker.update(given):
                if one.last_detection is not None and any(one.last_detection is g for g in given):
                    found.add(shot, one.id, frame, one.last_detection.points.ravel().tolist())
        return found.tracks()

    return run


def roboflow(name: str, every: int) -> Tracker:
    """A tracker of the package `trackers`, with a gap of a second, fresh at each cut."""
    import supervision
    import trackers as library

    def fresh() -> library.ByteTrackTracker:
        return getattr(library, name)(lost_track_buffer=30, frame_rate=FPS / every)

    def run(made: Sequence[Frame]) -> list[Places]:
        tracker, found, shot = fresh(), Gathered(every), 0
        for frame, cut, detections in _detections(made, every):
            tracker, shot = (fresh(), shot + 1) if cut else (tracker, shot)
            given = supervision.Detections(
                xyxy=np.array([one.box for one in detections], np.float32).reshape(-1, 4),
                confidence=np.array([one.score for one in detections], np.float32),
                class_id=np.zeros(len(detections), int),
            )
            told = tracker.update(given)
            for box, ident in zip(told.xyxy, told.tracker_id if told.tracker_id is not None else (), strict=False):
                if ident >= 0:
                    found.add(shot, int(ident), frame, box.tolist())
        return found.tracks()

    return run


def chosen(libraries: Sequence[str]) -> dict[str, Tracker]:
    """The trackers to compare, ours first; libraries see a detection in every frame, and every fifth as ours does."""
    found: dict[str, Tracker] = {"vidsr": ours}
    for every in (1, SETTINGS.detect_every):
        if "norfair" in libraries:
            found[f"norfair, every {every}"] = norfair(every)
        if "trackers" in libraries:
            for name in ("OCSORTTracker", "ByteTrackTracker"):
                found[f"{name}, every {every}"] = roboflow(name, every)
    return found


def plays(stills: Path, films: int) -> list[Play]:
    """So many films of each kind, each with other people."""
    faces, _ = load_stills(stills)
    heads = [of_still(face) for face in faces]
    made = []
    for number, kind in enumerate(PLAYS):
        for n in range(films):
            rng = np.random.default_rng([number, n])
            cast = rng.choice(len(heads), 4, replace=False)
            made.append(kind([heads[i] for i in cast], rng))
    return made


def main() -> None:
    """Run over all films."""
    parser = argparse.ArgumentParser()
    parser.add_argument("stills", type=Path)
    parser.add_argument("--films", type=int, default=10)
    parser.add_argument("--with", dest="libraries", action="append", default=[], choices=("norfair", "trackers"))
    parser.add_argument("--kinds", default="", help="only these, with commas between")
    given = parser.parse_args()
    compared = chosen(given.libraries)
    rows: dict[tuple[str, str], list[Casting]] = {}
    for number, play in enumerate(plays(given.stills, given.films)):
        if given.kinds and play.name not in given.kinds.split(","):
            continue
        made = frames(LENGTH, play.draw)
        for name, tracker in compared.items():
            found = casting(play, tracker(made))
            rows.setdefault((play.name, name), []).append(found)
            rows.setdefault(("all", name), []).append(found)
            if name == "vidsr" and (found.switches or found.fragments):
                print(f"film {number} ({play.name}): {found}", file=sys.stderr)
        DETECTOR.forget()
    print(f"{'films':10} {'tracker':28} {'switches':>8} {'fragments':>9} {'missed':>7}")
    for (kind, name), found in rows.items():
        missed = float(np.mean([one.missed for one in found]))
        switches, fragments = (sum(getattr(one, what) for one in found) for what in ("switches", "fragments"))
        print(f"{kind:10} {name:28} {switches:8} {fragments:9} {missed:7.3f}")
    sys.exit(any(one.switches for one in rows["all", "vidsr"]))


if __name__ == "__main__":
    main()
