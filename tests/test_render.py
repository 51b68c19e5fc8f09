"""A range of the film: windows, batches, halos and memory change nothing in the frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch

from tests.faces import FACE, frame_of, planes, portrait, track_of
from vidsr.frame import Frame
from vidsr.networks.generator import Plain, Vidsr
from vidsr.networks.model_file import Card, Model
from vidsr.restore import pipeline as module
from vidsr.restore.blend import fineness
from vidsr.restore.crop import Place
from vidsr.restore.enlarge import enlarged
from vidsr.restore.pipeline import Job, render
from vidsr.restore.quality_totals import Quality
from vidsr.restore.restorer import Restorer

FRAMES = 14
CPU = torch.device("cpu")


def model(window: int = 5) -> Model:
    """A random network of 8 channels, with 8 more of zeros: for 8 alone oneDNN computes by how many are in a batch."""
    network = Vidsr(window, 16, 2)
    torch.manual_seed(3)
    narrow = Vidsr(window, 8, 2)
    with torch.no_grad():
        for given, wide in zip(narrow.parameters(), network.parameters(), strict=True):
            torch.nn.init.normal_(given, std=0.08)
            wide.zero_()[tuple(slice(length) for length in given.shape)] = given
    return Model(
        "random",
        network.eval(),
        Card("vidsr", {"window": window, "features": 16, "blocks": 2}, "none", "", "", "", {}),
        "",
    )


def plain() -> Model:
    return Model("plain", Plain(5), Card("plain", {"window": 5}, "none", "", "", "", {}), "")


def film(first: int = 0, stop: int = FRAMES) -> Iterator[Frame]:
    small = cv2.resize(portrait(), (256, 256), interpolation=cv2.INTER_AREA)
    for index in range(first, stop):
        yield frame_of(np.roll(small, index, axis=1), index)


TRACKS = (
    track_of(FRAMES, (FACE[0] / 2, FACE[1] / 2), 48.0),
    track_of(6, (60.0, 60.0), 33.0, first=4, ident=2),
    track_of(3, (200.0, 200.0), 50.0, first=11, ident=3),
)


def job(batch: int = 4, which: Model | None = None, scale: int = 1) -> Job:
    return Job(planes(scale), TRACKS, Restorer(which or model(), CPU, torch.float32), batch)


def lumas(frames: Iterator[Frame]) -> list[np.ndarray]:
    return [np.concatenate([frame.luma.ravel(), frame.chroma.ravel()]) for frame in frames]


def test_verdicts_do_not_depend_on_how_the_film_was_cut() -> None:
    def told(first: int, stop: int) -> list[tuple[int, int, Quality]]:
        heard: list[tuple[int, int, Quality]] = []
        low, high = max(0, first - 2), min(FRAMES, stop + 2)
        list(render(film(low, high), first, stop, job(), lambda *said: heard.append(said)))
        return heard

    whole = told(0, FRAMES)
    assert [(track, frame) for track, frame, _ in whole] == [(1, 0), (1, 5), (2, 5), (1, 10)]
    assert told(0, 7) + told(7, FRAMES) == whole


def test_every_frame_comes_out_once_in_order_with_its_time() -> None:
    found = list(render(film(), 0, FRAMES, job()))
    assert [frame.index for frame in found] == list(range(FRAMES))
    assert [frame.pts for frame in found] == list(range(FRAMES))


@pytest.mark.parametrize("scale", [1, 2])
def test_a_network_that_does_nothing_changes_nothing(scale: int) -> None:
    found = lumas(render(film(), 0, FRAMES, job(which=plain(), scale=scale)))
    wanted = lumas(enlarged(frame, planes(scale)) for frame in film())
    assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_faces_are_as_fine_as_the_output_resolves() -> None:
    def of(factor: int) -> list[int]:
        place = Place(0, 0, 64, factor, 0, np.zeros((2, 3), np.float32))
        return [fineness(place, planes(scale)) for scale in (1, 2, 4)]

    assert (of(1), of(2), of(4)) == ([1, 2, 4], [2, 4, 4], [4, 4, 4])


@pytest.mark.parametrize(("factor", "scale"), [(2, 1), (4, 1), (2, 2), (4, 2)])
def test_soft_faces_are_restored_in_fewer_pixels_and_added_on_the_frames_grid(factor: int, scale: int) -> None:
    plain = lumas(enlarged(frame, planes(scale)) for frame in film())
    some = dataclasses.replace(job(scale=scale), tracks=[dataclasses.replace(TRACKS[0], factor=factor)])
    found = lumas(render(film(), 0, FRAMES, some))
    assert 4 < max(np.abs(a.astype(int) - b).max() for a, b in zip(found, plain, strict=True)) < 255


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_the_batch_changes_nothing(batch: int) -> None:
    wanted = lumas(render(film(), 0, FRAMES, job(4)))
    found = lumas(render(film(), 0, FRAMES, job(batch)))
    assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))
    originals = lumas(film())
    assert not any(np.array_equal(a, b) for a, b in zip(found, originals, strict=True))


@pytest.mark.parametrize(("first", "stop"), [(0, 5), (3, 9), (9, 14), (13, 14)])
def test_a_range_is_the_film_cut_out(first: int, stop: int) -> None:
    whole = lumas(render(film(), 0, FRAMES, job()))
    halo = film(max(0, first - 2), min(FRAMES, stop + 2))
    part = lumas(render(halo, first, stop, job()))
    assert all(np.array_equal(a, b) for a, b in zip(part, whole[first:stop], strict=True))


def test_a_range_is_the_film_cut_out_where_the_window_is_spread() -> None:
    card = dataclasses.replace(model().card, config={"window": 5, "offsets": (-4, -1, 0, 1, 4)})
    spread = job(which=dataclasses.replace(model(), card=card))
    assert spread.halo == 4
    light = [dataclasses.replace(one, luma=one.luma // 2 + one.index * 7 % 5 * 2) for one in film()]
    whole = lumas(render(light, 0, FRAMES, spread))
    part = lumas(render(light[1:12], 5, 8, spread))
    assert all(np.array_equal(a, b) for a, b in zip(part, whole[5:8], strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(part, lumas(render(light, 5, 8, job())), strict=True))


def test_frames_wait_within_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD_MIB", 0)
    read = []

    def counted() -> Iterator[Frame]:
        for frame in film():
            read.append(frame.index)
            yield frame

    for frame in render(counted(), 0, FRAMES, job(64)):
        assert read[-1] <= frame.index + 3


def test_a_frame_with_a_fading_face_lies_between() -> None:
    half = dataclasses.replace(TRACKS[0], weight=np.full(FRAMES, 0.5, np.float32))
    none = lumas(film())[5].astype(int)
    full = lumas(render(film(), 0, FRAMES, Job(planes(), TRACKS[:1], job().restorer, 4)))[5].astype(int)
    some = lumas(render(film(), 0, FRAMES, Job(planes(), (half,), job().restorer, 4)))[5].astype(int)
    assert np.abs((full - none) / 2 - (some - none)).max() <= 1
