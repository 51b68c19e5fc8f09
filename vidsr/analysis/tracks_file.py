"""What the first pass knows of a film: its time, its shots, its faces; kept as a file that a person can read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta, Raw
from numpy.typing import NDArray

from vidsr.errors import InputError, OutputError
from vidsr.files import checked
from vidsr.frame import Track

FORMAT, VERSION = "vidsr tracks", 1
MOST_FRAMES = 1 << 25
"""Films longer than this (two weeks at 25 a second) are refused, so that a bad file cannot ask for the memory."""
COLUMNS = (
    *("frame", "observed", "weight", "score", "x0", "y0", "x1", "y1"),
    *("left eye x", "left eye y", "right eye x", "right eye y", "nose x", "nose y"),
    *("left mouth x", "left mouth y", "right mouth x", "right mouth y"),
    *("m00", "m01", "m02", "m10", "m11", "m12"),
)
PLACE = re.compile(r"(\d{1,8})@(\d{1,5})x(\d{1,5})")
"""A frame and a point in it."""
BOX, POINTS, MATRIX = slice(4, 8), slice(8, 18), slice(18, 24)


@dataclass(frozen=True, repr=False)
class Analysis:
    """The faces of a film: `timeline (n,)` int64, the pts of each frame; `shots` are (first, stop) and cover it."""

    name: str
    width: int
    height: int
    time_base: Fraction
    timeline: NDArray[np.int64]
    shots: tuple[tuple[int, int], ...]
    tracks: tuple[Track, ...]

    def __repr__(self) -> str:
        parts = f"{self.frames} frames, {len(self.shots)} shots, {len(self.tracks)} faces"
        return f"Analysis({self.name!r}, {parts})"

    @property
    def frames(self) -> int:
        return len(self.timeline)


def select(tracks: Sequence[Track], which: str) -> tuple[Track, ...]:
    """The tracks that `which` names: "all"; "largest", in each frame the largest face, so that a track is kept if it
    is the largest anywhere for most of its length; or, with commas between, ids or places in a frame, `FRAME@XxY`: the
    face whose box holds this point there, whatever its id.

    Raises InputError where an id is no number or no track has it, or no face is at a place.
    """
    if which == "all":
        return tuple(tracks)
    if which == "largest":
        return tuple(track for track in tracks if _is_largest(track, tracks))
    by_id = {track.id: track for track in tracks}
    wanted = {_at(word, tracks) if "@" in word else _id(word, by_id) for word in which.split(",")}
    return tuple(track for track in tracks if track.id in wanted)


def _at(word: str, tracks: Sequence[Track]) -> int:
    """The id of the track whose box holds a point in a frame; of several, the one whose middle is nearest."""
    found = PLACE.fullmatch(word.strip())
    if found is None:
        raise InputError(f"{word!r} is no place of a face; say FRAME@XxY, as in 118@412x233")
    frame, x, y = (int(number) for number in found.groups())
    there = []
    for track in tracks:
        if track.first <= frame < track.stop:
            x0, y0, x1, y1 = track.boxes[frame - track.first].tolist()
            if x0 <= x <= x1 and y0 <= y <= y1:
                there.append((abs(x - (x0 + x1) / 2) + abs(y - (y0 + y1) / 2), track.id))
    if not there:
        raise InputError(f"no face is at {x}x{y} in frame {frame}; `vidsr analyze` lists the faces")
    return min(there)[1]


def _id(word: str, known: dict[int, Track]) -> int:
    word = word.strip()
    if not (word.isascii() and word.isdecimal() and int(word[:9]) in known and len(word) < 9):
        have = ", ".join(str(number) for number in sorted(known)[:20]) or "none"
        raise InputError(f"no face has the id {word!r}; say all, largest, or ids among: {have}")
    return int(word)


def _is_largest(track: Track, tracks: Sequence[Track]) -> bool:
    """Whether no larger track, for at least half of this one's length, is in the picture together with it."""
    larger = np.zeros(len(track), bool)
    for other in tracks:
        if (other.height, -other.id) > (track.height, -track.id):
            larger[max(other.first - track.first, 0) : max(other.stop - track.first, 0)] = True
    return bool(larger.mean() < 0.5)


def save(analysis: Analysis, path: Path) -> None:
    """Write the analysis as JSON, one line a frame of a face; `load` gives back the same numbers, bit for bit.

    Raises OutputError.
    """
    try:
        with path.open("w", encoding="utf-8") as file:
            file.writelines(_lines(analysis))
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error


def _lines(analysis: Analysis) -> Iterator[str]:
    name = analysis.name.encode("utf-8", "replace").decode()  # it need not be Unicode
    film = {"name": name, "width": analysis.width, "height": analysis.height}
    head = {
        "format": FORMAT,
        "version": VERSION,
        "film": {**film, "frames": analysis.frames, "time_base": str(analysis.time_base)},
        "shots": analysis.shots,
        "timeline": _runs(analysis.timeline),
        "columns": COLUMNS,
    }
    yield "{\n"
    for key, value in head.items():
        yield f"{json.dumps(key)}: {json.dumps(value)},\n"
    yield '"tracks": ['
    for place, track in enumerate(analysis.tracks):
        yield f'{"," if place else ""}\n{{"id": {track.id}, "factor": {track.factor}, "rows": ['
        flat = (track.landmarks.reshape(-1, 10), track.matrices.reshape(-1, 6))
        for n, numbers in enumerate(np.column_stack([track.weight, track.score, track.boxes, *flat])):
            # str() of a float32 has the fewest digits that give the same float32 back.
            row = f"[{track.first + n}, {int(track.observed[n])}, {', '.join(map(str, numbers))}]"
            yield f"{',' if n else ''}\n{row}"
        yield "\n]}"
    yield "\n]\n}\n"


