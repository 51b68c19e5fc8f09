"""The command line: options, one call each, and all printing. Importing this loads click and nothing heavy."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from vidsr import config, system
from vidsr.cli import settings_file, signals
from vidsr.cli.console import verbosity
from vidsr.cli.evaluate import evaluate
from vidsr.cli.models import export, models
from vidsr.cli.options import COMPARED, HANDS, HELP, PIPES, Grouped, enhance_settings, hands, options
from vidsr.cli.train import shard, train
from vidsr.config import ANALYZE_FIELDS, ENCODE_FIELDS, ENHANCE_FIELDS, RENDER_FIELDS
from vidsr.errors import RefusedError, VidsrError
from vidsr.files import shown as _shown

if TYPE_CHECKING:
    from vidsr.jobs.batch import Batch, Source
    from vidsr.jobs.events import Lines
    from vidsr.jobs.plan import Plan
    from vidsr.jobs.scheduler import Ended
    from vidsr.networks.model_file import Model
    from vidsr.previews.preview import Way
    from vidsr.report.report import Report

FAILED, REFUSED, SOME_FAILED, INTERRUPTED, TERMINATED = 1, 2, 3, 130, 143
PAGE_SUFFIXES = (".html", ".htm")
MOST_COMPARED = 8  # settings in one preview


EXIT_CODES = """\b
Exit codes, which stay what they are:
  0  done
  1  failed: one sentence says why
  2  wrong usage
  3  of several films, some failed
  130, 143  stopped by Ctrl-C or SIGTERM; enhance and train go on by the same command"""


def _tell_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from vidsr.cli.version import lines

        for line in lines():
            click.echo(line)
        ctx.exit()


@click.group(epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_tell_version,
    help="Say which program this is.",
)
def cli() -> None:
    """Restore small and blurred faces in films: tracked, steadied, honest, and nothing else touched."""


SOURCE = click.Path(path_type=Path)


@cli.command(cls=Grouped, epilog=EXIT_CODES)
@click.argument("inputs", nargs=-1, required=True, type=SOURCE, metavar="INPUT...")
@click.option(
    "-o", "--output", type=SOURCE, help="Output file, or folder.  [default: NAME.enhanced.EXT beside the input]"
)
@options(config.Render, *RENDER_FIELDS)
@options(config.Analyze, *ANALYZE_FIELDS)
@options(config.Encode, *ENCODE_FIELDS)
@options(config.Enhance, *ENHANCE_FIELDS)
@options(config.Workers, *HANDS)
@options(config.Pipes, *PIPES)
@options(config.Watching, "watch")
@click.option(
    "--report", type=SOURCE, help="Write what happened to every frame and face as JSON, or as a page (.html)."
)
@click.option("--fresh", is_flag=True, help="Drop what an earlier, unfinished run has left.")
@click.option("--dry-run", is_flag=True, help="Do two seconds only, and say what the whole will come to.")
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
    wanted = _Wanted(enhance_settings(values), output, report, fresh, quiet or progress == "json", hands(values))
    with lines(progress) as told:
        if STANDARD in (*inputs, output):
            code = _through_pipes(inputs, wanted, float(str(values["spool_gib"])), told)
        elif values["watch"]:
            _watch(inputs, wanted, told)
        else:
            code = _enhance_all(inputs, wanted, dry_run, told)
        if code:
            sys.exit(code)


STANDARD = Path("-")


@dataclass(frozen=True)
class _Wanted:
    """What one command asks for, whatever its films."""

    settings: config.Enhance
    output: Path | None
    report: Path | None
    fresh: bool
    quiet: bool
    who: config.Workers
    piped: bool = False  # stdout is the film's


def _enhance_all(inputs: Sequence[Path], wanted: _Wanted, dry_run: bool, told: Lines) -> int:
    """The exit code of a command whose films are all there."""
    from vidsr.jobs.batch import Batch

    sources, first, many = _sources(inputs)
    _check_targets(first, many, wanted)
    batch = Batch(
        wanted.settings,
        _model(wanted.settings),
        wanted.output,
        many=many,
        fresh=wanted.fresh and not dry_run,
        report=wanted.report,
    )
    if dry_run:
        codes = [_dry_run(one, batch, wanted.quiet) for one in sources]
        return SOME_FAILED if many and any(codes) else max(codes)
    return _enhance_each(sources, batch, wanted, first, told)


def _enhance_each(sources: Iterator[Source], batch: Batch, wanted: _Wanted, first: Path, told: Lines) -> int:
    from vidsr.jobs.batch import AlreadyDone, Sum

    many, total, code = batch.many, Sum(), FAILED
    for ended in _ends(sources, batch, wanted, first, told):
        total = total.with_end(ended)
        if ended.error is not None:
            code = _code(ended.error)
            if not isinstance(ended.error, AlreadyDone):
                told.failed(ended.film.path, ended.error)
            _tell_error(ended.error, alone=not many)
        elif ended.report is not None:
            told.done(ended.report)
            _deliver(ended.report, wanted)
    if many and (total.failed or not wanted.quiet):
        for line in total.lines():
            _say(line, err=total.failed > 0)
    if not total.failed:
        return 0
    return SOME_FAILED if many else code


def _code(error: Exception) -> int:
    """The exit code of a film's error: what could be known before the work is wrong usage."""
    return REFUSED if isinstance(error, RefusedError) else FAILED


