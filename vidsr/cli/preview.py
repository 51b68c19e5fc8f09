"""`vidsr analyze` and `vidsr preview`: their options and their printing. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vidsr import config
from vidsr.cli.console import say, verbosity
from vidsr.cli.options import COMPARED, PREVIEWED, SOURCE, enhance_settings, options
from vidsr.files import shown

if TYPE_CHECKING:
    from vidsr.previews.preview import Variant

MOST_COMPARED = 8  # settings in one preview


@click.command()
@click.argument("source", type=SOURCE, metavar="INPUT")
@click.option("-o", "--output", type=SOURCE, required=True, help="The tracks file, JSON.")
@options(config.Analyze)
@options(config.Render, "device")
@options(config.Enhance, "deinterlace", "ignore_dolby_vision", "overwrite", "keep_going")
@verbosity
def analyze(source: Path, output: Path, quiet: bool, **values: object) -> None:
    """Find the shots and faces of a film and write them to a file that `enhance --tracks` takes."""
    from vidsr.cli.progress import Bars
    from vidsr.jobs.events import Meter
    from vidsr.jobs.passes import analyze

    with Bars(shown(source.name), quiet) as bars:
        analysis, damage = analyze(source, output, enhance_settings(values), Meter("", bars))
    if quiet:
        return
    say(f"{output}: {analysis.frames} frames, {len(analysis.shots)} shots, {len(analysis.tracks)} faces")
    for track in analysis.tracks:
        say(f"  face {track.id}: frames {track.first} to {track.stop - 1}, {track.height:.0f} px high")
    if damage:
        say(f"warning: {damage}", err=True)


@click.command()
@click.argument("source", type=SOURCE, metavar="INPUT")
@click.option("--frames", metavar="A:B", help="Frames A to B, B excluded, counted from 0.")
@options(config.Preview)
@click.option(
    "-o", "--output", type=SOURCE, required=True, help="Folder for index.html, preview.mp4, contact.png, face.webp."
)
@options(config.Render, several=COMPARED)
@options(config.Analyze)
@options(config.Enhance, *PREVIEWED)
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
    from vidsr.jobs.events import Meter
    from vidsr.previews.preview import preview as make

    with Bars(shown(source.name), quiet) as bars:
        made = make(source, output, part, settings, ways, Meter("", bars))
    if not quiet:
        for path in made:
            say(str(path))
    if show:
        import webbrowser

        webbrowser.open((output / "index.html").absolute().as_uri())


def _compared(names: Sequence[str], fidelities: Sequence[float | None]) -> list[Variant]:
    """Every model at every fidelity, named by what differs."""
    if len(names) * len(fidelities) > MOST_COMPARED:
        raise click.UsageError(f"up to {MOST_COMPARED} settings can be compared, not {len(names) * len(fidelities)}")
    from vidsr.networks import model_file
    from vidsr.previews.preview import Variant

    def name(model: str, fidelity: float | None) -> str:
        words = [Path(model).stem] if len(names) > 1 else []
        return ", ".join(["restored", *words, *([] if fidelity is None else [f"fidelity {fidelity:g}"])])

    pairs = ((one, fidelity) for one in names for fidelity in fidelities)
    return [Variant(name(*pair), model_file.open_model(*pair)) for pair in pairs]


def _span(text: str) -> tuple[int, int]:
    first, _, stop = text.partition(":")
    if len(text) > 20 or not (first.isdecimal() and stop.isdecimal() and int(first) < int(stop)):
        raise click.UsageError(f"--frames wants A:B with A below B, as in 100:150, not {text!r}")
    return int(first), int(stop)
