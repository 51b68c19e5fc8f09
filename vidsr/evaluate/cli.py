"""`vidsr evaluate`: the options of its commands and their tables. Importing this loads click and nothing heavy."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vidsr import config

if TYPE_CHECKING:
    from vidsr.evaluate.films import Row
    from vidsr.evaluate.stills import Judges
    from vidsr.weights import Model

SOURCE = click.Path(path_type=Path)
STILL_NOISE = 8  # grey levels of sensor noise in a still scene


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


def _judges(lpips: tuple[Path, Path] | None, identity: tuple[Path, Path] | None) -> Judges:
    from vidsr import metrics
    from vidsr.evaluate.stills import Judges

    return Judges(
        metrics.Lpips(*lpips) if lpips else None,
        metrics.Identity(*identity) if identity else None,
    )


def _models(names: Sequence[str]) -> list[Model]:
    from vidsr import weights

    return [weights.open_model(name, None) for name in names or _names()]


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
    from vidsr.evaluate.stills import plain_rows, stills

    scores = stills(folder, _models(names), _judges(lpips, identity))
    click.echo(f"{'model':24} {'task':10} {'PSNR-Y':>7} {'SSIM-Y':>7} {'LPIPS':>7} {'IDS':>7}")
    for one in scores:
        task = f"{one.side // 4} -> {one.side}"
        click.echo(f"{one.model:24} {task:10} {one.psnr_y:7.2f} {one.ssim_y:7.3f} {one.lpips:7.3f} {one.identity:7.3f}")
    _write_scores(output, plain_rows(scores))


@evaluate.command("video")
@click.argument("clips", type=SOURCE, nargs=-1, required=True)
@MODELS
@LPIPS
@IDENTITY
@click.option("--frames", type=click.IntRange(3), default=60, show_default=True, help="Of each clip, from its start.")
@click.option("--crf", type=click.IntRange(0, 51), default=28, show_default=True, help="H.264's quality.")
@click.option("--alone", is_flag=True, help="Also every model frame by frame, without what steadies.")
@click.option("--still", is_flag=True, help="One frame stands still under fresh noise; flicker over the plain one's.")
@SCORES
def evaluate_video(
    clips: tuple[Path, ...],
    names: tuple[str, ...],
    lpips: tuple[Path, Path] | None,
    identity: tuple[Path, Path] | None,
    frames: int,
    crf: int,
    alone: bool,
    still: bool,
    output: Path | None,
) -> None:
    """Make sharp CLIPS poor (x4 smaller, H.264), enhance them, and compare inside the faces with the sharp ones."""
    from vidsr.evaluate import films

    models = _models(["plain", *(names or _names())])
    if still:
        found = films.still_scenes(clips, models, frames, crf, STILL_NOISE)
    else:
        found = films.films(clips, models, _judges(lpips, identity), frames, crf, alone)
    click.echo(
        f"{'clip':24} {'model':40} {'PSNR-Y':>7} {'LPIPS':>6} {'IDS':>6} {'flicker':>8} {'jitter':>7} {'warping':>8}"
    )
    rows = []
    for row in found:
        rows.append(row)
        click.echo(_film_line(row))
    averages = films.means(rows)
    for row in averages:
        click.echo(_film_line(row))
    _write_scores(output, films.plain_rows([*rows, *averages]))


def _film_line(row: Row) -> str:
    return (
        f"{row.clip:24} {row.model:40} {row.psnr_y:7.2f} {row.lpips:6.3f} {row.identity:6.3f} "
        f"{row.flicker:8.3f} {row.jitter:7.3f} {row.warping:8.3f}"
    )


def _names() -> list[str]:
    from vidsr import weights

    return [*weights.shipped(), config.Render.model]


@evaluate.command("occluded")
@click.argument("folder", type=SOURCE)
@MODELS
@SCORES
def evaluate_occluded(folder: Path, names: tuple[str, ...], output: Path | None) -> None:
    """Put drawn things before the sharp faces in FOLDER: what a model gains under them, and beside them.

    Gains in PSNR-Y over the plain enlargement; `shown` is what is blended into a film, where the input must agree.
    """
    from dataclasses import asdict

    from vidsr.data.stills import load_stills
    from vidsr.evaluate.occluded import score

    faces, _ = load_stills(folder)
    rows: list[dict[str, object]] = []
    click.echo(
        f"{'model':24} {'before the face':16} {'network: under':>15} {'beside':>8} {'shown: under':>13} {'beside':>8}"
    )
    for model in _models(names):
        for one in score(model, list(faces)):
            rows.append({"model": model.name, **asdict(one)})
            click.echo(
                f"{model.name:24} {one.kind:16} {one.bare_inside:15.2f} {one.bare_outside:8.2f} "
                f"{one.shown_inside:13.2f} {one.shown_outside:8.2f}"
            )
    _write_scores(output, rows)


@evaluate.command("seam")
@click.argument("clips", type=SOURCE, nargs=-1, required=True)
@MODELS
@click.option("--frames", type=click.IntRange(1), default=8, show_default=True, help="Of each clip, spread over it.")
@SCORES
def evaluate_seam(clips: tuple[Path, ...], names: tuple[str, ...], frames: int, output: Path | None) -> None:
    """Enhance frames of CLIPS, and compare the gradient across the mask's edge with the plain enlargement's.

    In grey levels a pixel; `edge` at the edge itself, `rim` what runs along the worst ring near it.
    """
    from vidsr.evaluate.seams import plain_rows, seams

    rows = []
    click.echo(f"{'clip':24} {'model':40} {'faces':>6} {'edge':>7} {'rim':>7}")
    for row in seams(clips, _models(names), frames, config.Enhance()):
        rows.append(row)
        click.echo(f"{row.clip:24} {row.model:40} {row.faces:6} {row.edge:7.3f} {row.rim:7.3f}")
    _write_scores(output, plain_rows(rows))
