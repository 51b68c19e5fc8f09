"""`vidsr models` and `vidsr export`: their options and lines. Importing this loads click and nothing heavy."""

from __future__ import annotations

from pathlib import Path

import click

from vidsr import config
from vidsr.cli.options import options
from vidsr.errors import VidsrError

SOURCE = click.Path(path_type=Path)


@click.group(invoke_without_command=True)
@click.pass_context
def models(context: click.Context) -> None:
    """List the models there are and verify their checksums; add models of your own."""
    if context.invoked_subcommand is None:
        _list()


def _list() -> None:
    from vidsr.networks import user_models

    states = []
    for line, intact in user_models.inventory():
        click.echo(line)
        states.append(intact)
    if not all(states):
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

    made = write(model_file.open_model(model, fidelity), path, overwrite)
    told = "not compared: onnxruntime is not installed"
    if made.difference is not None:
        told = f"differs from torch by at most {made.difference:.1g}, of values in 0..1"
    click.echo(f"{made.path}: {told}")
