"""Copies, graphs and portions: on the CPU by the same paths that CUDA takes, with a stand-in for what records."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from tests.conftest import cuda_or_skip
from tests.test_render import CPU, FRAMES, film, job, model
from vidsr.errors import DeviceError
from vidsr.networks.transfer import Graphs, OomBatching, PendingCopy, Transfer, Work, shared_out
from vidsr.restore import pipeline as module
from vidsr.restore.pipeline import render
from vidsr.restore.restorer import Restorer


class Recorder:
    """Stands for CUDA's recording: replays into buffers that are written over, of one shape only."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, work: Work, example: torch.Tensor) -> Work:
        given = torch.zeros_like(example)
        self.shapes.append(tuple(example.shape))

        def replay(batch: torch.Tensor) -> torch.Tensor:
            given[: len(batch)].copy_(batch)
            return work(given)[: len(batch)].clone()

        return replay


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


def test_a_shape_is_recorded_once_and_batches_are_filled_up() -> None:
    record = Recorder()
    graphs = Graphs(lambda batch: 2 * batch, (1, 2, 4), record)
    for count in (3, 4, 1, 3, 2):
        batch = torch.rand(count, 5)
        assert torch.equal(graphs(batch), 2 * batch)
    assert record.shapes == [(4, 5), (1, 5), (2, 5)]


def test_results_outlive_the_next_replay() -> None:
    graphs = Graphs(lambda batch: batch + 1, (2,), Recorder())
    first = graphs(torch.zeros(2, 3))
    graphs(torch.ones(2, 3))
    assert not (first - 1).any()


def test_few_graphs_are_kept_and_the_one_not_used_goes() -> None:
    record = Recorder()
    graphs = Graphs(lambda batch: batch, (1,), record, most=2)
    for side in (3, 4, 3, 5, 3, 4):
        graphs(torch.rand(1, side))
    assert record.shapes == [(1, 3), (1, 4), (1, 5), (1, 4)]
    graphs.forget()
    graphs(torch.rand(1, 3))
    assert record.shapes[-1] == (1, 3)


def test_batches_above_all_sizes_run_without_a_graph() -> None:
    record = Recorder()
    batch = torch.rand(5, 2)
    assert torch.equal(Graphs(lambda batch: batch, (1, 4), record)(batch), batch)
    assert record.shapes == []


def test_what_cannot_be_recorded_runs_as_it_is_and_says_so_once() -> None:
    def never(*_: object) -> Work:
        raise RuntimeError("operation not permitted when stream is capturing")

    graphs = Graphs(lambda batch: batch + 1, (4,), never)
    with pytest.warns(UserWarning, match="no CUDA graph") as said:
        for _ in range(3):
            assert torch.equal(graphs(torch.zeros(3, 2)), torch.ones(3, 2))
    assert len(said) == 1


def test_memory_that_ends_while_recording_is_not_taken_for_a_failure_to_record() -> None:
    def small(*_: object) -> Work:
        try:
            raise torch.cuda.OutOfMemoryError("simulated")
        finally:
            raise RuntimeError("capture was invalidated")

    with pytest.raises(torch.cuda.OutOfMemoryError):
        Graphs(lambda batch: batch, (4,), small)(torch.zeros(3, 2))


def test_portions_halve_and_stay_so() -> None:
    sizes, released = [], []

    def work(part: slice) -> list[int]:
        sizes.append(part.stop - part.start)
        if sizes[-1] > 3:
            raise torch.cuda.OutOfMemoryError("simulated")
        return list(range(10))[part]

    portions = OomBatching(release=lambda: released.append(1))
    assert [number for part in portions.run(10, work) for number in part] == list(range(10))
    assert sizes == [10, 5, 2, 2, 2, 2, 2]
    assert len(released) == 2
    assert [number for part in portions.run(4, work) for number in part] == [0, 1, 2, 3]
    assert sizes[7:] == [2, 2]
    assert portions.run(0, work) == []


def test_portions_end_at_one() -> None:
    def never(_: slice) -> None:
        raise torch.cuda.OutOfMemoryError("simulated")

    with pytest.raises(DeviceError, match="does not fit"):
        OomBatching().run(3, never)


def test_a_restorer_gives_the_same_through_graphs() -> None:
    plain, graphed = (Restorer(model(), CPU, torch.float32) for _ in range(2))
    record = Recorder()
    graphed._graphs = Graphs(graphed._whole, record=record)
    for count, side in ((3, 16), (4, 16), (1, 24)):
        clips = torch.rand(count, 5, 3, side, side)
        assert torch.allclose(graphed.added(clips), plain.added(clips), atol=1e-6)
    assert record.shapes == [(4, 5, 3, 16, 16), (1, 5, 3, 24, 24)]


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


class Stream:
    """Stands for a CUDA stream, and writes down who waits for whom."""

    def __init__(self, name: str, told: list[str]) -> None:
        self.name, self.told = name, told

    def wait_stream(self, other: Stream) -> None:
        self.told.append(f"{self.name} waits for {other.name}")

    def record_event(self) -> Stream:
        return self

    def synchronize(self) -> None:
        self.told.append(f"host waits for {self.name}")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """CUDA's streams and pinned memory with stand-ins, and what was said of them."""
    told: list[str] = []
    names = iter(("in", "out"))
    empty = torch.empty

    def pinned(*shape: object, pin_memory: bool = False, **options: object) -> torch.Tensor:
        told.extend(["pinned"] if pin_memory else [])
        return empty(*shape, **options)

    monkeypatch.setattr(torch, "empty", pinned)
    monkeypatch.setattr(torch.cuda, "Stream", lambda _: Stream(next(names), told))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: Stream("work", told))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext(told.append(f"on {stream.name}")))
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda _, stream: told.append(f"kept for {stream.name}"))
    return told


def test_each_copy_has_its_stream_and_only_the_parcel_is_waited_for(told: list[str]) -> None:
    lanes = Transfer(torch.device("cuda"))
    assert (lanes.ahead, lanes.together) == (1, 64)
    lanes.device = CPU
    (there,) = lanes.bring([np.arange(5, dtype=np.float32)])
    assert told == ["pinned", "on in", "work waits for in", "kept for work"]
    told.clear()
    parcel = lanes.fetch([2 * there])
    assert told == ["out waits for work", "on out", "pinned", "kept for out"]
    told.clear()
    assert parcel.open()[0].tolist() == [0, 2, 4, 6, 8]
    assert told == ["host waits for out"]


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


def test_a_group_of_frames_comes_back_in_one_copy(monkeypatch: pytest.MonkeyPatch) -> None:
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
