"""The network in whole numbers: as good as in floats, the same in any company, refused where it cannot be right."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.bench.precision import psnr
from tests.faces import FACE, portrait
from tests.test_render import model, plain
from vidsr import upscale, weights
from vidsr.config import Enhance, Render
from vidsr.errors import DeviceError, ModelError
from vidsr.network import Vidsr
from vidsr.plan import plan
from vidsr.quantized import Quantized, Steps
from vidsr.upscale import Restorer, multiplies_int8, pick_dtype

CPU = torch.device("cpu")
multiplying = pytest.mark.skipif(not multiplies_int8(), reason="this processor does not add up 8-bit products exactly")


def test_numbers_are_the_nearest_and_end_at_both_ends() -> None:
    steps = Steps.over(-1.0, 2.0)
    x = torch.linspace(-1.0, 2.0, 999)
    numbers = steps.numbers(x)
    assert numbers.dtype == torch.uint8
    back = steps.step * (numbers.float() - steps.zero)
    assert float((back - x).abs().max()) < 0.6 * steps.step
    assert steps.numbers(torch.tensor([-9.0, 0.0, 9.0])).tolist() == [0, steps.zero, 255]
    assert Steps.over(0.5, 2.0).zero == 0  # the edge of a crop is padded with zeros


@multiplying
@pytest.mark.parametrize("fidelity", [0.0, 0.5, 1.0])
def test_int8_costs_less_than_five_hundredths_of_a_decibel(fidelity: float) -> None:
    x, y = (round(value) for value in FACE)
    faces = [portrait()[y - side : y + side, x - side : x + side] for side in (64, 96)]
    exact, found = (
        psnr(Restorer(weights.open_model("vidsr_x4", fidelity), CPU, dtype), faces)
        for dtype in (torch.float32, torch.int8)
    )
    assert all(abs(a - b) < 0.05 for a, b in zip(exact, found, strict=True))
    assert exact != found  # the work was done in other numbers


@multiplying
def test_in_int8_a_clips_result_depends_on_nothing_else() -> None:
    restorer = Restorer(weights.open_model("vidsr_x4", 0.5), CPU, torch.int8)
    threads = torch.get_num_threads()
    for side in (32, 48, 96):
        clips = torch.rand(9, 5, 3, side, side)
        together = restorer.added(clips)
        assert together.shape == (9, 3, 4 * side, 4 * side)
        try:
            torch.set_num_threads(2 if threads == 1 else 1)
            assert all(torch.equal(together[i : i + 1], restorer.added(clips[i : i + 1])) for i in range(9))
        finally:
            torch.set_num_threads(threads)


@multiplying
def test_a_fresh_network_adds_nothing_in_int8() -> None:
    assert not Quantized(Vidsr(5, 16, 2)).added(torch.rand(2, 5, 3, 16, 16)).any()


@multiplying
def test_a_network_that_worked_in_bf16_is_taken_too() -> None:
    ours = model()
    wanted = Restorer(model(), CPU, torch.int8).added(torch.ones(1, 5, 3, 16, 16))
    Restorer(ours, CPU, torch.bfloat16)
    assert torch.allclose(Restorer(ours, CPU, torch.int8).added(torch.ones(1, 5, 3, 16, 16)), wanted, atol=0.1)


def test_other_networks_are_refused_by_name() -> None:
    with pytest.raises(ModelError, match="plain cannot compute in int8"):
        Restorer(plain(), CPU, torch.int8)


def test_int8_is_refused_where_it_would_overflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="leave --precision out"):
        pick_dtype("int8", torch.device("cuda"))
    monkeypatch.setattr(upscale, "_flags", lambda: frozenset(("avx2", "avx512f")))
    assert not multiplies_int8()
    film = Path(__file__).parent / "samples/portrait.mp4"
    with pytest.raises(DeviceError, match="VNNI"):  # before anything is analysed
        plan(film, tmp_path, Enhance(render=Render(precision="int8", device="cpu")), plain())
    monkeypatch.setattr(upscale, "_flags", lambda: frozenset(("avx_vnni",)))
    assert pick_dtype("int8", CPU) == torch.int8
