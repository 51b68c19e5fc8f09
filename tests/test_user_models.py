"""A user's own models: added, listed, used by name, removed; and networks written as ONNX."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from tests.networks import CARD, PUBLISHED, compact, network, saved, small_restoreformer
from vidsr.cli.main import cli
from vidsr.errors import ModelError, OutputError, VidsrError
from vidsr.networks import lazy_model, model_file, store

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "tests/samples/portrait.mp4"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty shelf."""
    monkeypatch.setenv("VIDSR_MODELS", str(tmp_path / "shelf"))
    return tmp_path / "shelf"


def vidsr(*words: object) -> Result:
    return CliRunner().invoke(cli, list(map(str, words)))


def test_the_shelf_is_in_the_users_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIDSR_MODELS")
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere")
    if sys.platform == "linux":
        assert store.added_folder() == Path("/somewhere/vidsr/models")
    assert store.added_models() == {}


def test_an_added_model_is_listed_used_by_name_and_removed(tmp_path: Path, home: Path) -> None:
    path = Path(saved(tmp_path / "published.pth", compact(4)))
    told = vidsr("models", "add", path, "--name", "mine")
    assert told.output == "mine: RealESRGAN Compact, super-resolution x4; use it with --model mine\n"
    path.unlink()
    assert sorted(one.name for one in home.iterdir()) == ["mine.pth", "mine.pth.sha256"]
    listed = vidsr("models").output
    assert "vidsr_x4_fidelity" in listed and "mine: " in listed and "added; checksum ok" in listed
    assert model_file.open_model("mine", None).sha256 == store.added_models()["mine"].sha256
    subprocess.run(["sha256sum", "-c", "--strict", "mine.pth.sha256"], cwd=home, check=True, capture_output=True)
    assert vidsr("models", "remove", "mine").exit_code == 0
    assert list(home.iterdir()) == []
    with pytest.raises(ModelError, match="there is no model 'mine'"):
        model_file.open_model("mine", None)
    assert isinstance(vidsr("models", "remove", "mine").exception, ModelError)


def test_models_of_our_own_are_added_as_a_family(tmp_path: Path) -> None:
    for stage, seed in (("gan", 1), ("fidelity", 2)):
        path = tmp_path / f"pair_{stage}.safetensors"
        model_file.save(path, network(seed), CARD)
        assert vidsr("models", "add", path).exit_code == 0
    assert model_file.open_model("pair", 0.0).name == "pair_gan"
    between = model_file.open_model("pair", 0.25)
    assert between.name == "pair_gan+pair_fidelity@0.25"
    (tmp_path / "other.safetensors").write_bytes(store.shipped()["vidsr_x4_gan"].read_bytes())
    with pytest.raises(ModelError):
        model_file.interpolated(
            model_file.load_own("pair_gan"), model_file.load_own(str(tmp_path / "other.safetensors")), 0.5
        )
    with pytest.raises(ModelError):
        model_file.load_own(str(saved(tmp_path / "other.pth", compact(4))))


def test_a_family_that_is_called_plain_is_opened(tmp_path: Path) -> None:
    model_file.save(tmp_path / "plain_gan.safetensors", network(1), CARD)
    assert vidsr("models", "add", tmp_path / "plain_gan.safetensors").exit_code == 0
    assert lazy_model.model_for("plain", None).name == model_file.open_model("plain", None).name == "plain_gan"


def test_a_name_is_new_and_plain(tmp_path: Path, home: Path) -> None:
    path = saved(tmp_path / "one.pth", compact(4))
    assert vidsr("models", "add", path).exit_code == 0
    for name in ("one", "plain", "vidsr_x4", "vidsr_x4_gan", "../one", "a/b", "", ".one", "x.pth", "x" * 65):
        assert isinstance(vidsr("models", "add", path, "--name", name).exception, ModelError), name
    assert len(list(home.iterdir())) == 2


def test_what_cannot_be_opened_or_run_is_not_added(tmp_path: Path, home: Path) -> None:
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "odd.pth")
    for given in (tmp_path / "odd.pth", tmp_path / "absent.pth", SAMPLE, "vidsr_x4_gan"):
        assert isinstance(vidsr("models", "add", given, "--name", "new").exception, VidsrError), given
    assert not home.exists()


def test_a_file_that_changed_on_the_shelf_is_refused(tmp_path: Path, home: Path) -> None:
    vidsr("models", "add", saved(tmp_path / "one.pth", compact(4)))
    saved(home / "one.pth", compact(2))
    with pytest.raises(ModelError, match="checksum"):
        model_file.open_model("one", None)
    listed = vidsr("models")
    assert "one: " in listed.output and "CHECKSUM DIFFERS" in listed.output
    assert isinstance(listed.exception, VidsrError)


