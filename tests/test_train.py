"""Training: it learns, it goes on where it stopped, and it stops where numbers break."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vidsr import train, weights
from vidsr.config import Train
from vidsr.errors import ModelError, VidsrError
from vidsr.losses import Perceptual, backbone, charbonnier, critic_loss, fooling_loss

SMALL = Train(steps=6, warmup=1, decay=3, batch=4, patch=16, features=8, blocks=1, reels=0, check_every=3)


def settings(folder: Path, **changes: object) -> Train:
    return replace(SMALL, output=str(folder / "made.safetensors"), **changes)  # type: ignore[arg-type]


def quiet(_: train.Progress) -> None:
    pass


def test_a_smoke_run_makes_a_model_that_loads(tmp_path: Path) -> None:
    rows: list[train.Progress] = []
    path = train.train(settings(tmp_path), rows.append)
    assert [row.step for row in rows] == [3, 6]
    model = weights.load(str(path))
    assert (model.card.stage, model.card.blocks, model.card.metrics["steps"]) == ("fidelity", 1, 6.0)
    assert len((tmp_path / "made.csv").read_text().splitlines()) == 3


def test_it_learns(tmp_path: Path) -> None:
    rows: list[train.Progress] = []
    train.train(settings(tmp_path, steps=120, decay=40, check_every=30, moving=0.0, film=0.0, seed=2), rows.append)
    assert rows[-1].loss < 0.92 * rows[0].loss


def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    train.train(settings(tmp_path, steps=4), quiet)
    rows: list[train.Progress] = []
    train.train(settings(tmp_path, steps=9), rows.append)
    assert [row.step for row in rows] == [6, 9]


def test_a_finished_run_has_nothing_to_do(tmp_path: Path) -> None:
    path = train.train(settings(tmp_path), quiet)
    before = weights.load(str(path)).network.state_dict()
    train.train(settings(tmp_path), quiet)
    after = weights.load(str(path)).network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_numbers_that_break_stop_the_run_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(VidsrError, match="not finite"):
        train.train(settings(tmp_path, rate=1e20, clip_norm=1e20, warmup=1), quiet)
    assert not (tmp_path / "made.safetensors").exists()


def test_the_rate_rises_stays_and_falls() -> None:
    run = replace(SMALL, steps=100, warmup=10, decay=40)
    factors = [train.rate_factor(step, run) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[10:60] == pytest.approx([1.0] * 50)
    assert factors[80] == pytest.approx(0.5)
    assert factors[99] < 0.01


def test_charbonnier_is_nearly_the_mean_distance() -> None:
    a, b = torch.zeros(2, 3), torch.full((2, 3), 0.5)
    assert charbonnier(a, b).item() == pytest.approx(0.5, abs=1e-4)
    assert charbonnier(a, a).item() == pytest.approx(1e-3)


def squeezenet(folder: Path) -> Path:
    """A file of random weights for SqueezeNet, as torchvision would save it."""
    from torchvision.models import squeezenet1_1

    torch.manual_seed(2)
    path = folder / "squeezenet.pth"
    torch.save(squeezenet1_1(weights=None, num_classes=7).state_dict(), path)
    return path


def test_the_gan_stage_goes_on_from_a_model(tmp_path: Path) -> None:
    first = train.train(settings(tmp_path), quiet)
    folder = tmp_path / "gan"
    folder.mkdir()
    run = settings(folder, stage="gan", initial=str(first), perceptual=str(squeezenet(tmp_path)), critic_features=4)
    path = train.train(replace(run, steps=3), quiet)
    again = train.train(replace(run, steps=5), quiet)
    assert path == again
    made = weights.load(str(path))
    assert made.card.stage == "gan"
    assert made.card.metrics["steps"] == 5
    pairs = zip(made.network.parameters(), weights.load(str(first)).network.parameters(), strict=True)
    distances = [float((a - b).abs().max()) for a, b in pairs]
    assert 0 < max(distances) < 0.1


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    train.train(settings(tmp_path), quiet)
    with pytest.raises(VidsrError, match="does not fit"):
        train.train(settings(tmp_path, features=16, steps=9), quiet)


def test_perceptual_weights_that_are_unsafe_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pickle
    import urllib.error

    from torchvision import models

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path(tmp_path / "trapped").write_text, ("x",))

    (tmp_path / "trap.pth").write_bytes(pickle.dumps(Trap()))
    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pth")
    for name in ("trap.pth", "other.pth", "none.pth"):
        with pytest.raises(ModelError, match=name):
            backbone(str(tmp_path / name))
    assert not (tmp_path / "trapped").exists()

    def offline(**_: object) -> None:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(models, "vgg19", offline)
    with pytest.raises(ModelError, match="could not be downloaded"):
        backbone("vgg19")


def test_the_hinge_losses() -> None:
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-2.0, 0.5])
    assert critic_loss(real, fake).item() == pytest.approx((0 + 0.5) / 2 + (0 + 1.5) / 2)
    assert fooling_loss(fake).item() == pytest.approx(0.75)


def test_features_are_compared_by_direction(tmp_path: Path) -> None:
    distance = Perceptual(str(squeezenet(tmp_path)))
    a = torch.rand(1, 3, 64, 64)
    assert distance(a, a).item() == 0
    assert distance(a, a * 0.9).item() < distance(a, a.flip(-1)).item()
