"""A device and the ways to it: copies that nothing waits for, work recorded as CUDA graphs, batches that fit.

The CPU takes the same paths, with copies that are none and work that is done at once.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidsr.errors import DeviceError
from vidsr.frame import Floats

ALIGNED = 16
"""Bytes: where an array begins in a buffer that holds several."""
GRAPHS = 16
"""Recorded graphs that are kept; the one that was longest without use goes first."""
WARM = 2
"""Runs before a graph is recorded, in which libraries choose their kernels and allocate what they need."""
SIZES = (1, 2, 4, 8, 16, 32, 64)
"""Batches for which graphs are recorded: others are filled up to the next, larger ones run without a graph."""
FEW_THREADS = 4
"""Up to so many threads of a CPU, none waits for another inside of a step: see `one_thread` and `shared_out`."""

T = TypeVar("T")
Array = NDArray[np.generic]
Work = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class PendingCopy:
    """Float tensors on their way to the host, in one buffer."""

    buffer: Tensor
    shapes: tuple[tuple[int, ...], ...]
    arrived: torch.cuda.Event | None

    def open(self) -> list[Floats]:
        """The arrays, views of the buffer. The device is waited for here, and only for what was asked before this."""
        if self.arrived is not None:
            self.arrived.synchronize()
        ends = np.cumsum([prod(shape) for shape in self.shapes])[:-1]
        parts = np.split(self.buffer.numpy(), ends) if self.shapes else []
        return [part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True)]


def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


@contextmanager
def one_thread() -> Iterator[None]:
    """What is done inside takes one thread of a CPU that has few: with two, each of many small steps waits until both
    got a core beside decoder and encoder. A frame of 1280x720 with a face took 60 ms with two and 50 with one, one of
    240x180 enlarged by 4 60 and 42; four faces in 640x360, where the encoder has little to do, 112 and 112 to 124. The
    network's threads have parts of their own: see `shared_out`."""
    threads = torch.get_num_threads()
    if threads > FEW_THREADS:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def shared_out(work: Work, batch: Tensor) -> Tensor:
    """The results of `work`, which must not let items of a batch depend on each other: on a CPU that has few threads
    each takes a part of the batch, by itself.

    Where all work at one part, every step waits for the core that something else took. A frame of 1280x720 with a face
    took 46 ms so, and takes 44; beside one other busy process 84 and 61, beside two 112 and 72.
    """
    threads = torch.get_num_threads()
    if not 1 < threads <= min(FEW_THREADS, len(batch)):
        return work(batch)

    def alone(part: Tensor) -> Tensor:
        with torch.inference_mode(), one_thread():
            return work(part)

    # Threads that have shared a step spin for a while after it: here only one goes on.
    with one_thread(), ThreadPoolExecutor(threads, "vidsr-core") as cores:
        return torch.cat(list(cores.map(alone, batch.chunk(threads))))


