"""Training data: what is skipped is counted, samples show their truth, and batch k is batch k."""

from __future__ import annotations

import itertools
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.faces import portrait
from tests.program import needs
from vidsr.config import Train
from vidsr.data import video_faces as films
from vidsr.data.faces import Images, Lazy, load_stills, synthetic
from vidsr.data.samples import FRAMES, FRESH, TILES, Clips, shoot
from vidsr.data.video_faces import LENGTH, find_films
from vidsr.errors import InputError, ToolError

SHARED = Path(__file__).parents[2] / "shared/data"
RUN = Train(batch=8, film=0.25, moving=0.25, patch=16, window=5, reels=2, occluded=0.0, seed=5)


def still(folder: Path, name: str, side: int = 256) -> None:
    cv2.imwrite(str(folder / name), cv2.resize(portrait()[20:276, 90:346], (side, side))[..., ::-1])


def face() -> np.ndarray:
    return portrait()[20:276, 90:346].copy()


def test_stills_that_cannot_be_read_are_counted_and_skipped(tmp_path: Path) -> None:
    still(tmp_path, "a.png")
    (tmp_path / "below").mkdir()
    still(tmp_path / "below", "b.jpg", 300)
    still(tmp_path, "small.png", 100)
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    faces, skipped = load_stills(tmp_path)
    assert faces.shape == (2, 256, 256, 3)
    assert {one.path.name for one in skipped} == {"small.png", "empty.jpg", "text.png"}


def test_a_folder_without_faces_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no face pictures"):
        load_stills(tmp_path)


def test_batches_have_their_shapes_and_the_truth_fits() -> None:
    faces = np.repeat(face()[None, None], 3, 0)
    batch = next(Clips(faces, None, RUN).batches(0))
    assert batch.clip.shape == (8, 5, 3, 16, 16)
    assert batch.truth.shape == (8, 3, 64, 64)
    assert float(batch.clip.min()) >= 0 and float(batch.clip.max()) <= 1
    still_ones = batch.clip[:4]
    assert torch.equal(still_ones[:, 0], still_ones[:, 4])
    reduced = torch.nn.functional.avg_pool2d(batch.truth, 4)
    errors = (reduced - batch.clip[:, 2]).abs().mean((1, 2, 3))
    assert float(errors.max()) < 0.08  # the middle frame shows the truth, whatever was done to it


