"""The contact sheet: every kind is on it, each pair shows one face, and equal seeds give equal sheets."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from click.testing import CliRunner
from PIL import Image

from tests.faces import portrait
from vidsr.commands import cli
from vidsr.data.stills import Pictures
from vidsr.occlude import PAINTERS
from vidsr.sheet import COLUMNS, LABEL, STILLS, pairs, sheet


def faces() -> Pictures:
    return Pictures(np.repeat(portrait()[None, 20:276, 90:346], 2, 0))


def test_every_kind_is_shown_with_its_own_truth() -> None:
    found = list(pairs(faces(), np.random.default_rng(1)))
    labels = " ".join(pair.label for pair in found)
    assert all(name in labels for name in [*STILLS, *PAINTERS, "H.264 crf 34", "turned", "drawn"])
    for pair in found:
        assert pair.truth.shape == (256, 256, 3) and pair.small.shape == (64, 64, 3)
        reduced = cv2.resize(pair.truth, (64, 64), interpolation=cv2.INTER_AREA)[8:-8, 8:-8].astype(int)
        here = np.abs(reduced - pair.small[8:-8, 8:-8]).mean()
        beside = np.abs(np.roll(reduced, 2, 1) - pair.small[8:-8, 8:-8]).mean()
        assert here < 0.8 * beside, pair.label


def test_the_command_writes_a_sheet_and_the_seed_makes_it(tmp_path: Path) -> None:
    target = tmp_path / "pairs.png"
    result = CliRunner().invoke(cli, ["sheet", "synthetic", "-o", str(target), "--seed", "2"])
    assert result.exit_code == 0, result.output
    assert "made-up pictures: 32 faces" in result.output
    found = np.asarray(Image.open(target))
    assert found.shape[1] == COLUMNS * 512 and found.shape[0] % (LABEL + 256) == 0
    again = tmp_path / "again.png"
    CliRunner().invoke(cli, ["sheet", "synthetic", "-o", str(again), "--seed", "2"])
    assert again.read_bytes() == target.read_bytes()


def test_another_seed_is_another_sheet() -> None:
    a, b = (sheet(faces(), np.random.default_rng(seed)) for seed in (1, 2))
    assert not np.array_equal(a, b)
