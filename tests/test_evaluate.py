"""The measures' protocol, and the figures that are known for bicubic."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.faces import portrait
from tests.test_package import ROOT
from vidsr import weights
from vidsr.evaluate import films, occluded, stills
from vidsr.evaluate.stills import Judges

STILLS = ROOT.parent / "shared/data/test/stills"
CLIPS = ROOT.parent / "shared/data/test/clips"
FILES = ROOT.parent / "shared/data/weights"


def test_the_plain_model_scores_near_bicubic(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "face.png"), portrait()[20:276, 90:346, ::-1])
    scores = stills.stills(tmp_path, [weights.load("plain")], Judges())
    assert [(one.model, one.side) for one in scores] == [
        ("bicubic", 256),
        ("plain", 256),
        ("bicubic", 128),
        ("plain", 128),
    ]
    for ours, theirs in zip(scores[::2], scores[1::2], strict=True):
        assert ours.psnr_y == pytest.approx(theirs.psnr_y, abs=0.4)


@pytest.mark.skipif(not STILLS.is_dir(), reason="the test stills are not here")
def test_the_shipped_model_beats_bicubic_by_what_its_card_says() -> None:
    name = "vidsr_x4_fidelity"
    model = weights.load(name)
    plain, ours, _, _ = stills.stills(STILLS, [model], Judges())
    assert plain.psnr_y == pytest.approx(29.22, abs=0.005)
    assert plain.ssim_y == pytest.approx(0.817, abs=0.0005)
    assert ours.psnr_y > plain.psnr_y + 1.9
    assert ours.psnr_y == pytest.approx(model.card.metrics["psnr_y_64_256"], abs=0.02)


@pytest.mark.skipif(not FILES.is_dir(), reason="the weights for metrics are not here")
def test_lpips_and_identity_of_bicubic_are_the_known_ones() -> None:
    from vidsr.data.stills import load_stills
    from vidsr.metrics import Identity, Lpips

    lpips = Lpips(FILES / "squeezenet1_1_ft.pth", FILES / "lpips_squeeze_lin.pth")
    identity = Identity(FILES / "mobilefacenet.param", FILES / "mobilefacenet.bin")
    faces, _ = load_stills(STILLS)
    found = stills.score("bicubic", stills.bicubic, list(faces), Judges(lpips, identity))
    assert found.lpips == pytest.approx(0.177, abs=0.0005)
    assert found.identity == pytest.approx(0.877, abs=0.005)
    assert lpips(faces[0], faces[0]) == 0
    assert identity.of_stills(faces[0], faces[0]) == pytest.approx(1.0)
    assert identity.of_stills(faces[0], faces[1]) < 0.3  # two persons


def test_jitter_is_the_length_of_the_second_difference() -> None:
    steady = np.cumsum(np.ones((6, 5, 2), np.float32), axis=0)
    assert films.jitter(steady) == 0
    shaken = steady.copy()
    shaken[3, :, 0] += 1
    assert films.jitter(shaken) == pytest.approx((1 + 2 + 1) / 4)
    shaken[3] = np.nan  # a frame in which no face was found
    assert films.jitter(shaken) == 0


@pytest.mark.skipif(not CLIPS.is_dir(), reason="the test clips are not here")
def test_film_is_measured_through_the_whole_pipeline() -> None:
    models = [weights.load("plain"), weights.load("vidsr_x4_fidelity")]
    rows = list(films.films([CLIPS / "grid_lwbsza.mpg"], models, Judges(), frames=8, crf=23, alone=True))
    assert [row.model for row in rows] == [
        "truth",
        "plain",
        "vidsr_x4_fidelity",
        "vidsr_x4_fidelity, frame by frame",
    ]
    truth, plain, steady, alone = rows
    assert truth.psnr_y == 99 and truth.flicker == pytest.approx(1) and truth.jitter == pytest.approx(1)
    assert steady.psnr_y > plain.psnr_y > 25
    assert alone.psnr_y != steady.psnr_y
    means = films.means(rows)
    assert [row.model for row in means] == [row.model for row in rows]


@pytest.mark.skipif(not CLIPS.is_dir(), reason="the test clips are not here")
def test_a_still_scene_is_measured_against_the_plain_enlargement() -> None:
    models = [weights.load("plain"), weights.load("vidsr_x4_fidelity")]
    rows = list(films.still_scenes([CLIPS / "grid_lwbsza.mpg"], models, frames=8, crf=28, noise=8))
    assert rows[0].flicker == 1
    assert 0 < rows[1].flicker < 2


def test_under_a_thing_and_beside_it_are_told_apart() -> None:
    face = cv2.resize(portrait()[44:172, 158:286], (256, 256), interpolation=cv2.INTER_CUBIC)
    plain = occluded.score(weights.load("plain"), [face])
    assert [row.kind for row in plain][-1] == "all"
    assert {getattr(row, part) for row in plain for part in ("bare_inside", "shown_outside")} == {0.0}
    ours = occluded.score(weights.load("vidsr_x4_fidelity"), [face])[-1]
    assert ours.shown_outside > 0
    assert ours.shown_outside != ours.bare_outside
