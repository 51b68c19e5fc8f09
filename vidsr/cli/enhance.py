"""`vidsr enhance`: its options, its films one by one or side by side, and what is said. Loads nothing heavy."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from vidsr import config
from vidsr.cli.console import complain, say, verbosity
from vidsr.cli.options import SOURCE, Grouped, enhance_settings, options, settings_of
from vidsr.errors import AlreadyDone, RefusedError, VidsrError
from vidsr.files import check_writable, is_folder, shown

if TYPE_CHECKING:
    from vidsr.jobs.batch import Batch, Source
    from vidsr.jobs.events import Lines, Meter, Progress
    from vidsr.jobs.scheduler import Ended
    from vidsr.report.report import Report

PAGE_SUFFIXES = (".html", ".htm")
STANDARD = Path("-")
SOME_FAILED = 3
EXIT_CODES = """\b
Exit codes, which stay what they are:
  0  done
  1  failed: one sentence says why
  2  wrong usage
  3  of several films, some failed
  130, 143  stopped by Ctrl-C or SIGTERM; enhance and train go on by the same command"""


@click.command(cls=Grouped, epilog=EXIT_CODES)
@click.argument("inputs", nargs=-1, required=True, type=SOURCE, metavar="INPUT...")
@click.option(
    "-o", "--output", type=SOURCE, help="Output file, or folder.  [default: NAME.enhanced.EXT beside the input]"
)
@options(config.Render)
@options(config.Analyze)
@options(config.Encode)
@options(config.Enhance)
@options(config.Workers)
@options(config.Pipes)
@options(config.Watching)
@click.option(
    "--report", type=SOURCE, help="Write what happened to every frame and face as JSON, or as a page (.html)."
)
@click.option("--fresh", is_flag=True, help="Drop what an earlier, unfinished run has left.")
@click.option("--dry-run", is_flag=True, help="Render 2 s only; estimate time and size of the whole.")
@verbosity
def enhance(
    inputs: tuple[Path, ...],
    output: Path | None,
    report: Path | None,
    fresh: bool,
    dry_run: bool,
    quiet: bool,
    **values: object,
) -> None:
    """Restore the faces in films, or in all films of folders.

    The output appears whole or not at all; the same command goes on where an interrupted run stopped. INPUT - is a film
    from stdin, Y4M or NUT, and -o - sends it to stdout as the same.
    """
    from vidsr.jobs.events import lines

    progress = str(values["progress"])
    if not progress.startswith("json") and progress != "bar":
        raise click.UsageError("--progress takes bar, json or json:FILE")
    settings, who = enhance_settings(values), settings_of(config.Workers, values)
    with lines(progress) as told:
        run = _Run(settings, output, report, fresh, quiet or progress == "json", who, told)
        if STANDARD in (*inputs, output):
            code = run.through_pipes(inputs, float(str(values["spool_gib"])))
        elif values["watch"]:
            run.watch(inputs)
        else:
            code = run.films(inputs, dry_run)
        if code:
            sys.exit(code)


@dataclass(frozen=True)
class _Run:
    """What one command asks for, whatever its films."""

    settings: config.Enhance
    output: Path | None
    report: Path | None
    fresh: bool
    quiet: bool
    who: config.Workers
    told: Lines
    piped: bool = False  # stdout is the film's

    def films(self, inputs: Sequence[Path], dry_run: bool = False) -> int:
        """Enhance films that are all there; the exit code."""
        sources, first, many = _sources(inputs)
        self._check_targets(first, many)
        batch = self._batch(many, self.fresh and not dry_run)
        if not dry_run:
            return self._each(sources, batch, first)
        codes = [self._dry_run(one, batch) for one in sources]
        return SOME_FAILED if many and any(codes) else max(codes)

    def watch(self, inputs: Sequence[Path]) -> NoReturn:
        """Enhance the films of folders as they come, until a signal ends it."""
        from vidsr.jobs.batch import rounds

        if self.output is None or not is_folder(self.output) or not all(map(is_folder, inputs)):
            raise click.UsageError("--watch takes folders, and -o a folder that exists")
        batch = self._batch(True, self.fresh)
        for films in rounds(inputs, config.Watching()):
            self._each(iter(films), batch, films[0].path)
        raise AssertionError("the rounds have no end")

    def through_pipes(self, inputs: Sequence[Path], limit_gib: float) -> int:
        """Enhance the film from stdin, or send one to stdout, or both."""
        import tempfile
        from contextlib import nullcontext

        from vidsr.video.pipes import send, spooled

        if len(inputs) > 1 or self.output is None:
            raise click.UsageError("with - there is one INPUT, and -o names a file, or -")
        home = self.settings.work_dir
        with (
            spooled(limit_gib, home) if inputs[0] == STANDARD else nullcontext(inputs[0]) as film,
            tempfile.TemporaryDirectory(prefix="vidsr-pipe-", dir=home) as folder,
        ):
            if self.output != STANDARD:
                return self.films([film])
            y4m, made = film.suffix == ".y4m", Path(folder) / "made.mkv"
            encode = config.Encode("ffv1") if y4m else self.settings.encode  # Y4M holds samples as they are
            run = replace(self, settings=replace(self.settings, encode=encode), output=made, piped=True)
            code = run.films([film])
            if code == 0:
                send(made, y4m)
            return code

    def _batch(self, many: bool, fresh: bool) -> Batch:
        from vidsr.jobs.batch import Batch
        from vidsr.networks.lazy_model import model_for

        model = model_for(self.settings.render.model, self.settings.render.fidelity)
        return Batch(self.settings, model, self.output, many=many, fresh=fresh, report=self.report)

    def _check_targets(self, first: Path, many: bool) -> None:
        output, report = self.output, self.report
        if many and output is not None and not is_folder(output):
            raise click.UsageError(f"-o must name a folder that exists when there are several inputs: {output}")
        if many and report is not None:
            raise click.UsageError("--report takes one input")
        if report is not None:
            if report.exists() and first.exists() and report.samefile(first):
                raise RefusedError(f"the report {report} is the input; choose another name")
            check_writable(report, self.settings.overwrite)

    def _each(self, sources: Iterator[Source], batch: Batch, first: Path) -> int:
        from vidsr.jobs.batch import Sum
        from vidsr.jobs.events import code_of

        many, total, code = batch.many, Sum(), 0
        for ended in self._ends(sources, batch, first):
            total = total.with_end(ended)
            if ended.error is not None and not ended.kept:
                code = SOME_FAILED if many else code_of(ended.error)
                self.told.failed(ended.film.path, ended.error)
                _tell_error(ended.error, alone=not many)
            elif ended.report is not None:
                self._deliver(ended.report)
        if many and (total.failed or not self.quiet):
            for line in total.lines():
                say(line, err=total.failed > 0)
        return code

    def _ends(self, sources: Iterator[Source], batch: Batch, first: Path) -> Iterator[Ended[Source]]:
        """Each film's end: one by one in this process, or side by side by the workers that were asked for."""
        from vidsr.cli.progress import Bars, Board
        from vidsr.jobs.batch import one_by_one, open_executor, side_by_side
        from vidsr.jobs.events import Meter
        from vidsr.jobs.film_job import enhance

        def meter(film: Path, bars: Callable[[Progress], None]) -> Meter:
            return Meter(str(film), bars, self.told.progress)

        if not self.who.wanted:
            for source in sources:
                with Bars(shown(source.path.name), self.quiet) as bars:
                    ended = one_by_one(source, batch, lambda work: enhance(work, meter(work.film.path, bars)))
                yield ended
            return
        with open_executor(self.who, batch.settings, first, batch.output) as there:
            if not batch.many:
                with Bars(shown(first.name), self.quiet) as bars:
                    ends = list(side_by_side(sources, batch, there, lambda one: meter(one.path, bars)))
                yield from ends
                return
            with Board(self.quiet) as board:
                for ended in side_by_side(sources, batch, there, lambda one: meter(one.path, board.film())):
                    board.ended(ended)
                    yield ended

    def _dry_run(self, source: Source, batch: Batch) -> int:
        """Say what would be done; of two seconds it is, out of sight. Returns the exit code."""
        from vidsr.cli.progress import Bars
        from vidsr.jobs import estimate
        from vidsr.jobs.events import Meter

        try:
            with batch.tried(source) as work, Bars(shown(source.path.name), self.quiet) as bars:
                found = estimate.estimate(work, Meter("", bars))
        except AlreadyDone as done:
            say(f"{source.path}: {done.path} is there, newer than the film, and is kept (see --overwrite)")
            return 0
        except VidsrError as error:
            complain(error)
            return error.exit_code
        for line in estimate.lines(found):
            say(line)
        return 0

    def _deliver(self, done: Report) -> None:
        from vidsr.report.report import summary

        self.told.done(done)
        if not self.quiet:
            for line in summary(done):
                say(line, err=self.piped)
        if self.report is None:
            return
        if self.report.suffix.lower() in PAGE_SUFFIXES:
            from vidsr.report.report_page import save_page

            save_page(done, self.report)
        else:
            done.save(self.report)


def _tell_error(error: Exception, alone: bool) -> None:
    """In a batch, a film that shows a bug of this program does not take the others with it."""
    if not isinstance(error, VidsrError):
        if alone:
            raise error
        traceback.print_exception(error)
        error = VidsrError(f"this is a bug, report it: {error!r}")
    complain(error)


def _sources(inputs: Sequence[Path]) -> tuple[Iterator[Source], Path, bool]:
    """The films, the first one, and whether there are more."""
    from vidsr.jobs.batch import walk

    for given in inputs:
        first = next(walk([given]), None)
        if first is None:
            raise click.UsageError(f"the folder {given} holds no films")
        if first.error is not None and first.path == given and is_folder(given):
            raise VidsrError(f"the folder {given} cannot be read: {first.error.strerror}")
    sources = walk(inputs)
    begin = list(islice(sources, 2))
    return chain(begin, sources), begin[0].path, len(begin) > 1
