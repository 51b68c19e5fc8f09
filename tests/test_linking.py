"""Faces through a film: identities, gaps, cuts, steadiness, false alarms."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.program import needs
from tests.scene import HEIGHT, WIDTH, Picture, Pose, film, frames, head, shown
from vidsr.analysis.alignment import similarity, to_square
from vidsr.analysis.analyze import detected, find_tracks
from vidsr.analysis.cuts import Look, looks
from vidsr.analysis.detector import Detector, open_detector
from vidsr.analysis.linking import Linker
from vidsr.analysis.tracks_file import Analysis
from vidsr.config import Analyze
from vidsr.errors import InputError
from vidsr.evaluate.metrics import Identity
from vidsr.frame import Detection, Frame, Track
from vidsr.picture import Rgb, reduce, small_rgb, to_rgb
from vidsr.video.probe import Film

CLIPS = Path(__file__).parents[1] / "../shared/data/test/clips"
needs_clips = needs(CLIPS)
FILES = Path(__file__).parents[1] / "../shared/data/weights"
NEVER_ONE = 0.25
"""Cosine below which the recogniser's two faces are two people's; one person's are mostly above 0.5."""
SETTINGS = Analyze()


@cache
def detector() -> Detector:
    return open_detector(SETTINGS)


def found(draw: Callable[[int], Picture], count: int, settings: Analyze = SETTINGS) -> Analysis:
    return find_tracks(frames(count, draw), film(), settings, detector())


def dark() -> Picture:
    return np.asarray(head()[:, ::-1] * 0.6, np.uint8)


def centres(track: Track) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    centre, _, _ = to_square(track.matrices)
    return np.stack([centre.real, centre.imag], axis=1)


def test_one_face_is_one_track_from_the_first_frame_to_the_last() -> None:
    analysis = found(lambda n: shown([(Pose(150 + 2 * n), head())]), 43)
    (track,) = analysis.tracks
    assert (track.first, track.stop, analysis.shots) == (0, 43, ((0, 43),))
    assert track.observed.all()
    assert (track.weight == 1).all()
    assert analysis.timeline.tolist() == [n * 3600 for n in range(43)]
    offset = centres(track)[:, 0] - (150 + 2 * np.arange(43))
    assert np.ptp(offset) < 1.0


def test_two_faces_that_cross_keep_their_names() -> None:
    for other in (np.ascontiguousarray(head()[:, ::-1]), np.asarray(head() * 0.6, np.uint8)):
        analysis = found(lambda n, o=other: shown([(Pose(400 - 5 * n, 140, 0.5), o), (Pose(80 + 5 * n), head())]), 64)
        assert len(analysis.tracks) == 2
        front, behind = sorted(analysis.tracks, key=lambda track: float(centres(track)[0, 0]))
        assert (len(front), len(behind)) == (64, 64)
        assert np.abs(centres(front)[:, 0] - np.arange(80, 400, 5)).max() < 12
        assert centres(behind)[-1, 0] == pytest.approx(85, abs=12)
        assert (~behind.observed).sum() > 3
        assert front.observed.all()


def test_a_face_hidden_for_half_a_second_is_one_track_and_not_restored_meanwhile() -> None:
    def draw(n: int) -> Picture:
        picture = shown([(Pose(180 + 2 * n), head())])
        if 25 <= n < 38:
            picture[:, 150 + 2 * n : 215 + 2 * n] = 90
        return picture

    (track,) = found(draw, 65).tracks
    assert len(track) == 65
    assert np.flatnonzero(~track.observed).tolist() == list(range(25, 38))
    assert (track.weight[25:38] == 0).all()
    assert (track.weight[:20] == 1).all()
    assert np.abs(np.diff(track.weight)).max() <= 0.21
    assert np.abs(centres(track)[:, 0] - (180 + 2 * np.arange(65))).max() < 6


def test_a_face_hidden_for_longer_than_the_bridge_is_two_tracks() -> None:
    def draw(n: int) -> Picture:
        return shown([(Pose(240), head())] if not 20 <= n < 50 else [])

    tracks = found(draw, 70, replace(SETTINGS, bridge_s=0.5)).tracks
    assert [(track.first, track.stop) for track in tracks] == [(0, 20), (50, 70)]
    assert tracks[0].weight[-4:].tolist() == pytest.approx([0.8, 0.6, 0.4, 0.2])
    assert tracks[1].weight[:4].tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8])


