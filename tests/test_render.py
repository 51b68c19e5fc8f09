"""A range of the film: windows, batches, halos and memory change nothing in the frames."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch

from tests.faces import FACE, frame_of, planes, portrait, track_of
from vidsr import render as module
from vidsr.blend import fineness
from vidsr.frame import Frame
from vidsr.network import Plain, Vidsr
from vidsr.render import Job, render
from vidsr.tally import Verdict
from vidsr.upscale import Restorer
from vidsr.weights import Card, Model

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
    return Model("random", network.eval(), Card("vidsr", window, 16, 2, "none", "", "", "", {}), "")


def plain() -> Model:
    return Model("plain", Plain(5), Card("plain", 5, 0, 0, "none", "", "", "", {}), "")


def film(first: int = 0, stop: int = FRAMES) -> Iterator[Frame]:
    small = cv2.resize(portrait(), (256, 256), interpolation=cv2.INTER_AREA)
    for index in range(first, stop):
        yield frame_of(np.roll(small, index, axis=1), index)


TRACKS = (
    track_of(FRAMES, (FACE[0] / 2, FACE[1] / 2), 48.0),
    track_of(6, (60.0, 60.0), 33.0, first=4, ident=2),
    track_of(3, (200.0, 200.0), 50.0, first=11, ident=3),
)


def job(batch: int = 4, which: Model | None = None, scale: int = 1, calm: bool = False) -> Job:
    return Job(planes(scale), TRACKS, Restorer(which or model(), CPU, torch.float32), batch, calm)


def lumas(frames: Iterator[Frame]) -> list[np.ndarray]:
    return [np.concatenate([frame.luma.ravel(), frame.chroma.ravel()]) for frame in frames]


def test_verdicts_do_not_depend_on_how_the_film_was_cut() -> None:
    def told(first: int, stop: int) -> list[tuple[int, int, Verdict]]:
        heard: list[tuple[int, int, Verdict]] = []
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
    from vidsr.blend import enlarged

    found = lumas(render(film(), 0, FRAMES, job(which=plain(), scale=scale)))
    wanted = lumas(enlarged(frame, planes(scale)) for frame in film())
    assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("scale", [1, 2])
def test_what_the_output_does_not_resolve_need_not_be_computed(scale: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = lumas(render(film(), 0, FRAMES, job(scale=scale, calm=True)))
    monkeypatch.setattr(module, "fineness", lambda *_: 4)
    whole = lumas(render(film(), 0, FRAMES, job(scale=scale, calm=True)))
    off = np.concatenate([np.abs(a.astype(int) - b) for a, b in zip(found, whole, strict=True)])
    assert off.max() <= 2
    assert 0 < off.mean() < 0.01
    originals = lumas(render(film(), 0, FRAMES, job(which=plain(), scale=scale)))
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(found, originals, strict=True)) > 4


def test_faces_are_as_fine_as_the_output_resolves_where_they_are_nearest() -> None:
    near = track_of(3, (100.0, 100.0), 96.0).matrices
    assert [fineness(near, 96, planes(scale)) for scale in (1, 2, 4)] == [1, 2, 4]
    assert fineness(near, 48, planes(2)) == 4  # a crop with half of the samples
    nearer = np.concatenate([near, near * 0.5])
    assert [fineness(nearer, 96, planes(scale)) for scale in (1, 2, 4)] == [2, 4, 4]
    assert fineness(near * 8, 96, planes()) == 1


@pytest.mark.parametrize(("batch", "calm"), [(1, False), (7, False), (64, False), (7, True), (64, True)])
def test_the_batch_changes_nothing(batch: int, calm: bool) -> None:
    wanted = lumas(render(film(), 0, FRAMES, job(4, calm=calm)))
    found = lumas(render(film(), 0, FRAMES, job(batch, calm=calm)))
    assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))
    originals = lumas(film())
    assert not any(np.array_equal(a, b) for a, b in zip(found, originals, strict=True))


@pytest.mark.parametrize(("first", "stop"), [(0, 5), (3, 9), (9, 14), (13, 14)])
def test_a_range_is_the_film_cut_out(first: int, stop: int) -> None:
    whole = lumas(render(film(), 0, FRAMES, job()))
    halo = film(max(0, first - 2), min(FRAMES, stop + 2))
    part = lumas(render(halo, first, stop, job()))
    assert all(np.array_equal(a, b) for a, b in zip(part, whole[first:stop], strict=True))


@pytest.mark.parametrize(("first", "stop"), [(0, 3), (5, 7), (12, 14)])
def test_a_range_is_the_film_cut_out_where_faces_are_averaged_over_time(
    first: int, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REACH", 3)
    whole = lumas(render(film(), 0, FRAMES, job(calm=True)))
    halo = film(max(0, first - 5), min(FRAMES, stop + 5))
    part = lumas(render(halo, first, stop, job(calm=True)))
    assert job(calm=True).halo == 5
    assert all(np.array_equal(a, b) for a, b in zip(part, whole[first:stop], strict=True))
    apart = lumas(render(film(), 0, FRAMES, job()))
    assert not any(np.array_equal(a, b) for a, b in zip(apart, whole, strict=True))


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
    import dataclasses

    half = dataclasses.replace(TRACKS[0], weight=np.full(FRAMES, 0.5, np.float32))
    none = lumas(film())[5].astype(int)
    full = lumas(render(film(), 0, FRAMES, Job(planes(), TRACKS[:1], job().restorer, 4)))[5].astype(int)
    some = lumas(render(film(), 0, FRAMES, Job(planes(), (half,), job().restorer, 4)))[5].astype(int)
    assert np.abs((full - none) / 2 - (some - none)).max() <= 1
