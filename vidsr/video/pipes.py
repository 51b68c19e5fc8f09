"""Films through pipes: stdin kept in a file, as the work needs two passes; the finished film sent to stdout."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from vidsr.errors import InputError, OutputError
from vidsr.video.process import GLOBAL, Process, local

STANDARD = Path("-")
"""What stands for stdin and stdout."""
KINDS = {b"YUV4MPEG2 ": ".y4m", b"nut/multimedia container": ".nut"}
"""How a film that can come through a pipe begins, and how its file's name ends."""
BLOCK = 1 << 20


@contextmanager
def spooled(limit_gib: float, home: str | None, stdin: BinaryIO | None = None) -> Iterator[Path]:
    """The film from stdin as a file, in a folder that goes with all that is in it when the block ends.

    InputError where it is neither Y4M nor NUT, or larger than `limit_gib`; OutputError where the disk is full.
    """
    source = stdin or sys.stdin.buffer
    with tempfile.TemporaryDirectory(prefix="vidsr-pipe-", dir=home) as folder:
        begin = source.read(max(map(len, KINDS)))
        kind = next((kind for magic, kind in KINDS.items() if begin.startswith(magic)), None)
        if kind is None:
            raise InputError("what comes through the pipe is neither Y4M nor NUT; name the film's file instead of -")
        path = Path(folder) / f"stdin{kind}"
        _keep(begin, source, path, int(limit_gib * (1 << 30)))
        yield path


def _keep(begin: bytes, source: BinaryIO, path: Path, limit: int) -> None:
    try:
        with path.open("wb") as file:
            file.write(begin)
            size = len(begin)
            while data := source.read(BLOCK):
                size += len(data)
                if size > limit:
                    raise InputError(
                        f"the film from stdin is larger than {limit / (1 << 30):g} GiB, which --spool-gib allows"
                    )
                file.write(data)
    except OSError as error:
        free = shutil.disk_usage(path.parent).free >> 20
        raise OutputError(
            f"the film from stdin could not be kept in {path.parent} ({free} MiB free): {error.strerror}; "
            "name another disk with --work-dir"
        ) from error


def send(film: Path, y4m: bool, stdout: BinaryIO | None = None) -> None:
    """Write a finished film to stdout: its picture as Y4M, or all of it as NUT, not coded again."""
    target = stdout or sys.stdout.buffer
    how = ["-map", "0:v:0", "-strict", "-1", "-f", "yuv4mpegpipe"] if y4m else ["-map", "0", "-c", "copy", "-f", "nut"]
    command = ["ffmpeg", *GLOBAL, "-loglevel", "error", "-i", local(film), *how, "pipe:1"]
    with Process(command) as process:
        block = memoryview(bytearray(BLOCK))
        try:
            while count := process.read_into(block):
                target.write(block[:count])
            target.flush()
        except BrokenPipeError as error:
            # What Python flushes at its end would complain once more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), target.fileno())
            raise OutputError("who reads the film from stdout has ended before the film did") from error
        if process.finish() != 0:
            raise process.failure("could not send the film to stdout")
