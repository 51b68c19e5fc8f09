"""Model files: what comes back, and what is refused with a sentence."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.networks import CARD, SIZE, network
from vidsr.config import BALANCE
from vidsr.errors import ModelError
from vidsr.files import sha256
from vidsr.networks import lazy_model, model_file, store
from vidsr.networks.model_file import Card

ROOT = Path(__file__).parents[1]


def ship_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a folder be that of the shipped models."""
    monkeypatch.setattr(store, "models_folder", lambda: folder)


def test_a_model_comes_back_as_it_was(tmp_path: Path) -> None:
    path, made = tmp_path / "one.safetensors", network()
    model_file.save(path, made, CARD)
    found = model_file.load(str(path))
    clip = torch.rand(1, 5, 3, 8, 8)
    assert torch.equal(found.network(clip), made(clip))
    assert (found.card, found.name, found.sha256) == (CARD, "one", sha256(path))
    assert list(tmp_path.iterdir()) == [path]


def test_fidelity_lies_between_two_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ship_from(tmp_path, monkeypatch)
    for stage, seed in (("gan", 1), ("fidelity", 2)):
        model_file.save(tmp_path / f"pair_{stage}.safetensors", network(seed), CARD)
    sums = (f"{sha256(path)}  {path.name}\n" for path in tmp_path.glob("*.safetensors"))
    (tmp_path / "SHA256SUMS").write_text("".join(sums))
    sharp, true, half = (model_file.open_model("pair", f) for f in (0.0, 1.0, 0.5))
    assert sharp.name == "pair_gan" and true.name == "pair_fidelity"
    ends = zip(sharp.network.parameters(), true.network.parameters(), half.network.parameters(), strict=True)
    assert all(torch.allclose((a + b) / 2, c) for a, b, c in ends)
    assert len({sharp.sha256, true.sha256, half.sha256}) == 3
    assert model_file.open_model("pair", None).sha256 == model_file.open_model("pair", BALANCE).sha256
    (tmp_path / "pair_gan.safetensors").unlink()
    assert model_file.open_model("pair", None).name == "pair_fidelity"
    for fidelity in (0.0, 0.5):
        with pytest.raises(ModelError, match="leave --fidelity out"):
            model_file.open_model("pair", fidelity)


def damaged(path: Path, how: str) -> None:
    model_file.save(path, network(), CARD)
    data = bytearray(path.read_bytes())
    if how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "pickle":
        path.write_bytes(pickle.dumps({"run": print}))
    elif how == "nan":
        made = network()
        torch.nn.init.constant_(made.tail.weight, torch.nan)
        model_file.save(path, made, CARD)
    elif how == "huge":
        header = {"format": "vidsr-1", "scale": "4", "architecture": "vidsr"}
        header["config"] = json.dumps({"window": 5, "features": 100_000, "blocks": 2})
        save_file({"x": torch.zeros(1)}, path, header)
    elif how == "another network":
        model_file.save(path, network(), Card("vidsr", SIZE | {"features": 16}, "fidelity", "", "", "", {}))
    elif how == "another program":
        save_file({"x": torch.zeros(1)}, path, {"format": "pt"})
    elif how == "bad header":
        save_file(
            {"x": torch.zeros(1)}, path, {"format": "vidsr-1", "scale": "4", "architecture": "vidsr", "config": "["}
        )


@pytest.mark.parametrize(
    "how", ["cut", "empty", "pickle", "nan", "huge", "another network", "another program", "bad header"]
)
def test_a_bad_file_is_refused_with_a_sentence(tmp_path: Path, how: str) -> None:
    path = tmp_path / "bad.safetensors"
    damaged(path, how)
    with pytest.raises(ModelError, match=r"bad\.safetensors"):
        model_file.load(str(path))


def test_an_unknown_model_names_those_there_are() -> None:
    with pytest.raises(ModelError, match="vidsr_x4_fidelity"):
        model_file.load("nothing")


def test_a_shipped_file_that_changed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in store.models_folder().iterdir():
        shutil.copy(path, tmp_path)
    ship_from(tmp_path, monkeypatch)
    path = tmp_path / "vidsr_x4_fidelity.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match="checksum"):
        model_file.load("vidsr_x4_fidelity")


def test_every_shipped_model_has_a_checksum_and_a_card() -> None:
    folder = store.models_folder()
    assert set(store.checksums()) == {path.name for path in store.shipped().values()} != set()
    for name in store.shipped():
        assert (folder / f"{name}.md").is_file()
        assert model_file.load(name).card.metrics


@pytest.mark.parametrize("name, fidelity", [("vidsr_x4", None), ("vidsr_x4", 0.3), ("plain", None)])
def test_a_shipped_model_is_known_before_it_is_opened(name: str, fidelity: float | None) -> None:
    later, opened = lazy_model.lazy_model(name, fidelity), model_file.open_model(name, fidelity)
    assert later is not None and "opened" not in vars(later)
    assert (later.name, later.sha256) == (opened.name, opened.sha256)
    assert later.window == opened.window and "opened" in vars(later)


@pytest.mark.parametrize("name", ["vidsr_x4", "plain"])
def test_a_model_is_known_without_torch(name: str) -> None:
    code = (
        f"import sys, vidsr.networks.lazy_model as of; print(of.model_for({name!r}, None).name, 'torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.startswith(name) and found.stdout.endswith(" False\n")


@pytest.mark.parametrize(
    "name, fidelity", [("plain", 0.5), ("vidsr_x4", 1.0), ("vidsr_x4_gan", None), ("no such", 0.5)]
)
def test_other_models_are_opened_at_once(name: str, fidelity: float | None) -> None:
    assert lazy_model.lazy_model(name, fidelity) is None


def test_a_damaged_model_is_not_left_for_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in store.models_folder().iterdir():
        shutil.copy(path, tmp_path)
    ship_from(tmp_path, monkeypatch)
    assert lazy_model.lazy_model("vidsr_x4", None) is not None
    (tmp_path / "vidsr_x4_gan.safetensors").write_bytes(b"damaged")
    assert lazy_model.lazy_model("vidsr_x4", None) is None
