"""Sharp faces from sharp films: found by the project's own analysis, cut out at their own pixels, and kept."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vidsr.analysis.analyze import find_tracks
from vidsr.analysis.detector import open_detector
from vidsr.config import Analyze
from vidsr.data.faces import SIDES, Images, Lazy, fitted, taken
from vidsr.errors import InputError, ToolError
from vidsr.files import fsync_rename, partial_of, storage_errors
from vidsr.frame import Track
from vidsr.picture import small_rgb
from vidsr.system import lock
from vidsr.video import Film, Reader, is_film_name, probe, tools

LENGTH = 24  # frames of a clip
CLIPS = 12  # of one film at most, spread over it
MARGIN = 1.5  # side of the window over the face's


class Window(NamedTuple):
    """A square that stands still while a face moves in it: left, top and side in pixels, and the first frame."""

    x: int
    y: int
    side: int
    first: int


class Kept(NamedTuple):
    """A clip that was cut out before: the file, and its name in there."""

    place: Path
    name: str


def windows(track: Track, width: int, height: int) -> list[Window]:
    """Where clips of `LENGTH` frames can be cut from a track without leaving the frame or enlarging the face."""
    found = []
    for first in range(track.first, track.stop - LENGTH + 1, LENGTH):
        boxes = track.boxes[first - track.first : first - track.first + LENGTH]
        x0, y0 = boxes[:, :2].min(0)
        x1, y1 = boxes[:, 2:].max(0)
        side = int(min(MARGIN * max(x1 - x0, y1 - y0), width, height))
        if side < SIDES[-1]:
            continue
        x = int(np.clip((x0 + x1 - side) / 2, 0, width - side))
        y = int(np.clip((y0 + y1 - side) / 2, 0, height - side))
        found.append(Window(x, y, side, first))
    return found


def _clips(film: Film, found: Sequence[Window]) -> list[Images]:
    """Read a film once and cut `(LENGTH, s, s, 3)` out of it for every window."""
    pieces: list[list[Images]] = [[] for _ in found]
    with Reader(film, keep_going=True) as frames:
        for frame in frames:
            wanted = [i for i, window in enumerate(found) if window.first <= frame.index < window.first + LENGTH]
            if not wanted:
                continue
            picture = small_rgb(frame, film, max(film.width, film.height))
            for i in wanted:
                x, y, side, _ = found[i]
                pieces[i].append(fitted(picture[y : y + side, x : x + side]))
    return [np.stack(clip) for clip in pieces if len(clip) == LENGTH]


def face_clips(path: Path) -> list[Images]:
    """Every usable face of one film, `(LENGTH, s, s, 3)` RGB each, s of SIDES; raises InputError for no film."""
    film = probe(path)
    settings = Analyze()
    with Reader(film, keep_going=True) as frames:
        analysis = find_tracks(frames, film, settings, open_detector(settings, "cpu"))
    found = [window for track in analysis.tracks for window in windows(track, film.width, film.height)]
    spread = np.linspace(0, len(found) - 1, min(CLIPS, len(found)))  # over the film
    return _clips(film, [found[round(i)] for i in spread])


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """Wait until no other process fills this folder: those that train together want the same clips."""
    with storage_errors(cache):
        cache.mkdir(parents=True, exist_ok=True)
        file = (cache / "lock").open("a")
    with file:
        while True:
            try:
                lock(file)
            except BlockingIOError:
                time.sleep(0.2)
                continue
            except OSError:
                pass  # no locks here: at worst, all of them do the work
            break
        yield


def _kept(path: Path, cache: Path) -> list[Kept]:
    """The clips of one film, from an earlier run where the film is the same."""
    stat = path.stat()
    name = hashlib.sha256(f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns} {LENGTH} {CLIPS}".encode()).hexdigest()
    place = cache / f"{name[:16]}.npz"
    with suppress(Exception):  # not there yet, or torn, and the ways in which a damaged archive fails have no end
        return _names(place)
    clips = face_clips(path)
    with storage_errors(place):
        partial = partial_of(place)
        with partial.open("wb") as file:
            np.savez(file, *clips)
        fsync_rename(partial, place)
    return _names(place)


def _names(place: Path) -> list[Kept]:
    with np.load(place, allow_pickle=False) as file:
        return [Kept(place, key) for key in sorted(file.files)]


def _load(kept: Kept) -> Images:
    try:
        with np.load(kept.place, allow_pickle=False) as file:
            return np.asarray(file[kept.name], np.uint8)
    except Exception as error:  # as above
        raise InputError("clips that cannot be read any more") from error


def films_below(folder: Path) -> list[Path]:
    """Every film below a folder, in the order of names."""
    return sorted(p for p in folder.rglob("*") if is_film_name(p) and p.is_file())


def find_films(folder: Path, cache: Path) -> Lazy[Kept]:
    """Clips of the faces in every film below a folder, or in one film; cut out once, kept in `cache`, read on demand.

    Raises InputError where no film shows a face that is large and long enough, and ToolError where there is no ffmpeg.
    """
    if not folder.exists():
        raise InputError(f"there is no {folder}")

    def cut_out(path: Path) -> list[Kept]:
        try:
            with _alone(cache):
                found = _kept(path, cache)
        except InputError as error:
            raise InputError("not a film that can be read") from error
        except ToolError as error:
            tools()  # raises where it is not the film's fault: there is no ffmpeg
            raise InputError("film that ffmpeg did not come to the end of") from error
        if not found:
            raise InputError(f"film without a face of {SIDES[-1]} pixels in {LENGTH} frames on end")
        return found

    found, skipped = taken(films_below(folder) if folder.is_dir() else [folder], cut_out)
    clips = [clip for film in found for clip in film]
    if not clips:
        raise InputError(f"no film below {folder} shows a face that is large and long enough")
    return Lazy(clips, _load, skipped, lambda kept: kept.place)
