"""Faces in tar files (WebDataset's shards): for sets that are larger than memory, or than one disk.

A sample is what lies side by side in a shard under one key: `000012.00.png`, `000012.01.png` ... are the frames of one
clip, in order. Reading goes straight to a sample's place in its shard; memory holds where that is, 24 bytes, and no
more.

With several processes (torchrun) or loader workers each has every n-th shard for its own, so it needs no other on its
disk. A sample then depends on the seed, the batch's number, its number in the batch, and how many processes there are:
a run that is resumed with as many as before goes on exactly as it would have.
"""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidsr.data.faces import SUFFIXES, Faces, Images, Lazy, Rng, decoded, fitted, taken
from vidsr.errors import InputError, OutputError
from vidsr.files import fsync_rename, sync
from vidsr.picture import png

Spans = NDArray[np.int64]
SIZE = 256 << 20  # of a shard that is written, bytes
SUFFIXES_BARE = tuple(suffix[1:] for suffix in SUFFIXES)


def shard_paths(source: str) -> list[Path]:
    """Shards by a folder, or by a pattern with braces: `/disk{1,2}/faces-{000000..000041}.tar`."""
    from webdataset.shardlists import expand_urls

    folder = Path(source)
    if folder.is_dir():
        return sorted(folder.glob("*.tar"))
    return [Path(path) for path in expand_urls(source)]


def mine(paths: Sequence[Path]) -> list[Path]:
    """The shards of this process: every n-th of n processes and workers, by WebDataset's own splitters."""
    from webdataset.shardlists import split_by_node, split_by_worker

    return list(split_by_worker(split_by_node(iter(paths))))


def _spans(path: Path) -> Spans:
    """Begin and end of every sample with a picture in a shard, bytes `(n, 2)`; a torn end is left out.

    InputError for a damaged shard.
    """
    from webdataset.tariterators import base_plus_ext

    spans: list[list[int]] = []
    last = None
    try:
        with tarfile.open(path, "r:") as tar, suppress(tarfile.ReadError):
            for member in tar:
                key, suffix = base_plus_ext(member.name)
                stop = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
                if not member.isfile() or key is None:
                    continue
                if key == last:
                    spans[-1][1] = stop
                elif suffix.lower().endswith(SUFFIXES_BARE):
                    spans.append([member.offset, stop])
                    last = key
    except (OSError, ValueError, tarfile.TarError) as error:
        raise InputError("shard that is damaged, compressed or not there") from error
    return np.array(spans, np.int64).reshape(-1, 2)


def _sample(path: Path, begin: int, stop: int) -> Images:
    """One sample's frames `(n, s, s, 3)`, or its first one where they are not alike in size."""
    from webdataset.tariterators import group_by_keys, tar_file_expander

    try:
        with path.open("rb") as file:
            file.seek(begin)
            source = {"url": str(path), "stream": io.BytesIO(file.read(stop - begin))}
        sample: dict[str, bytes] = next(iter(group_by_keys(tar_file_expander([source]))), {})
    except (OSError, ValueError, tarfile.TarError) as error:
        raise InputError("sample that cannot be read") from error
    frames = [fitted(decoded(sample[name])) for name in sorted(sample) if name.lower().endswith(SUFFIXES_BARE)]
    if not frames:
        raise InputError("sample without a picture")
    alike = all(frame.shape == frames[0].shape for frame in frames)
    return np.stack(frames if alike else frames[:1])


def find_shards(paths: Sequence[Path]) -> Lazy[int]:
    """The samples of this process's shards; raises InputError where there are none."""
    own = mine(paths)
    if not own:
        raise InputError(f"{len(paths)} shards are too few: every process needs at least one of its own")
    found, skipped = taken(own, lambda path: (path, _spans(path)))
    parts = [np.insert(spans, 0, number, axis=1) for number, (_, spans) in enumerate(found)]
    places = np.concatenate([np.empty((0, 3), np.int64), *parts])
    if not len(places):
        raise InputError(f"none of {len(own)} shards ({own[0]} ...) holds a face")

    def load(index: int) -> Images:
        number, begin, stop = places[index].tolist()
        return _sample(found[number][0], begin, stop)

    return Lazy(range(len(places)), load, skipped, lambda index: found[places[index, 0]][0])


def write_shards(faces: Faces, folder: Path, rng: Rng, size: int = SIZE) -> list[Path]:
    """Write faces as shards `faces-000000.tar` ... of about `size` bytes into a new folder, in a drawn order.

    The folder appears whole or not at all; pictures are PNG, so nothing is lost. Raises OutputError if it is there.
    """
    from webdataset import ShardWriter

    if folder.exists():
        raise OutputError(f"{folder} exists already")
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    pattern, done = str(partial).replace("%", "%%") + "/faces-%06d.tar", lambda name: sync(Path(name))
    with ShardWriter(pattern, maxsize=size, encoder=False, verbose=0, mtime=0, post=done) as writer:
        for number, index in enumerate(rng.permutation(len(faces))):
            frames = {f"{i:02}.png": png(frame) for i, frame in enumerate(faces[int(index)])}
            writer.write({"__key__": f"{number:08}"} | frames)
    fsync_rename(partial, folder)
    return sorted(folder.glob("*.tar"))