def report_of(model: object, folder: Path, frames: int) -> dict[str, Any]:
    """The report of the sample's first frames, enhanced by a model."""
    film, report = folder / "film.mp4", folder / "report.json"
    cut = ["ffmpeg", "-v", "error", "-i", SAMPLE, "-frames:v", str(frames), "-preset", "ultrafast", film]
    subprocess.run(cut, check=True)
    told = vidsr("enhance", film, "--model", model, "--scale", 1, "--preset", "ultrafast", "--report", report, "-q")
    assert told.exit_code == 0, told.exception
    found: dict[str, Any] = json.loads(report.read_text())
    assert [(span["first"], span["stop"], span["state"]) for span in found["frames"]] == [(0, frames, "restored")]
    return found


def test_a_film_is_restored_by_an_added_model(tmp_path: Path) -> None:
    path = PUBLISHED if PUBLISHED.is_file() else Path(saved(tmp_path / "other.pth", compact(4)))
    vidsr("models", "add", path, "--name", "theirs")
    told = report_of("theirs", tmp_path, 6)
    assert told["model"] == "theirs"
    assert any("it sees every frame alone" in note for note in told["warnings"])
    if path == PUBLISHED:
        (fate,) = told["tracks"]
        assert fate["agreement"] > 0.9 and fate["sharpness_after"] > 1.02 * fate["sharpness_before"]


@pytest.mark.slow
def test_what_a_face_restorer_invents_is_refused_and_reported(tmp_path: Path) -> None:
    (fate,) = report_of(saved(tmp_path / "random.pth", small_restoreformer()), tmp_path, 6)["tracks"]
    assert fate["agreement"] < 0.3
    assert "the input contradicts" in fate["warning"]


@pytest.mark.parametrize("name", ["vidsr_x4", "srgan", "vdsr"])
def test_our_networks_are_written_as_onnx_for_any_batch_and_size(tmp_path: Path, name: str) -> None:
    pytest.importorskip("onnxscript", reason="needs onnx, onnxscript and onnxruntime: pip install 'vidsr[onnx]'")
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'vidsr[onnx]'")
    onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'vidsr[onnx]'")
    if name != "vidsr_x4":
        card = model_file.Card(name, {"window": 1, "features": 8, "blocks": 3}, "fidelity", "MIT", "made up", "", {})
        torch.manual_seed(4)
        fresh = model_file.build(card).eval()
        for number in fresh.parameters():
            torch.nn.init.normal_(number, std=0.1)
        name = str(tmp_path / "one.safetensors")
        model_file.save(Path(name), fresh, card)
    model, path = model_file.open_model(name, None), tmp_path / "net.onnx"
    told = vidsr("export", name, "--onnx", path)
    assert "differs from torch by at most" in told.output, told.exception
    session = runtime.InferenceSession(str(path))
    for batch, height, width in ((1, 32, 32), (4, 9, 50), (2, 64, 48)):
        clip = torch.rand(batch, model.window, 3, height, width)
        with torch.inference_mode():
            wanted = model.network(clip)
        (found,) = session.run(None, {"clip": clip.numpy()})
        assert found.shape == (batch, 3, 4 * height, 4 * width)
        assert abs(torch.from_numpy(found) - wanted).max() < 1e-4
    facts = {one.key: one.value for one in onnx.load(path).metadata_props}
    assert (facts["model"], facts["sha256"], facts["window"]) == (model.name, model.sha256, str(model.window))
    assert isinstance(vidsr("export", name, "--onnx", path).exception, OutputError)  # it exists


def test_an_onnx_file_that_differs_from_torch_gets_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxscript", reason="needs onnx, onnxscript and onnxruntime: pip install 'vidsr[onnx]'")
    pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'vidsr[onnx]'")
    from vidsr.networks import onnx_export

    monkeypatch.setattr(onnx_export, "TOLERANCE", 0.0)
    path = tmp_path / "one.safetensors"
    model_file.save(path, network(), CARD)
    with pytest.raises(OutputError, match="differs from torch"):
        onnx_export.export(model_file.load(str(path)), tmp_path / "net.onnx", False)
    assert list(tmp_path.iterdir()) == [path]


def test_networks_of_others_are_not_exported(tmp_path: Path) -> None:
    found = vidsr("export", saved(tmp_path / "one.pth", compact(4)), "--onnx", tmp_path / "net.onnx").exception
    assert isinstance(found, ModelError) and "another project" in str(found)
