"""What the bench of speed tells: medians, ratios to the peer, and a file that says on what machine."""

from __future__ import annotations

import json
from pathlib import Path

from tests.bench.figures import Figure, rates, save, table, timed

FIGURE = Figure("part", "thing", "fps", (30.0, 10.0, 20.0), "other", (4.0, 5.0, 6.0))


def test_a_figure_is_a_median_beside_its_peers() -> None:
    assert FIGURE.ratio == 4.0
    assert Figure("part", "alone", "s", (1.0,)).ratio is None
    lines = table([FIGURE]).splitlines()
    assert lines[1] == "part"
    assert lines[-1].split() == ["thing", "20", "fps", "10..30", "other", "5", "4"]


def test_the_file_names_the_machine_and_keeps_every_run(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    save(path, [FIGURE], quick=True)
    known = json.loads(path.read_text(encoding="utf-8"))
    assert {"processor", "cores", "commit", "torch", "ffmpeg"} <= known["machine"].keys()
    (row,) = known["figures"]
    assert (row["runs"], row["median"], row["ratio"]) == ([30.0, 10.0, 20.0], 20.0, 4.0)


def test_runs_that_warm_up_do_not_count() -> None:
    calls: list[int] = []
    assert len(timed(lambda: calls.append(1), 3, warm=2)) == 3
    assert len(calls) == 5
    assert rates(10, (2.0, 5.0)) == (5.0, 2.0)
