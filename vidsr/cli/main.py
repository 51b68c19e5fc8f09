"""The command line's door: the group of all commands, and what an error becomes. Importing this loads nothing heavy."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from vidsr import config, system
from vidsr.cli import settings_file, signals
from vidsr.cli.console import complain, say
from vidsr.cli.enhance import EXIT_CODES, enhance
from vidsr.cli.evaluate import evaluate
from vidsr.cli.models import export, models, shard, train
from vidsr.cli.options import SOURCE, options
from vidsr.cli.preview import analyze, preview
from vidsr.errors import VidsrError


def _tell_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from vidsr.cli.doctor import versions

        for line in versions():
            click.echo(line)
        ctx.exit()


@click.group(epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_tell_version,
    help="Say which program this is.",
)
def cli() -> None:
    """Restore small and blurred faces in films: tracked, smoothed, honest, and nothing else touched."""


@cli.command()
@click.argument("source", type=SOURCE, metavar="REPORT.json")
@click.option("-o", "--output", type=SOURCE, help="The page.  [default: REPORT.html beside it]")
@options(config.Enhance, "overwrite")
def report(source: Path, output: Path | None, overwrite: bool) -> None:
    """Make the page of a finished film from what `enhance --report REPORT.json` wrote."""
    from vidsr.files import check_writable, read_json
    from vidsr.report.report import Report
    from vidsr.report.report_page import save_page

    page = output or source.with_suffix(".html")
    check_writable(page, overwrite)
    save_page(read_json(source, Report, "write it again with `vidsr enhance --report`"), page)
    say(str(page))


@cli.command()
@options(config.Render, "device")
def doctor(device: str) -> None:
    """Say what works here, and what to do about what does not."""
    from vidsr.cli.doctor import examine

    fine = True
    for check in examine(device):
        click.echo(f"{'ok ' if check.works else 'NO '} {check.name}: {check.found}")
        if not check.works:
            click.echo(f"     {check.advice}")
        fine = fine and (check.works or check.optional)
    if not fine:
        sys.exit(1)


for _command in (enhance, analyze, preview, evaluate, models, export, train, shard):
    cli.add_command(_command)


settings_file.configurable(cli)


def _say_how_to_go_on() -> None:
    resumes = sys.argv[1:2] in (["enhance"], ["train"])
    say("stopped; the same command goes on from here" if resumes else "stopped; nothing was written", err=True)


def main() -> None:
    """Run the command line; errors that a user can act upon become one sentence and an exit code."""
    signals.listen(_say_how_to_go_on)
    system.share_heap()
    try:
        cli(prog_name="vidsr", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt, signals.Terminated) as error:
        _say_how_to_go_on()
        sys.exit(getattr(error, "exit_code", 130))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except VidsrError as error:
        if os.environ.get("VIDSR_DEBUG") == "1":
            raise
        complain(error)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
