"""Films that come into folders while the program runs: each is given once it is whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidsr.config import Watching
from vidsr.jobs.batch import Source, walk


@dataclass(frozen=True)
class _Seen:
    """A film's size and time, and since when they are these."""

    facts: tuple[int, int]
    since_s: float
    given: bool = False


def rounds(
    inputs: Sequence[Path],
    how: Watching,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[list[Source]]:
    """The films that are whole and were not given yet, round after round, without end.

    A film is whole when its size and time have stayed as they are for `how.rest_s`: who copies it may pause, and may
    set its time at the end. One that is changed later is given again.
    """
    seen: dict[Path, _Seen] = {}
    while True:
        now, ready = clock(), []
        present = {source.path: source for source in walk(inputs)}
        seen = {path: known for path, known in seen.items() if path in present}
        for path, source in present.items():
            known = _looked_at(path, seen.get(path), now)
            if known is not None and not known.given and now - known.since_s >= how.rest_s:
                ready.append(source)
                known = _Seen(known.facts, known.since_s, given=True)
            if known is not None:
                seen[path] = known
        if ready:
            yield ready
        else:
            sleep(how.look_s)


def _looked_at(path: Path, known: _Seen | None, now: float) -> _Seen | None:
    """What is known of a film now; None where it is gone, or may not be looked at."""
    try:
        told = path.stat()
    except OSError:
        return None
    facts = told.st_size, told.st_mtime_ns
    return known if known is not None and known.facts == facts else _Seen(facts, now)
