"""On a CUDA device: the same results as on the CPU, nothing waits that need not, memory stays flat."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from tests.bench.precision import psnr
from tests.faces import FACE, portrait
from tests.test_render import CPU, FRAMES, film, lumas, model
from tests.test_render import job as cpu_job
from vidsr.analysis.detector import CenterFace
from vidsr.errors import DeviceError
from vidsr.networks import model_file
from vidsr.networks.transfer import Transfer
from vidsr.restore.pipeline import Job, render
from vidsr.restore.restorer import Restorer, pick_dtype

MIB = 1 << 20


def job(device: torch.device, batch: int = 4) -> Job:
    """test_render's job in fp32 on CUDA."""
    return dataclasses.replace(cpu_job(batch), restorer=Restorer(model(), device, torch.float32))


def test_copies_there_and_back_are_exact_and_pinned(cuda: torch.device) -> None:
    lanes = Transfer(cuda)
    rng = np.random.default_rng(1)
    arrays = [rng.integers(0, 256, (3, 5, 7), np.uint8), rng.normal(size=(4, 6)).astype(np.float32)]
    sixteen = rng.integers(0, 1 << 16, (9, 9), np.uint16)
    for _ in range(50):  # buffers are used again while others are on their way
        there = lanes.bring([*arrays, sixteen])
        parcel = lanes.fetch([tensor.float() for tensor in there])
        assert all(tensor.is_pinned() for tensor in parcel.tensors)
        for found, wanted in zip(parcel.open(), [*arrays, sixteen], strict=True):
            assert np.array_equal(found, wanted.astype(np.float32))


def test_the_film_is_the_cpus_but_for_rounding(cuda: torch.device) -> None:
    wanted = lumas(render(film(), 0, FRAMES, cpu_job(4)))
    found = lumas(render(film(), 0, FRAMES, job(cuda)))
    for one, other in zip(found, wanted, strict=True):
        errors = np.abs(one.astype(int) - other)
        assert errors.max() <= 2  # convolutions in TF32
        assert (errors > 0).mean() < 0.01


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_the_batch_changes_rounding_at_most(cuda: torch.device, batch: int) -> None:
    wanted = lumas(render(film(), 0, FRAMES, job(cuda)))
    found = lumas(render(film(), 0, FRAMES, job(cuda, batch)))
    assert all(np.abs(a.astype(int) - b).max() <= 2 for a, b in zip(found, wanted, strict=True))


def test_a_clips_result_does_not_depend_on_its_neighbours(cuda: torch.device) -> None:
    restorer = Restorer(model(), cuda, torch.float32)
    clips = torch.rand(4, 5, 3, 32, 32, device=cuda)
    other = torch.cat([clips[:1], torch.rand(3, 5, 3, 32, 32, device=cuda)])
    assert torch.equal(restorer.added(clips)[0], restorer.added(other)[0])


def test_nothing_waits_for_the_device_before_the_parcel_is_opened(cuda: torch.device) -> None:
    from vidsr.restore import pipeline as module

    work = job(cuda)
    list(render(film(), 0, FRAMES, work))  # constants are there
    groups = list(module._grouped(module._with_windows(film(), range(FRAMES), work), work.batch))
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        sent = [module._sent(list(module._drawn(group, work)), work) for group in groups]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert [frame.index for one in sent for frame in module._finished(one, work, module.unheard)] == [*range(FRAMES)]


@pytest.mark.parametrize("fidelity", [0.0, 0.5, 1.0])
def test_fewer_bits_cost_less_than_two_hundredths_of_a_decibel(cuda: torch.device, fidelity: float) -> None:
    x, y = (round(value) for value in FACE)
    face = portrait()[y - 64 : y + 64, x - 64 : x + 64]
    exact = psnr(Restorer(model_file.open_model("vidsr_x4", fidelity), CPU, torch.float32), [face])
    found = psnr(Restorer(model_file.open_model("vidsr_x4", fidelity), cuda, pick_dtype("auto", cuda)), [face])
    assert exact[0] - found[0] < 0.02


def test_memory_that_does_not_suffice_halves_the_batch(cuda: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    restorer = Restorer(model(), cuda, torch.float32)
    clips = torch.rand(8, 5, 3, 32, 32, device=cuda)
    wanted = restorer.added(clips)
    one = Restorer._whole

    def small(self: Restorer, part: torch.Tensor) -> torch.Tensor:
        if len(part) > 2:
            torch.empty(1 << 50, dtype=torch.uint8, device=cuda)  # the device's own error
        return one(self, part)

    monkeypatch.setattr(Restorer, "_whole", small)
    narrow = Restorer(model(), cuda, torch.float32)
    assert torch.allclose(narrow.added(clips), wanted, atol=5e-3)
    assert narrow._portions._most == 2


def test_one_face_too_many_is_said(cuda: torch.device) -> None:
    restorer = Restorer(model(), cuda, torch.float32)
    clips = torch.rand(1, 5, 3, 256, 256, device=cuda)
    total = torch.cuda.get_device_properties(cuda).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + MIB) / total)
    try:
        with pytest.raises(DeviceError, match="--device cpu"):
            restorer.added(clips)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_memory_stays_flat(cuda: torch.device) -> None:
    work = job(cuda)
    held = []
    for _ in range(6):
        list(render(film(), 0, FRAMES, work))
        torch.cuda.synchronize()
        held.append((torch.cuda.memory_allocated(), torch.cuda.memory_reserved()))
    assert held[5] == held[2]


def test_the_detector_finds_the_same_on_the_device(cuda: torch.device) -> None:
    pictures = [portrait()[:400, k : 400 + k] for k in range(0, 60, 3)]  # more than one batch
    for one, other in zip(CenterFace(0.5, str(cuda))(pictures), CenterFace(0.5)(pictures), strict=True):
        assert len(one) == len(other) == 1
        assert np.abs(one[0].landmarks - other[0].landmarks).max() < 0.5
        assert np.abs(one[0].box - other[0].box).max() < 0.5
