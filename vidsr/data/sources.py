"""What a path holds, found out by looking: shards, CelebA, IMFDB, films, stills, or nothing but 'synthetic'."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidsr.data.celeba import find_celeba, find_layout
from vidsr.data.face_sets import Held, Joined, Lazy
from vidsr.data.faces import (
    SIDES,
    SUFFIXES,
    Faces,
    Pictures,
    Skipped,
    fitted,
    picture_size,
    pictures_below,
    read_picture,
    side_for,
    synthetic,
)
from vidsr.data.imfdb import find_imfdb, movies
from vidsr.data.shards import find_shards, shard_paths
from vidsr.data.video_faces import films_below, find_films
from vidsr.errors import InputError

SYNTHETIC = "synthetic"

Choices = dict[str, list[str]]
"""What was asked for with `@name=word,word` behind a path."""


@dataclass(frozen=True)
class Source:
    """A set of faces: what it is in words, whether it is film that moves by itself, and what of it is not used."""

    name: str
    faces: Faces
    moving: bool = False
    skipped: Sequence[Skipped] = ()

    def __str__(self) -> str:
        kind = "clips" if self.moving else "faces"
        return f"{self.name}: {len(self.faces):,} {kind}; skipped {counted(self.skipped) or 'nothing'}"


def counted(skipped: Iterable[Skipped]) -> str:
    """What was skipped, in words: '886 smaller than 128 pixels, 2 not a picture that can be read'."""
    reasons = Counter(one.reason for one in skipped)
    return ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())


def find_stills(folder: Path) -> Lazy[Path]:
    """Every aligned face below `folder`, read when it is asked for, at the largest of SIDES that it fills."""
    found: list[Path] = []
    skipped: list[Skipped] = []
    for path in pictures_below(folder):
        try:
            side_for(min(picture_size(path)))
            found.append(path)
        except InputError as error:
            skipped.append(Skipped(path, str(error)))
    if not found:
        raise InputError(f"{folder} holds no face pictures ({', '.join(SUFFIXES)}) of {SIDES[-1]} pixels or more")
    return Lazy(found, lambda path: fitted(read_picture(path))[None], skipped)


def open_faces(source: str, cache: Path, seed: int = 1) -> Source:
    """The faces at `source`, a path that may carry choices: `celeba@partition=validation`, `imfdb@pose=FRONTAL,LEFT`.

    Faces cut out of films are kept in `cache`; `seed` draws the synthetic ones. Raises InputError where there are no
    faces, or where a choice does not fit what is there.
    """
    if source == SYNTHETIC:
        return Source("made-up pictures", Pictures(synthetic(np.random.default_rng(seed))))
    path, choices = _split(source)
    found = _look(path, choices, cache)
    if choices:
        raise InputError(f"{found.name} offers no choice of {', '.join(choices)}")
    return found


def _split(source: str) -> tuple[str, Choices]:
    """A path and its choices; a path that is there is taken as it is."""
    if Path(source).exists():
        return source, {}
    path, *words = source.split("@")
    pairs = [word.partition("=") for word in words]
    if not all(name and values for name, _, values in pairs):
        raise InputError(f"there is no {source}; choices look like {path}@name=word,word")
    return path, {name: values.split(",") for name, _, values in pairs}


def _look(path: str, choices: Choices, cache: Path) -> Source:
    """What is at a path; the choices that it understands are taken out of `choices`."""
    folder = Path(path)
    if folder.suffix == ".tar" or any(folder.glob("*.tar")):
        shards = shard_paths(path)
        faces = find_shards(shards)
        return Source(f"{path} ({len(shards)} shards)", faces, skipped=faces.skipped)
    if not folder.exists():
        raise InputError(f"there is no {path}")
    if (layout := find_layout(folder)) is not None:
        partition = ",".join(choices.pop("partition", ["train"]))
        people = find_celeba(layout, partition)
        return Source(f"{path} (CelebA, {layout.name}, {partition})", people, skipped=people.skipped)
    if movies(folder):
        wanted = dict(choices)
        choices.clear()
        actors = find_imfdb(folder, wanted)
        return Source(f"{path} (IMFDB)", actors, skipped=actors.skipped)
    return _pictures_or_films(folder, cache)


def _pictures_or_films(folder: Path, cache: Path) -> Source:
    if folder.is_file() or not pictures_below(folder):
        if folder.is_dir() and not films_below(folder):
            raise InputError(f"{folder} holds no shards, no CelebA, no IMFDB, no films and no pictures of faces")
        return _films(folder, cache)
    stills = find_stills(folder)
    beside = [Skipped(path, "film among stills") for path in films_below(folder)]
    return Source(f"{folder} (stills)", stills, skipped=[*beside, *stills.skipped])


def _films(path: Path, cache: Path) -> Source:
    clips = find_films(path, cache)
    return Source(f"{path} (films)", clips, moving=True, skipped=clips.skipped)


@dataclass(frozen=True)
class Material:
    """All that a run draws from: what stands still, and films where there are some."""

    stills: Faces
    films: Faces | None
    sources: Sequence[Source]


def open_all(data: str, more_films: str | None, cache: Path, held_mib: int, seed: int = 1) -> Material:
    """Every source in `data`, which are set off as in PATH (`faces:imfdb`), and a folder of films.

    Of what was read once, `held_mib` stay in memory. Where there is nothing but film, its frames are the stills too.
    """
    sources = [open_faces(one, cache, seed) for one in data.split(os.pathsep)]
    if more_films is not None:
        sources.append(_films(Path(more_films), cache))
    moving = [source.faces for source in sources if source.moving]
    still = [source.faces for source in sources if not source.moving]
    share = held_mib // (2 if moving else 1)
    films = Held(Joined(moving), share) if moving else None
    stills = Held(Joined(still), share) if still else films
    assert stills is not None  # there is at least one source
    return Material(stills, films, sources)
