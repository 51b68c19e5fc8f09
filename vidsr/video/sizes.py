"""How many bytes the packets of a file take, read without decoding anything."""

from __future__ import annotations

from pathlib import Path

from vidsr.video.probe import SAFE
from vidsr.video.process import local, run


def packet_sizes(path: Path) -> dict[int, list[int]]:
    """For each stream of a file, by its index, the bytes of each of its packets, in the order of the file."""
    options = [text for name, value in SAFE.items() for text in (f"-{name}", value)]
    entries = ["-show_entries", "packet=stream_index,size", "-of", "csv=p=0"]
    _, output, _ = run(["ffprobe", "-loglevel", "error", *options, *entries, local(path)])
    found: dict[int, list[int]] = {}
    for line in output.decode("ascii", "replace").split():
        index, size = (word if word.isdecimal() else "0" for word in line.split(",")[:2])
        found.setdefault(int(index), []).append(int(size))
    return found
