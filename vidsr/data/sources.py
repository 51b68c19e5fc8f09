"""What a path holds, found out by looking: shards, CelebA, IMFDB, films, stills, or nothing but 'synthetic'."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from torch.utils.data import ConcatDataset, Dataset

from vidsr.data.celeba import find_celeba, find_layout
from vidsr.data.faces import Faces, Held, Images, Skipped, find_stills, pictures_below, synthetic
from vidsr.data.imfdb import find_imfdb, movies
from vidsr.data.shards import find_shards, shard_paths
from vidsr.data.video_faces import films_below, find_films
from vidsr.errors import InputError

SYNTHETIC = "synthetic"


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


def open_faces(source: str, cache: Path, seed: int = 1) -> Source:
    """The faces at `source`, a path or 'synthetic'.

    Faces cut out of films are kept in `cache`; `seed` draws the synthetic ones. Raises InputError where there are none.
    """
    if source == SYNTHETIC:
        return Source("made-up pictures", synthetic(np.random.default_rng(seed)))
    path = Path(source)
    if path.suffix == ".tar" or any(path.glob("*.tar")):
        shards = shard_paths(source)
        faces = find_shards(shards)
        return Source(f"{source} ({len(shards)} shards)", faces, skipped=faces.skipped)
    if not path.exists():
        raise InputError(f"there is no {source}")
    if (layout := find_layout(path)) is not None:
        people = find_celeba(layout)
        return Source(f"{source} (CelebA, {layout.name}, train)", people, skipped=people.skipped)
    if movies(path):
        actors = find_imfdb(path)
        return Source(f"{source} (IMFDB)", actors, skipped=actors.skipped)
    if path.is_dir() and pictures_below(path):
        stills = find_stills(path)
        beside = [Skipped(film, "film among stills") for film in films_below(path)]
        return Source(f"{source} (stills)", stills, skipped=[*beside, *stills.skipped])
    if path.is_dir() and not films_below(path):
        raise InputError(f"{source} holds no shards, no CelebA, no IMFDB, no films and no pictures of faces")
    return _films(path, cache)


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
    """Every source in `data`, which are set off as in PATH (`faces:more`), and a folder of films.

    Of what was read once, `held_mib` stay in memory. Where there is nothing but film, its frames are the stills too.
    """
    sources = [open_faces(one, cache, seed) for one in data.split(os.pathsep)]
    if more_films is not None:
        sources.append(_films(Path(more_films), cache))
    moving = [source.faces for source in sources if source.moving]
    still = [source.faces for source in sources if not source.moving]
    share = held_mib // (2 if moving else 1)
    films = Held(joined(moving), share) if moving else None
    stills = Held(joined(still), share) if still else films
    assert stills is not None  # there is at least one source
    return Material(stills, films, sources)


def joined(sets: Sequence[Faces]) -> Faces:
    """Several sets as one; every face is as likely as any other."""
    return ConcatDataset(cast(Sequence[Dataset[Images]], sets))
