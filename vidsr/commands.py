"""The command line: options, one call each, and all printing. Importing this loads click and nothing heavy."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vidsr import __version__, config, signals
from vidsr.errors import VidsrError
from vidsr.evaluate.cli import evaluate
from vidsr.options import ANALYZE, COMPARED, ENCODE, ENHANCE, HELP, RENDER, TRAIN, enhance_settings, options

if TYPE_CHECKING:
    from vidsr.data.stills import Faces
    from vidsr.previewing import Way
    from vidsr.report import Report
    from vidsr.weights import Model

FAILED, SOME_FAILED, INTERRUPTED, TERMINATED = 1, 3, 130, 143
PAGE_SUFFIXES = (".html", ".htm")
MOST_COMPARED = 8  # settings in one preview
FILM_SUFFIXES = frozenset(
    [
        *(".mp4", ".mkv", ".mov", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts"),
        *(".m4v", ".gif", ".wmv", ".flv", ".ogv", ".3gp", ".vob"),
    ]
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="vidsr")
def cli() -> None:
    """Restore small and blurred faces in films: tracked, steadied, honest, and nothing else touched."""


SOURCE = click.Path(path_type=Path)


@cli.command()
@click.argument("inputs", nargs=-1, required=True, type=SOURCE, metavar="INPUT...")
@click.option(
    "-o", "--output", type=SOURCE, help="Output file, or folder.  [default: NAME.enhanced.EXT beside the input]"
)
@options(config.Render, *RENDER)
@options(config.Analyze, *ANALYZE)
@options(config.Encode, *ENCODE)
@options(config.Enhance, *ENHANCE)
@click.option(
    "--report", type=SOURCE, help="Write what happened to every frame and face as JSON, or as a page (.html)."
)
@click.option("--fresh", is_flag=True, help="Drop what an earlier, unfinished run has left.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def enhance(
    inputs: tuple[Path, ...], output: Path | None, report: Path | None, fresh: bool, quiet: bool, **values: object
) -> None:
    """Restore the faces in films, or in all films of folders.

    The output appears whole or not at all; the same command goes on where an interrupted run stopped.
    """
    films = list(_films(inputs))
    _check_targets(films, output, report, bool(values["overwrite"]))
    settings = enhance_settings(values)
    model = _model(settings)
    failures, taken = [], set[Path]()
    for film in films:
        try:
            with _bugs_told(alone=len(films) == 1):
                done = _enhance_one(film, output, settings, model, fresh, quiet, taken)
                if report is not None:
                    _save_report(done, report)
        except VidsrError as error:
            _complain(error)
            failures.append(film)
    if failures and len(films) > 1:
        _say(f"{len(films) - len(failures)} of {len(films)} films done; these failed:", err=True)
        for film in failures:
            _say(f"  {film}", err=True)
        sys.exit(SOME_FAILED)
    if failures:
        sys.exit(FAILED)


def _save_report(done: Report, path: Path) -> None:
    """As JSON, or as a page where the name asks for one."""
    if path.suffix.lower() in PAGE_SUFFIXES:
        from vidsr.report_page import save_page

        save_page(done, path)
    else:
        done.save(path)


@contextmanager
def _bugs_told(alone: bool) -> Iterator[None]:
    """In a batch, a film that shows a bug of this program does not take the others with it."""
    try:
        yield
    except Exception as error:
        if alone or isinstance(error, VidsrError):
            raise
        traceback.print_exc()
        raise VidsrError(f"this is a bug, report it: {error!r}") from error


def _model(settings: config.Enhance) -> Model:
    from vidsr import weights

    return weights.open_model(settings.render.model, settings.render.fidelity)


def _enhance_one(
    film: Path, output: Path | None, settings: config.Enhance, model: Model, fresh: bool, quiet: bool, taken: set[Path]
) -> Report:
    """Plan and do one film; `taken` are the outputs of this command's films before it."""
    from vidsr import jobs
    from vidsr.plan import plan
    from vidsr.progress import Bars
    from vidsr.report import summary
    from vidsr.workfolder import forget, worth_keeping

    work = plan(film, output, settings, model)
    if work.output in taken:
        raise VidsrError(f"{film} and a film before it would both become {work.output}; enhance them one by one")
    taken.add(work.output)
    if fresh:
        forget(work)
    try:
        with Bars(_shown(film.name), quiet) as bars:
            done = jobs.enhance(work, bars)
    except VidsrError as error:
        if worth_keeping(work.folder):
            error.args = (f"{str(error).rstrip('.')}; the same command goes on where it stopped",)
        raise
    if not quiet:
        for line in summary(done):
            _say(line)
    return done


