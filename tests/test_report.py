"""Every frame is accounted for, once, with its reason."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner

from tests.faces import track_of
from vidsr.analysis.tracks_file import load
from vidsr.cli.main import cli
from vidsr.errors import InputError
from vidsr.files import read_json
from vidsr.report.report import (
    HIDDEN,
    NO_FACE,
    OUTSIDE,
    VERSION,
    Report,
    Span,
    TrackReport,
    outside,
    spans_of,
    track_reports,
)
from vidsr.restore.quality_totals import Quality, QualityTotals

SCHEMA = json.loads((Path(__file__).parents[1] / "vidsr/report/report.schema.json").read_text())


def validate(path: Path) -> None:
    """A report as its schema says, every frame in it once."""
    told = json.loads(path.read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(told)
    assert [index for span in told["frames"] for index in range(span["first"], span["stop"])] == list(
        range(told["first"], told["stop"])
    )


def report() -> Report:
    seen, lost = track_of(10, (50.0, 50.0), 30.0, ident=1), track_of(8, (50.0, 50.0), 600.0, first=12, ident=2)
    passed = {2: "too large"}
    heard = QualityTotals()
    heard.add(1, 5, Quality(0.75, 4.0, 6.5))
    frames, faces = spans_of(0, 30, (seen, lost), passed), track_reports((seen, lost), passed, heard)
    notes, command = ("Chapters could not be kept.",), ("vidsr", "enhance", "in.mp4")
    shots = ((0, 12), (12, 30))
    return Report(VERSION, "in.mp4", "out.mp4", "plain", 2, 0, 30, frames, faces, notes, 25.0, shots, command)


def test_a_report_is_what_its_schema_says(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    report().save(path)
    validate(path)
    assert read_json(path, Report) == report()


def test_a_report_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    report().save(path)
    told = json.loads(path.read_text())
    for name in ("rate", "shots", "command"):
        del told[name]
    for track in told["tracks"]:
        del track["place"], track["curve"]
    path.write_text(json.dumps(told))
    validate(path)
    old = read_json(path, Report)
    assert (old.rate, old.shots, old.command, old.tracks[0].curve) == (None, (), (), ())
    assert old.frames == report().frames


def test_what_is_wrong_in_a_file_is_told_with_what_helps_there(tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text('{"format": 1, "version": 1}')
    with pytest.raises(InputError, match=r"\$\.format`; analyze the film again"):
        load(path)
    with pytest.raises(InputError, match=r"required field `\w+`$"):
        read_json(path, Report)
    found = CliRunner().invoke(cli, ["report", str(path)])
    assert str(found.exception).endswith("required field `input`; write it again with `vidsr enhance --report`")


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"frames": []},
        {"frames": [{"first": 0, "stop": 30, "state": "passed", "reason": ""}]},
        {"frames": [{"first": 0, "stop": 30, "state": "lost", "reason": "x"}]},
        {"scale": 3},
        {"more": 1},
    ],
)
def test_the_schema_refuses_what_is_no_report(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "report.json"
    report().save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(jsonschema.ValidationError):
        validate(path)


def test_the_schema_knows_the_version_and_every_field() -> None:
    assert SCHEMA["properties"]["version"]["const"] == VERSION
    for kind, described in ((Report, SCHEMA), (TrackReport, SCHEMA["properties"]["tracks"]["items"])):
        fields = dataclasses.fields(kind)
        assert {field.name for field in fields} == set(described["properties"])
        assert {one.name for one in fields if one.default is dataclasses.MISSING} == set(described["required"])
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_frames_are_restored_or_passed_with_a_reason() -> None:
    seen = track_of(10, (50.0, 50.0), 60.0, first=5, ident=1)
    weight = np.ones(10, np.float32)
    weight[4:6] = 0
    seen = dataclasses.replace(seen, weight=weight)
    passed = track_of(8, (50.0, 50.0), 600.0, first=12, ident=2)
    assert spans_of(0, 30, (seen, passed), {2: "too large"}) == (
        Span(0, 5, "passed", NO_FACE),
        Span(5, 9, "restored", ""),
        Span(9, 11, "passed", HIDDEN),
        Span(11, 15, "restored", ""),
        Span(15, 20, "passed", "too large"),
        Span(20, 30, "passed", NO_FACE),
    )


def test_a_range_counts_the_films_frames() -> None:
    track = track_of(10, (50.0, 50.0), 60.0, first=5)
    assert spans_of(8, 12, (track,), {}) == (Span(8, 12, "restored", ""),)
    assert spans_of(20, 21, (), {}) == (Span(20, 21, "passed", NO_FACE),)


def test_small_faces_carry_a_warning() -> None:
    small, large = track_of(5, (50.0, 50.0), 30.0, ident=1), track_of(5, (50.0, 50.0), 90.0, ident=2)
    found = track_reports((small, large), {}, QualityTotals())
    assert "20 pixels" in found[0].warning and "identify" in found[0].warning
    assert found[1].warning == ""
    assert track_reports((small,), {1: "not chosen"}, QualityTotals())[0].warning == ""


def test_a_covered_face_is_said_in_words() -> None:
    seen, hidden = track_of(10, (50.0, 50.0), 90.0, ident=1), track_of(10, (50.0, 50.0), 90.0, ident=2)
    heard = QualityTotals()
    heard.add(1, 5, Quality(0.98, 4.0, 6.5))
    heard.add(2, 5, Quality(0.60, 4.0, 4.1))
    clear, covered = track_reports((seen, hidden), {}, heard)
    assert (clear.warning, clear.agreement, clear.sharpness_before, clear.sharpness_after) == ("", 0.98, 4.0, 6.5)
    assert "contradicts 40%" in covered.warning


def test_a_face_that_the_range_does_not_show_is_not_called_restored() -> None:
    tracks = [track_of(10, (50.0, 50.0), 60.0, first=first, ident=first) for first in (5, 6, 15, 24, 25)]
    reasons = outside(tracks, 15, 25)
    assert reasons == {5: OUTSIDE, 25: OUTSIDE}
    found = {fate.id: (fate.state, fate.reason) for fate in track_reports(tracks, reasons, QualityTotals())}
    assert found[5] == found[25] == ("passed", OUTSIDE)
    assert [found[number][0] for number in (6, 15, 24)] == ["restored"] * 3


def test_a_face_is_shown_where_the_output_has_it() -> None:
    long = track_of(100, (50.0, 50.0), 40.0)
    (whole,), (part,) = (
        track_reports((long,), {}, QualityTotals()),
        track_reports((long,), {}, QualityTotals(), (70, 80)),
    )
    assert 0 <= whole.place[0][0] < 100
    assert 70 <= part.place[0][0] < 80
    (beyond,) = track_reports((long,), {}, QualityTotals(), (200, 300))
    assert beyond.place == whole.place
