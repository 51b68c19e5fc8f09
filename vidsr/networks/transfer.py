"""A device and the ways to it: copies that nothing waits for, batches that fit, a CPU's threads.

The CPU takes the same paths, with copies that are none and work that is done at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidsr.errors import DeviceError
from vidsr.frame import Floats

FEW_THREADS = 4
"""Up to so many threads of a CPU, none waits for another inside of a step: see `one_thread` and `shared_out`."""

T = TypeVar("T")


@dataclass(frozen=True)
class PendingCopy:
    """Float tensors on their way to the host."""

    tensors: Sequence[Tensor]
    arrived: torch.cuda.Event | None

    def open(self) -> list[Floats]:
        """The arrays. The device is waited for here, and only for what was asked before this."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return [tensor.numpy() for tensor in self.tensors]


class Transfer:
    """Copies to a device and back, through pinned memory, in the device's own order of work.

    `ahead` groups of frames may be in work while the next is prepared. `together` faces are cut out or blended in one
    call: one by one on the CPU, where a face's result must not depend on the others by a single bit.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.cuda = device.type == "cuda"
        self.ahead = 1 if self.cuda else 0
        self.together = 1 if device.type == "cpu" else 64

    def bring(self, arrays: Sequence[NDArray[np.generic]]) -> list[Tensor]:
        """Arrays of the host as tensors of the device; nothing waits, and the arrays are free at once."""
        if self.device.type == "mps":  # which has no numbers of 16 bits without a sign
            arrays = [array.astype(np.float32) if array.dtype == np.uint16 else array for array in arrays]
        copies = [torch.from_numpy(array.copy()) for array in arrays]
        # torch gives pinned memory out again only when the copies from it are done.
        return [(one.pin_memory() if self.cuda else one).to(self.device, non_blocking=self.cuda) for one in copies]

    def fetch(self, tensors: Sequence[Tensor]) -> PendingCopy:
        """Send float32 tensors of the device to the host; nothing waits for the copies but `PendingCopy.open`."""
        home = [tensor.to("cpu", non_blocking=self.cuda) for tensor in tensors]  # into pinned memory
        return PendingCopy(home, torch.cuda.current_stream(self.device).record_event() if self.cuda else None)


class OomBatching:
    """Batches that are halved where the device's memory does not suffice, and stay so."""

    def __init__(self, most: int = 1 << 30) -> None:
        self._most = most

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
            torch.cuda.empty_cache()  # only here, as the error held what was in work


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


def shared_out(work: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
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
