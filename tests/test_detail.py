"""How much detail a face has: enlarged film is found out, sharp film is left alone."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.faces import portrait
from vidsr.analysis.detail import energies, measured, reduction
from vidsr.config import Enhance
from vidsr.jobs.events import Meter
from vidsr.jobs.passes import analyze_film, restorable
from vidsr.video import probe


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """The portrait, swaying, as a film of 512 pixels, and the same enlarged by 2 and 4 and coded again."""
    folder, found = tmp_path_factory.mktemp("films"), {}
    for factor in (1, 2, 4):
        side = 512 // factor
        soft = ",gblur=sigma=0.5" if factor > 1 else ""
        small = f"scale={side}:{side}:flags=bicubic{soft},crop=iw-8:ih-8:4+4*sin(n/3):4+3*cos(n/4)"
        path = folder / f"{factor}.mp4"
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "512x512", "-r", "25", "-i", "-"]
        filters = (
            f"loop=39:1:0,rotate=0.05*sin(n/3),{small},scale=iw*{factor}:ih*{factor}:flags=bicubic,noise=alls=2:allf=t"
        )
        words = ["ffmpeg", "-v", "error", *raw, "-vf", filters, "-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p"]
        subprocess.run([*words, str(path)], input=portrait().tobytes(), check=True)
        found[factor] = path
    return found


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_enlarged_film_is_restored_at_the_size_of_its_detail(films: dict[int, Path], factor: int) -> None:
    analysis, _ = analyze_film(probe(films[factor]), Enhance(), Meter())
    (track,) = analysis.tracks
    assert track.factor == factor
    assert restorable((track,), "all") == ((track,), {})


def test_a_large_sharp_face_is_passed_through_and_a_soft_one_is_not(films: dict[int, Path]) -> None:
    analysis, _ = analyze_film(probe(films[1]), Enhance(), Meter())
    wide = dataclasses.replace(analysis.tracks[0], matrices=analysis.tracks[0].matrices / 3)
    assert "sharp at its own size" in restorable((wide,), "all")[1][wide.id]
    assert restorable((dataclasses.replace(wide, factor=2),), "all")[1] == {}


def test_a_film_that_is_gone_says_nothing(films: dict[int, Path], tmp_path: Path) -> None:
    film = probe(films[2])
    analysis, _ = analyze_film(film, Enhance(), Meter())
    missing = dataclasses.replace(film, path=tmp_path / "gone.mp4")
    assert [track.factor for track in measured(analysis, missing).tracks] == [1]


def test_noise_is_no_detail() -> None:
    """Noise that is fresh in each of two frames has nothing in common."""
    smooth = np.tile(np.linspace(60, 180, 128), (128, 1))
    rng = np.random.default_rng(1)
    here, there = ((smooth + rng.normal(0, 6, smooth.shape)).astype(np.uint8) for _ in range(2))
    fine = energies(here, there)[0]
    assert abs(fine) < 0.1 * 36  # of the noise's own energy


def test_a_face_at_the_edge_of_the_picture_is_looked_at_as_far_as_it_goes() -> None:
    """What is left of it is no square."""
    part = np.random.default_rng(1).integers(0, 255, (128, 90)).astype(np.uint8)
    assert energies(part, part).min() > 0


@pytest.mark.parametrize(
    ("energy", "window", "factor"),
    [
        ((0.1, 0.5, 2.0, 4.0), 100.0, 1),
        ((0.012, 0.5, 2.0, 4.0), 100.0, 2),
        ((0.01, 0.01, 2.0, 4.0), 200.0, 4),
        ((0.01, 0.01, 2.0, 4.0), 100.0, 2),
        ((0.01, 0.01, 2.0, 4.0), 60.0, 1),
    ],
)
def test_the_finest_band_that_holds_detail_decides(
    energy: tuple[float, float, float, float], window: float, factor: int
) -> None:
    assert reduction(np.array(energy), window) == factor
