"""Which faces of a crowd does the analysis have? Compared with two detectors that see every frame at full size.

    python -m tests.bench.crowd FILM [--yunet FILE.onnx] [--every N] [--side PIXELS ...]

A face counts that CenterFace, or YuNet (`cv2.FaceDetectorYN`), sees in at least half of the frames of some second, at
or above `--min-face`. It is had where a track lies on it in at least half of the frames in which it is seen; the film's
report then says of it that it was restored, or why not. Prints recall for each long side to which the picture is
reduced before detection, and each face that is not had; exits with 1 if at the default a tenth are not.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from vidsr.analysis.analyze import find_tracks
from vidsr.analysis.detector import Detector, intersection_over_union, open_detector
from vidsr.analysis.tracks_file import Analysis
from vidsr.config import Analyze
from vidsr.frame import Detection, Floats
from vidsr.picture import Rgb, small_rgb
from vidsr.video import Film, Reader, probe

SETTINGS = Analyze()
YUNET_SCORE = 0.7
SAME = 0.3
"""Boxes that overlap by more are on one face."""
LEAST = 0.9
"""Share of the faces that must be had: detectors see faces in hair and posters too."""
PATIENCE = 3
"""Looks for which a face may be missed and still be the same one."""


@dataclass
class Seen:
    """One face as a detector at full size sees it: its box in each frame that was looked at."""

    boxes: dict[int, Floats] = field(default_factory=dict)

    @property
    def last(self) -> int:
        return max(self.boxes)

    def steady(self, every: int, fps: float) -> bool:
        """Whether it is seen in at least half of the looks of some second."""
        frames = np.array(sorted(self.boxes))
        looks = max(1, round(fps / every))
        return any(((frames >= start) & (frames < start + fps)).sum() >= looks / 2 for start in frames)


class YuNet:
    """OpenCV's other face detector (Wu 2023), as a `Detector`."""

    batch = 1

    def __init__(self, path: Path) -> None:
        self._network = cv2.FaceDetectorYN.create(str(path), "", (320, 320), YUNET_SCORE)

    def __call__(self, pictures: Sequence[Rgb]) -> list[list[Detection]]:
        return [self._one(picture) for picture in pictures]

    def _one(self, picture: Rgb) -> list[Detection]:
        self._network.setInputSize((picture.shape[1], picture.shape[0]))
        _, rows = self._network.detect(np.ascontiguousarray(picture[..., ::-1]))
        found = np.asarray(rows if rows is not None else np.empty((0, 15)), np.float32)
        boxes = np.concatenate([found[:, :2], found[:, :2] + found[:, 2:4]], axis=1)
        return [Detection(b, r[4:14].reshape(5, 2), float(r[14])) for b, r in zip(boxes, found, strict=True)]


def gathered(film: Film, detector: Detector, every: int) -> list[Seen]:
    """The faces that a detector sees in every `every`th frame of a film, at full size."""
    faces: list[Seen] = []
    with Reader(film) as frames:
        for frame in frames:
            if frame.index % every:
                continue
            (found,) = detector([small_rgb(frame, film, max(film.width, film.height))])
            for one in found:
                if min(one.box[2:] - one.box[:2]) >= SETTINGS.min_face and one.score >= SETTINGS.min_score:
                    _add(faces, frame.index, one.box, PATIENCE * every)
    return [face for face in faces if face.steady(every, float(film.rate))]


def _add(faces: list[Seen], frame: int, box: Floats, patience: int) -> None:
    near = [face for face in faces if face.last < frame <= face.last + patience]
    overlaps = [float(intersection_over_union(face.boxes[face.last], box[None])[0]) for face in near]
    if overlaps and max(overlaps) > SAME:
        near[int(np.argmax(overlaps))].boxes[frame] = box
    else:
        faces.append(Seen({frame: box}))


def had(face: Seen, analysis: Analysis) -> float:
    """The share of a face's frames in which one track lies on it."""
    best = 0
    for track in analysis.tracks:
        on = [(n, box) for n, box in face.boxes.items() if track.first <= n < track.stop]
        if on:
            ours = np.array([track.boxes[n - track.first] for n, _ in on], np.float32)
            theirs = np.array([box for _, box in on], np.float32)
            best = max(best, int((intersection_over_union(ours, theirs) > SAME).sum()))
    return best / len(face.boxes)


def line(face: Seen, share: float) -> str:
    first, box = min(face.boxes), np.median(list(face.boxes.values()), axis=0).astype(int)
    return f"frames {first} to {face.last}, {box[3] - box[1]} px high at {box.tolist()}: a track on {share:.0%}"


def main() -> None:
    """Look, analyze, compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("film", type=Path)
    parser.add_argument("--yunet", type=Path)
    parser.add_argument("--every", type=int, default=3)
    parser.add_argument("--side", type=int, nargs="*", default=[SETTINGS.detect_side])
    given = parser.parse_args()
    film = probe(given.film)
    detectors: dict[str, Detector] = {"CenterFace": open_detector(SETTINGS)}
    if given.yunet is not None:
        detectors["YuNet"] = YuNet(given.yunet)
    wanted = {name: gathered(film, detector, given.every) for name, detector in detectors.items()}
    failed = False
    for side in given.side:
        settings, began = replace(SETTINGS, detect_side=side), time.monotonic()
        with Reader(film) as frames:
            analysis = find_tracks(frames, film, settings, open_detector(settings))
        took = time.monotonic() - began
        print(f"long side {side}: {len(analysis.tracks)} tracks, {analysis.frames / took:.1f} frames a second")
        for name, faces in wanted.items():
            shares = [had(face, analysis) for face in faces]
            print(f"  {name}: {sum(share >= 0.5 for share in shares)} of {len(faces)} faces")
            for face, share in zip(faces, shares, strict=True):
                if share < 0.5:
                    print(f"    not had: {line(face, share)}")
            failed |= side == SETTINGS.detect_side and float(np.mean(np.array(shares) >= 0.5)) < LEAST
    sys.exit(failed)


if __name__ == "__main__":
    main()