def _films(inputs: Sequence[Path]) -> Iterator[Path]:
    from vidsr.files import is_folder

    for given in inputs:
        if not is_folder(given):
            yield given
            continue
        try:
            found = sorted(filter(_is_film, given.iterdir()))
        except OSError as error:
            raise VidsrError(f"the folder {given} cannot be read: {error.strerror}") from error
        if not found:
            raise click.UsageError(f"the folder {given} holds no films")
        yield from found


def _is_film(path: Path) -> bool:
    return path.suffix.lower() in FILM_SUFFIXES and ".enhanced." not in path.name


def _check_targets(films: Sequence[Path], output: Path | None, report: Path | None, overwrite: bool) -> None:
    from vidsr.files import check_writable, is_folder

    if len(films) > 1 and output is not None and not is_folder(output):
        raise click.UsageError(f"-o must name a folder that exists when there are several inputs: {output}")
    if len(films) > 1 and report is not None:
        raise click.UsageError("--report takes one input")
    if report is not None:
        if report.exists() and films[0].exists() and report.samefile(films[0]):
            raise VidsrError(f"the report {report} is the input; choose another name")
        check_writable(report, overwrite)


@cli.command()
@click.argument("source", type=SOURCE, metavar="INPUT")
@click.option("-o", "--output", type=SOURCE, required=True, help="The tracks file, JSON.")
@options(config.Analyze, *ANALYZE)
@options(config.Render, "device")
@options(config.Enhance, "overwrite", "keep_going")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def analyze(source: Path, output: Path, quiet: bool, **values: object) -> None:
    """Find the shots and faces of a film and write them to a file that `enhance --tracks` takes."""
    from vidsr import jobs
    from vidsr.progress import Bars

    with Bars(_shown(source.name), quiet) as bars:
        analysis, damage = jobs.analyze(source, output, enhance_settings(values), bars)
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
@click.option("-o", "--output", type=SOURCE, required=True, help="Folder for index.html, preview.mp4, contact.png.")
@options(config.Render, *RENDER, several=COMPARED)
@options(config.Analyze, *ANALYZE)
@options(config.Enhance, "tracks", "overwrite", "keep_going")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def preview(
    source: Path,
    output: Path,
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
    from vidsr.previewing import preview as make
    from vidsr.progress import Bars

    with Bars(_shown(source.name), quiet) as bars:
        made = make(source, output, part, settings, ways, bars)
    if not quiet:
        for path in made:
            _say(str(path))


def _compared(names: Sequence[str], fidelities: Sequence[float | None]) -> list[Way]:
    """Every model at every fidelity, named by what differs."""
    if len(names) * len(fidelities) > MOST_COMPARED:
        raise click.UsageError(f"up to {MOST_COMPARED} settings can be compared, not {len(names) * len(fidelities)}")
    from vidsr import weights
    from vidsr.previewing import Way

    def name(model: str, fidelity: float | None) -> str:
        words = [Path(model).stem] if len(names) > 1 else []
        return ", ".join(["restored", *words, *([] if fidelity is None else [f"fidelity {fidelity:g}"])])

    pairs = ((one, fidelity) for one in names for fidelity in fidelities)
    return [Way(name(*pair), weights.open_model(*pair)) for pair in pairs]


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
    from vidsr.files import check_writable
    from vidsr.record import Record
    from vidsr.report import parse
    from vidsr.report_page import save_page

    page = output or source.with_suffix(".html")
    check_writable(page, overwrite)
    save_page(parse(Record.read(source)), page)
    _say(str(page))


@cli.command()
def models() -> None:
    """List the shipped models and verify their checksums."""
    from vidsr import weights

    sound = True
    for line, intact in weights.inventory():
        click.echo(line)
        sound = sound and intact
    if not sound:
        raise VidsrError("a model file is damaged; install vidsr again")


@cli.command()
@click.option("--device", default="auto", show_default=True, help=HELP["device"])
def doctor(device: str) -> None:
    """Say what works here, and what to do about what does not."""
    from vidsr.doctor import examine

    fine = True
    for check in examine(device):
        click.echo(f"{'ok ' if check.works else 'NO '} {check.name}: {check.found}")
        if not check.works:
            click.echo(f"     {check.advice}")
        fine = fine and (check.works or check.optional)
    if not fine:
        sys.exit(FAILED)


cli.add_command(evaluate)


@cli.command()
@options(config.Train, *TRAIN)
@click.option("-o", "--output", type=SOURCE, required=True, help="The model file, .safetensors.")
def train(output: Path, **values: object) -> None:
    """Train a model on a folder of sharp, aligned faces; the same command goes on where it stopped.

    Several processes train together under `torchrun --nproc-per-node N -m vidsr.train ...`.
    """
    from vidsr.train import train as run

    _print_what_is_logged()
    run(config.Train(output=str(output), **values), lambda progress: click.echo(str(progress)))  # type: ignore[arg-type]
    click.echo(str(output))


class _Printer(logging.Handler):
    """Prints what the library tells, as plain lines."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(record.getMessage())


def _print_what_is_logged() -> None:
    logger = logging.getLogger("vidsr")
    logger.handlers = [_Printer()]
    logger.setLevel(logging.INFO)


DATA = click.argument("data", metavar="DATA")
CACHE = click.option(
    "--cache", type=SOURCE, help="Where faces cut out of films are kept.  [default: faces beside OUTPUT]"
)


def _faces(data: str, output: Path, cache: Path | None, seed: int) -> Faces:
    """The faces that DATA holds, after saying what was found."""
    from vidsr.data.sources import open_faces

    source = open_faces(data, cache or output.parent / "faces", seed)
    click.echo(str(source))
    return source.faces


@cli.command()
@DATA
@click.option("-o", "--output", type=SOURCE, required=True, help="A new folder for the shards.")
@CACHE
@options(config.Train, "seed")
def shard(data: str, output: Path, cache: Path | None, seed: int) -> None:
    """Write the faces that `train --data DATA` would find as tar shards, in a drawn order."""
    import numpy as np

    from vidsr.data.shards import write_shards

    written = write_shards(_faces(data, output, cache, seed), output, np.random.default_rng(seed))
    click.echo(f"{output}: {len(written)} shards")


@cli.command()
@DATA
@click.option("-o", "--output", type=SOURCE, required=True, help="The picture, .png.")
@CACHE
@options(config.Train, "seed")
def sheet(data: str, output: Path, cache: Path | None, seed: int) -> None:
    """Show what training makes of DATA: every kind of degradation, enlarged plainly, beside its truth."""
    import numpy as np

    from vidsr.sheet import save_sheet

    save_sheet(_faces(data, output, cache, seed), np.random.default_rng(seed), output)
    click.echo(str(output))


def _complain(error: VidsrError) -> None:
    _say(f"error: {error}", err=True)
    for line in error.details.strip().splitlines()[-5:]:
        _say(f"  | {line}", err=True)


def _say(line: str, err: bool = False) -> None:
    click.echo(_shown(line), err=err)


def _shown(text: str) -> str:
    """Text from outside (names, what ffmpeg quotes of a file) as one line that cannot command the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _say_how_to_go_on() -> None:
    resumes = sys.argv[1:2] in (["enhance"], ["train"])
    _say("stopped; the same command goes on from here" if resumes else "stopped; nothing was written", err=True)


def main() -> None:
    """Run the command line; errors that a user can act upon become one sentence and an exit code."""
    signals.listen(_say_how_to_go_on)
    try:
        cli(standalone_mode=False)
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
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
