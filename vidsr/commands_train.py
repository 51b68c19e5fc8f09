"""The commands around training: its options, one call each, and their printing. Imports nothing heavy."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vidsr import config
from vidsr.options import TRAIN, options

if TYPE_CHECKING:
    from vidsr.data.stills import Faces

SOURCE = click.Path(path_type=Path)


@click.command()
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


@click.command()
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


@click.command()
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
