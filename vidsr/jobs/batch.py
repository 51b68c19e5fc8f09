"""Many films in one command: named, or found in folders, or coming into them; one bad film is never the end."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vidsr.config import Enhance, Watching, Workers
from vidsr.errors import AlreadyDone, DeviceError, ExistsError, InputError, OutputError
from vidsr.files import is_folder, storage_errors
from vidsr.jobs.events import Meter
from vidsr.jobs.film_job import Steps, steps
from vidsr.jobs.plan import FOLDER, Plan, check_report, plan
from vidsr.jobs.process_pool import Pool
from vidsr.jobs.scheduler import Ended, Executor, Schedule, longest_first
from vidsr.jobs.work_folder import forget
from vidsr.report.report import Report
from vidsr.system import allow_files
from vidsr.video import is_film_name

if TYPE_CHECKING:
    from vidsr.networks.model_file import Model


MOST_NAMED = 100  # failed films in a summary


@dataclass(frozen=True)
class Source:
    """A film that was named or found; `under` is its folder inside the folder that was named."""

    path: Path
    under: Path = Path()
    error: OSError | None = None


def walk(inputs: Iterable[Path]) -> Iterator[Source]:
    """The films that are named, and those in the folders that are, by name; only the names of one folder are held.

    Folders inside folders are walked too, but not through links, and not work folders or hidden ones.
    """
    for given in inputs:
        yield from _walk(given, Path()) if is_folder(given) else [Source(given)]


def _walk(folder: Path, under: Path) -> Iterator[Source]:
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries if _wanted(entry))
    except OSError as error:
        yield Source(folder, under, error)
        return
    for name, inner in found:
        if inner:
            yield from _walk(folder / name, under / name)
        else:
            yield Source(folder / name, under)


def _wanted(entry: os.DirEntry[str]) -> bool:
    if entry.is_dir(follow_symlinks=False):
        return not entry.name.startswith(".") and not entry.name.endswith(FOLDER)
    return is_film_name(Path(entry.name)) and ".enhanced." not in entry.name


@dataclass
class Batch:
    """What the films of one command share; `many` says that there are several, `report` where its report goes."""

    settings: Enhance
    model: Model
    output: Path | None
    many: bool
    fresh: bool
    report: Path | None = None
    # hashes of outputs and their films: all that grows with the number of films
    _taken: dict[int, int] = field(default_factory=dict)

    def plan(self, source: Source) -> Plan:
        """Plan one film. AlreadyDone where an earlier run of the same command has made it."""
        if source.error is not None:
            raise InputError(f"the folder {source.path} cannot be read: {source.error.strerror}")
        try:
            work = plan(source.path, self._folder(source), self.settings, self.model)
        except ExistsError as error:
            self._take(source.path, error.path)
            with suppress(OSError):
                if self.many and error.path.stat().st_mtime_ns >= source.path.stat().st_mtime_ns:
                    raise AlreadyDone(str(error), error.path) from error
            raise
        if self.report is not None:
            check_report(work, self.report)
        self._take(source.path, work.output)
        if self.fresh:
            forget(work)
        return work

    @contextmanager
    def tried(self, source: Source) -> Iterator[Plan]:
        """Plan one film as `plan` does, and leave none of the folders that this makes."""
        wanted = (self.output or Path()) / source.under
        made = [folder for folder in (wanted, *wanted.parents) if not folder.exists()]
        try:
            yield self.plan(source)
        finally:
            for folder in made:
                with suppress(OSError):
                    folder.rmdir()

    def _folder(self, source: Source) -> Path | None:
        """The output that was named; for a film in an inner folder, that folder of the output's, made if need be."""
        if self.output is None or source.under == Path():
            return self.output
        folder = self.output / source.under
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _take(self, film: Path, output: Path) -> None:
        if self._taken.setdefault(hash(output), hash(film)) != hash(film):
            raise OutputError(f"{film} and a film before it would both become {output}; enhance them one by one")


