"""`vidsr evaluate`: the options of its commands and their tables. Importing this loads click and nothing heavy."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vidsr import config
from vidsr.cli.options import SOURCE
from vidsr.errors import InputError

if TYPE_CHECKING:
    from vidsr.evaluate.stills import Metrics
    from vidsr.evaluate.videos import Row
    from vidsr.networks.model_file import Model

RULER = config.Ruler()
CODECS = ("x264", "mpeg2", "mpeg4")
BITRATE = "kbit/s at 25 frames/s of mpeg2 at 720x576, mpeg4 at 640x480; clips get these bits a pixel.  [3000, 800]"
SCALE = "At 1 the truth is the small film before its codec."


@click.group()
def evaluate() -> None:
    """Measure models."""


MODELS = click.option("--model", "names", multiple=True, help="A model; may be repeated.  [default: all shipped]")
LPIPS = click.option(
    "--lpips", nargs=2, type=SOURCE, metavar="BACKBONE LINEAR", help="Weights of SqueezeNet 1.1 and of LPIPS."
)
IDENTITY = click.option(
    "--identity", nargs=2, type=SOURCE, metavar="PARAM BIN", help="MobileFaceNet for ncnn (pip install ncnn)."
)
SCORES = click.option("--json", "output", type=SOURCE, help="Write the scores to this file.")


def _judges(lpips: tuple[Path, Path] | None, identity: tuple[Path, Path] | None, distance: bool = False) -> Metrics:
    from vidsr.evaluate import metrics
    from vidsr.evaluate.stills import Metrics

    return Metrics(
        metrics.Lpips(*lpips) if lpips else None,
        metrics.Identity(*identity) if identity else None,
        metrics.Distance() if distance else None,
    )


def _write_scores(output: Path | None, rows: Sequence[Mapping[str, object]]) -> None:
    if output is not None:
        output.write_text(json.dumps(list(rows), indent=1) + "\n")


@evaluate.command("stills")
@click.argument("folder", type=SOURCE)
@MODELS
@LPIPS
@IDENTITY
@SCORES
def evaluate_stills(
    folder: Path,
    names: tuple[str, ...],
    lpips: tuple[Path, Path] | None,
    identity: tuple[Path, Path] | None,
    output: Path | None,
) -> None:
    """Reduce the sharp, aligned 256-pixel faces in FOLDER by 4, restore them, and compare with bicubic."""
    from vidsr.evaluate.stills import stills
    from vidsr.networks import model_file

    models = [model_file.open_model(name, None) for name in names or _names()]
    scores = stills(folder, models, _judges(lpips, identity))
    click.echo(f"{'model':24} {'task':10} {'PSNR-Y':>7} {'SSIM-Y':>7} {'LPIPS':>7} {'IDS':>7}")
    for one in scores:
        task = f"{one.side // 4} -> {one.side}"
        click.echo(f"{one.model:24} {task:10} {one.psnr_y:7.2f} {one.ssim_y:7.3f} {one.lpips:7.3f} {one.identity:7.3f}")
    _write_scores(output, [asdict(one) for one in scores])


@evaluate.command("video")
@click.argument("clips", type=SOURCE, nargs=-1, required=True)
@MODELS
@click.option("--fidelity", type=click.FloatRange(0, 1), multiple=True, help="Of model families; may be repeated.")
@LPIPS
@IDENTITY
@click.option("--dlib", is_flag=True, help="Identity distance (pip install dlib-bin face-recognition-models).")
@click.option("--frames", type=click.IntRange(3), default=RULER.frames, show_default=True, help="In the clip's middle.")
@click.option("--crf", type=click.IntRange(0, 51), multiple=True, default=RULER.crf, show_default=True, help="Of x264.")
@click.option("--codec", type=click.Choice(CODECS), multiple=True, default=RULER.codec, show_default=True)
@click.option("--bitrate", type=click.FloatRange(1), help=BITRATE)
@click.option("--scale", type=click.Choice(["1", "4"]), default=str(RULER.scale), show_default=True, help=SCALE)
@click.option("--motion", is_flag=True, help="Also flicker and jitter, over the sharp film's, and warping.")
@click.option("--alone", is_flag=True, help="Also every model frame by frame, without what steadies.")
@SCORES
def evaluate_video(
    clips: tuple[Path, ...],
    names: tuple[str, ...],
    fidelity: tuple[float, ...],
    lpips: tuple[Path, Path] | None,
    identity: tuple[Path, Path] | None,
    dlib: bool,
    output: Path | None,
    **chosen: object,
) -> None:
    """Degrade the middle of sharp CLIPS (x4 smaller, coded), enhance it, and compare inside the largest face.

    CLIPS are films, or folders of films. Gains are over the bicubic enlargement of the degraded film; `network` is the
    network alone on the film's own pixels, `pipeline` what the whole program makes of it.
    """
    from vidsr.evaluate import table, videos
    from vidsr.jobs.batch import walk

    paths = [source.path for source in walk(clips)]
    if not paths:
        raise InputError(f"there is no film in {', '.join(map(str, clips))}")
    ruler = config.Ruler(**chosen | {"scale": int(str(chosen["scale"]))})  # type: ignore[arg-type]
    models = _film_models(names, fidelity)
    judges = _judges(lpips, identity, dlib)
    rows: list[Row] = []
    for path in paths:
        plain: Row | None = None
        try:
            for row in videos.films(path, models, judges, ruler):
                plain = row if row.way == videos.PLAIN else plain
                rows.append(row)
                click.echo(table.line(row, plain or row))
        except InputError as error:  # a clip that cannot be measured does not stop the others
            click.echo(f"{path.name} is left out: {error}", err=True)
    for line in table.summary(rows):
        click.echo(line)
    _write_scores(output, table.plain_rows(rows))


def _film_models(names: Sequence[str], fidelities: Sequence[float]) -> list[Model]:
    """The plain enlargement, and each model at each fidelity that it can have; names that collide become paths."""
    from vidsr.networks import model_file, store

    ends = {*store.shipped(), *store.added_models()}
    wanted: list[tuple[str, float | None]] = []
    for name in names or ([config.Render.model] if fidelities else _names()):
        if name == "plain":
            continue
        mixes = fidelities and any(f"{name}_{stage}" in ends for stage in config.STAGES)
        wanted += [(name, one) for one in fidelities] if mixes else [(name, None)]
    found = [model_file.open_model(name, fidelity) for name, fidelity in wanted]
    known = [model.name for model in found]
    return [
        model_file.load("plain"),
        *(
            replace(model, name=name) if known.count(model.name) > 1 else model
            for (name, _), model in zip(wanted, found, strict=True)
        ),
    ]


def _names() -> list[str]:
    from vidsr.networks import store

    return [*store.shipped(), config.Render.model]
