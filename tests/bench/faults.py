"""What goes wrong on the way: the right words, the right code, and a rerun that ends as if nothing had happened.

    python -m tests.bench.faults [NAME ...]

Each fault is put into a run over a film of three segments, in a folder of its own. The run must end with its exit code
and a sentence that names what happened, without an output; then the fault is taken away, the same command given again,
and every packet of its output compared with the unbroken run's. Full and read-only disks are small tmpfs mounts, which
need root.
"""

from __future__ import annotations

import argparse
import dataclasses
import errno
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from tests.bench.tools import SAMPLE, Outcome, Trial, ffmpeg, forked, orphans, packets, warm
from vidsr.cli.main import main as main_of_the_program
from vidsr.jobs import passes
from vidsr.restore.restorer import Restorer
from vidsr.video import process

OPTIONS = ("--scale", "1", "--preset", "ultrafast", "--model", "plain", "-q")
SEGMENT_S = 0.4


class Stage:
    """A film, where its output goes, the unbroken output's packets, and a log for what is said."""

    def __init__(self, folder: Path, film: Path, wanted: Sequence[str] = ()) -> None:
        folder.mkdir()
        self.folder = folder
        self.film = folder / "film.mp4"
        self.output = folder / "out.mp4"
        self.log = folder / "log"
        self.wanted = list(wanted)
        shutil.copyfile(film, self.film)

    def another(self, name: object) -> Stage:
        """One in a new folder inside, in which nothing has happened yet."""
        return Stage(self.folder / str(name), self.film, self.wanted)

    def rehearse(self) -> None:
        """The unbroken run."""
        if (code := self.run().code) != 0:
            raise SystemExit(f"the unbroken run ended with {code}: {self.log.read_text()}")
        self.wanted = packets(self.output)

    @property
    def work(self) -> Path:
        return self.output.with_name(self.output.name + ".vidsr")

    def run(self, *words: object, before: Callable[[], object] = lambda: None, output: Path | None = None) -> Outcome:
        """The program, in a fork that has done `before`."""
        target = output or self.output

        def action() -> None:
            before()
            sys.argv = ["vidsr", "enhance", str(self.film), "-o", str(target), *OPTIONS, *map(str, words)]
            main_of_the_program()

        return forked(action, self.log)

    def fails(self, outcome: Outcome, code: int, words: str, output: Path | None = None) -> list[str]:
        """What is wrong with how a run failed: its code, its sentence, a traceback, an output."""
        found = [] if outcome.code == code else [f"exit code {outcome.code}, not {code}"]
        if not re.search(words, outcome.said):
            found.append(f"says {outcome.said.strip()[-150:]!r}, not {words!r}")
        if "Traceback" in outcome.said:
            found.append("traceback")
        if (output or self.output).exists():
            found.append("there is an output")
        return found

    def resumes(self, *words: object, output: Path | None = None) -> list[str]:
        """What is wrong with the rerun; afterwards the output is gone again."""
        target = output or self.output
        outcome = self.run(*words, output=output)
        if outcome.code != 0:
            return [f"the rerun ended with {outcome.code}: {outcome.said.strip()[-150:]}"]
        found = [] if packets(target) == self.wanted else ["the rerun's packets differ"]
        target.unlink()
        return found

    def stopped(self) -> None:
        """Leave the work folder of a run that was killed after its second segment; nothing writes there any more."""

        def watched() -> None:
            whole = passes.fsync_rename

            def settle(partial: Path, path: Path) -> None:
                whole(partial, path)
                if path.suffix == ".nut" and not path.name.startswith("00000000"):
                    os.kill(os.getpid(), signal.SIGKILL)

            passes.fsync_rename = settle

        self.run(before=watched)
        orphans(self.work)  # an encoder may have begun the third


def first_stage(folder: Path) -> Stage:
    """The film and its unbroken run; from now on, forks of this process make short segments."""
    film = folder / "film.mp4"
    ffmpeg("-i", SAMPLE, "-t", "1.2", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "copy", film)
    warm()
    _short_segments()
    stage = Stage(folder / "stage", film)
    stage.rehearse()
    return stage


def _short_segments() -> None:
    before = passes.segments
    passes.segments = lambda first, stop, film, settings, *quiet: before(
        first, stop, film, dataclasses.replace(settings, segment_s=SEGMENT_S), *quiet
    )