@contextmanager
def open_executor(who: Workers, settings: Enhance, film: Path, output: Path | None) -> Iterator[Executor]:
    """The workers that are wanted: processes of this machine, or a Ray cluster, which must see film and output too."""
    if who.ray is not None:
        from vidsr.jobs.ray_cluster import cluster

        with cluster(who, settings.render.device, output or film, film) as found:
            yield found
        return
    with closing(Pool(_devices(who))) as pool:
        yield pool


def _devices(who: Workers) -> list[str | None]:
    """The device of each worker; None for the one of the settings. DeviceError for what is not here."""
    if who.devices is None:
        return [None] * who.workers
    from vidsr.restore.restorer import pick_device

    names = [name.strip() for name in who.devices.split(",")]
    kinds = {pick_device(name).type for name in names}
    if len(kinds) > 1:
        raise DeviceError(f"--devices {who.devices}: a film's parts must all be made by one kind of device")
    return [names[number % len(names)] for number in range(who.workers or len(names))]


def one_by_one(source: Source, batch: Batch, run: Callable[[Plan], Report]) -> Ended[Source]:
    """A film's end, done by `run` in this process."""
    try:
        return Ended(source, report=run(batch.plan(source)))
    except Exception as error:
        return Ended(source, error=error)


def side_by_side(
    sources: Iterator[Source], batch: Batch, executor: Executor, meter_of: Callable[[Source], Meter]
) -> Iterator[Ended[Source]]:
    """Each film's end, as it comes, done by the workers of `executor`."""

    def begin(source: Source) -> tuple[Steps, Meter]:
        work, meter = batch.plan(source), meter_of(source)
        return steps(work, meter), meter

    allow_files()  # each film under way holds a lock
    return Schedule(longest_first(sources, _bytes), begin, executor).run()


def _bytes(source: Source) -> int:
    try:
        return source.path.stat().st_size
    except OSError:  # which will be told when its turn comes
        return 0


@dataclass(frozen=True)
class Sum:
    """A command's films, counted as they end."""

    done: int = 0
    kept: int = 0
    failed: int = 0
    frames: int = 0
    restored: int = 0
    first_failed: tuple[Path, ...] = ()  # those that the summary names

    def with_end(self, ended: Ended[Source]) -> Sum:
        """The sum with one more film."""
        if ended.report is not None:
            report = ended.report
            frames = self.frames + report.stop - report.first
            return replace(self, done=self.done + 1, frames=frames, restored=self.restored + report.restored)
        if ended.kept:
            return replace(self, kept=self.kept + 1)
        failed = self.failed + 1
        return replace(self, failed=failed, first_failed=(*self.first_failed, ended.film.path)[:MOST_NAMED])

    def lines(self) -> Iterator[str]:
        """What is to be read at the end of a command with several films."""
        total = self.done + self.kept + self.failed
        yield f"{self.done} of {total} films done: {self.frames} frames, faces restored in {self.restored}"
        if self.kept:
            yield f"{self.kept} outputs were there before, newer than their films, and were kept (see --overwrite)"
        if self.failed:
            yield f"{self.failed} films failed:"
            yield from (f"  {path}" for path in self.first_failed)
        if self.failed > len(self.first_failed):
            yield f"  and {self.failed - len(self.first_failed)} more, named above"


def rounds(
    inputs: Sequence[Path],
    how: Watching,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[list[Source]]:
    """The films that are whole and were not given yet, round after round, without end.

    A film is whole when its size and time have stayed as they are for `how.rest_s`: who copies it may pause, and may
    set its time at the end. One that is changed later is given again.
    """
    seen: dict[Path, tuple[tuple[int, int], float]] = {}  # size and time, and since when they are these
    while True:
        now, before, seen, ready = clock(), seen, {}, []
        for source in walk(inputs):
            with suppress(OSError):  # it is gone, or may not be looked at
                told = source.path.stat()
                facts, since_s = before.get(source.path, (None, now))
                if facts != (told.st_size, told.st_mtime_ns):
                    facts, since_s = (told.st_size, told.st_mtime_ns), now
                if now - since_s >= how.rest_s:
                    ready.append(source)
                    since_s = math.inf  # it is given once
                seen[source.path] = facts, since_s
        if ready:
            yield ready
        else:
            sleep(how.look_s)
