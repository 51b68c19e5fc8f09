"""The network on a device: devices that are not there, memory that does not suffice."""

from __future__ import annotations

import pytest
import torch

from tests.bench.precision import psnr
from tests.faces import FACE, portrait
from tests.test_render import model, plain
from vidsr.errors import DeviceError
from vidsr.networks import model_file
from vidsr.networks.generator import enlarge
from vidsr.restore import restorer as upscale
from vidsr.restore.restorer import Restorer, pick_device, pick_dtype

CPU = torch.device("cpu")


def test_a_plain_network_adds_exactly_nothing() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        assert not Restorer(plain(), CPU, dtype).added(torch.rand(3, 5, 3, 16, 16)).any()


def test_a_face_is_restored_the_same_to_the_last_bit_whatever_its_batch_holds() -> None:
    """The shipped network's sight of the whole face had other last bits in another batch."""
    restorer = Restorer(model_file.open_model("vidsr_x4_fidelity", None), CPU, torch.float32)
    clips = torch.rand(6, restorer.window, 3, 32, 32)
    together = restorer.added(clips)
    assert all(torch.equal(restorer.added(one[None])[0], found) for one, found in zip(clips, together, strict=True))


def test_memory_that_does_not_suffice_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    restorer = Restorer(model(), CPU, torch.float32)
    clips = torch.rand(8, 5, 3, 32, 32)
    wanted = restorer.added(clips)
    sizes = []
    one = Restorer._one

    def small(self: Restorer, part: torch.Tensor, _: torch.Tensor | None) -> torch.Tensor:
        sizes.append(len(part))
        if len(part) > 2:
            raise torch.cuda.OutOfMemoryError("simulated")
        return one(self, part)

    monkeypatch.setattr(Restorer, "_one", small)
    assert torch.equal(restorer.added(clips), wanted)
    assert sizes == [8, 4, 2, 2, 2, 2]


def test_a_model_that_others_hold_stays_as_it_is() -> None:
    shared = model()
    low = Restorer(shared, CPU, torch.bfloat16)
    assert {one.dtype for one in shared.network.parameters()} == {torch.float32}
    clips = torch.rand(1, 5, 3, 16, 16)
    assert not torch.equal(low.added(clips), Restorer(shared, CPU, torch.float32).added(clips))


def test_one_face_too_many_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> torch.Tensor:
        raise torch.cuda.OutOfMemoryError("simulated")

    monkeypatch.setattr(Restorer, "_one", never)
    with pytest.raises(DeviceError, match="--device cpu"):
        Restorer(model(), CPU, torch.float32).added(torch.rand(2, 5, 3, 16, 16))


def test_devices_that_are_not_here_are_named() -> None:
    assert pick_device("cpu") == CPU
    for name in ("cuda:99", "tpu", "cuda:x", "mps", "meta"):
        with pytest.raises(DeviceError):
            pick_device(name)


def test_auto_is_what_the_device_multiplies(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, wanted in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(upscale, "multiplies_bf16", lambda: there)  # noqa: B023
        assert pick_dtype("auto", CPU) == wanted
    assert pick_dtype("fp16", CPU) == torch.float16
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for capability, wanted in (((7, 5), torch.float16), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)  # noqa: B023
        assert pick_dtype("auto", torch.device("cuda")) == wanted


@pytest.mark.parametrize("fidelity", [0.0, 0.5, 1.0])
def test_bf16_costs_less_than_three_hundredths_of_a_decibel(fidelity: float) -> None:
    x, y = (round(value) for value in FACE)
    face = portrait()[y - 64 : y + 64, x - 64 : x + 64]
    exact, found = (
        psnr(Restorer(model_file.open_model("vidsr_x4", fidelity), CPU, dtype), [face])[0]
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert abs(exact - found) < 0.03  # the shipped GAN model: 0.020


def test_a_network_that_gives_what_it_adds_is_asked_for_that_alone() -> None:
    clips = torch.rand(2, 5, 3, 16, 16)
    ours = model()
    wanted = ours.network(clips) - enlarge(clips[:, 2])
    assert torch.allclose(Restorer(ours, CPU, torch.float32).added(clips), wanted, atol=1e-6)
    ours.network.forward = None  # type: ignore[assignment]
    assert torch.allclose(Restorer(ours, CPU, torch.float32).added(clips), wanted, atol=1e-6)


def test_in_bf16_a_clips_result_does_not_depend_on_its_batch() -> None:
    restorer = Restorer(model(), CPU, torch.bfloat16)
    for side in (32, 48, 64):
        clips = torch.rand(5, 5, 3, side, side)
        together = restorer.added(clips)
        assert all(torch.equal(together[i : i + 1], restorer.added(clips[i : i + 1])) for i in range(5))