@contextmanager
def disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk of this size."""
    place = folder / "disk"
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True, capture_output=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def remount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", place], check=True)


def full_disk(stage: Stage) -> list[str]:
    """Disks of many sizes, from too small for the analysis to too small for the join."""
    wrong, ends = [], set[int]()
    for kib in (4, 12, 20, 28, 36, 44, 60, 76, 92, 108, 132):
        with disk(stage.folder, f"{kib}k") as place:
            output = place / "out.mp4"
            outcome = stage.run(output=output)
            ends.add(outcome.code)
            if outcome.code == 0:
                output.unlink()
                continue
            found = stage.fails(outcome, 1, "full|free|No space", output)
            remount(place, "size=20m")
            wrong += [f"{kib} KiB: {line}" for line in [*found, *stage.resumes(output=output)]]
    return wrong + ([] if 1 in ends else ["no disk was small enough"])


def full_disk_of_the_output(stage: Stage) -> list[str]:
    """The work folder elsewhere, with room; the output's disk without."""
    home = stage.folder / "elsewhere"
    home.mkdir()
    with disk(stage.folder, "16k") as place:
        output = place / "out.mp4"
        wrong = stage.fails(stage.run("--work-dir", home, output=output), 1, "full|free|No space", output)
        wrong += [f"left: {path.name}" for path in place.iterdir()]
        remount(place, "size=20m")
        wrong += stage.resumes("--work-dir", home, output=output)
        return wrong + [f"left: {path.name}" for path in home.iterdir()]


def read_only_folder(stage: Stage) -> list[str]:
    """A disk that can only be read; then one that, half-way, says that it is so."""
    with disk(stage.folder, "20m") as place:
        output = place / "out.mp4"
        remount(place, "ro")
        wrong = stage.fails(stage.run(output=output), 1, "cannot be written", output)
        remount(place, "rw")

        def becomes() -> None:  # a real disk cannot be made so while a file on it is open
            whole = passes.write_atomic

            def durable(path: Path, text: str) -> None:
                if path.suffix == ".sha256" and re.match(r"0+[1-9]", path.stem):
                    raise OSError(errno.EROFS, os.strerror(errno.EROFS))
                whole(path, text)

            passes.write_atomic = durable

        wrong += stage.fails(stage.run(before=becomes, output=output), 1, "Read-only.*the same command", output)
        return wrong + stage.resumes(output=output)


def _damaged(stage: Stage, name: str, change: Callable[[bytes], bytes]) -> list[str]:
    stage.stopped()
    path = min(stage.work.glob(name))
    path.write_bytes(change(path.read_bytes()))
    return stage.resumes()


def _flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def segment_truncated(stage: Stage) -> list[str]:
    return _damaged(stage, "*.nut", _half)


def segment_with_a_flipped_byte(stage: Stage) -> list[str]:
    return _damaged(stage, "*.nut", _flip)


def manifest_cut_in_half(stage: Stage) -> list[str]:
    return _damaged(stage, "manifest.json", _half)


def tracks_with_a_flipped_byte(stage: Stage) -> list[str]:
    return _damaged(stage, "tracks.json", _flip)


def checksum_that_is_noise(stage: Stage) -> list[str]:
    return _damaged(stage, "0*.sha256", lambda _: b"\xff\xfe\x00")


@contextmanager
def _wrapped(stage: Stage, script: str) -> Iterator[str]:
    """A PATH on which ffmpeg is this shell script; $REAL is the real one."""
    folder = stage.folder / "wrapped"
    folder.mkdir(exist_ok=True)
    (folder / "ffmpeg").write_text(f"#!/bin/sh\nREAL={process.tool('ffmpeg')}\n{script}\n")
    (folder / "ffmpeg").chmod(0o755)
    yield f"{folder}:{os.environ['PATH']}"


KILLED = {
    "analysis": ("*/film.mp4*rawvideo*", '"$REAL" "$@" | head -c 500000'),
    "encoder": ("*/out.mp4.vidsr/*.nut.partial*", 'head -c 500000 | "$REAL" "$@"'),
    "join": ("*-map*/out.mp4.vidsr/whole*", 'head -c 100000 | "$REAL" "$@"'),
    "check": ("*/out.mp4.vidsr/whole*null*", '"$REAL" "$@"'),
}
"""Which ffmpeg is killed, by a pattern of its words, and what it does before: the decoder gives less than four frames,
the encoder takes as many, the join takes less than two segments; the check has said that all is well."""


def ffmpeg_killed(stage: Stage) -> list[str]:
    """The decoder of the analysis, an encoder, the join, the last check.

    They kill themselves, as one who looks out for them may come too late.
    """
    wrong = []
    for role in KILLED:
        wrong += [f"{role}: {line}" for line in _killed(stage.another(role), role)]
    return wrong


def _killed(stage: Stage, role: str) -> list[str]:
    words, before = KILLED[role]
    with _wrapped(stage, f'case "$*" in {words}) {before}; kill -KILL $$;; *) exec "$REAL" "$@";; esac') as path:
        outcome = stage.run(before=lambda: os.environ.update(PATH=path))
    found = stage.fails(outcome, 1, "ended by signal 9")
    if role != "analysis" and "the same command" not in outcome.said:
        found.append("does not say how to go on")
    return [*found, *stage.resumes()]