def test_a_cut_to_another_face_at_the_same_place_ends_the_track() -> None:
    def draw(n: int) -> Picture:
        return shown([(Pose(240), head() if n < 23 else dark())], 1 if n < 23 else 2)

    analysis = found(draw, 45)
    assert analysis.shots == ((0, 23), (23, 45))
    assert [(track.first, track.stop) for track in analysis.tracks] == [(0, 23), (23, 45)]
    assert all((track.weight == 1).all() for track in analysis.tracks), "no fade at a cut"


def test_another_face_in_the_same_shot_at_the_same_place_is_another_track() -> None:
    tracks = found(lambda n: shown([(Pose(240), head() if n < 23 else dark())]), 45).tracks
    assert [(track.first, track.stop) for track in tracks] == [(0, 23), (23, 45)]


def test_a_flash_does_not_break_a_track() -> None:
    def draw(n: int) -> Picture:
        return np.full((HEIGHT, WIDTH, 3), 245, np.uint8) if n in (20, 21) else shown([(Pose(200 + n), head())])

    (track,) = found(draw, 42).tracks
    assert len(track) == 42
    assert np.flatnonzero(~track.observed).tolist() in ([], [20, 21])
    assert (track.weight == 1).all(), "fading for two frames would be seen"


def test_a_face_that_comes_between_two_detections_is_traced_back() -> None:
    (track,) = found(lambda n: shown([(Pose(240), head())] if n >= 12 else []), 40).tracks
    assert track.first == 12


def test_landmarks_have_no_saw_tooth() -> None:
    def draw(n: int) -> Picture:
        return shown([(Pose(240 + 30 * np.sin(n / 4)), head())])

    (every_fifth,) = found(draw, 50).tracks
    steps = np.diff(every_fifth.landmarks.mean(axis=1), n=2, axis=0)[:, 0]
    truth = np.diff(30 * np.sin(np.arange(50) / 4), n=2)
    assert np.abs(steps - truth).max() < 0.8


