"""Many films in one command: found as they are needed, done one by one or side by side, one bad film never the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vidsr.config import Enhance, Workers
from vidsr.errors import DeviceError, ExistsError, InputError, OutputError, VidsrError
from vidsr.files import is_folder, storage_errors
from vidsr.jobs import film_job
from vidsr.jobs.log import Stages
from vidsr.jobs.plan import FOLDER, Plan, check_report, plan
from vidsr.jobs.process_pool import Pool
from vidsr.jobs.scheduler import Ended, Executor, Schedule, longest_first
from vidsr.jobs.tasks import Progress
from vidsr.jobs.work_folder import forget, worth_keeping
from vidsr.report.report import Report
from vidsr.system import allow_files
from vidsr.video import is_film_name

if TYPE_CHECKING:
    from vidsr.networks.model_file import Model


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
    return is_film(Path(entry.name))


def is_film(path: Path) -> bool:
    """Whether a file in a folder is taken for a film to enhance, by its name."""
    return is_film_name(path) and ".enhanced." not in path.name


class Batch:
    """What the films of one command share; `many` says that there are several, `report` where its report goes."""

    def __init__(
        self,
        settings: Enhance,
        model: Model,
        output: Path | None,
        *,
        many: bool,
        fresh: bool,
        report: Path | None = None,
    ) -> None:
        self.settings = settings
        self._model = model
        self.output = output
        self.many = many
        self._fresh = fresh
        self._report = report
        self._taken: set[int] = set()  # hashes of the outputs: all that grows with the number of films

    def plan(self, source: Source) -> Plan:
        """Plan one film. AlreadyDone where an earlier run of the same command has made it."""
        if source.error is not None:
            raise InputError(f"the folder {source.path} cannot be read: {source.error.strerror}")
        try:
            work = plan(source.path, self._folder(source), self.settings, self._model)
        except ExistsError as error:
            self._take(source.path, error.path)
            if self.many and _newer(error.path, source.path):
                raise AlreadyDone(str(error), error.path) from error
            raise
        if self._report is not None:
            check_report(work, self._report)
        self._take(source.path, work.output)
        if self._fresh:
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
        mark = hash(output)
        if mark in self._taken:
            raise OutputError(f"{film} and a film before it would both become {output}; enhance them one by one")
        self._taken.add(mark)


class AlreadyDone(ExistsError):
    """The film's output is there, and newer than the film."""


def _newer(output: Path, film: Path) -> bool:
    try:
        return output.stat().st_mtime_ns >= film.stat().st_mtime_ns
    except OSError:
        return False


@contextmanager
def place(who: Workers, settings: Enhance, film: Path, output: Path | None) -> Iterator[Executor]:
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


def one_by_one(sources: Iterator[Source], batch: Batch, run: Callable[[Plan], Report]) -> Iterator[Ended[Source]]:
    """Each film's end, done by `run` in this process."""
    for source in sources:
        try:
            work = batch.plan(source)
            try:
                report = run(work)
            except VidsrError as error:
                raise _hopeful(error, work) from error
        except Exception as error:
            yield Ended(source, error=error)
        else:
            yield Ended(source, report=report)


def side_by_side(
    sources: Iterator[Source], batch: Batch, place: Executor, watch: Callable[[Source], Progress]
) -> Iterator[Ended[Source]]:
    """Each film's end, as it comes, done by the workers of `place`."""

    def begin(source: Source) -> tuple[film_job.Steps, Progress]:
        work, stages = batch.plan(source), Stages(watch(source))
        return _told(work, stages), stages

    allow_files()  # each film under way holds a lock
    return Schedule(longest_first(sources, _bytes), begin, place).run()


def _bytes(source: Source) -> int:
    try:
        return source.path.stat().st_size
    except OSError:  # which will be told when its turn comes
        return 0


def _told(work: Plan, stages: Stages) -> film_job.Steps:
    try:
        return (yield from film_job.steps(work, stages))
    except VidsrError as error:
        raise _hopeful(error, work) from error


def _hopeful(error: VidsrError, work: Plan) -> VidsrError:
    """The error, with a word on what is not lost."""
    if worth_keeping(work.folder):
        error.args = (f"{str(error).rstrip('.')}; the same command goes on where it stopped",)
    return error


@dataclass(frozen=True)
class Sum:
    """A command's films, counted as they end."""

    done: int = 0
    kept: int = 0
    failed: int = 0
    frames: int = 0
    restored: int = 0
    first_failed: tuple[Path, ...] = ()

    def with_end(self, ended: Ended[Source]) -> Sum:
        """The sum with one more film."""
        if ended.report is not None:
            report = ended.report
            frames = self.frames + report.stop - report.first
            return replace(self, done=self.done + 1, frames=frames, restored=self.restored + report.restored)
        if isinstance(ended.error, AlreadyDone):
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


MOST_NAMED = 100
"""Failed films that the summary names."""