def test_every_frame_of_a_reel_shows_its_truth() -> None:
    side = 128
    reel = shoot([face()[None]] * TILES, side, np.random.default_rng(3))
    assert reel.clips.shape == (TILES, FRAMES, side // 4, side // 4, 3)
    assert reel.truths.shape == (TILES, FRAMES, side, side, 3)
    small = np.stack([[cv2.resize(t, (side // 4,) * 2, interpolation=cv2.INTER_AREA) for t in c] for c in reel.truths])
    inside = np.s_[:, :, 4:-4, 4:-4]
    right = np.abs(small[inside].astype(int) - reel.clips[inside]).mean()
    wrong = np.abs(np.roll(small, 1, axis=3)[inside].astype(int) - reel.clips[inside]).mean()
    assert right < 0.75 * wrong


@pytest.mark.slow
def test_batch_number_k_is_the_same_wherever_the_run_began() -> None:
    faces = synthetic(np.random.default_rng(2), 4)
    through = list(itertools.islice(Clips(faces, None, RUN).batches(0), 2 * FRESH + 2))
    late = next(Clips(faces, None, RUN).batches(2 * FRESH + 1))
    assert torch.equal(through[-1].clip, late.clip)
    assert torch.equal(through[-1].truth, late.truth)
    assert not torch.equal(through[0].clip, late.clip)
    assert not torch.equal(next(Clips(faces, None, replace(RUN, seed=6)).batches(0)).clip, through[0].clip)


def test_workers_make_the_same_batches() -> None:
    faces = synthetic(np.random.default_rng(2), 4)
    alone, ahead = (
        list(itertools.islice(Clips(faces, None, replace(RUN, workers=workers)).batches(FRESH - 1), 3))
        for workers in (0, 2)
    )
    for a, b in zip(alone, ahead, strict=True):
        assert torch.equal(a.clip, b.clip) and torch.equal(a.truth, b.truth)


def test_what_workers_cannot_read_is_said() -> None:
    faces = Lazy([1], torn, [])
    with pytest.raises(InputError, match="can be read") as told:
        next(Clips(faces, None, replace(RUN, workers=2, reels=0)).batches(0))
    traceback.clear_frames(told.tb)  # they hold the workers, whom the garbage collector would wait 10 s for


def torn(_: int) -> np.ndarray:
    raise InputError("torn")


def test_two_processes_share_a_batch() -> None:
    faces = synthetic(np.random.default_rng(2), 4)
    whole = next(Clips(faces, None, RUN).batches(3))
    parts = [next(Clips(faces, None, RUN, rank, 2).batches(3)) for rank in (0, 1)]
    assert whole.pairs == 1 == sum(part.pairs for part in parts)
    found = torch.cat([part.truth for part in parts])
    assert sorted(t.sum().item() for t in found) == sorted(t.sum().item() for t in whole.truth)


def test_more_processes_than_a_batch_has_draws_are_refused() -> None:
    faces = synthetic(np.random.default_rng(2), 4)
    run = replace(RUN, batch=4, film=0.5, moving=0.0, reels=1)  # a pair and two stills
    for rank in range(3):
        assert len(next(Clips(faces, None, run, rank, 3).batches(0)).clip) in (1, 2)
    with pytest.raises(InputError, match="too few for 4 processes"):
        Clips(faces, None, run, 3, 4)


def test_pairs_are_neighbours_of_one_film() -> None:
    faces = np.repeat(face()[None, None], 3, 0)
    batch = next(Clips(faces, None, replace(RUN, film=0.5, moving=0.0, reels=1)).batches(0))
    assert batch.pairs == 2
    for now, then in ((4, 5), (6, 7)):
        assert torch.equal(batch.clip[now, 1:], batch.clip[then, :-1])


def test_small_faces_are_never_enlarged() -> None:
    faces = np.repeat(face()[None, None, 64:192, 64:192], 3, 0)  # 128 pixels
    batch = next(Clips(faces, None, replace(RUN, film=0.5, patch=32, reels=1)).batches(0))
    sharpness = (batch.truth[..., 1:] - batch.truth[..., :-1]).abs().mean((1, 2, 3))
    own = np.abs(np.diff(faces[0, 0].astype(float), axis=1)).mean() / 255
    assert float(sharpness.min()) > 0.9 * own


def test_something_passes_before_a_share_of_the_faces() -> None:
    faces = np.repeat(face()[None, None], 3, 0)

    def truths(share: float) -> torch.Tensor:
        run = replace(RUN, batch=32, film=0.0, moving=0.5, patch=32, reels=0, occluded=share)
        return next(Clips(faces, None, run).batches(0)).truth

    shares = [truths(share) for share in (0.0, 0.3, 1.0)]
    changed = [(batch != shares[0]).flatten(1).any(1).float().mean().item() for batch in shares]
    assert changed[0] == 0 < changed[1] < changed[2]


@needs(SHARED)
def test_faces_are_cut_out_of_films_once_and_kept(tmp_path: Path) -> None:
    films, cache = tmp_path / "films", tmp_path / "cache"
    films.mkdir()
    (films / "grid.mpg").symlink_to(SHARED / "train/clips/grid_pwij3p.mpg")
    (films / "broken.mp4").write_bytes(b"no film")
    found = find_films(films, cache)
    assert found[0].shape == (LENGTH, 192, 192, 3)
    assert [one.path.name for one in found.skipped] == ["broken.mp4"]
    kept = next(cache.glob("*.npz"))
    before = kept.stat().st_mtime_ns
    again = find_films(films, cache)
    assert kept.stat().st_mtime_ns == before
    assert np.array_equal(again[0], found[0])


def test_a_torn_cache_of_clips_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "film.mp4").touch()
    clip = np.full((LENGTH, 128, 128, 3), 7, np.uint8)
    monkeypatch.setattr(films, "face_clips", lambda _: [clip])
    find_films(tmp_path, tmp_path / "cache")
    kept = next((tmp_path / "cache").glob("*.npz"))
    for size in (kept.stat().st_size // 2, 0):
        with kept.open("r+b") as file:
            file.truncate(size)
        assert np.array_equal(find_films(tmp_path, tmp_path / "cache")[0], clip)
    data = bytearray(kept.read_bytes())
    data[data.index(b"PK\x01\x02") + 6] = 99  # the version that is needed: one that no reader has
    kept.write_bytes(data)
    assert np.array_equal(find_films(tmp_path, tmp_path / "cache")[0], clip)


def test_those_that_train_together_cut_a_film_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "film.mp4").touch()
    cuts: list[Path] = []

    def slow(path: Path) -> list[Images]:
        cuts.append(path)
        time.sleep(0.3)
        return [np.full((LENGTH, 128, 128, 3), 7, np.uint8)]

    monkeypatch.setattr(films, "face_clips", slow)
    with ThreadPoolExecutor(2) as ranks:
        found = list(ranks.map(lambda _: find_films(tmp_path, tmp_path / "cache"), range(2)))
    assert len(cuts) == 1
    assert np.array_equal(found[0][0], found[1][0])


def test_a_missing_ffmpeg_is_not_taken_for_films_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "film.mp4").write_bytes(b"film")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolError, match="not on the PATH"):
        find_films(tmp_path, tmp_path / "cache")


def test_a_film_that_ffmpeg_hangs_on_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(path: Path) -> list[Images]:
        if path.name == "bad.mp4":
            raise ToolError("ffmpeg made no progress in 30 s.")
        return [np.zeros((LENGTH, 128, 128, 3), np.uint8)]

    for name in ("bad.mp4", "good.mp4"):
        (tmp_path / name).touch()
    monkeypatch.setattr(films, "face_clips", hang)
    assert [one.path.name for one in find_films(tmp_path, tmp_path / "cache").skipped] == ["bad.mp4"]


@needs(SHARED)
def test_films_without_a_face_are_said(tmp_path: Path) -> None:
    (tmp_path / "bottles.mp4").symlink_to(SHARED / "test/clips/noface_bottles.mp4")
    with pytest.raises(InputError, match="large and long enough"):
        find_films(tmp_path, tmp_path / "cache")
