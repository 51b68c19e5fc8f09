"""Sets of faces of any kind: read on demand, kept in bounded memory, joined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from vidsr.data.faces import Faces, Images, Skipped
from vidsr.errors import InputError

Item = TypeVar("Item")


class Lazy(Generic[Item]):
    """Faces that are read when they are asked for.

    A file that turns out to be damaged is noted in `skipped`, and the next one stands for it: reading never fails as
    long as one file is whole, and gives the same faces in every run.
    """

    def __init__(
        self,
        items: Sequence[Item],
        load: Callable[[Item], Images],
        skipped: list[Skipped],
        where: Callable[[Item], Path] = lambda item: Path(str(item)),
    ) -> None:
        self._items = items
        self._load = load
        self._where = where
        self._damaged: set[int] = set()
        self.skipped = skipped

    def __len__(self) -> int:
        return len(self._items)

    def read(self, index: int) -> Images:
        for step in range(len(self._items)):
            number = (index + step) % len(self._items)
            if number in self._damaged:
                continue
            try:
                return self._load(self._items[number])
            except InputError as error:
                self._damaged.add(number)
                self.skipped.append(Skipped(self._where(self._items[number]), str(error)))
        raise InputError(f"none of {len(self._items)} faces can be read any more")


class Held:
    """Faces that stay in memory once they were read, up to `budget_mib`; the others are read anew each time.

    Faces are drawn at random, so what came first is as likely to be wanted again as what came last.
    """

    def __init__(self, faces: Faces, budget_mib: int) -> None:
        self._faces = faces
        self._left = budget_mib << 20
        self._held: dict[int, Images] = {}

    def __len__(self) -> int:
        return len(self._faces)

    def read(self, index: int) -> Images:
        if index in self._held:
            return self._held[index]
        found = self._faces.read(index)
        if found.nbytes <= self._left:
            self._left -= found.nbytes
            self._held[index] = found
        return found


class Joined:
    """Several sets as one; every face is as likely as any other."""

    def __init__(self, sets: Sequence[Faces]) -> None:
        self._sets = sets
        self._ends = np.cumsum([len(one) for one in sets])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def read(self, index: int) -> Images:
        which = int(np.searchsorted(self._ends, index, side="right"))
        before = int(self._ends[which]) - len(self._sets[which])
        return self._sets[which].read(index - before)