class Transfer:
    """Copies to a device and back, each in a lane of its own beside the device's work, through pinned memory.

    `ahead` groups of frames may be in work while the next is prepared. `together` faces are cut out or blended in one
    call: one by one on the CPU, where a face's result must not depend on the others by a single bit.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.cuda = device.type == "cuda"
        self.ahead = 1 if self.cuda else 0
        self.together = 1 if device.type == "cpu" else 64
        self._inward = _stream(device) if self.cuda else None
        self._outward = _stream(device) if self.cuda else None

    def bring(self, arrays: Sequence[Array]) -> list[Tensor]:
        """Arrays of the host as tensors of the device, in one copy; nothing waits, and the arrays are free at once."""
        if self.device.type == "mps":  # which has neither pinned memory nor numbers of 16 bits without a sign
            fitting = [array.astype(np.float32) if array.dtype == np.uint16 else array.copy() for array in arrays]
            return [torch.from_numpy(array).to(self.device) for array in fitting]
        begins = np.cumsum([0, *(-(-array.nbytes // ALIGNED) * ALIGNED for array in arrays)]).tolist()
        # torch keeps pinned memory and gives it out again only when the copies from it are done.
        staging = torch.empty(begins[-1], dtype=torch.uint8, pin_memory=self.cuda)
        places = [slice(begin, begin + array.nbytes) for begin, array in zip(begins, arrays, strict=False)]
        bytes_ = staging.numpy()
        for place, array in zip(places, arrays, strict=True):
            np.copyto(bytes_[place].view(array.dtype).reshape(array.shape), array)
        there = self._sent(staging)
        kinds = [torch.from_numpy(np.empty(0, array.dtype)).dtype for array in arrays]
        return [
            there[place].view(kind).view(array.shape) for place, kind, array in zip(places, kinds, arrays, strict=True)
        ]

    def _sent(self, staging: Tensor) -> Tensor:
        if self._inward is None:
            return staging
        with torch.cuda.stream(self._inward):
            there = staging.to(self.device, non_blocking=True)
        work = torch.cuda.current_stream(self.device)
        work.wait_stream(self._inward)
        there.record_stream(work)
        return there

    def fetch(self, tensors: Sequence[Tensor]) -> PendingCopy:
        """Send float32 tensors of the device to the host, in one copy that nothing waits for but `Parcel.open`."""
        shapes = tuple(tuple(tensor.shape) for tensor in tensors)
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors]) if tensors else torch.empty(0)
        if self._outward is None or not tensors:
            return PendingCopy(flat.cpu(), shapes, None)
        self._outward.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._outward):
            home = torch.empty(flat.shape, dtype=flat.dtype, pin_memory=True)
            home.copy_(flat, non_blocking=True)
            arrived = self._outward.record_event()
        flat.record_stream(self._outward)
        return PendingCopy(home, shapes, arrived)


def recorded(work: Work, example: Tensor) -> Work:
    """`work` on batches of the shape of `example` as one CUDA graph; batches may be shorter.

    Raises what `work` or the recording raises: OutOfMemoryError, or RuntimeError where it cannot be recorded.
    """
    device = example.device
    given = torch.zeros_like(example)
    side, here = _stream(device), torch.cuda.current_stream(device)
    graph = torch.cuda.CUDAGraph()
    tf32 = torch.backends.cudnn.allow_tf32
    # The outer context brings the stream back where a recording fails: its own one does not.
    with torch.cuda.stream(here), torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=tf32):
        side.wait_stream(here)
        with torch.cuda.stream(side):
            for _ in range(WARM):
                work(given)
        here.wait_stream(side)
        # Threads that decode and encode may pin memory meanwhile, which only this thread must not do.
        with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
            made = work(given)

    def replay(batch: Tensor) -> Tensor:
        given[: len(batch)].copy_(batch)
        graph.replay()
        return made[: len(batch)].clone()  # the next replay writes over it

    return replay


class Graphs:
    """`work`, recorded once for each shape and padded batch, and replayed; what cannot be recorded runs as it is.

    `record` makes a replay of `work` from an example. At most `most` are kept.
    """

    def __init__(
        self,
        work: Work,
        sizes: Sequence[int] = SIZES,
        record: Callable[[Work, Tensor], Work] = recorded,
        most: int = GRAPHS,
    ) -> None:
        self._work, self._sizes, self._record, self._most = work, sorted(sizes), record, most
        self._known: OrderedDict[tuple[int, ...], Work] = OrderedDict()

    def __call__(self, batch: Tensor) -> Tensor:
        size = next((size for size in self._sizes if size >= len(batch)), None)
        if size is None:
            return self._work(batch)
        key = (size, *batch.shape[1:])
        if key not in self._known:
            self._known[key] = self._made(batch.new_zeros(key))
            if len(self._known) > self._most:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key](batch)

    def _made(self, example: Tensor) -> Work:
        try:
            return self._record(self._work, example)
        except RuntimeError as error:
            # Where memory ends inside a recording, what ends the recording complains as well.
            for cause in (error, error.__context__):
                if isinstance(cause, torch.cuda.OutOfMemoryError):
                    raise cause from None
            shape = tuple(example.shape)
            warnings.warn(f"no CUDA graph for batches of {shape}, which go on without: {error}", stacklevel=2)
            return self._work

    def forget(self) -> None:
        """Give back the memory of all graphs."""
        self._known.clear()


class OomBatching:
    """Batches that are halved where the device's memory does not suffice, and stay so.

    `release` is called before a smaller one is tried.
    """

    def __init__(self, most: int = 1 << 30, release: Callable[[], None] = lambda: None) -> None:
        self._most, self._release = most, release

    def run(self, count: int, work: Callable[[slice], T]) -> list[T]:
        """The results of `work` on slices that cover `count` items, in order; DeviceError where one is too many."""
        while True:
            size = min(self._most, max(count, 1))
            try:
                return [work(slice(begin, begin + size)) for begin in range(0, count, size)]
            except torch.cuda.OutOfMemoryError as error:
                self._most = size // 2
                if self._most == 0:
                    message = "one face does not fit into the memory of the device; use --device cpu"
                    raise DeviceError(message) from error
            # Only here, as the error held what was in work.
            self._release()
            torch.cuda.empty_cache()
