"""Copies and portions: on the CPU by the same paths that CUDA takes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from tests.conftest import cuda_or_skip
from tests.test_render import CPU, FRAMES, film, job
from vidsr.errors import DeviceError
from vidsr.networks.transfer import OomBatching, PendingCopy, Transfer, shared_out
from vidsr.restore import pipeline as module
from vidsr.restore.pipeline import render


def test_arrays_of_any_kind_arrive_as_they_were() -> None:
    rng = np.random.default_rng(1)
    frame = rng.integers(0, 1 << 16, (3, 20, 30), np.uint16)
    sent = [
        rng.integers(0, 256, (2, 5, 7), np.uint8),
        frame[:, 3:8, 1:30:2],  # a view with gaps
        np.empty((0, 4), np.float32),
        rng.normal(size=(3, 2, 3)).astype(np.float32),
    ]
    wanted = [array.copy() for array in sent]
    arrived = Transfer(CPU).bring(sent)
    frame[:] = 0
    for tensor, array in zip(arrived, wanted, strict=True):
        assert tensor.shape == array.shape
        assert np.array_equal(tensor.numpy(), array)


def test_a_parcel_holds_what_was_sent_in_its_order() -> None:
    lanes = Transfer(CPU)
    sent = [torch.rand(2, 3, 4), torch.rand(0, 3), torch.rand(5)[::2], torch.rand(())]
    for tensor, array in zip(sent, lanes.fetch(sent).open(), strict=True):
        assert np.array_equal(tensor.numpy(), array)
    assert lanes.fetch([]).open() == []


def test_portions_halve_and_stay_so() -> None:
    sizes = []

    def work(part: slice) -> list[int]:
        sizes.append(part.stop - part.start)
        if sizes[-1] > 3:
            raise torch.cuda.OutOfMemoryError("simulated")
        return list(range(10))[part]

    portions = OomBatching()
    assert [number for part in portions.run(10, work) for number in part] == list(range(10))
    assert sizes == [10, 5, 2, 2, 2, 2, 2]
    assert [number for part in portions.run(4, work) for number in part] == [0, 1, 2, 3]
    assert sizes[7:] == [2, 2]
    assert portions.run(0, work) == []


def test_portions_end_at_one() -> None:
    def never(_: slice) -> None:
        raise torch.cuda.OutOfMemoryError("simulated")

    with pytest.raises(DeviceError, match="does not fit"):
        OomBatching().run(3, never)


@pytest.mark.parametrize(
    "threads, count, parts", [(2, 5, [3, 2]), (2, 1, [1]), (4, 3, [3]), (3, 9, [3, 3, 3]), (1, 4, [4])]
)
def test_few_cores_share_a_batch_each_by_itself(threads: int, count: int, parts: list[int]) -> None:
    taken = []

    def work(part: torch.Tensor) -> torch.Tensor:
        taken.append((len(part), torch.get_num_threads()))
        return 2 * part

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        batch = torch.rand(count, 3)
        assert torch.equal(shared_out(work, batch), 2 * batch)
        assert torch.get_num_threads() == threads
        assert sorted(size for size, _ in taken) == sorted(parts)
        assert len(parts) == 1 or all(number == 1 for _, number in taken)
    finally:
        torch.set_num_threads(before)


def test_what_a_core_raises_is_raised() -> None:
    def work(part: torch.Tensor) -> torch.Tensor:
        raise torch.cuda.OutOfMemoryError(f"simulated, with {len(part)}")

    with pytest.raises(torch.cuda.OutOfMemoryError, match="simulated"):
        shared_out(work, torch.rand(4, 1))


def as_on_cuda(ahead: int, together: int, scale: int = 1) -> Iterator[np.ndarray]:
    """The film of test_render, with groups in work ahead and faces together."""
    work = job(4, scale=scale)
    work.restorer.lanes.ahead, work.restorer.lanes.together = ahead, together
    for frame in render(film(), 0, FRAMES, work):
        yield np.concatenate([frame.luma.ravel(), frame.chroma.ravel()])


def test_groups_in_work_ahead_change_nothing() -> None:
    for wanted, found in zip(as_on_cuda(0, 1), as_on_cuda(2, 1), strict=True):
        assert np.array_equal(wanted, found)


@pytest.mark.parametrize("scale", [1, 2])
def test_faces_worked_on_together_differ_by_rounding_at_most(scale: int) -> None:
    for wanted, found in zip(as_on_cuda(0, 1, scale), as_on_cuda(1, 64, scale), strict=True):
        assert np.abs(wanted.astype(int) - found).max() <= 1


def test_a_group_of_frames_comes_back_together(monkeypatch: pytest.MonkeyPatch) -> None:
    fetch, opened = Transfer.fetch, PendingCopy.open
    asked: list[str] = []
    monkeypatch.setattr(Transfer, "fetch", lambda self, tensors: (asked.append("fetch"), fetch(self, tensors))[1])
    monkeypatch.setattr(PendingCopy, "open", lambda self: (asked.append("open"), opened(self))[1])
    work = job(4)
    work.restorer.lanes.ahead, work.restorer.lanes.together = 1, 64
    groups = len(list(module._grouped(module._with_windows(film(), range(FRAMES), work), work.batch)))
    assert len(list(render(film(), 0, FRAMES, work))) == FRAMES
    assert asked[:4] == ["fetch", "fetch", "open", "fetch"]  # one group is in work while the next is prepared
    assert asked.count("fetch") == asked.count("open") == groups < FRAMES


def test_a_machine_without_cuda_skips_or_fails_as_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("VIDSR_REQUIRE_CUDA", raising=False)
    with pytest.raises(pytest.skip.Exception):
        cuda_or_skip()
    monkeypatch.setenv("VIDSR_REQUIRE_CUDA", "1")
    with pytest.raises(pytest.fail.Exception):
        cuda_or_skip()
