"""Mutated films through `analyze` and `enhance --scale 1`: no traceback, no hang, no partial output, bounded memory.

    python -m tests.bench.fuzz [--count 300] [--seed 1] [--keep FOLDER]

The seeds are the first frames of every test clip, and the tiny films of `tests.clips`, one a container and a format.
Each of the `count` files is one of them with bytes flipped, its end cut off, a piece moved or doubled, the sizes of its
boxes changed, or the beginning of another; the same seed makes the same files. Every run is a fork of one process that
has everything imported, so that its start costs nothing. Files on which a line does not hold are kept with `--keep`.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import struct
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench.tools import CLIPS, SAMPLE, Outcome, Trial, ffmpeg, program, warm
from tests.clips import FILMS

LIMIT_S = 60.0
LIMIT_MIB = 3 * 1024
FRAMES = 12
ENHANCE = ["enhance", "--scale", "1", "--model", "plain"]
COPIED = (".mp4", ".mkv", ".mov")
"""Films whose picture may be copied, where no face is restored and nothing else is asked for."""
HEADER = 4096
BOXES = (b"moov", b"mdat", b"stbl", b"stsz", b"stco", b"stts", b"ctts", b"stsc", b"stsd", b"avcC", b"tkhd", b"mvhd")
BOXES += (b"hdlr", b"elst", b"RIFF", b"LIST", b"movi", b"strh", b"strf", b"idx1", b"esds", b"udta", b"mdhd")


def flipped(data: bytearray, chance: random.Random, _: bytes) -> bytes:
    """Bits turned over: half of the time near the beginning, where headers are."""
    reach = min(len(data), HEADER) if chance.random() < 0.5 else len(data)
    for _ in range(chance.choice((1, 4, 32, 256))):
        data[chance.randrange(reach)] ^= 1 << chance.randrange(8)
    return bytes(data)


def cut(data: bytearray, chance: random.Random, _: bytes) -> bytes:
    """The end missing."""
    return bytes(data[: chance.randrange(1, len(data))])


def resized(data: bytearray, chance: random.Random, _: bytes) -> bytes:
    """Some boxes or chunks say that they have another size; elsewhere, four bytes anywhere get another number."""
    places = [place - 4 for name in BOXES if (place := data.find(name)) >= 4]
    number = chance.choice((0, 1, 7, 0x7FFFFFFF, 0xFFFFFFFF, chance.randrange(1 << 32), chance.randrange(1 << 16)))
    for place in chance.sample(places, min(len(places), chance.randint(1, 3))) or [chance.randrange(len(data) - 4)]:
        inside = place + chance.choice((0, 0, 8, 12, 16))
        struct.pack_into(">I" if chance.random() < 0.7 else "<I", data, min(inside, len(data) - 4), number)
    return bytes(data)


def spliced(data: bytearray, chance: random.Random, _: bytes) -> bytes:
    """A piece moved, doubled or emptied."""
    first, size, to = chance.randrange(len(data)), chance.randrange(1, 5000), chance.randrange(len(data))
    piece = bytes(data[first : first + size])
    kind = chance.randrange(3)
    if kind == 0:
        data[first : first + size] = bytes(len(piece))
    else:
        data[to : to + (size if kind == 1 else 0)] = piece
    return bytes(data)


def exchanged(data: bytearray, chance: random.Random, other: bytes) -> bytes:
    """The beginning of another film."""
    size = chance.choice((16, 64, 512, HEADER))
    return other[:size] + bytes(data[size:])


MUTATIONS: tuple[Callable[[bytearray, random.Random, bytes], bytes], ...] = (flipped, cut, resized, spliced, exchanged)


def seeds(folder: Path, everything: bool = True) -> list[Path]:
    """The films to start from, each a few frames long."""
    clips = sorted(CLIPS.iterdir()) if everything and CLIPS.is_dir() else [SAMPLE]
    for clip in clips:
        picture = ["-map", "0:v:0", "-map", "0:a:0?", "-c", "copy", "-frames:v", FRAMES, "-t", "0.6"]
        ffmpeg("-i", clip, *picture, folder / clip.name)
    for name, make in FILMS.items() if everything else list(FILMS.items())[:1]:
        make(folder / name)
    known = {clip.name for clip in clips} | set(FILMS)
    return [path for path in sorted(folder.iterdir()) if path.name in known]


def mutants(films: Sequence[Path], folder: Path, count: int, seed: int) -> list[tuple[Path, str]]:
    """The mutated files, and what was done to each."""
    chance, made = random.Random(seed), []
    contents = [film.read_bytes() for film in films]
    for number in range(count):
        place, change = number % len(films), chance.choice(MUTATIONS)
        data = change(bytearray(contents[place]), chance, chance.choice(contents))
        path = folder / f"{number:03d}{films[place].suffix}"
        path.write_bytes(data)
        made.append((path, f"{films[place].name}, {change.__name__}"))
    return made


def wrongs(outcome: Outcome, output: Path, kept: set[str]) -> list[str]:
    """What does not hold of a run that was to write `output` into a folder that held `kept`."""
    found = []
    if outcome.code == -signal.SIGKILL and outcome.seconds >= LIMIT_S:
        found.append(f"hangs over {LIMIT_S:.0f} s")
    elif outcome.code not in (0, 1):
        found.append(f"exit code {outcome.code}")
    if "Traceback" in outcome.said:
        found.append("traceback: " + outcome.said.strip().splitlines()[-1][:120])
    if outcome.mib > LIMIT_MIB:
        found.append(f"{outcome.mib:.0f} MiB")
    new = {path.name for path in output.parent.iterdir()} - kept
    if new != ({output.name} if outcome.code == 0 else set()):
        found.append(f"leaves {sorted(new)}")
    if outcome.code == 1 and "error: " not in outcome.said:
        found.append("no sentence")
    return found


def tried(path: Path, what: str, trial: Trial, keep: Path | None) -> list[Outcome]:
    """All commands on one file, in a folder of its own."""
    outcomes = []
    with tempfile.TemporaryDirectory() as name:
        folder, log = Path(name), path.with_suffix(".log")
        bold = ["--keep-going"] if zlib.crc32(path.stem.encode()) % 2 else []  # half of them: what follows the damage
        commands = [(["analyze"], "tracks.json"), ([*ENHANCE, "--preset", "ultrafast"], "coded.mkv")]
        if path.suffix in COPIED:
            commands.append((ENHANCE, f"copied{path.suffix}"))
        for named, made in commands:
            words, output = [*named, "-q", *bold], folder / made
            before = {entry.name for entry in folder.iterdir()}
            outcome = program(*words, path, "-o", output, log=log, limit_s=LIMIT_S)
            wrong = wrongs(outcome, output, before)
            if wrong:
                trial.line(f"{path.name} ({what}), {words[0]}", wrong)
            if wrong and keep is not None:
                shutil.copy(path, keep)
                shutil.copy(log, keep / f"{path.name}.{words[0]}.log")
            outcomes.append(outcome)
    return outcomes


def fuzz(count: int, seed: int, trial: Trial, keep: Path | None = None, everything: bool = True) -> list[Outcome]:
    """Make the files, run them all, say what did not hold."""
    warm()
    outcomes = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "seeds").mkdir()
        (folder / "mutants").mkdir()
        for path, what in mutants(seeds(folder / "seeds", everything), folder / "mutants", count, seed):
            outcomes += tried(path, what, trial, keep)
    return outcomes


def main() -> None:
    """Run and print the sum."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--few", action="store_true", help="start from two films only")
    given = parser.parse_args()
    if given.keep:
        given.keep.mkdir(exist_ok=True)
    trial = Trial()
    outcomes = fuzz(given.count, given.seed, trial, given.keep, not given.few)
    codes = Counter(outcome.code for outcome in outcomes)
    longest, most = max(one.seconds for one in outcomes), max(one.mib for one in outcomes)
    figures = f"done {codes[0]}, refused {codes[1]}, longest {longest:.1f} s, most memory {most:.0f} MiB"
    bad = [f"{trial.failed} do not hold"] if trial.failed else []
    trial.line(f"{given.count} files, {len(outcomes)} runs", bad, figures)
    trial.end()


if __name__ == "__main__":
    main()
