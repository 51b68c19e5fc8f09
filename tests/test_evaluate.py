"""The measures' protocol, and the figures that are known for bicubic."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch.nn.functional as F
from click.testing import CliRunner
from torch import Tensor, nn

from tests.bench import occluded, still
from tests.clips import ffmpeg
from tests.faces import portrait
from tests.program import ROOT, needs
from vidsr.cli.evaluate import _film_models
from vidsr.cli.main import cli
from vidsr.config import Ruler
from vidsr.evaluate import metrics, motion, native, reference_clip, stills, table, videos
from vidsr.evaluate.degraded_copy import Coding
from vidsr.evaluate.stills import Metrics
from vidsr.networks import model_file
from vidsr.networks.generator import enlarge
from vidsr.video import probe

STILLS = ROOT.parent / "shared/data/test/stills"
CLIPS = ROOT.parent / "shared/data/test/clips"
FILES = ROOT.parent / "shared/data/weights"


def test_the_plain_model_scores_near_bicubic(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "face.png"), portrait()[20:276, 90:346, ::-1])
    scores = stills.stills(tmp_path, [model_file.load("plain")], Metrics())
    assert [(one.model, one.side) for one in scores] == [
        ("bicubic", 256),
        ("plain", 256),
        ("bicubic", 128),
        ("plain", 128),
    ]
    for ours, theirs in zip(scores[::2], scores[1::2], strict=True):
        assert ours.psnr_y == pytest.approx(theirs.psnr_y, abs=0.4)


@needs(STILLS)
def test_the_shipped_model_beats_bicubic_by_what_its_card_says() -> None:
    name = "vidsr_x4_fidelity"
    model = model_file.load(name)
    plain, ours, _, _ = stills.stills(STILLS, [model], Metrics())
    assert plain.psnr_y == pytest.approx(29.22, abs=0.005)
    assert plain.ssim_y == pytest.approx(0.817, abs=0.0005)
    assert ours.psnr_y > plain.psnr_y + 1.7
    assert ours.psnr_y == pytest.approx(model.card.metrics["psnr_y_64_256"], abs=0.02)


@needs(FILES)
def test_lpips_and_identity_of_bicubic_are_the_known_ones() -> None:
    from vidsr.data.faces import load_stills
    from vidsr.evaluate.metrics import Identity, Lpips

    lpips = Lpips(FILES / "squeezenet1_1_ft.pth", FILES / "lpips_squeeze_lin.pth")
    identity = Identity(FILES / "mobilefacenet.param", FILES / "mobilefacenet.bin")
    faces, _ = load_stills(STILLS)
    found = stills.score("bicubic", stills.bicubic, list(faces), Metrics(lpips, identity))
    assert found.lpips == pytest.approx(0.177, abs=0.0005)
    assert found.identity == pytest.approx(0.877, abs=0.005)
    assert lpips(faces[0], faces[0]) == 0
    assert identity.of_stills(faces[0], faces[0]) == pytest.approx(1.0)
    assert identity.of_stills(faces[0], faces[1]) < 0.3  # two persons


@pytest.fixture(scope="module")
def pan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sharp film of 60 frames, 320x320, over the portrait, 2 pixels a frame; its face is 108 pixels high."""
    return panned(tmp_path_factory.mktemp("pan"), 1, 60)


def panned(folder: Path, times: int, count: int) -> Path:
    """The same, of a portrait and steps that are `times` as large."""
    cv2.imwrite(str(folder / "portrait.png"), cv2.resize(portrait()[..., ::-1], None, fx=times, fy=times))
    move = f"crop={320 * times}:{320 * times}:{times}*(60+2*n):0,format=yuv420p"
    source = ["-loop", "1", "-i", folder / "portrait.png", "-frames:v", count, "-vf", move]
    ffmpeg(*source, "-c:v", "ffv1", folder / "pan.mkv")
    return folder / "pan.mkv"


def silent(name: str = "silent") -> model_file.Model:
    """A network of ours that adds nothing yet."""
    card = model_file.Card("vidsr", {"window": 3, "features": 8, "blocks": 1}, "fidelity", "MIT", "none", "", {})
    return model_file.Model(name, model_file.build(card), card, "0" * 64)


class Nearest(nn.Module):
    """What makes the plain enlargement one by nearest neighbours."""

    window = 3

    def added(self, clip: Tensor) -> Tensor:
        return F.interpolate(clip[:, 1], scale_factor=4, mode="nearest") - enlarge(clip[:, 1])


@pytest.mark.slow
def test_the_frames_are_those_of_the_middle_behind_a_lead_in(pan: Path, tmp_path: Path) -> None:
    at = reference_clip.scene(pan, tmp_path, Ruler(frames=4))
    assert at.span == (24, 28)  # of 4 + 24 + 4 + 12 frames
    apart = [
        np.abs(at.truths[0].rgb.astype(int) - portrait()[:320, 60 + 2 * n : 380 + 2 * n]).mean() for n in range(60)
    ]
    assert int(np.argmin(apart)) == 28