def _runs(timeline: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """The timeline as (first pts, step, count): a constant rate is one run."""
    runs: list[tuple[int, int, int]] = []
    for pts in timeline.tolist():
        if runs and (runs[-1][2] == 1 or pts == runs[-1][0] + runs[-1][1] * runs[-1][2]):
            first, step, count = runs[-1]
            runs[-1] = (first, pts - first if count == 1 else step, count + 1)
        else:
            runs.append((pts, 0, 1))
    return runs


@dataclass(frozen=True)
class _Film:
    name: str
    width: Annotated[int, Meta(ge=1, le=1 << 16)]
    height: Annotated[int, Meta(ge=1, le=1 << 16)]
    frames: Annotated[int, Meta(ge=1, le=MOST_FRAMES)]
    time_base: str


@dataclass(frozen=True)
class _Rows:
    id: Annotated[int, Meta(ge=0, le=1 << 30)]
    rows: Raw
    """Decoded track by track: as Python's numbers, a row is ten times as large as in the end."""
    factor: Literal[1, 2, 4] = 1


@dataclass(frozen=True)
class _File:
    format: Literal["vidsr tracks"]
    version: Literal[1]
    film: _Film
    shots: Annotated[list[tuple[int, int]], Meta(min_length=1)]
    timeline: Annotated[list[tuple[int, int, int]], Meta(min_length=1)]
    columns: list[str]
    tracks: list[_Rows]


_TABLE = msgspec.json.Decoder(
    Annotated[list[Annotated[list[float], Meta(min_length=len(COLUMNS), max_length=len(COLUMNS))]], Meta(min_length=1)]
)


def load(path: Path) -> Analysis:
    """Read what `save` wrote; raises InputError that names the place for anything else."""
    with checked(path, "analyze the film again"):
        file = msgspec.json.decode(path.read_bytes(), type=_File)
        film, shots = file.film, file.shots
        _require(file.columns == list(COLUMNS), "its columns are not those of this version")
        bounds = [0, *(stop for _, stop in shots)]
        follow = all(first == before and stop > first for (first, stop), before in zip(shots, bounds, strict=False))
        _require(follow, "its shots do not follow each other")
        _require(bounds[-1] == film.frames, "its shots do not cover the film")
        tracks = tuple(_track(one, shots) for one in file.tracks)
        _require(len({track.id for track in tracks}) == len(tracks), "two tracks have the same id")
        return Analysis(film.name, film.width, film.height, _time_base(film), _timeline(file), tuple(shots), tracks)


def _require(right: bool | np.bool_, otherwise: str) -> None:
    if not right:
        raise ValueError(otherwise)


def _time_base(film: _Film) -> Fraction:
    try:
        value = Fraction(film.time_base[:40])
    except (ValueError, ZeroDivisionError):
        value = Fraction(0)
    _require(value > 0, "its time base is no fraction such as 1/30000")
    return value


def _timeline(file: _File) -> NDArray[np.int64]:
    runs = file.timeline
    counts = [count for _, _, count in runs]
    right = min(counts) >= 1 and sum(counts) == file.film.frames
    _require(right, "its timeline has another number of frames than the film")
    ends = ((first, first + step * (count - 1)) for first, step, count in runs)
    _require(all(abs(end) < 1 << 62 for pair in ends for end in pair), "its timeline holds a time that is out of range")
    timeline = np.concatenate([first + step * np.arange(count, dtype=np.int64) for first, step, count in runs])
    _require(np.all(np.diff(timeline) > 0), "its timeline does not go forward")
    return timeline


def _track(one: _Rows, shots: Sequence[tuple[int, int]]) -> Track:
    rows, name = np.array(_TABLE.decode(one.rows), np.float64), f"track {one.id}"
    first, last = rows[0, 0], rows[-1, 0]
    _require(np.all(np.diff(rows[:, 0]) == 1), f"the frames of {name} do not follow each other")
    inside = any(begin <= first and last < stop for begin, stop in shots)
    _require(inside, f"{name} does not lie inside one shot of the film")
    whole = first % 1 == 0 and np.isin(rows[:, 1], (0, 1)).all()
    _require(whole, f"a frame or an observed of {name} is no whole number, or out of range")
    _require(np.all((rows[:, 2:4] >= 0) & (rows[:, 2:4] <= 1)), f"a weight or a score of {name} is not in 0..1")
    _require(np.all(np.abs(rows[:, BOX.start :]) <= 1e6), f"a coordinate of {name} is out of range")
    _require(np.all(rows[:, 6:8] > rows[:, 4:6]), f"a box of {name} is empty or upside down")
    a, b, _, c, d, _ = rows[:, MATRIX].T
    scale = np.hypot(a, c)
    similar = (scale >= 1e-6) & (np.hypot(a - d, b + c) <= 1e-4 * scale)
    _require(np.all(similar), f"a matrix of {name} is no similarity")
    single = rows.astype(np.float32)
    return Track(
        id=one.id,
        first=int(first),
        landmarks=single[:, POINTS].reshape(-1, 5, 2),
        boxes=single[:, BOX],
        score=single[:, 3],
        observed=rows[:, 1] == 1,
        matrices=single[:, MATRIX].reshape(-1, 2, 3),
        weight=single[:, 2],
        factor=one.factor,
    )
