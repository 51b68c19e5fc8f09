"""The recipe of the shipped models: it learns from samples on disk, goes on, and takes the mean of runs."""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from docs.recipe import fit, mean
from vidsr.networks import model_file

SIDE = 16  # of a sample, pixels


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """Two files of three windows each, and the sharp pictures of their middle frames."""
    folder, rng = tmp_path / "samples", np.random.default_rng(1)
    folder.mkdir()
    for name in ("r1_00000", "s1_00000"):
        truth = rng.integers(0, 256, (3, 4 * SIDE, 4 * SIDE, 3), np.uint8)
        clips = np.repeat(truth[:, None, 2::4, 2::4], len(fit.OFFSETS), 1)
        np.save(folder / f"{name}_{SIDE}_t.npy", truth)
        np.save(folder / f"{name}_{SIDE}_c.npy", clips)
    return folder


def _fit(monkeypatch: pytest.MonkeyPatch, samples: Path, output: Path, *words: str) -> dict:
    """Every step takes a second by its clock, however long it takes."""
    monkeypatch.setattr(fit, "time", SimpleNamespace(monotonic=count().__next__))
    size = ["--batch", "2", "--patch", str(SIDE), "--decay", "0.01"]
    monkeypatch.setattr(sys, "argv", ["fit", str(samples), "-o", str(output), *size, *words])
    fit.main()
    return model_file.tensors(output)


@pytest.mark.parametrize("architecture", ["vidsr", "srgan", "vdsr"])
def test_a_run_learns_and_goes_on(
    architecture: str, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, words = tmp_path / "run.checkpoint", ("--architecture", architecture, "--minutes")
    first = _fit(monkeypatch, samples, output, *words, "0.05")
    second = _fit(monkeypatch, samples, output, *words, "0.1")
    assert 0 < first["step"] < second["step"] and first["spent"] < second["spent"]
    model = model_file.open_model(str(output.with_suffix(".safetensors")), None)
    assert model.card.architecture == architecture
    before = fit.fresh(model.card, architecture != "vidsr").state_dict()
    after = {name: numbers.float() for name, numbers in second["average"].items()}
    assert any(not torch.equal(before[name], numbers) for name, numbers in after.items())
    restored = model.network(torch.rand(1, model.window, 3, SIDE, SIDE, dtype=next(model.network.parameters()).dtype))
    assert restored.shape == (1, 3, 4 * SIDE, 4 * SIDE) and restored.isfinite().all()


def test_the_mean_lies_between_the_runs(samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [tmp_path / f"{name}.checkpoint" for name in ("a", "b")]
    words = ("--minutes", "0.05", "--rate")
    one, other = (
        _fit(monkeypatch, samples, run, *words, rate)["average"]
        for run, rate in zip(runs, ("1e-3", "0.1"), strict=True)
    )
    assert not torch.equal(one["head.weight"], other["head.weight"])
    output = tmp_path / "mean.checkpoint"
    monkeypatch.setattr(sys, "argv", ["mean", f"{runs[0]}=3", f"{runs[1]}=1", "-o", str(output)])
    mean.main()
    between = model_file.tensors(output)["average"]
    for name, numbers in between.items():
        torch.testing.assert_close(numbers, 0.75 * one[name] + 0.25 * other[name])
    assert output.with_suffix(".safetensors").stat().st_size < 4e6  # half precision


def test_a_folder_without_samples_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="no samples of 16 pixels"):
        _fit(monkeypatch, tmp_path, tmp_path / "run.checkpoint", "--minutes", "1")


def test_a_grid_is_told_from_what_is_smooth() -> None:
    slope = torch.linspace(0, 1, 128).expand(1, 3, 128, 128).contiguous()
    lattice = 0.01 * torch.randn(4, 4, generator=torch.Generator().manual_seed(1)).repeat(32, 32)
    lattice -= lattice.mean()
    inside = (..., slice(40, 88), slice(40, 88))
    assert fit.woven(slope)[inside].abs().max() < 1e-3
    torch.testing.assert_close(
        fit.woven(slope + lattice)[inside], lattice.expand(1, 3, 128, 128)[inside], atol=1e-3, rtol=0
    )
