"""A picture of training pairs: what the network gets, enlarged plainly, beside what it shall make of it.

    python -m tests.bench.sheet DATA -o PICTURE.png [--cache FOLDER] [--seed N]

Every kind of degradation and of thing before a face is shown. DATA is what `vidsr train --data` takes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from vidsr.data import degradation
from vidsr.data.degradation import REDUCTIONS, CameraParams
from vidsr.data.faces import SIDES, Faces, Images, Rng
from vidsr.data.occlusion import PAINTERS, occluded
from vidsr.data.samples import CRF, FRAMES, REACH, sharp
from vidsr.data.sources import open_faces

COLUMNS = 4  # pairs in a row
LABEL = 18  # height of a label's line, pixels
CLEAR = CameraParams((0.0, 0.0), 0.0, 0.0, "bicubic", 0.0, 0, None)
"""A camera that only reduces."""

STILLS = {
    "bicubic": CLEAR,
    "blur": replace(CLEAR, blur=(1.8, 1.8)),
    "blur, anisotropic": replace(CLEAR, blur=(2.2, 0.9), turn=0.7),
    "motion blur": replace(CLEAR, smear=8.0, turn=0.3),
    **{f"reduced: {name}": replace(CLEAR, reduction=name) for name in REDUCTIONS if name != "bicubic"},
    "noise": replace(CLEAR, noise=0.03),
    "JPEG 40": replace(CLEAR, jpeg=40),
}
"""One kind of damage at a time, strong."""


@dataclass(frozen=True)
class Pair:
    """A middle frame as the network gets it `(h, w, 3)`, its truth `(4h, 4w, 3)`, and what was done."""

    label: str
    small: Images
    truth: Images


def _filmed(label: str, clip: Images, film: CameraParams, rng: Rng, crf: int | None = None) -> Pair:
    """The middle frame of a sharp clip after the camera and, where a crf is given, H.264."""
    small = degradation.filmed(clip, film, rng)
    if crf is not None:
        small = degradation.h264(small, crf, "medium")
    middle = len(clip) // 2
    return Pair(label, degradation.upright(small, film)[middle], clip[middle])


def pairs(faces: Faces, rng: Rng) -> Iterator[Pair]:
    """One pair of every kind of degradation and of every occluder, each of a face of its own."""

    def moving() -> Images:
        found = sharp(faces, SIDES[0], FRAMES, rng)
        return found if len(found) == FRAMES else degradation.moved(found[0], FRAMES, REACH, rng)

    for label, film in STILLS.items():
        yield _filmed(label, sharp(faces, SIDES[0], 1, rng), film, rng)
    turned = next(film for film in iter(lambda: degradation.draw_film(rng, SIDES[0]), None) if film.pose is not None)
    yield _filmed("turned and back", sharp(faces, SIDES[0], 1, rng), replace(CLEAR, pose=turned.pose), rng)
    for crf in (CRF[0], 28, CRF[1]):
        yield _filmed(f"H.264 crf {crf}", moving(), CLEAR, rng, crf)
    for _ in range(4):
        clip, crf = moving(), int(rng.integers(*CRF))
        film = degradation.draw_film(rng, clip.shape[1])
        yield _filmed(f"drawn: {_words(film)}, crf {crf}", clip, film, rng, crf)
    for kind in PAINTERS:
        yield _filmed(f"{kind}, crf 24", occluded(moving(), rng, kind)[0], CLEAR, rng, 24)


def _words(film: CameraParams) -> str:
    done = [film.reduction]
    done += [f"blur {film.blur[0]:.1f}/{film.blur[1]:.1f}"] if film.blur[0] else []
    done += [f"motion {film.smear:.0f}"] if film.smear else []
    done += [f"noise {film.noise:.3f}"] if film.noise else []
    done += [f"JPEG {film.jpeg}"] if film.jpeg else []
    return ", ".join(done)


def _cell(pair: Pair) -> Images:
    """A pair side by side under its label, `(LABEL + S, 2 * S, 3)` with S the largest of SIDES."""
    side = SIDES[0]
    cell = np.full((LABEL + side, 2 * side, 3), 24, np.uint8)
    plain = cv2.resize(pair.small, pair.truth.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    for left, picture in ((0, plain), (side, pair.truth)):
        height, width = picture.shape[:2]
        cell[LABEL : LABEL + height, left : left + width] = picture
    cv2.putText(cell, pair.label, (4, LABEL - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (235, 235, 235), 1, cv2.LINE_AA)
    return cell


def sheet(faces: Faces, rng: Rng) -> Images:
    """All pairs as one picture `(h, w, 3)` RGB: input, enlarged by bicubic, left; truth, right."""
    cells = [_cell(pair) for pair in pairs(faces, rng)]
    cells += [np.full_like(cells[0], 24)] * (-len(cells) % COLUMNS)
    rows = [np.hstack(cells[i : i + COLUMNS]) for i in range(0, len(cells), COLUMNS)]
    return np.vstack(rows)


def main() -> None:
    """Draw the sheet of what DATA holds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("faces"))
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    source = open_faces(given.data, given.cache, given.seed)
    print(source)
    Image.fromarray(sheet(source.faces, np.random.default_rng(given.seed))).save(given.output)


if __name__ == "__main__":
    main()