def _watch(inputs: Sequence[Path], wanted: _Wanted, told: Lines) -> NoReturn:
    """Enhance the films of folders as they come, until a signal ends it."""
    from vidsr.files import is_folder

    if wanted.output is None or not is_folder(wanted.output) or not all(map(is_folder, inputs)):
        raise click.UsageError("--watch takes folders, and -o a folder that exists")
    from vidsr.jobs.batch import Batch
    from vidsr.jobs.watch_folder import rounds

    for films in rounds(inputs, config.Watching()):
        batch = Batch(wanted.settings, _model(wanted.settings), wanted.output, many=True, fresh=wanted.fresh)
        _enhance_each(iter(films), batch, wanted, films[0].path, told)
    raise AssertionError("the rounds have no end")


def _through_pipes(inputs: Sequence[Path], wanted: _Wanted, limit_gib: float, told: Lines) -> int:
    """Enhance the film from stdin, or send one to stdout, or both."""
    import tempfile
    from contextlib import nullcontext

    from vidsr.video.pipes import send, spooled

    if len(inputs) > 1 or wanted.output is None:
        raise click.UsageError("with - there is one INPUT, and -o names a file, or -")
    home = wanted.settings.work_dir
    takes, gives = inputs[0] == STANDARD, wanted.output == STANDARD
    with (
        spooled(limit_gib, home) if takes else nullcontext(inputs[0]) as film,
        tempfile.TemporaryDirectory(prefix="vidsr-pipe-", dir=home) as folder,
    ):
        if not gives:
            return _enhance_all([film], wanted, False, told)
        y4m, made = film.suffix == ".y4m", Path(folder) / "made.mkv"
        encode = config.Encode("ffv1") if y4m else wanted.settings.encode  # Y4M holds samples as they are
        settings = replace(wanted.settings, encode=encode)
        code = _enhance_all([film], replace(wanted, settings=settings, output=made, piped=True), False, told)
        if code == 0:
            send(made, y4m)
        return code


def _ends(
    sources: Iterator[Source], batch: Batch, wanted: _Wanted, first: Path, told: Lines
) -> Iterator[Ended[Source]]:
    """Each film's end: one by one in this process, or side by side by the workers that were asked for."""
    from vidsr.cli.progress import Bars, Board
    from vidsr.jobs.batch import AlreadyDone, one_by_one, place, side_by_side

    who, quiet = wanted.who, wanted.quiet
    if not who.wanted:
        yield from one_by_one(sources, batch, lambda work: _alone(work, quiet, told))
        return
    with place(who, batch.settings, first, batch.output) as there:
        if batch.many:
            with Board(quiet) as board:
                for ended in side_by_side(sources, batch, there, lambda one: told.watch(board.film(), one.path)):
                    if not isinstance(ended.error, AlreadyDone):
                        board.ended(failed=ended.error is not None)
                    yield ended
            return
        with Bars(_shown(first.name), quiet) as bars:
            ends = list(side_by_side(sources, batch, there, lambda one: told.watch(bars, one.path)))
        yield from ends


def _alone(work: Plan, quiet: bool, told: Lines) -> Report:
    from vidsr.cli.progress import Bars
    from vidsr.jobs import film_job

    with Bars(_shown(work.film.path.name), quiet) as bars:
        return film_job.enhance(work, told.watch(bars, work.film.path))


