"""What programs beside it are told: lines of JSON, a callback, exit codes."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from tests.program import FAST, ROOT, vidsr
from vidsr import enhance
from vidsr.cli.signals import Terminated
from vidsr.errors import Cancelled, InputError, RefusedError
from vidsr.jobs.events import EVERY_S, Lines, Meter, Progress, code_of

SCHEMA = json.loads((ROOT / "vidsr/jobs/events.schema.json").read_text())


def told(text: str) -> list[dict[str, object]]:
    """The events in lines, each as the schema wants it."""
    found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    for event in found:
        jsonschema.validate(event, SCHEMA)
    return found


def test_a_run_is_told_line_by_line(film: Path) -> None:
    loud = [word for word in FAST if word != "-q"]
    found = vidsr("enhance", film, *loud, "--progress", "json")
    assert found.returncode == 0, found.stderr
    events = told(found.stderr)
    last = {event["phase"]: event for event in events if event["event"] == "progress"}
    assert list(last) == ["analyze", "render", "publish"]
    assert [(last[name]["frame"], last[name]["of"]) for name in ("analyze", "render")] == [(12, 12), (12, 12)]
    assert last["render"]["faces"] == 12
    made = {"file": str(film), "output": str(film.with_name("film.enhanced.mp4")), "frames": 12, "restored": 12}
    assert events[-2] == {"version": 1, "event": "result"} | made
    assert events[-1] == {"version": 1, "event": "end", "code": 0}
    assert "%" not in found.stderr


def test_a_run_that_fails_says_so_and_how_it_ends(film: Path) -> None:
    lines = film.with_name("lines")
    bad = film.with_name("bad.mp4")
    bad.write_text("no film")
    assert vidsr("enhance", bad, *FAST, "--progress", f"json:{lines}").returncode == 1
    events = told(lines.read_text())
    assert [event["event"] for event in events] == ["error", "end"]
    assert str(bad) in str(events[0]["message"]) and events[1]["code"] == 1
    assert vidsr("enhance", bad, "--progress", "xml").returncode == 2
    codes = ((KeyboardInterrupt(), 130), (Terminated(), 143), (SystemExit(3), 3), (ValueError(), 1))
    for error, code in (*codes, (InputError(""), 1), (RefusedError(""), 2)):
        assert code_of(error) == code


def test_the_follower_in_the_documents_follows(film: Path) -> None:
    path = ROOT / "docs/follow.py"
    assert len(path.read_text().splitlines()) <= 31
    words = [sys.executable, str(path), str(film), *FAST]
    found = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
    assert found.returncode == 0, found.stderr
    assert "render 12/12" in found.stdout and "faces in 12 of 12 frames" in found.stdout


def test_progress_is_told_now_and_then_and_at_both_ends() -> None:
    heard: list[Progress] = []
    now = [0.0]
    watch = Meter("a.mp4", heard.append, clock=lambda: now[0])
    watch.stage("render", 100)
    for _ in range(100):
        now[0] += EVERY_S / 8
        watch.advance(1, 2)
    assert [one.frame for one in heard] == [0, *range(8, 97, 8), 100]
    assert heard[-1] == Progress("render", 100, 100, 32.0, 0.0, 200, "a.mp4")
    assert heard[5].seconds_left == 1.9
    watch.stage("publish", None)
    assert (heard[-1].of, heard[-1].seconds_left) == (None, None)


def test_a_callback_ends_the_work_and_the_same_call_goes_on(film: Path) -> None:
    with pytest.raises(Cancelled, match="goes on"):
        enhance(film, model="plain", scale=1, quiet=True, progress=lambda now: now.phase != "render")
    assert not film.with_name("film.enhanced.mp4").exists()
    phases: list[str] = []
    report = enhance(film, model="plain", scale=1, quiet=True, progress=lambda now: phases.append(now.phase))
    assert report.restored == 12
    assert "analyze" not in phases and "render" in phases


def test_nothing_is_written_where_no_lines_are_wanted() -> None:
    Lines(None).progress(Progress("render", 1, 2, 1.0, 1.0, 0, "a"))
    to = io.StringIO()
    Lines(to).failed(Path("a\nb"), ValueError("x\ny"))
    assert told(to.getvalue()) == [{"version": 1, "event": "error", "file": "a\nb", "message": "x\ny"}]
