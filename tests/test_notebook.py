"""The package in Python and in notebooks: two functions, and values that show themselves."""

from __future__ import annotations

import base64
import inspect
import re
import subprocess
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.program import ROOT, names
from tests.test_picture import Colour, plain_frame
from vidsr import api, config, enhance, preview
from vidsr.cli.progress import Bars
from vidsr.color import Color
from vidsr.errors import InputError, VidsrError
from vidsr.frame import Frame, PixelFormat
from vidsr.jobs.events import Meter
from vidsr.report.report import Report
from vidsr.restore.crop import Cut, Place, Planes
from vidsr.restore.enlarge import enlarged
from vidsr.video import Reader, probe

SAMPLE = ROOT / "tests/samples/portrait.mp4"


def decoded(png: bytes | None) -> np.ndarray:
    """A PNG file's picture, RGB."""
    assert png is not None
    assert png.startswith(b"\x89PNG")
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 8 frames of the sample."""
    path = tmp_path_factory.mktemp("notebook") / "film.mp4"
    cut = ["-i", SAMPLE, "-frames:v", "8", "-c:v", "libx264", "-preset", "ultrafast"]
    subprocess.run(["ffmpeg", "-v", "error", *cut, path], check=True)
    return path


def test_the_functions_are_found_without_loading_anything_heavy() -> None:
    code = (
        "import sys, vidsr\n"
        "assert {'enhance', 'preview'} <= set(dir(vidsr))\n"
        "from vidsr import enhance, preview\n"
        "print(sorted({'numpy', 'torch', 'cv2'} & set(sys.modules)))\n"
        "import vidsr.api\n"
        "from vidsr import preview as again\n"
        "print(again is preview, callable(preview))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert found.stdout.splitlines() == ["[]", "True True"]


def test_enhance_returns_the_report(film: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    report = enhance(film, tmp_path / "out.mp4", scale=1, model="plain", preset="ultrafast", crf=30, quiet=True)
    assert isinstance(report, Report)
    assert (report.restored, report.scale) == (8, 1)
    assert names(tmp_path) == ["out.mp4"]
    assert capfd.readouterr() == ("", "")
    with pytest.raises(VidsrError, match="exists"):
        enhance(str(film), str(tmp_path / "out.mp4"), model="plain", quiet=True)


def test_options_are_those_of_the_settings() -> None:
    parameters = inspect.signature(enhance).parameters
    assert list(parameters)[:3] == ["source", "output", "quiet"]
    for name, default in (("crf", None), ("scale", config.Render.scale), ("keep_work", False), ("detect_every", 5)):
        assert parameters[name].default == default
    assert "keep_work: Leave the work folder" in str(enhance.__doc__)
    assert "crf" not in inspect.signature(preview).parameters


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"fidelty": 1}, TypeError, "did you mean 'fidelity'"),
        ({"fidelity": 2}, VidsrError, "fidelity is 2: .*range"),
        ({"scale": 3}, VidsrError, "scale is 3"),
        ({"overwrite": "yes"}, InputError, "overwrite is 'yes': it must be True or False"),
        ({"crf": True}, InputError, "crf is True"),
        ({"scale": None}, VidsrError, "scale is None"),
    ],
)
def test_wrong_options_get_a_sentence(
    film: Path, options: dict[str, object], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        enhance(film, **options)
    assert names(film.parent) == ["film.mp4"]


@pytest.mark.slow
def test_a_preview_shows_itself(film: Path, tmp_path: Path) -> None:
    made = preview(film, frames=(2, 6), model="plain", scale=2, quiet=True)
    assert made.files == ()
    page = made._repr_html_()
    sources = re.findall(r'(?:src|href|poster)="([^"]*)"', page)
    kinds = [source.partition(",")[0] for source in sources]
    assert kinds == ["data:video/mp4;base64", "data:image/png;base64"]
    video, sheet = (base64.b64decode(source.partition(",")[2]) for source in sources)
    assert decoded(sheet).shape[1] > 2 * 256  # input, plain and restored
    (tmp_path / "shown.mp4").write_bytes(video)
    with Reader(probe(tmp_path / "shown.mp4")) as frames:
        assert len(list(frames)) == 4
    assert names(film.parent) == ["film.mp4"]
    kept = preview(film, tmp_path / "look", frames=(2, 6), model="plain", scale=1, quiet=True)
    assert sorted(path.name for path in kept.files) == ["contact.png", "face.webp", "index.html", "preview.mp4"]
    assert names(tmp_path / "look") == ["contact.png", "face.webp", "index.html", "preview.mp4"]
    with pytest.raises(InputError, match="A below B"):
        preview(film, frames=(6, 2), quiet=True)


def test_a_name_cannot_get_out_of_its_page() -> None:
    page = api.Preview('"><script>alert(1)</script>', b"", None, ())._repr_html_()
    assert "<script" not in page
    large = api.Preview("film", bytes((api.HELD_MIB << 20) + 1), None, (Path("look/preview.mp4"),))
    assert "too large for a notebook: look/preview.mp4" in large._repr_html_()


@pytest.mark.parametrize(
    ("matrix", "full_range", "depth"), [("bt601", False, 8), ("bt709", True, 8), ("bt2020", False, 10)]
)
def test_a_frame_shows_its_colours(matrix: str, full_range: bool, depth: int) -> None:
    colour = Colour(PixelFormat("", depth, 1, 1), matrix, full_range)
    plain = plain_frame((200, 40, 90), colour, 36, 64)
    frame = Frame(plain.index, plain.pts, plain.luma, plain.chroma, colour)
    assert np.abs(decoded(frame._repr_png_()).astype(int) - (200, 40, 90)).max() <= 2
    large = enlarged(frame, Planes(colour.pixels, Color(matrix, full_range, depth), True, 2))
    assert decoded(large._repr_png_()).shape == (72, 128, 3)
    assert plain._repr_png_() is None  # without its film's matrix and range, a colour would be a guess


def test_a_frame_that_was_read_knows_its_film(tmp_path: Path) -> None:
    path = tmp_path / "red.mkv"
    tags = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
    source = ["-f", "lavfi", "-i", "color=0xC8285A:s=1400x32:r=25,scale=out_color_matrix=bt709"]
    coding = ["-frames:v", "1", "-c:v", "ffv1", "-pix_fmt", "yuv420p10le", *tags]
    subprocess.run(["ffmpeg", "-v", "error", *source, *coding, path], check=True)
    with Reader(probe(path)) as frames:
        picture = decoded(next(iter(frames))._repr_png_())
    assert picture.shape == (29, 1280, 3)  # no larger than a screen
    assert np.abs(picture.astype(int) - (200, 40, 90)).max() <= 5  # ffmpeg rounds on its way, too


def test_a_crop_shows_its_face() -> None:
    rgb = np.random.default_rng(1).random((32, 32, 3), np.float32)
    crop = Cut(1, 0, Place(0, 0, 32, 1, 0, np.zeros((2, 3), np.float32)), rgb, np.zeros((32, 32), np.uint8))
    assert (decoded(crop._repr_png_()) == np.rint(255 * rgb)).all()


def test_a_stage_whose_frames_are_not_counted_shows_no_frames(capfd: pytest.CaptureFixture[str]) -> None:
    with Bars("film.mp4") as bars:
        meter = Meter("", bars)
        meter.stage("publish", None)
        meter.stage("analyze", None)
        meter.advance(7, 1)
        meter.flush()
    said = capfd.readouterr().err
    assert "film.mp4: publish [00:00]" in said and "?" not in said and " 0 frames" not in said
    assert "film.mp4: analyze: 7 frames" in said


def test_in_a_notebook_the_bar_is_a_notebooks(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, object]] = []

    class Bar:
        def __init__(self, **words: object) -> None:
            made.append(words)

        def update(self, count: int) -> None:
            made.append({"count": count})

        def close(self) -> None: ...

    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    monkeypatch.setattr("tqdm.auto.tqdm", Bar)
    with Bars("film.mp4") as bars:
        meter = Meter("", bars)
        meter.stage("analyze", 9)
        meter.advance(2, 0)
        meter.flush()
    assert made[0]["desc"] == "film.mp4: analyze"
    assert made[0]["total"] == 9
    assert "file" not in made[0]
    assert made[1] == {"count": 2}