def _tell_error(error: Exception, alone: bool) -> None:
    """In a batch, a film that shows a bug of this program does not take the others with it."""
    from vidsr.jobs.batch import AlreadyDone

    if isinstance(error, AlreadyDone):
        return
    if not isinstance(error, VidsrError):
        if alone:
            raise error
        traceback.print_exception(error)
        error = VidsrError(f"this is a bug, report it: {error!r}")
    _complain(error)


def _dry_run(source: Source, batch: Batch, quiet: bool) -> int:
    """Say what would be done; of two seconds it is, out of sight. Returns the exit code."""
    from vidsr.cli.progress import Bars
    from vidsr.jobs import estimate
    from vidsr.jobs.batch import AlreadyDone

    try:
        with batch.tried(source) as work, Bars(_shown(source.path.name), quiet) as bars:
            found = estimate.estimate(work, bars)
    except AlreadyDone as done:
        _say(f"{source.path}: {done.path} is there, newer than the film, and is kept (see --overwrite)")
        return 0
    except VidsrError as error:
        _complain(error)
        return _code(error)
    for line in estimate.lines(found):
        _say(line)
    return 0


def _save_report(done: Report, path: Path) -> None:
    """As JSON, or as a page where the name asks for one."""
    if path.suffix.lower() in PAGE_SUFFIXES:
        from vidsr.report.report_page import save_page

        save_page(done, path)
    else:
        done.save(path)


def _deliver(done: Report, wanted: _Wanted) -> None:
    from vidsr.report.report import summary

    if not wanted.quiet:
        for line in summary(done):
            _say(line, err=wanted.piped)
    if wanted.report is not None:
        _save_report(done, wanted.report)


def _model(settings: config.Enhance) -> Model:
    from vidsr.networks.lazy_model import model_for

    return model_for(settings.render.model, settings.render.fidelity)


def _sources(inputs: Sequence[Path]) -> tuple[Iterator[Source], Path, bool]:
    """The films, the first one, and whether there are more."""
    from vidsr.files import is_folder
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


def _check_targets(first: Path, many: bool, wanted: _Wanted) -> None:
    from vidsr.files import check_writable, is_folder

    output, report = wanted.output, wanted.report
    if many and output is not None and not is_folder(output):
        raise click.UsageError(f"-o must name a folder that exists when there are several inputs: {output}")
    if many and report is not None:
        raise click.UsageError("--report takes one input")
    if report is not None:
        if report.exists() and first.exists() and report.samefile(first):
            raise RefusedError(f"the report {report} is the input; choose another name")
        check_writable(report, wanted.settings.overwrite)


@cli.command()
@click.argument("source", type=SOURCE, metavar="INPUT")
@click.option("-o", "--output", type=SOURCE, required=True, help="The tracks file, JSON.")
@options(config.Analyze, *ANALYZE_FIELDS)
@options(config.Render, "device")
@options(config.Enhance, "overwrite", "keep_going")
@verbosity
def analyze(source: Path, output: Path, quiet: bool, **values: object) -> None:
    """Find the shots and faces of a film and write them to a file that `enhance --tracks` takes."""
    from vidsr.cli.progress import Bars
    from vidsr.jobs import film_job

    with Bars(_shown(source.name), quiet) as bars:
        analysis, damage = film_job.analyze(source, output, enhance_settings(values), bars)
    if quiet:
        return
    _say(f"{output}: {analysis.frames} frames, {len(analysis.shots)} shots, {len(analysis.tracks)} faces")
    for track in analysis.tracks:
        _say(f"  face {track.id}: frames {track.first} to {track.stop - 1}, {track.height:.0f} px high")
    if damage:
        _say(f"warning: {damage}", err=True)


