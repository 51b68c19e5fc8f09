"""Training: it learns, it goes on where it stopped, and it stops where numbers break."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.faces import portrait
from tests.program import thinned
from vidsr.config import Train
from vidsr.data.faces import synthetic
from vidsr.data.shards import write_shards
from vidsr.errors import InputError, ModelError, OutputError, VidsrError
from vidsr.networks import model_file
from vidsr.networks.features import backbone
from vidsr.restore import restorer
from vidsr.training import train, training_log
from vidsr.training.losses import RIVALRIES, Perceptual, charbonnier, fidelity, temporal

ROOT = Path(__file__).parents[1]
SMALL = Train(
    steps=6, warmup=1, decay=3, batch=4, patch=16, features=8, blocks=1, reels=0, check_every=3, precision="fp32"
)


def settings(folder: Path, **changes: object) -> Train:
    return replace(SMALL, output=str(folder / "made.safetensors"), **changes)  # type: ignore[arg-type]


def quiet(_: train.Progress) -> None:
    pass


def test_a_smoke_run_makes_a_model_that_loads(tmp_path: Path) -> None:
    rows: list[train.Progress] = []
    path = train.train(settings(tmp_path), rows.append)
    assert [row.step for row in rows] == [3, 6]
    model = model_file.load(str(path))
    assert (model.card.stage, model.card.config["blocks"], model.card.metrics["steps"]) == ("fidelity", 1, 6.0)
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
    before = model_file.load(str(path)).network.state_dict()
    train.train(settings(tmp_path), quiet)
    after = model_file.load(str(path)).network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_numbers_that_break_stop_the_run_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(VidsrError, match="not finite"):
        train.train(settings(tmp_path, rate=1e20, clip_norm=1e20, warmup=1), quiet)
    assert not (tmp_path / "made.safetensors").exists()


def test_a_critic_that_breaks_leaves_the_network_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = settings(tmp_path, stage="gan", perceptual=str(squeezenet(tmp_path)), critic_features=4)
    replica = train.join(run)
    trainer = train.Trainer(run, replica)
    whole = train.Trainer._critics_loss
    monkeypatch.setattr(train.Trainer, "_critics_loss", lambda *words: whole(*words) * torch.nan)
    before = [one.clone() for one in trainer.state.network.parameters()]
    assert not np.isfinite(trainer.update(next(train.batches(run, 0, replica))))
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.state.network.parameters(), strict=True))


def test_a_folder_that_is_not_there_is_said_before_the_first_step(tmp_path: Path) -> None:
    run = replace(settings(tmp_path), output=str(tmp_path / "missing/m.safetensors"))
    with pytest.raises(OutputError, match="missing does not exist"):
        train.train(run, lambda _: pytest.fail("it began"))


def test_films_that_are_not_there_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no"):
        train.train(settings(tmp_path, films=str(tmp_path / "none")), quiet)


@pytest.mark.parametrize(("there", "wanted"), [(True, torch.bfloat16), (False, torch.float32)])
def test_training_computes_in_what_the_processor_multiplies(
    monkeypatch: pytest.MonkeyPatch, there: bool, wanted: torch.dtype
) -> None:
    monkeypatch.setattr(restorer, "multiplies_bf16", lambda: there)
    assert train.join(replace(SMALL, device="cpu", precision="auto")).dtype == wanted


def test_the_rate_rises_stays_and_falls() -> None:
    run = replace(SMALL, steps=100, warmup=10, decay=40)
    factors = [train.rate_factor(step, run) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[10:60] == pytest.approx([1.0] * 50)
    assert factors[80] == pytest.approx(0.5)
    assert factors[99] < 0.01


def test_a_sample_that_is_damaged_little_counts_as_much_as_one_that_is_damaged_much() -> None:
    truth, noise = torch.rand(2, 3, 8, 8), torch.randn(2, 3, 8, 8)
    before = fidelity(truth + torch.tensor([0.2, 0.01])[:, None, None, None] * noise, truth)
    hard = fidelity(truth + torch.tensor([0.1, 0.01])[:, None, None, None] * noise, truth)
    easy = fidelity(truth + torch.tensor([0.2, 0.005])[:, None, None, None] * noise, truth)
    assert (before - hard).item() == pytest.approx((before - easy).item(), rel=0.1)
    assert hard < before


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
    made = model_file.load(str(path))
    assert made.card.stage == "gan"
    assert made.card.metrics["steps"] == 5
    pairs = zip(made.network.parameters(), model_file.load(str(first)).network.parameters(), strict=True)
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
    hinge = RIVALRIES["hinge"]
    assert hinge.critic(real, fake).item() == pytest.approx((0 + 0.5) / 2 + (0 + 1.5) / 2)
    assert hinge.network(real, fake).item() == pytest.approx(0.75)


def test_the_relativistic_loss_looks_at_the_distance_only() -> None:
    rivalry = RIVALRIES["relativistic"]
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([-1.0, 0.0])
    assert rivalry.critic(real, fake).item() == pytest.approx(rivalry.critic(real + 5, fake + 5).item())
    assert rivalry.critic(real, fake).item() == pytest.approx(rivalry.network(fake, real).item())
    above, below = real - fake.mean(), fake - real.mean()
    wanted = -(torch.sigmoid(above).log().mean() + (1 - torch.sigmoid(below)).log().mean()) / 2
    assert rivalry.critic(real, fake).item() == pytest.approx(wanted.item(), rel=1e-5)


def test_the_temporal_loss_is_blind_to_what_does_not_change() -> None:
    truth = torch.rand(4, 3, 8, 8)
    shift = torch.rand(2, 3, 8, 8).repeat_interleave(2, 0)  # the same error in both frames of a pair
    assert temporal(truth + shift, truth).item() == pytest.approx(1e-3, rel=1e-2)
    assert temporal(truth + torch.rand(4, 3, 8, 8), truth).item() > 0.1


@pytest.mark.parametrize(
    "changes", thinned([{"stage": "gan", "critic_features": 4}, {}, {"architecture": "srgan", "window": 1}])
)
def test_a_stopped_run_goes_on_the_same_curve(
    tmp_path: Path, changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_log, "plot", lambda *_: None)  # at each step it would take longer than the step
    run = settings(tmp_path, steps=20, decay=8, film=0.5, moving=0.25, reels=2, perceptual=str(squeezenet(tmp_path)))
    run = replace(run, temporal_weight=0.5, **changes)  # type: ignore[arg-type]
    through = model_file.load(str(train.train(run, quiet))).network.state_dict()
    broken = replace(run, output=str(tmp_path / "broken.safetensors"), check_every=1)

    class Cut(Exception):
        pass

    def cut(progress: train.Progress) -> None:
        if progress.step == 10:
            raise Cut

    with pytest.raises(Cut):
        train.train(replace(broken, save_s=0.0), cut)
    later: list[int] = []
    resumed = model_file.load(
        str(train.train(broken, lambda progress: later.append(progress.step)))
    ).network.state_dict()
    assert later[0] == 10  # the checkpoint was of the step before
    assert all(torch.allclose(through[name], resumed[name], atol=1e-6) for name in through)


def test_mixed_precision_learns_and_keeps_its_weights_whole(tmp_path: Path) -> None:
    run = settings(tmp_path, steps=2, film=0.0, precision="bf16")
    found = model_file.load(str(train.train(run, quiet)))
    exact = model_file.load(
        str(train.train(replace(run, precision="fp32", output=str(tmp_path / "b.safetensors")), quiet))
    )
    pairs = list(zip(found.network.parameters(), exact.network.parameters(), strict=True))
    assert all(a.dtype == torch.float32 for a, _ in pairs)
    assert any(not torch.equal(a, b) for a, b in pairs)  # the work was done in other numbers
    assert max(float((a - b).abs().max()) for a, b in pairs) < 0.02


def test_half_precision_is_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(VidsrError, match="bf16"):
        train.train(settings(tmp_path, precision="fp16"), quiet)


def gradients(run: Train) -> list[torch.Tensor]:
    replica = train.join(run)
    trainer = train.Trainer(run, replica)
    trainer.update(next(train.batches(run, 0, replica)))
    return [p.grad.clone() for p in trainer.state.network.parameters() if p.grad is not None]


def worker(rank: int, port: int, run: Train, output: str) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    found = gradients(run)
    if rank == 0:
        torch.save(found, output)
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_find_the_gradients_of_one(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run = settings(tmp_path, batch=8, film=0.5, moving=0.25, reels=1, clip_norm=1e9)
    output = tmp_path / "gradients.pt"
    torch.multiprocessing.spawn(worker, (port, run, str(output)), nprocs=2)
    together, alone = torch.load(output), gradients(run)
    assert len(together) == len(alone) > 0
    for a, b in zip(together, alone, strict=True):
        assert torch.allclose(a, b, atol=1e-6, rtol=1e-4)
    assert max(float(a.abs().max()) for a in alone) > 1e-4


@pytest.mark.slow
def test_torchrun_trains_on_two_nodes(tmp_path: Path) -> None:
    """Two nodes of one process each, on this machine, by the words of docs/cluster.md; the data lies in shards."""
    output, shards = tmp_path / "many.safetensors", tmp_path / "shards"
    rng = np.random.default_rng(1)
    assert len(write_shards(synthetic(rng, 4), shards, rng, size=1)) == 4
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = f"127.0.0.1:{free.getsockname()[1]}"
    launch = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    launch += ["--rdzv-backend", "c10d", "--rdzv-endpoint", meeting, "--rdzv-id", "vidsr", "-m", "vidsr", "train"]
    options = [
        "--data",
        str(shards),
        "--steps",
        "2",
        "--features",
        "8",
        "--blocks",
        "1",
        "--batch",
        "4",
        "-o",
        str(output),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    nodes = [
        subprocess.Popen([*launch, *options], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for node in nodes:
        _, said = node.communicate(timeout=120)
        assert node.returncode == 0, said
    assert model_file.load(str(output)).card.metrics["steps"] == 2


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    replica = train.Replica(torch.device("cpu"), torch.float32, 0, 3)
    with pytest.raises(VidsrError, match="--batch 8 is no multiple of the 3 processes"):
        next(train.batches(settings(tmp_path, batch=8), 0, replica))


def test_the_log_shows_curves_and_faces(tmp_path: Path) -> None:
    folder = tmp_path / "faces"
    folder.mkdir()
    for number in range(2):
        cv2.imwrite(str(folder / f"{number}.png"), cv2.resize(portrait()[20:276, 90:346], (256, 256))[..., ::-1])
    rows: list[train.Progress] = []
    train.train(settings(tmp_path, validation=str(folder)), rows.append)
    assert rows[-1].psnr_y is not None and rows[-1].bicubic_psnr_y is not None
    assert rows[-1].psnr_y > rows[-1].bicubic_psnr_y - 1
    assert cv2.imread(str(tmp_path / "made.curve.png")) is not None
    assert cv2.imread(str(tmp_path / "made.faces.png")).shape == (3 * 256, 2 * 256, 3)
    assert list((tmp_path / "made.runs").glob("events.*"))


def test_features_are_compared_by_direction(tmp_path: Path) -> None:
    distance = Perceptual(str(squeezenet(tmp_path)))
    a = torch.rand(1, 3, 64, 64)
    assert distance(a, a).item() == 0
    assert distance(a, a * 0.9).item() < distance(a, a.flip(-1)).item()
