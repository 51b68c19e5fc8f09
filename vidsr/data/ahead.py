"""Work that other processes do ahead of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Generic, TypeVar

import cv2
from torch.utils.data import DataLoader, Dataset

from vidsr.system import forks

Made = TypeVar("Made")


@dataclass(frozen=True)
class _Numbered(Dataset[Made], Generic[Made]):
    make: Callable[[int], Made]

    def __getitem__(self, number: int) -> Made:
        return self.make(number)


def _as_it_is(made: Made) -> Made:
    return made


def _begin(_: int) -> None:
    cv2.setNumThreads(0)  # its threads did not survive the fork


def ahead(make: Callable[[int], Made], start: int, workers: int, depth: int = 2) -> Iterator[Made]:
    """`make(start)`, `make(start + 1)` ... without end and in this order.

    Each of `workers` processes is at most `depth` results ahead; without any, each is made when it is asked for. What
    `make` gives must depend on the number alone.
    """
    if not workers:
        return map(make, count(start))
    loader: DataLoader[Made] = DataLoader(
        _Numbered(make),
        sampler=count(start),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=depth,
        collate_fn=_as_it_is,
        worker_init_fn=_begin,
        multiprocessing_context="fork" if forks() else "spawn",
    )
    return iter(loader)