def test_a_still_heads_matrices_are_much_steadier_than_its_detections() -> None:
    draw = frames(50, lambda _: shown([(Pose(240), head())]), 6.0)
    (raw,) = find_tracks(draw, film(), replace(SETTINGS, detect_every=1), detector()).tracks
    (track,) = find_tracks(draw, film(), SETTINGS, detector()).tracks

    def jitter(matrices: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> float:
        corners = np.linalg.inv(np.concatenate([matrices, np.tile([[[0, 0, 1]]], (len(matrices), 1, 1))], axis=1))
        return float(np.sqrt(np.mean(np.diff(corners @ [[0, 1], [0, 1], [1, 1]], axis=0) ** 2)))

    assert jitter(track.matrices) < jitter(similarity(raw.landmarks)) / 10


def test_a_fast_move_is_not_cut_short() -> None:
    path = 240 + 40 * np.sin(2 * np.pi * 1.5 * np.arange(60) / 25)
    (track,) = found(lambda n: shown([(Pose(float(path[n])), head())]), 60).tracks
    error = centres(track)[:, 0] - path
    assert np.abs(error - np.median(error)).max() < 2.0


def test_several_detections_a_call_change_nothing() -> None:
    class Batched:
        batch = 4

        def __call__(self, pictures: Sequence[Rgb]) -> list[list[Detection]]:
            return detector()(pictures)

    draw = frames(33, lambda n: shown([(Pose(150 + 2 * n), head())], n // 21))
    one = find_tracks(draw, film(), SETTINGS, detector())
    other = find_tracks(draw, film(), SETTINGS, Batched())
    assert one.shots == other.shots
    for mine, theirs in zip(one.tracks, other.tracks, strict=True):
        # One that takes single pictures mostly sees the face's surroundings only, and less of what is beside them.
        assert np.allclose(mine.matrices[:, :, :2], theirs.matrices[:, :, :2], atol=1e-4)
        assert np.abs(centres(mine) - centres(theirs)).max() < 0.2


class Scripted:
    """A detector that says what it is told, once for each picture it is given; it looks at the whole, each time."""

    batch = 2

    def __init__(self, script: Sequence[Sequence[Detection]]) -> None:
        self._script = iter(script)

    def __call__(self, pictures: Sequence[Rgb]) -> list[list[Detection]]:
        # Looks for turned heads, which are smaller pictures, are not in the script.
        return [list(next(self._script)) if max(p.shape) > 320 else [] for p in pictures]


def seen(x: float, score: float, size: float = 60.0) -> Detection:
    box = np.array([x, 60, x + size, 60 + size], np.float32)
    points = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
    return Detection(box, points * size + [x, 60], score)


def told(*script: Sequence[Detection], settings: Analyze = SETTINGS, gray: bool = False) -> list[Track]:
    still = frames(5 * (len(script) - 1) + 1, lambda _: shown([]) // (255 if gray else 1), 0.0 if gray else 3.0)
    return list(find_tracks(still, film(), settings, Scripted(script)).tracks)


def test_one_detection_is_no_track() -> None:
    assert told([], [seen(100, 0.9)], [], []) == []


def test_weak_detections_continue_a_track_but_do_not_begin_one() -> None:
    assert told(*[[seen(100, 0.45)]] * 4) == []
    (track,) = told([seen(100, 0.9)], [seen(100, 0.45)], [seen(100, 0.9)], [seen(100, 0.45)])
    assert len(track) == 16
    (track,) = told([seen(100, 0.45)], [seen(100, 0.9)], [seen(100, 0.9)], [seen(100, 0.9)], gray=True)
    assert (track.first, track.stop) == (5, 16)


def test_where_flow_fails_a_face_detected_in_time_still_counts_as_seen() -> None:
    (track,) = told(*[[seen(100 + 10 * n, 0.9)] for n in range(4)], gray=True)
    assert track.observed.all()
    assert (track.weight == 1).all()
    assert np.allclose(np.diff(track.landmarks[:, :, 0], axis=0), 2, atol=0.02)


def test_the_detector_looks_at_the_ends_of_each_shot_and_every_fifth_frame_between() -> None:
    source = looks(frames(30, lambda n: shown([], 1 if n < 13 else 2)), film(), 960)
    seen_at = [
        look.index for look, found in detected(source, film(), SETTINGS, Scripted([[]] * 9)) if found is not None
    ]
    assert seen_at == [0, 5, 10, 12, 13, 18, 23, 28, 29]


def test_no_face_is_traced_back_across_a_cut() -> None:
    linker = Linker(SETTINGS, 25)
    (still,) = frames(1, lambda _: shown([(Pose(240), head())]))
    views = [Look(n, n, reduce(still, 8, 960)) for n in range(8)]
    for view in views[:4]:
        linker.step(view, None)
    assert linker.close() == []
    linker.step(views[4], None)
    linker.step(views[5], detector()([to_rgb(views[5].small, film())])[0])
    (path,) = linker.close()
    assert len(path.head) == 1


def test_small_faces_are_left_alone() -> None:
    assert told(*[[seen(100, 0.9, 11.0)]] * 3) == []


def test_tracks_shorter_than_asked_are_dropped() -> None:
    settings = replace(SETTINGS, min_track_s=0.6)
    assert told(*[[seen(100, 0.9)]] * 3, settings=settings) == []
    assert len(told(*[[seen(100, 0.9)]] * 4, settings=settings)) == 1


def test_a_face_seen_for_less_than_a_fifth_of_a_second_is_dropped() -> None:
    quick = replace(SETTINGS, detect_every=2)
    for frames_seen, tracks in ((2, 0), (4, 0), (6, 1)):
        stay = range(10, 10 + frames_seen)
        found_here = found(lambda n, stay=stay: shown([(Pose(240), head())] if n in stay else []), 25, quick)
        assert len(found_here.tracks) == tracks, frames_seen


def test_a_face_that_flow_loses_is_found_again_by_the_detector() -> None:
    """It jumps by two thirds of its width from one frame to the next, which no flow follows."""
    (track,) = found(lambda n: shown([(Pose(180 if n < 22 else 222), head())]), 45).tracks
    assert len(track) == 45
    x = centres(track)[:, 0]
    assert np.abs(x[:20] - 180).max() < 4
    assert np.abs(x[26:] - 222).max() < 4


def test_two_tracks_on_one_face_become_one() -> None:
    assert len(told(*[[seen(100, 0.9), seen(112, 0.7)]] * 4)) == 1
    assert len(told(*[[seen(100, 0.9), seen(200, 0.7)]] * 4)) == 2


def test_a_film_without_frames_is_an_error() -> None:
    with pytest.raises(InputError, match="no frames"):
        find_tracks([], film(), SETTINGS, Scripted([]))


def test_progress_counts_the_frames() -> None:
    done: list[int] = []
    find_tracks(frames(11, lambda _: shown([])), film(), SETTINGS, Scripted([[], [], []]), done.append)
    assert done == list(range(1, 12))


def test_the_analysis_holds_few_frames_at_a_time() -> None:
    drawn, done = 0, 0
    most = 0

    def source() -> Sequence[Frame]:
        nonlocal drawn, most
        for one in frames(80, lambda _: shown([])):
            drawn += 1
            most = max(most, drawn - done)
            yield one

    def count(n: int) -> None:
        nonlocal done
        done = n

    find_tracks(source(), film(), SETTINGS, Scripted([[]] * 17), count)
    assert most <= 45


def clip(name: str, full_range: bool = False) -> tuple[Film, list[Frame]]:
    """A clip of the test data, its frames read through a pipe of this test's own."""
    path = CLIPS / name
    ask = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "stream=width,height", "-of", "csv=p=0"]
    words = subprocess.run([*ask, str(path)], check=True, capture_output=True, text=True).stdout.strip().split(",")
    width, height = int(words[0]), int(words[1])
    kind = "yuvj420p" if full_range else "yuv420p"
    read = ["ffmpeg", "-v", "error", "-i", str(path), "-fps_mode", "passthrough", "-pix_fmt", kind, "-f", "rawvideo"]
    data = np.frombuffer(subprocess.run([*read, "-"], check=True, capture_output=True).stdout, np.uint8)
    pictures = data.reshape(-1, height * width * 3 // 2)
    shape = (2, height // 2, width // 2)
    made = [
        Frame(n, n, one[: height * width].reshape(height, width), one[height * width :].reshape(shape))
        for n, one in enumerate(pictures)
    ]
    return replace(film(width, height), full_range=full_range), made


@cache
def clip_analysis(name: str, full_range: bool = False) -> Analysis:
    source, made = clip(name, full_range)
    return find_tracks(made, source, SETTINGS, detector())


@needs_clips
def test_no_track_crosses_a_cut() -> None:
    analysis = clip_analysis("hamilton_cuts.mp4")
    assert analysis.shots == ((0, 20), (20, 82), (82, 211), (211, 275))
    for track in analysis.tracks:
        assert any(first <= track.first and track.stop <= stop for first, stop in analysis.shots)
    singer = [track for track in analysis.tracks if track.first == 82]
    assert [len(track) for track in singer] == [129], "a hand before the mouth does not break the track"


@pytest.mark.slow
@needs_clips
def test_a_street_gives_a_track_for_each_of_its_faces() -> None:
    tracks = clip_analysis("crowd_1080p.mp4").tracks
    assert sum(len(track) >= 55 for track in tracks) >= 5
    assert sum(len(track) >= 100 for track in tracks) >= 2
    assert len(tracks) <= 16


@needs_clips
@pytest.mark.parametrize(
    ("name", "faces"),
    [("noface_bottles.mp4", 0), ("three_people.mp4", 3), ("headpose_two.mp4", 2), ("grid_lwbsza.mpg", 1)],
)
def test_each_person_is_one_track_for_the_whole_clip(name: str, faces: int) -> None:
    analysis = clip_analysis(name)
    assert [len(track) for track in analysis.tracks] == [analysis.frames] * faces


@needs_clips
def test_a_hand_before_the_face_does_not_end_its_track() -> None:
    analysis = clip_analysis("asl_bird_hand.mkv", full_range=True)
    assert [(track.first, track.stop) for track in analysis.tracks if track.height < 100] == [(0, 63)]


@needs_clips
@pytest.mark.parametrize("name", ["three_people.mp4", "headpose_two.mp4", "hamilton_cuts.mp4"])
def test_a_recogniser_sees_one_person_along_each_track(name: str) -> None:
    """Faces from the front of one track are alike; those of two tracks that are seen together are not."""
    pytest.importorskip("ncnn", reason="the recogniser needs ncnn")
    identity = Identity(FILES / "mobilefacenet.param", FILES / "mobilefacenet.bin")
    source, made = clip(name)
    tracks = [one for one in clip_analysis(name).tracks if one.score.mean() > 0.8]
    assert len(tracks) >= 2
    people = []
    for track in tracks:
        shown = [int(n) for n in np.flatnonzero(track.weight == 1)[::10]]
        pictures = [small_rgb(made[track.first + n], source, 4096) for n in shown]
        crops = [_for_recogniser(p, track, n) for p, n in zip(pictures, shown, strict=True)]
        people.append(np.array([identity.embed(crop) for crop in crops]))
    for track, faces in zip(tracks, people, strict=True):
        if len(faces) > 1:
            middle = faces.mean(axis=0) / np.linalg.norm(faces.mean(axis=0))
            assert (faces @ middle).min() > NEVER_ONE, track


def _for_recogniser(picture: Picture, track: Track, n: int) -> Picture:
    from vidsr.evaluate.videos import _for_recogniser, _warped

    return _warped(picture, _for_recogniser(track.landmarks[n]), 112)
