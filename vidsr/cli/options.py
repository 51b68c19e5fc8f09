"""Options of the command line, made from the settings' fields (see `vidsr.config.Option`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import Field, replace
from pathlib import Path
from typing import TypeVar

import click
from click.shell_completion import CompletionItem

from vidsr import config
from vidsr.config import FILE, FOLDER, TIME, Option, Range, options_of

Command = Callable[..., None]
Settings = TypeVar("Settings")
SOURCE = click.Path(path_type=Path)


class Time(click.ParamType[float]):
    """Seconds, or hours, minutes and seconds with colons between; gives seconds."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds; BadParameter for what is no time."""
        found = re.fullmatch(r"(?:(?:(\d{1,4}):)?(\d{1,4}):)?(\d{1,9}(?:\.\d*)?|\.\d+)", str(value).strip())
        hours, minutes, seconds = (float(part or 0) for part in found.groups()) if found else (0, 0, -1)
        if seconds < 0 or (found and found[2] and seconds >= 60) or (found and found[1] and minutes >= 60):
            self.fail(f"{value!r} is no time: give seconds, as in 90.5, or 1:02:03.5", param, ctx)
        return hours * 3600 + minutes * 60 + seconds


NAMED: dict[str, click.ParamType[object]] = {
    FILE: click.Path(readable=False),  # what cannot be read gets a sentence of ours
    FOLDER: click.Path(file_okay=False, readable=False),
    TIME: Time(),
    "": click.STRING,
}


def kind_of(field: Field[object], option: Option) -> click.ParamType[object]:
    """What an option takes, as click's type."""
    takes = option.takes
    if isinstance(takes, Range):
        kind = click.IntRange if field.type == "int" else click.FloatRange
        return kind(takes.low, takes.high, takes.above)  # type: ignore[arg-type]
    return NAMED[takes] if isinstance(takes, str) else click.Choice(takes)


def _offered(option: Option, begun: str) -> list[CompletionItem]:
    """What a shell offers; files come first, as click's script for bash forgets what came before them."""
    files = [CompletionItem(begun, type="file")] if FILE in option.offers else []
    return [*files, *(CompletionItem(word) for word in option.offers if word != FILE and word.startswith(begun))]


def _click_option(field: Field[object], option: Option, several: bool) -> Callable[[Command], Command]:
    name, default, words = f"--{field.name.replace('_', '-')}", field.default, option.words
    if default is False:
        return click.option(name, is_flag=True, default=False, help=words)
    kind = kind_of(field, option)
    offers = (lambda _, __, begun: _offered(option, begun)) if option.offers else None
    if several:
        words += "  Several are compared."
        return click.option(name, type=kind, multiple=True, shell_complete=offers, help=words)
    shows = default is not None and "[default:" not in words
    return click.option(name, type=kind, default=default, show_default=shows, shell_complete=offers, help=words)


def options(kind: type[object], *names: str, several: Sequence[str] = ()) -> Callable[[Command], Command]:
    """The options of a class of settings, or those of these `names`; those in `several` may be repeated."""
    known = options_of(kind)

    def decorate(command: Command) -> Command:
        for name in reversed(names or tuple(known)):
            command = _click_option(*known[name], name in several)(command)
        return command

    return decorate


COMPARED = ("model", "fidelity")
"""Of which a preview takes several, to be seen side by side."""
PREVIEWED = ("deinterlace", "ignore_dolby_vision", "tracks", "overwrite", "keep_going")
"""What a preview takes of `config.Enhance`."""
HEADINGS = (config.PICTURE, config.FACES, config.OUTPUT, config.MESSAGES, config.MACHINE, config.MANY)
OTHERS = {
    **dict.fromkeys(("output", "report", "dry_run"), config.OUTPUT),
    **dict.fromkeys(("quiet", "verbose", "help"), config.MESSAGES),
    **dict.fromkeys(("fresh", "config"), config.MACHINE),
}
"""The headings of options that are no settings."""
ENHANCED = (config.Render, config.Analyze, config.Encode, config.Enhance)
"""The settings of a film's work."""


class Grouped(click.Command):
    """A command whose options stand under the headings of the settings; what is in none of them comes last."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, a list for each heading."""
        kinds = (*ENHANCED, config.Pipes, config.Watching, config.Workers)
        places = OTHERS | {name: option.under for kind in kinds for name, (_, option) in options_of(kind).items()}
        found: dict[str, list[tuple[str, str]]] = {heading: [] for heading in (*HEADINGS, "Other")}
        for one in self.get_params(ctx):
            if isinstance(one, click.Option) and (record := one.get_help_record(ctx)):
                name = one.opts[-1].removeprefix("--").replace("-", "_")
                found[places.get(name, "Other")].append(record)
        for heading, records in found.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


def settings_of(kind: type[Settings], values: dict[str, object]) -> Settings:
    """The settings that these options name; what is not named keeps its default."""
    return kind(**{name: values[name] for name in options_of(kind) if name in values})


def enhance_settings(values: dict[str, object]) -> config.Enhance:
    """The settings of a film's work that these options name; what is not named keeps its default."""
    return replace(
        settings_of(config.Enhance, values),
        analyze=settings_of(config.Analyze, values),
        render=settings_of(config.Render, values),
        encode=settings_of(config.Encode, values),
    )
