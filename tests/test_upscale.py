"""The network on a device: devices that are not there, memory that does not suffice."""

from __future__ import annotations

import pytest
import torch

from tests.test_render import model, plain
from vidsr.errors import DeviceError
from vidsr.upscale import Restorer, pick_device, pick_dtype

CPU = torch.device("cpu")


def test_a_plain_network_adds_exactly_nothing() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        assert not Restorer(plain(), CPU, dtype).added(torch.rand(3, 5, 3, 16, 16)).any()


def test_memory_that_does_not_suffice_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    restorer = Restorer(model(), CPU, torch.float32)
    clips = torch.rand(8, 5, 3, 16, 16)
    wanted = restorer.added(clips)
    sizes = []
    one = Restorer._one

    def small(self: Restorer, part: torch.Tensor) -> torch.Tensor:
        sizes.append(len(part))
        if len(part) > 2:
            raise torch.cuda.OutOfMemoryError("simulated")
        return one(self, part)

    monkeypatch.setattr(Restorer, "_one", small)
    assert torch.equal(restorer.added(clips), wanted)
    assert sizes == [8, 4, 2, 2, 2, 2]


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


def test_the_cpu_computes_in_fp32_unless_told() -> None:
    assert pick_dtype("auto", CPU) == torch.float32
    assert pick_dtype("auto", torch.device("cuda")) == torch.bfloat16
    assert pick_dtype("fp16", CPU) == torch.float16