@cli.command()
@click.argument("source", type=SOURCE, metavar="INPUT")
@click.option("--frames", metavar="A:B", help="Frames A to B, B excluded, counted from 0.")
@options(config.Preview, "start", "duration")
@click.option(
    "-o", "--output", type=SOURCE, required=True, help="Folder for index.html, preview.mp4, contact.png, face.webp."
)
@options(config.Render, *RENDER_FIELDS, several=COMPARED)
@options(config.Analyze, *ANALYZE_FIELDS)
@options(config.Enhance, "tracks", "overwrite", "keep_going")
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
@verbosity
def preview(
    source: Path,
    output: Path,
    show: bool,
    frames: str | None,
    start: float | None,
    duration: float,
    model: Sequence[str],
    fidelity: Sequence[float],
    quiet: bool,
    **values: object,
) -> None:
    """Render some seconds by the same path as enhance, beside the plain enlargement, as a page to look at.

    Without --frames and --start, the seconds that tell the most are chosen: faces, motion, a cut.
    """
    if frames is not None and start is not None:
        raise click.UsageError("give --frames or --start, not both")
    part = config.Preview(_span(frames) if frames is not None else None, start, duration)
    settings = enhance_settings(values)
    ways = _compared(model or [settings.render.model], fidelity or [settings.render.fidelity])
    from vidsr.cli.progress import Bars
    from vidsr.previews.preview import preview as make

    with Bars(_shown(source.name), quiet) as bars:
        made = make(source, output, part, settings, ways, bars)
    if not quiet:
        for path in made:
            _say(str(path))
    if show:
        import webbrowser

        webbrowser.open((output / "index.html").absolute().as_uri())


def _compared(names: Sequence[str], fidelities: Sequence[float | None]) -> list[Way]:
    """Every model at every fidelity, named by what differs."""
    if len(names) * len(fidelities) > MOST_COMPARED:
        raise click.UsageError(f"up to {MOST_COMPARED} settings can be compared, not {len(names) * len(fidelities)}")
    from vidsr.networks import model_file
    from vidsr.previews.preview import Way

    def name(model: str, fidelity: float | None) -> str:
        words = [Path(model).stem] if len(names) > 1 else []
        return ", ".join(["restored", *words, *([] if fidelity is None else [f"fidelity {fidelity:g}"])])

    pairs = ((one, fidelity) for one in names for fidelity in fidelities)
    return [Way(name(*pair), model_file.open_model(*pair)) for pair in pairs]


def _span(text: str) -> tuple[int, int]:
    first, _, stop = text.partition(":")
    if len(text) > 20 or not (first.isdecimal() and stop.isdecimal() and int(first) < int(stop)):
        raise click.UsageError(f"--frames wants A:B with A below B, as in 100:150, not {text!r}")
    return int(first), int(stop)


@cli.command()
@click.argument("source", type=SOURCE, metavar="REPORT.json")
@click.option("-o", "--output", type=SOURCE, help="The page.  [default: REPORT.html beside it]")
@options(config.Enhance, "overwrite")
def report(source: Path, output: Path | None, overwrite: bool) -> None:
    """Make the page of a finished film from what `enhance --report REPORT.json` wrote."""
    from vidsr.files import check_writable, read_json
    from vidsr.report.report import Report
    from vidsr.report.report_page import save_page

    page = output or source.with_suffix(".html")
    check_writable(page, overwrite)
    save_page(read_json(source, Report, "write it again with `vidsr enhance --report`"), page)
    _say(str(page))


@cli.command()
@click.option("--device", default="auto", show_default=True, help=HELP["device"])
def doctor(device: str) -> None:
    """Say what works here, and what to do about what does not."""
    from vidsr.cli.doctor import examine

    fine = True
    for check in examine(device):
        click.echo(f"{'ok ' if check.works else 'NO '} {check.name}: {check.found}")
        if not check.works:
            click.echo(f"     {check.advice}")
        fine = fine and (check.works or check.optional)
    if not fine:
        sys.exit(FAILED)


for _command in (evaluate, models, export, train, shard):
    cli.add_command(_command)


settings_file.configurable(cli)


def _complain(error: VidsrError) -> None:
    _say(f"error: {error}", err=True)
    for line in error.details.strip().splitlines()[-5:]:
        _say(f"  | {line}", err=True)


def _say(line: str, err: bool = False) -> None:
    click.echo(_shown(line), err=err)


def _say_how_to_go_on() -> None:
    resumes = sys.argv[1:2] in (["enhance"], ["train"])
    _say("stopped; the same command goes on from here" if resumes else "stopped; nothing was written", err=True)


def main() -> None:
    """Run the command line; errors that a user can act upon become one sentence and an exit code."""
    signals.listen(_say_how_to_go_on)
    system.share_heap()
    try:
        cli(prog_name="vidsr", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        _say_how_to_go_on()
        sys.exit(INTERRUPTED)
    except signals.Terminated:
        _say_how_to_go_on()
        sys.exit(TERMINATED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except VidsrError as error:
        if os.environ.get("VIDSR_DEBUG") == "1":
            raise
        _complain(error)
        sys.exit(_code(error))


if __name__ == "__main__":
    main()
