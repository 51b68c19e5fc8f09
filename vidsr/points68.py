"""Pictures -> detections by the face-alignment package: its detectors, and the five points out of its 68.

Its networks are downloaded at first use (Bulat 2017, "How far are we from solving the 2D & 3D face alignment
problem?").
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidsr.errors import ModelError
from vidsr.frame import Detection, Floats
from vidsr.picture import Rgb

EYES, NOSE, MOUTH = (slice(36, 42), slice(42, 48)), 30, (48, 54)
"""Places among the 68 points of the iBUG 300-W markup."""


def five_of(points: Floats) -> Floats:
    """The eyes' middles, the nose's tip and the mouth's corners of `(68, 2)` points, as `(5, 2)`, centres at .5."""
    eyes = [points[eye].mean(0) for eye in EYES]
    five = np.stack([*eyes, points[NOSE], *(points[corner] for corner in MOUTH)])
    return np.asarray(five + 0.5, np.float32)  # the package counts from the middle of the first pixel


class FaceAlignment:
    """A detector of the face-alignment package, `name` as it calls them, with its 68-point network behind it.

    Raises ModelError where its networks are not here and cannot be downloaded.
    """

    batch = 1

    def __init__(self, name: str, min_score: float, device: str = "cpu") -> None:
        import face_alignment

        self._min_score = min_score
        try:
            self._network = face_alignment.FaceAlignment(
                face_alignment.LandmarksType.TWO_D, device=device, face_detector=name, flip_input=False, compile=False
            )
        except (OSError, RuntimeError, ImportError) as error:
            raise ModelError(
                f"the detector {name} is downloaded at first use, and that failed; "
                "use --detector centerface, which comes with the install",
                str(error),
            ) from error

    def __call__(self, pictures: Sequence[Rgb]) -> list[list[Detection]]:
        return [self._one(picture) for picture in pictures]

    def _one(self, picture: Rgb) -> list[Detection]:
        boxes = [
            box for box in self._network.face_detector.detect_from_image(picture.copy()) if box[4] > self._min_score
        ]
        if not boxes:
            return []
        points = self._network.get_landmarks_from_image(picture, detected_faces=boxes)
        found = zip(boxes, points, strict=True)
        made = [Detection(np.asarray(box[:4], np.float32), five_of(np.asarray(p)), float(box[4])) for box, p in found]
        return sorted(made, key=lambda detection: -detection.score)
