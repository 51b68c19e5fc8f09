"""How much is said, and how: `-v`, `-q`, and lines that cannot command the terminal. Imports nothing heavy."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

import click

from vidsr.cli.settings_file import used
from vidsr.errors import VidsrError
from vidsr.files import shown

log = logging.getLogger("vidsr")

Command = Callable[..., None]


class _Printer(logging.Handler):
    """Prints what the library logs, above the bar where one is drawn; errors and warnings are the commands' to say."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno < logging.WARNING

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        tqdm.write(shown(record.getMessage()), file=sys.stderr)


def print_log(level: int) -> None:
    """Print on stderr what the library logs from this level on."""
    log.handlers = [_Printer(level)]
    log.setLevel(level)


def _be_quiet(_: click.Context, __: click.Parameter, quiet: bool) -> bool:
    if quiet:
        print_log(logging.CRITICAL)
    return quiet


def _be_verbose(ctx: click.Context, _: click.Parameter, times: int) -> None:
    if times and not ctx.params.get("quiet") and not ctx.resilient_parsing:
        print_log(logging.INFO if times == 1 else logging.DEBUG)
        for path in used(ctx):
            log.info("options from %s", path)


def verbosity(command: Command) -> Command:
    """`-q`, which the command is told of, and `-v`, which it need not know; where both are given, `-q` wins."""
    verbose = click.option(
        *("-v", "--verbose"),
        count=True,
        expose_value=False,
        callback=_be_verbose,
        help="Say what is done; -vv: also each ffmpeg command.",
    )
    quiet = click.option("-q", "--quiet", is_flag=True, callback=_be_quiet, help="Print errors only.")
    return verbose(quiet(command))


def say(line: object, err: bool = False) -> None:
    """Print a line that cannot command the terminal."""
    click.echo(shown(str(line)), err=err)


def complain(error: VidsrError) -> None:
    """Print an error that a user can act upon."""
    say(f"error: {error}", err=True)
    for line in error.details.strip().splitlines()[-5:]:
        say(f"  | {line}", err=True)
