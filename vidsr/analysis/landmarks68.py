"""Pictures -> detections by the face-alignment package: its detectors, and the five points out of its 68.

Its networks are downloaded at first use (Bulat 2017, "How far are we from solving the 2D & 3D face alignment
problem?").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from vidsr.errors import ModelError
from vidsr.frame import Detection, Floats
from vidsr.picture import Rgb

if TYPE_CHECKING:
    from vidsr.analysis.detector import Detector

EYES, NOSE, MOUTH = (slice(36, 42), slice(42, 48)), 30, (48, 54)
"""Places among the 68 points of the iBUG 300-W markup."""


class Boxes(Protocol):
    """What is used of the package's detectors: boxes x0 y0 x1 y1 and a score."""

    def detect_from_image(self, picture: Rgb) -> Sequence[Floats]: ...


class Network68(Protocol):
    """What is used of the package's `FaceAlignment`: 68 points for each box."""

    face_detector: Boxes

    def get_landmarks_from_image(self, picture: Rgb, detected_faces: Sequence[list[float]]) -> Sequence[Floats]: ...


def five_of(points: Floats) -> Floats:
    """The eyes' middles, the nose's tip and the mouth's corners of `(68, 2)` points, as `(5, 2)`, centres at .5."""
    eyes = [points[eye].mean(0) for eye in EYES]
    five = np.stack([*eyes, points[NOSE], *(points[corner] for corner in MOUTH)])
    return np.asarray(five + 0.5, np.float32)  # the package counts from the middle of the first pixel


def _opened(finder: str, device: str, what: str) -> Network68:
    """The package's network of 68 points behind one of its detectors; ModelError where a download fails."""
    import face_alignment

    try:
        network: Network68 = face_alignment.FaceAlignment(
            face_alignment.LandmarksType.TWO_D, device=device, face_detector=finder, flip_input=False, compile=False
        )
    except (OSError, RuntimeError, ImportError) as error:
        raise ModelError(
            f"{what} downloaded at first use, and that failed; "
            "use --detector centerface and --landmarks detector, which come with the install",
            str(error),
        ) from error
    return network


class Points68:
    """A `Detector` whose landmarks are the 68-point network's: its boxes and scores are those of another `detector`, or
    of the package's own that it names.

    Raises ModelError where its networks are not here and cannot be downloaded.
    """

    def __init__(self, detector: Detector | str, min_score: float, device: str = "cpu") -> None:
        self._detector, self._min_score = detector, min_score
        if isinstance(detector, str):
            self.batch = 1
            self._network = _opened(detector, device, f"the detector {detector} is")
        else:
            self.batch = detector.batch
            # The package wants a detector; this one would read boxes from files, is never asked, needs no download.
            self._network = _opened("folder", device, "the network of --landmarks fan is")

    def __call__(self, pictures: Sequence[Rgb]) -> list[list[Detection]]:
        return [self._pointed(*pair) for pair in zip(pictures, self._boxes(pictures), strict=True)]

    def _boxes(self, pictures: Sequence[Rgb]) -> list[list[Floats]]:
        """Boxes `(5,)` of each picture, the last number a score."""
        if not isinstance(self._detector, str):
            found = self._detector(pictures)
            return [[np.append(one.box, np.float32(one.score)) for one in there] for there in found]
        seen = [self._network.face_detector.detect_from_image(picture.copy()) for picture in pictures]
        return [[np.asarray(box[:5], np.float32) for box in there if box[4] > self._min_score] for there in seen]

    def _pointed(self, picture: Rgb, boxes: list[Floats]) -> list[Detection]:
        if not boxes:
            return []
        points = self._network.get_landmarks_from_image(picture, detected_faces=[box.tolist() for box in boxes])
        pairs = zip(boxes, points, strict=True)
        found = [Detection(box[:4], five_of(np.asarray(p)), float(box[4])) for box, p in pairs]
        return sorted(found, key=lambda one: -one.score)
