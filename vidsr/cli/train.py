"""The commands around training: its options, one call each, and their printing. Imports nothing heavy."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from vidsr import config
from vidsr.cli.console import log, print_log, verbosity
from vidsr.cli.options import TRAIN, options

SOURCE = click.Path(path_type=Path)


@click.command()
@options(config.Train, *TRAIN)
@click.option("-o", "--output", type=SOURCE, required=True, help="The model file, .safetensors.")
@verbosity
def train(output: Path, quiet: bool, **values: object) -> None:
    """Train a model on a folder of sharp, aligned faces; the same command goes on where it stopped.

    Several processes train together under `torchrun --nproc-per-node N -m vidsr train ...`.
    """
    from vidsr.training.train import train as run

    if not quiet:
        print_log(min(logging.INFO, log.level or logging.INFO))
    say = _unheard if quiet else _say
    run(config.Train(output=str(output), **values), say)  # type: ignore[arg-type]
    say(output)


def _say(what: object) -> None:
    click.echo(str(what))


def _unheard(_: object) -> None:
    """For -q."""


@click.command()
@click.argument("data", metavar="DATA")
@click.option("-o", "--output", type=SOURCE, required=True, help="A new folder for the shards.")
@click.option("--cache", type=SOURCE, help="Where faces cut out of films are kept.  [default: faces beside OUTPUT]")
@options(config.Train, "seed")
@verbosity
def shard(data: str, output: Path, cache: Path | None, seed: int, quiet: bool) -> None:
    """Write the faces that `train --data DATA` would find as tar shards, in a drawn order."""
    import numpy as np

    from vidsr.data.shards import write_shards
    from vidsr.data.sources import open_faces

    say = _unheard if quiet else _say
    source = open_faces(data, cache or output.parent / "faces", seed)
    say(source)
    written = write_shards(source.faces, output, np.random.default_rng(seed))
    say(f"{output}: {len(written)} shards")