@pytest.mark.slow
def test_a_soft_truth_is_reduced_until_the_face_has_256_pixels_and_a_small_one_is_not(
    pan: Path, tmp_path: Path
) -> None:
    small = reference_clip.scene(pan, tmp_path, Ruler(frames=3))
    assert small.size == (320, 320)
    (tmp_path / "large").mkdir()
    large = reference_clip.scene(panned(tmp_path / "large", 3, 15), tmp_path / "large", Ruler(frames=3))
    assert large.face.height == pytest.approx(256, abs=4)
    assert {side % 8 for side in large.size} == {0} and large.size[0] < 960
    assert (large.film.width, large.film.height) == (large.size[1] // 4, large.size[0] // 4)
    rows, columns = large.boxes[0]
    assert large.masks[0][rows, columns].mean() == pytest.approx(np.pi / 4, abs=0.02)


@pytest.mark.slow
def test_a_network_that_adds_nothing_gains_nothing_on_the_films_own_pixels(pan: Path) -> None:
    for scale in (4, 1):
        ruler = Ruler(crf=(28,), frames=3, scale=scale)
        rows = list(videos.films(pan, [model_file.load("plain"), silent()], Metrics(), ruler))
        assert [(row.model, row.way) for row in rows] == [
            ("bicubic", "plain"),
            ("plain", "pipeline"),
            ("silent", "pipeline"),
            ("silent", "network"),
        ]
        bicubic, plain, pipeline, network = rows
        if scale == 4:
            assert network.psnr_y == bicubic.psnr_y
        else:  # enlarged and reduced again, the film is a little softer, whoever does it
            assert network.psnr_y == pytest.approx(pipeline.psnr_y, abs=0.1) and network.psnr_y < bicubic.psnr_y
        assert plain.psnr_y == (pytest.approx(bicubic.psnr_y, abs=0.5) if scale == 4 else bicubic.psnr_y)


def test_what_the_network_adds_lies_on_the_films_pixels_times_four(pan: Path, tmp_path: Path) -> None:
    at = reference_clip.scene(pan, tmp_path, Ruler(frames=3))
    film = reference_clip.degraded(at, Coding("x264", crf=18), tmp_path)
    found = native.alone(at, native.grid(at, film), replace(silent(), network=Nearest()))
    side, corners = native.windows(at)
    (x, y), decoded = corners[0], film.frames[at.span[0]].luma
    assert side % 16 == 0 and min(x, y) > 0 and x + side < decoded.shape[1] and y + side < decoded.shape[0]
    inside = slice(4 * y + 8, 4 * (y + side) - 8), slice(4 * x + 8, 4 * (x + side) - 8)  # bicubic reaches 2 pixels
    apart = np.abs(found[0].luma - np.kron(decoded, np.ones((4, 4))))[inside]
    assert (apart <= 1).mean() > 0.99  # but where the samples are blacker than black
    rows, columns = at.boxes[0]
    assert 4 * x < columns.start and columns.stop < 4 * (x + side)
    assert 4 * y < rows.start and rows.stop < 4 * (y + side)


def test_bits_a_pixel_are_those_of_a_film_of_the_usual_size(pan: Path) -> None:
    film = replace(probe(pan), rate=Fraction(25))
    dvd = Coding("mpeg2", kbits=3000).words(replace(film, width=720, height=576))
    assert dvd[dvd.index("-b:v") + 1] == "3000000"
    small = Coding("mpeg4", kbits=800).words(replace(film, width=320, height=240, rate=Fraction(50)))
    assert small[small.index("-b:v") + 1] == "400000"


@pytest.mark.slow
def test_each_codec_is_measured_once_and_x264_once_for_each_crf(pan: Path, tmp_path: Path) -> None:
    codings = videos.codings(Ruler(crf=(18, 33), codec=("mpeg4", "x264", "mpeg2")))
    assert [coding.name for coding in codings] == ["crf 18", "crf 33", "mpeg2 3000k", "mpeg4 800k"]
    assert videos.codings(Ruler(codec=("mpeg2",), bitrate=1500)) == [Coding("mpeg2", kbits=1500)]
    at = reference_clip.scene(pan, tmp_path, Ruler(frames=3))
    found = [native.plain(native.grid(at, reference_clip.degraded(at, coding, tmp_path))) for coding in codings]
    fine, *others = (metrics.psnr(one[0].luma, at.truths[0].luma, at.masks[0]) for one in found)
    assert fine > max(others)


def test_gains_and_ratios_are_those_of_the_means_beside_the_plain_enlargement() -> None:
    rows = [
        videos.Row("a", "crf 18", "bicubic", "plain", psnr_y=30, lpips=0.3),
        videos.Row("a", "crf 18", "m", "pipeline", psnr_y=31, lpips=0.1),
        videos.Row("a", "crf 18", "m", "network", psnr_y=32),
        videos.Row("b", "crf 18", "bicubic", "plain", psnr_y=34, lpips=0.1),
        videos.Row("b", "crf 18", "m", "pipeline", psnr_y=36, lpips=0.1),
        videos.Row("b", "crf 18", "m", "network", psnr_y=36),
    ]
    shown = [line.split() for line in table.summary(rows)]
    assert shown[0][-2:] == ["crf", "18"]
    assert [line[-1] for line in shown[1:]] == ["32.00", "0.200", "+1.50", "0.50", "75%", "+2.00"]
    assert [row["gain"] for row in table.plain_rows(rows)] == [0, 1, 2, 0, 2, 2, 0, 1.5, 2]


@pytest.mark.slow
def test_two_models_are_compared_in_one_table(pan: Path, tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        model_file.save(tmp_path / name / "mine.safetensors", silent().network, silent().card)
    (tmp_path / "films").mkdir()
    (tmp_path / "films/pan.mkv").symlink_to(pan)
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=160x120:d=1", tmp_path / "films/empty.mkv")
    given = [f"--model={tmp_path / name / 'mine.safetensors'}" for name in ("one", "other")]
    words = ["evaluate", "video", str(tmp_path / "films"), *given, "--frames=3", "--crf=33"]
    run = CliRunner().invoke(cli, [*words, f"--json={tmp_path / 'scores.json'}"])
    assert run.exit_code == 0, run.output
    assert "empty.mkv is left out" in run.output
    rows = json.loads((tmp_path / "scores.json").read_text())
    ours = [f"{tmp_path / name / 'mine.safetensors'}" for name in ("one", "other")]
    assert {row["model"] for row in rows} == {"bicubic", "plain", *ours}
    assert {row["clip"] for row in rows} == {"pan.mkv", "mean"}
    assert f"{ours[1]} network: PSNR-Y gain, dB" in run.output


def test_a_family_is_measured_at_each_fidelity() -> None:
    models = _film_models(["plain", "vidsr_x4"], [1.0, 0.5])
    assert [model.name for model in models] == [
        "plain",
        "vidsr_x4_fidelity",
        "vidsr_x4_gan+vidsr_x4_fidelity@0.5",
    ]


def test_jitter_is_the_length_of_the_second_difference() -> None:
    steady = np.cumsum(np.ones((6, 5, 2), np.float32), axis=0)
    assert motion.jitter(steady) == 0
    shaken = steady.copy()
    shaken[3, :, 0] += 1
    assert motion.jitter(shaken) == pytest.approx((1 + 2 + 1) / 4)
    shaken[3] = np.nan  # a frame in which no face was found
    assert motion.jitter(shaken) == 0


@needs(CLIPS)
def test_film_is_measured_through_the_whole_pipeline() -> None:
    models = [model_file.load("plain"), model_file.load("vidsr_x4_fidelity")]
    ruler = Ruler(crf=(18,), frames=8, motion=True, alone=True)
    plain, lanczos, steady, network, alone = videos.films(CLIPS / "lp_s18_720p.mp4", models, Metrics(), ruler)
    assert [row.way for row in (plain, lanczos, steady, network, alone)] == [
        "plain",
        "pipeline",
        "pipeline",
        "network",
        "frame by frame",
    ]
    assert network.psnr_y > plain.psnr_y > 25
    assert steady.psnr_y > plain.psnr_y
    assert alone.psnr_y != steady.psnr_y
    assert all(0 < row.flicker < 2 and 0 < row.jitter < 5 and 0 < row.warping < 10 for row in (plain, steady, alone))


@needs(CLIPS)
def test_a_still_scene_is_measured_against_the_plain_enlargement() -> None:
    models = [model_file.load("plain"), model_file.load("vidsr_x4_fidelity")]
    rows = list(still.still_scenes(CLIPS / "grid_lwbsza.mpg", models, Coding("x264", crf=28), frames=8))
    assert rows[0].flicker == 1
    assert 0 < rows[1].flicker < 2


def test_under_a_thing_and_beside_it_are_told_apart() -> None:
    face = cv2.resize(portrait()[44:172, 158:286], (256, 256), interpolation=cv2.INTER_CUBIC)
    plain = occluded.score(model_file.load("plain"), [face])
    assert [row.kind for row in plain][-1] == "all"
    assert {getattr(row, part) for row in plain for part in ("bare_inside", "shown_outside")} == {0.0}
    ours = occluded.score(model_file.load("vidsr_x4_fidelity"), [face])[-1]
    assert ours.shown_outside > 0
    assert ours.shown_outside != ours.bare_outside
