"""The commands around training: its options, one call each, and their printing. Imports nothing heavy."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vidsr import config
from vidsr.console import log, print_log, verbosity
from vidsr.options import TRAIN, options

if TYPE_CHECKING:
    from vidsr.data.stills import Faces

SOURCE = click.Path(path_type=Path)


@click.command()
@options(config.Train, *TRAIN)
@click.option("-o", "--output", type=SOURCE, required=True, help="The model file, .safetensors.")
@verbosity
def train(output: Path, quiet: bool, **values: object) -> None:
    """Train a model on a folder of sharp, aligned faces; the same command goes on where it stopped.

    Several processes train together under `torchrun --nproc-per-node N -m vidsr.train ...`.
    """
    from vidsr.train import train as run

    if not quiet:
        print_log(min(logging.INFO, log.level or logging.INFO))
    say = _unheard if quiet else _say
    run(config.Train(output=str(output), **values), say)  # type: ignore[arg-type]
    say(output)


def _say(what: object) -> None:
    click.echo(str(what))


def _unheard(_: object) -> None:
    """For -q."""


DATA = click.argument("data", metavar="DATA")
CACHE = click.option(
    "--cache", type=SOURCE, help="Where faces cut out of films are kept.  [default: faces beside OUTPUT]"
)


def _faces(data: str, output: Path, cache: Path | None, seed: int, quiet: bool) -> Faces:
    """The faces that DATA holds, after saying what was found."""
    from vidsr.data.sources import open_faces

    source = open_faces(data, cache or output.parent / "faces", seed)
    if not quiet:
        _say(source)
    return source.faces


@click.command()
@DATA
@click.option("-o", "--output", type=SOURCE, required=True, help="A new folder for the shards.")
@CACHE
@options(config.Train, "seed")
@verbosity
def shard(data: str, output: Path, cache: Path | None, seed: int, quiet: bool) -> None:
    """Write the faces that `train --data DATA` would find as tar shards, in a drawn order."""
    import numpy as np

    from vidsr.data.shards import write_shards

    written = write_shards(_faces(data, output, cache, seed, quiet), output, np.random.default_rng(seed))
    if not quiet:
        _say(f"{output}: {len(written)} shards")


@click.command()
@DATA
@click.option("-o", "--output", type=SOURCE, required=True, help="The picture, .png.")
@CACHE
@options(config.Train, "seed")
@verbosity
def sheet(data: str, output: Path, cache: Path | None, seed: int, quiet: bool) -> None:
    """Show what training makes of DATA: every kind of degradation, enlarged plainly, beside its truth."""
    import numpy as np

    from vidsr.sheet import save_sheet

    save_sheet(_faces(data, output, cache, seed, quiet), np.random.default_rng(seed), output)
    if not quiet:
        _say(output)
