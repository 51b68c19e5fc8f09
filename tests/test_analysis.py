"""The file of an analysis: what is saved comes back bit for bit; what is damaged is one clear error."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidsr.analysis.alignment import from_square
from vidsr.analysis.tracks_file import Analysis, load, save, select
from vidsr.errors import InputError, OutputError
from vidsr.frame import Track

FIELDS = ("landmarks", "boxes", "score", "observed", "matrices", "weight")


def track(number: int, first: int, n: int, height: float = 80.0) -> Track:
    rng = np.random.default_rng(number)
    corner, size = rng.uniform(0, 300, (n, 2)), np.array([height * 0.8, height])
    centre = rng.uniform(0, 300, n) + 1j * rng.uniform(0, 300, n)
    return Track(
        id=number,
        first=first,
        landmarks=rng.uniform(-5, 400, (n, 5, 2)).astype(np.float32),
        boxes=np.concatenate([corner, corner + size], axis=1).astype(np.float32),
        score=rng.uniform(0, 1, n).astype(np.float32),
        observed=rng.uniform(0, 1, n) > 0.3,
        matrices=from_square(centre, rng.uniform(40, 300, n), rng.uniform(-3, 3, n)),
        weight=rng.uniform(0, 1, n).astype(np.float32),
    )


def analysis(*tracks: Track) -> Analysis:
    timeline = np.concatenate([np.arange(10) * 3003, 40000 + np.arange(20) * 1001, [99999]]).astype(np.int64)
    shots = ((0, 12), (12, 31))
    return Analysis("a film.mkv", 640, 360, Fraction(1, 90000), timeline, shots, tracks)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "tracks.json"
    save(analysis(track(1, 0, 12), track(2, 12, 7), track(5, 14, 17, 40.0)), path)
    return path


def test_what_is_saved_comes_back_bit_for_bit(saved: Path) -> None:
    before, after = analysis(track(1, 0, 12), track(2, 12, 7), track(5, 14, 17, 40.0)), load(saved)
    assert (after.name, after.width, after.height) == (before.name, before.width, before.height)
    assert (after.time_base, after.shots) == (before.time_base, before.shots)
    assert after.timeline.dtype == np.int64
    assert np.array_equal(after.timeline, before.timeline)
    for mine, theirs in zip(before.tracks, after.tracks, strict=True):
        assert (mine.id, mine.first) == (theirs.id, theirs.first)
        for field in FIELDS:
            one, other = getattr(mine, field), getattr(theirs, field)
            assert one.dtype == other.dtype
            assert np.array_equal(one, other), field


def test_saving_again_gives_the_same_file(saved: Path, tmp_path: Path) -> None:
    save(load(saved), tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == saved.read_bytes()


def test_a_film_without_faces_comes_back(tmp_path: Path) -> None:
    save(analysis(), tmp_path / "none.json")
    assert load(tmp_path / "none.json").tracks == ()


def test_a_constant_rate_takes_one_line(tmp_path: Path) -> None:
    save(Analysis("x", 9, 9, Fraction(1, 25), np.arange(5000, dtype=np.int64), ((0, 5000),), ()), tmp_path / "x.json")
    assert (tmp_path / "x.json").stat().st_size < 1000
    assert np.array_equal(load(tmp_path / "x.json").timeline, np.arange(5000))


def test_an_irregular_timeline_comes_back(tmp_path: Path) -> None:
    timeline = np.cumsum(np.random.default_rng(1).integers(1, 4, 500)).astype(np.int64) - 40
    save(Analysis("x", 9, 9, Fraction(1, 25), timeline, ((0, 500),), ()), tmp_path / "x.json")
    assert np.array_equal(load(tmp_path / "x.json").timeline, timeline)


Damage = Callable[[Any], object]


def row(change: Callable[[list[Any]], object]) -> Damage:
    return lambda data: change(data["tracks"][1]["rows"][2])


DAMAGES: dict[str, Damage] = {
    "another format": lambda data: data.update(format="something"),
    "a newer version": lambda data: data.update(version=99),
    "a version that is true": lambda data: data.update(version=True),
    "no film": lambda data: data.pop("film"),
    "a film that is a list": lambda data: data.update(film=[]),
    "no name": lambda data: data["film"].pop("name"),
    "a name that is a number": lambda data: data["film"].update(name=3),
    "no width": lambda data: data["film"].update(width=0),
    "a width that is a text": lambda data: data["film"].update(width="640"),
    "a time base of zero": lambda data: data["film"].update(time_base="0/1"),
    "a time base of a half nothing": lambda data: data["film"].update(time_base="1/0"),
    "a time base in words": lambda data: data["film"].update(time_base="often"),
    "more frames than the timeline": lambda data: data["film"].update(frames=32),
    "a frame count beyond reason": lambda data: data["film"].update(frames=10**15),
    "a run beyond reason": lambda data: data["timeline"][0].__setitem__(2, 10**15),
    "a run of less than none": lambda data: data["timeline"][0].__setitem__(2, -10),
    "time that stands still": lambda data: data["timeline"][0].__setitem__(1, 0),
    "time that goes back": lambda data: data["timeline"][1].__setitem__(0, 5),
    "time beyond 64 bits": lambda data: data["timeline"][1].__setitem__(0, 10**30),
    "a timeline of fractions": lambda data: data["timeline"][0].__setitem__(0, 0.5),
    "no timeline": lambda data: data.update(timeline=[]),
    "a shot beyond the film": lambda data: data["shots"][1].__setitem__(1, 40),
    "shots that overlap": lambda data: data["shots"][1].__setitem__(0, 11),
    "a hole between shots": lambda data: data["shots"][1].__setitem__(0, 13),
    "a shot of three numbers": lambda data: data["shots"][1].append(1),
    "shots that are a text": lambda data: data.update(shots="all"),
    "other columns": lambda data: data["columns"].pop(),
    "tracks that are an object": lambda data: data.update(tracks={}),
    "a track that is null": lambda data: data["tracks"].append(None),
    "a track without rows": lambda data: data["tracks"][0].update(rows=[]),
    "the same track twice": lambda data: data["tracks"].append(data["tracks"][0]),
    "a track across a cut": lambda data: data["tracks"][1]["rows"].insert(0, [11, *data["tracks"][1]["rows"][0][1:]]),
    "a track beyond the film": lambda data: [one.__setitem__(0, one[0] + 20) for one in data["tracks"][1]["rows"]],
    "a frame before the film": lambda data: [one.__setitem__(0, one[0] - 20) for one in data["tracks"][1]["rows"]],
    "half frames": lambda data: [one.__setitem__(0, one[0] + 0.5) for one in data["tracks"][1]["rows"]],
    "a frame left out": lambda data: data["tracks"][1]["rows"].pop(3),
    "a frame twice": row(lambda one: one.__setitem__(0, 13)),
    "a row too short": row(lambda one: one.pop()),
    "a row too long": row(lambda one: one.append(0)),
    "a text for a number": row(lambda one: one.__setitem__(9, "9")),
    "null for a number": row(lambda one: one.__setitem__(9, None)),
    "true for a number": row(lambda one: one.__setitem__(9, True)),
    "a list for a number": row(lambda one: one.__setitem__(9, [])),
    "not a number": row(lambda one: one.__setitem__(9, float("nan"))),
    "infinity": row(lambda one: one.__setitem__(20, float("inf"))),
    "a number of 400 digits": row(lambda one: one.__setitem__(9, 10**400)),
    "half observed": row(lambda one: one.__setitem__(1, 0.5)),
    "a weight above one": row(lambda one: one.__setitem__(2, 1.01)),
    "a score below zero": row(lambda one: one.__setitem__(3, -0.1)),
    "a box upside down": row(lambda one: one.__setitem__(7, -1000)),
    "a coordinate off the map": row(lambda one: one.__setitem__(8, 1e9)),
    "a matrix of zeros": row(lambda one: one.__setitem__(slice(18, 24), [0] * 6)),
    "a matrix that shears": row(lambda one: one.__setitem__(19, one[19] + 0.01)),
    "a matrix that mirrors": row(lambda one: one.__setitem__(22, -one[22] - 0.01)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_one_clear_error(saved: Path, damage: Damage) -> None:
    data = json.loads(saved.read_text())
    damage(data)
    saved.write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"tracks\.json"):
        load(saved)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b'{"a": 1e999}', b"[" * 100_000, b'{"version": ' + b"9" * 9000 + b"}"],
)
def test_what_is_no_json_object_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tracks.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"tracks\.json"):
        load(path)


def test_a_file_cut_off_anywhere_is_one_clear_error(saved: Path) -> None:
    content = saved.read_bytes()
    for length in range(0, len(content) - 3, 97):
        saved.write_bytes(content[:length])
        with pytest.raises(InputError, match=r"tracks\.json"):
            load(saved)


def test_a_missing_file_and_a_folder_are_clear_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "tracks.json", tmp_path):
        with pytest.raises(InputError, match=r"does not exist|not a file"):
            load(path)


def test_a_place_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        save(analysis(), tmp_path / "no folder" / "tracks.json")


def test_selection_by_id_and_all() -> None:
    tracks = (track(1, 0, 12), track(2, 12, 7), track(5, 14, 17))
    assert select(tracks, "all") == tracks
    assert [one.id for one in select(tracks, "5, 1")] == [1, 5]


@pytest.mark.parametrize("which", ["9", "", "1,", "one", "1 2", "-1", "²", "1" * 5000])
def test_an_unknown_id_says_which_there_are(which: str) -> None:
    with pytest.raises(InputError, match="among: 1, 2"):
        select((track(1, 0, 12), track(2, 12, 7)), which)


def test_the_largest_face_of_each_time_is_selected() -> None:
    tracks = (track(1, 0, 12, 90.0), track(2, 0, 12, 50.0), track(3, 12, 9, 40.0), track(4, 0, 3, 99.0))
    assert [one.id for one in select(tracks, "largest")] == [1, 3, 4]
