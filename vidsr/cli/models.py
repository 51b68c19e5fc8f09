"""`vidsr models`, `export`, `train` and `shard`: their options and lines. Loads click and nothing heavy."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from vidsr import config
from vidsr.cli.console import log, print_log, verbosity
from vidsr.cli.options import SOURCE, options
from vidsr.errors import VidsrError


@click.group(invoke_without_command=True)
@click.pass_context
def models(context: click.Context) -> None:
    """List the models there are and verify their checksums; add models of your own."""
    if context.invoked_subcommand is not None:
        return
    from vidsr.networks import user_models

    fine = True
    for line, intact in user_models.inventory():
        click.echo(line)
        fine = fine and intact
    if not fine:
        raise VidsrError("a model file is damaged; install vidsr again, or add your model again")


@models.command()
@click.argument("file", type=SOURCE)
@click.option("--name", help="What `--model` will know it by.  [default: the file's]")
def add(file: Path, name: str | None) -> None:
    """Check a model FILE (.safetensors, .pth, .pt, .ckpt) by opening and running it, and keep a copy under a name.

    Opened are models that `vidsr train` made, and image super-resolution and face restoration that `spandrel` knows.
    Copies lie in $VIDSR_MODELS, or else in vidsr/models in your data folder.
    """
    from vidsr.networks import user_models

    name, model = user_models.add(file, name)
    click.echo(f"{name}: {user_models.about(model)}; use it with --model {name}")


@models.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove an added model."""
    from vidsr.networks import store

    click.echo(f"{store.remove_model(name)} is removed")


@click.command()
@click.argument("model")
@click.option("--onnx", "path", type=SOURCE, required=True, help="The file to write.")
@options(config.Render, "fidelity")
@options(config.Enhance, "overwrite")
def export(model: str, path: Path, fidelity: float | None, overwrite: bool) -> None:
    """Write a network of this program as ONNX, for any batch and size; needs `pip install "vidsr[onnx]"`.

    Where onnxruntime is installed, its result is compared with torch's before the file gets its name.
    """
    from vidsr.networks import model_file
    from vidsr.networks.onnx_export import export as write

    difference = write(model_file.open_model(model, fidelity), path, overwrite)
    told = "not compared: onnxruntime is not installed"
    if difference is not None:
        told = f"differs from torch by at most {difference:.1g}, of values in 0..1"
    click.echo(f"{path}: {told}")


@click.command()
@options(config.Train)
@click.option("-o", "--output", type=SOURCE, required=True, help="The model file, .safetensors.")
@verbosity
def train(output: Path, quiet: bool, **values: object) -> None:
    """Train a model on a folder of sharp, aligned faces; the same command goes on where it stopped.

    Several processes train together under `torchrun --nproc-per-node N -m vidsr train ...`.
    """
    from vidsr.training.train import train as run

    if not quiet:
        print_log(min(logging.INFO, log.level or logging.INFO))
    run(config.Train(output=str(output), **values), lambda what: _say(what, quiet))  # type: ignore[arg-type]
    _say(output, quiet)


def _say(what: object, quiet: bool) -> None:
    if not quiet:
        click.echo(str(what))


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

    source = open_faces(data, cache or output.parent / "faces", seed)
    _say(source, quiet)
    written = write_shards(source.faces, output, np.random.default_rng(seed))
    _say(f"{output}: {len(written)} shards", quiet)
