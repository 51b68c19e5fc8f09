"""The simulation of a thousand nodes, with fewer: nothing is lost or done twice, and nobody waits for long."""

from __future__ import annotations

import pytest

from tests.bench import capacity

COSTS = capacity.Costs(analyze=1 / 150, render=1 / 25, join=1 / 1500)


def test_nodes_that_fail_and_straggle_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "FAILURE_S", 3600.0)
    sizes = capacity.Nodes(nodes=20, films=60, seed=3)
    found = capacity.simulate(sizes, COSTS)
    assert (found.wrong, found.ended) == (0, 60)
    assert found.failures > 20 and found.lost_hours > 0
    segments = sum(-(-frames // capacity.SEGMENT) for frames in capacity.lengths(sizes))
    assert segments + 2 * 60 < found.tasks <= segments + 2 * 60 + found.failures


def test_segments_keep_busy_those_whom_whole_films_would_let_wait() -> None:
    sizes = capacity.Nodes(nodes=40, films=160, seed=1)
    shared = capacity.simulate(sizes, COSTS)
    whole = capacity.simulate(capacity.replace(sizes, whole=True), COSTS)
    assert 0.9 < shared.efficiency <= 1.0
    assert whole.efficiency < 0.6
    assert capacity.simulate(sizes, COSTS) == shared
