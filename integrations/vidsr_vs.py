"""VapourSynth: a clip's faces restored by `vidsr enhance`, which runs as a program of its own."""

from __future__ import annotations

import mmap
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import vapoursynth as vs

MARK = b"FRAME\n"


class Pictures:
    """The pictures of a Y4M file whose samples are those of a VapourSynth format, by their number."""

    def __init__(self, path: Path, form: vs.VideoFormat) -> None:
        with path.open("rb") as file:
            header = file.readline()
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        words = {word[:1]: word[1:] for word in header.split()[1:]}
        self.width, self.height = int(words[b"W"]), int(words[b"H"])
        small = (self.height >> form.subsampling_h, self.width >> form.subsampling_w)
        self._shapes = [(self.height, self.width), small, small][: form.num_planes]
        self._kind = np.dtype("<u2" if form.bytes_per_sample == 2 else "u1")
        self._begin = len(header)
        self._size = len(MARK) + sum(h * w for h, w in self._shapes) * self._kind.itemsize
        self.count = (len(self._bytes) - self._begin) // self._size

    def planes(self, number: int) -> list[np.ndarray]:
        """One picture's planes."""
        at, found = self._begin + number * self._size + len(MARK), []
        for h, w in self._shapes:
            found.append(np.frombuffer(self._bytes, self._kind, h * w, at).reshape(h, w))
            at += h * w * self._kind.itemsize
        return found


def enhance(
    clip: vs.VideoNode, program: Sequence[str] = ("vidsr",), folder: str | None = None, **options: object
) -> vs.VideoNode:
    """The clip as `vidsr enhance` makes it; `options` are those of the command, `scale=1` for `--scale 1`.

    `program` are the words that start vidsr, and `folder` is where films lie meanwhile. Raises vs.Error.
    """
    if clip.format is None or clip.format.color_family != vs.YUV or clip.format.sample_type != vs.INTEGER:
        raise vs.Error("vidsr takes YUV in whole numbers, of one format throughout")
    home = tempfile.TemporaryDirectory(prefix="vidsr-vs-", dir=folder)
    source, made = Path(home.name, "in.y4m"), Path(home.name, "out.y4m")
    with source.open("wb") as file:
        clip.output(file, y4m=True)
    words = [word for name, value in options.items() for word in _words(name, value)]
    with made.open("wb") as file:
        command = [*program, "enhance", str(source), "-o", "-", "-q", *words]
        found = subprocess.run(command, stdout=file, stderr=subprocess.PIPE, text=True, check=False)
    if found.returncode:
        raise vs.Error(f"vidsr: {found.stderr.strip()}")
    source.unlink()
    return _shown(clip, Pictures(made, clip.format), home)


def _words(name: str, value: object) -> list[str]:
    option = f"--{name.replace('_', '-')}"
    return [] if value is False else [option] if value is True else [option, str(value)]


def _shown(clip: vs.VideoNode, pictures: Pictures, home: object) -> vs.VideoNode:
    blank = clip.std.BlankClip(width=pictures.width, height=pictures.height, length=pictures.count, keep=True)

    def picture(n: int, f: list[vs.VideoFrame], _: object = home) -> vs.VideoFrame:  # the folder lives as long as this
        frame = f[0].copy()
        frame.props.update(f[1].props)
        for plane, samples in enumerate(pictures.planes(n)):
            np.copyto(np.asarray(frame[plane]), samples)
        return frame

    return blank.std.ModifyFrame([blank, clip], picture)
