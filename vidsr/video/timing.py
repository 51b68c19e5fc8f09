"""Time stamps as an expression: what makes ffmpeg give each frame exactly the pts that is asked for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LONGEST = 100_000
"""Characters of an expression; Linux takes 131,072 for one argument."""

EXACT = 1 << 53
"""ffmpeg calculates in double precision, in which larger integers are not exact."""


def pts_expression(pts: NDArray[np.int64]) -> str:
    """An expression of ffmpeg's `setpts` that gives frame N the time stamp `pts[N]`.

    Frames at an even pace are one term; where the pace changes, a binary search over N finds the term, so that the
    depth, which ffmpeg limits, grows with the logarithm of the number of changes. ValueError for time stamps that do
    not increase, are out of double precision's reach, or are too irregular (some 4,000 changes) for one segment.
    """
    if len(pts) == 0 or np.any(np.diff(pts) <= 0) or np.any(np.abs(pts) >= EXACT):
        raise ValueError("time stamps must be at least one, increase, and be below 2**53")
    expression = _search(_paces([int(value) for value in pts]))
    if len(expression) > LONGEST:
        raise ValueError(f"{len(pts)} frames with irregular time stamps are too many for one segment")
    return expression


def _paces(pts: list[int]) -> list[tuple[int, str]]:
    """Runs of frames with one step between them: the first frame and the term that holds from it on."""
    runs: list[tuple[int, str]] = []
    first = 0
    while first < len(pts):
        stop = first + 1
        step = pts[stop] - pts[first] if stop < len(pts) else 0
        while stop < len(pts) and pts[stop] - pts[stop - 1] == step:
            stop += 1
        runs.append((first, f"{pts[first]}+(N-{first})*{step}" if stop > first + 1 else str(pts[first])))
        first = stop
    return runs


def _search(runs: list[tuple[int, str]]) -> str:
    if len(runs) == 1:
        return runs[0][1]
    middle = len(runs) // 2
    return f"if(lt(N,{runs[middle][0]}),{_search(runs[:middle])},{_search(runs[middle:])})"