def encoder_missing(stage: Stage) -> list[str]:
    """An ffmpeg that was built without libx264."""
    script = 'case "$*" in *-encoders*) "$REAL" "$@" | grep -v libx264;; *) exec "$REAL" "$@";; esac'
    with _wrapped(stage, script) as path:
        outcome = stage.run("--codec", "libx264", before=lambda: os.environ.update(PATH=path))
    return [*stage.fails(outcome, 1, "no encoder libx264"), *stage.resumes()]


def decoder_that_hangs(stage: Stage) -> list[str]:
    """An ffmpeg that decodes nothing and does not end; the patience is cut to two seconds."""

    def impatient() -> None:
        os.environ["PATH"] = path
        reader = passes.Reader
        passes.Reader = lambda *words, **options: reader(*words, **options, patience_s=2.0)

    with _wrapped(stage, 'case "$*" in *rawvideo*pipe:1*) exec sleep 1000;; *) exec "$REAL" "$@";; esac') as path:
        outcome = stage.run(before=impatient)
    return [*stage.fails(outcome, 1, "no progress in 2 s"), *stage.resumes()]


def out_of_memory_on_cuda(stage: Stage) -> list[str]:
    """A device, simulated, that cannot hold more than three faces: smaller batches, the same film, no failure."""

    def small() -> None:
        one = Restorer._one

        def limited(self: Restorer, clips: torch.Tensor, to_unit: torch.Tensor | None = None) -> torch.Tensor:
            if len(clips) > 3:
                raise torch.cuda.OutOfMemoryError("simulated")
            return one(self, clips, to_unit)

        Restorer._one = limited

    made: list[list[str]] = []
    for before in (lambda: None, small):
        outcome = stage.run("--model", "vidsr_x4", before=before)
        if outcome.code != 0:
            return [f"exit code {outcome.code}: {outcome.said[-150:]}"]
        made.append(packets(stage.output))
        stage.output.unlink()
    return [] if made[0] == made[1] else ["its packets differ"]


def another_input(stage: Stage) -> list[str]:
    """The film was exchanged for another between two runs."""
    stage.stopped()
    before = stage.film.read_bytes(), stage.film.stat()
    stage.film.write_bytes(before[0] + b"\0\0\0\x08free")
    wrong = stage.fails(stage.run(), 1, r"another input\.bytes.*input\.sha256.*--fresh")
    stage.film.write_bytes(before[0])
    os.utime(stage.film, ns=(before[1].st_atime_ns, before[1].st_mtime_ns))
    return wrong + stage.resumes()


def two_at_once(stage: Stage) -> list[str]:
    """While a run holds the folder: the other is told which process it is, and --fresh takes nothing away."""
    stage.stopped()
    names = {path.name for path in stage.work.iterdir()}
    holder = os.fork()
    if holder == 0:
        with (stage.work / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.write(str(os.getpid()))
            lock.flush()
            time.sleep(1000)
    time.sleep(0.5)
    wrong = []
    try:
        for words in ([], ["--fresh"]):
            wrong += stage.fails(stage.run(*words), 1, f"process {holder} is working on")
        if changed := names ^ {path.name for path in stage.work.iterdir()}:
            wrong.append(f"the folder was changed: {sorted(changed)}")
    finally:
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
    return wrong + stage.resumes()


FAULTS: dict[str, Callable[[Stage], list[str]]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        *(full_disk, full_disk_of_the_output, read_only_folder, segment_truncated, segment_with_a_flipped_byte),
        *(manifest_cut_in_half, tracks_with_a_flipped_byte, checksum_that_is_noise, ffmpeg_killed, encoder_missing),
        *(decoder_that_hangs, out_of_memory_on_cuda, another_input, two_at_once),
    )
}
MOUNTED = ("full-disk", "full-disk-of-the-output", "read-only-folder")


def main() -> None:
    """Try each fault."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(FAULTS))
    given = parser.parse_args()
    trial = Trial()
    with tempfile.TemporaryDirectory() as name:
        first = first_stage(Path(name))
        for fault in given.names or FAULTS:
            try:
                wrong = FAULTS[fault](first.another(fault))
            except subprocess.CalledProcessError as error:
                if fault in MOUNTED and error.cmd[0] == "mount":
                    print(f"left out  {fault}: this system does not let us mount")
                    continue
                wrong = [str(error)]
            except (OSError, ValueError) as error:  # nothing is there to be damaged, or to be removed
                wrong = [repr(error)]
            trial.line(fault.replace("-", " "), wrong)
    trial.end()


if __name__ == "__main__":
    main()
