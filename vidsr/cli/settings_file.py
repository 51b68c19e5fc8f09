"""Options one always gives, from `vidsr.toml`: found, read, checked, and beaten by the command line. Imports click."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import click

from vidsr.cli.options import ENHANCED
from vidsr.config import options_of
from vidsr.errors import InputError

NAME = "vidsr.toml"
LARGEST = 1 << 20  # bytes of a settings file
NEVER = frozenset({"output", "report", "tracks", "json", "config", "help"})
"""Options that name what one run reads or writes: in no file."""
HARMLESS = {"quiet", "verbose"} | {
    name for kind in ENHANCED for name, (_, option) in options_of(kind).items() if option.harmless
}
"""What a file in the working folder may set; see `vidsr.config.Option`."""


@dataclass(frozen=True)
class Source:
    """One settings file; `own` is False where it was found in the working folder and is trusted less."""

    path: Path
    own: bool

    def wrong(self, at: Sequence[str], what: str) -> InputError:
        """The sentence for what is wrong with the key whose sections and name are `at`."""
        *sections, key = at
        section = f"[{'.'.join(sections)}] " if sections else ""
        return InputError(f"{self.path}: {section}{key} {what}")


def configurable(group: click.Group) -> None:
    """Give every command of a group, and of the groups in it, `--config`."""
    for command in group.commands.values():
        if isinstance(command, click.Group):
            configurable(command)
        else:
            kind = click.Path(path_type=Path, dir_okay=False, readable=False)
            words = f"Settings file.  [default: {NAME} in this folder, and in ~/.config/vidsr]"
            command.params.append(
                click.Option(["--config"], type=kind, is_eager=True, expose_value=False, callback=_use, help=words)
            )


def used(ctx: click.Context) -> list[Path]:
    """The settings files that this command has read."""
    found: list[Path] = ctx.meta.get(__name__, [])
    return found


def _use(ctx: click.Context, _: click.Parameter, given: Path | None) -> None:
    """Let what the settings files say of this command stand for the options that are not given."""
    root = ctx.find_root()
    names = ctx.command_path.removeprefix(root.command_path).split()
    if ctx.resilient_parsing or not names:
        return
    merged: dict[str, object] = {}
    for source in [Source(given, own=True)] if given else list(_found()):
        section: object = _checked(_read(source.path), root.command, source, ())
        for name in names:
            section = section.get(name) if isinstance(section, dict) else None
        merged |= section if isinstance(section, dict) else {}
        ctx.meta.setdefault(__name__, []).append(source.path)
    ctx.default_map = merged


def _found() -> Iterator[Source]:
    """The user's own file, then the working folder's, which goes over it."""
    own, here = _config_folder() / "vidsr" / NAME, Path(NAME)
    if _is_file(own):
        yield Source(own, own=True)
    if _is_file(here) and not (_is_file(own) and here.samefile(own)):
        yield Source(here, own=False)


def _config_folder() -> Path:
    told = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    return told if told.is_absolute() else Path(os.path.expanduser("~/.config"))  # noqa: PTH111  (no home: no error)


def _read(path: Path) -> Mapping[str, object]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        if not path.is_file():
            raise InputError(f"the settings file {path} does not exist, or is not a file")
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise InputError(f"{path} is too large for a settings file")
        table: Mapping[str, object] = tomllib.loads(text.decode())
    except OSError as error:
        raise InputError(f"the settings file {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not TOML: {error}") from error
    return table


def _checked(table: Mapping[str, object], command: click.Command, source: Source, at: tuple[str, ...]) -> object:
    """A section, and the sections in it, as click's default map; InputError for a name or a value that does not fit."""
    commands = command.commands if isinstance(command, click.Group) else {}
    known = options_by_name(command)
    found: dict[str, object] = {}
    for key, value in table.items():
        here, name = (*at, key), key.replace("-", "_")
        if key in commands:
            if not isinstance(value, dict):
                raise source.wrong(here, f"is a command: write its options below [{'.'.join(here)}]")
            found[key] = _checked(value, commands[key], source, here)
        elif name in known:
            _require_allowed(source, here, name, value)
            found[str(known[name].name)] = _value(known[name], value, source, here)
        else:
            raise source.wrong(here, _unknown(key, [*commands, *(set(known) - NEVER)], bool(at)))
    return found


def options_by_name(command: click.Command) -> dict[str, click.Option]:
    """A command's options by their long names, with _ for -."""
    found = [one for one in command.params if isinstance(one, click.Option)]
    return {name[2:].replace("-", "_"): one for one in found for name in one.opts if name.startswith("--")}


def _unknown(key: str, names: Sequence[str], in_section: bool) -> str:
    if near := get_close_matches(key.replace("-", "_"), names, 1):
        return f"is unknown; did you mean {near[0]}?"
    kind = "there is no such option" if in_section else "each option stands in the section of its command"
    return f"is unknown; {kind}, among: {', '.join(sorted(names))}"


def _require_allowed(source: Source, at: Sequence[str], name: str, value: object) -> None:
    if name in NEVER:
        raise source.wrong(at, "cannot stand in a settings file: what is read and written is said in the command")
    words = value if isinstance(value, list) else [value]
    file = name == "model" and any("/" in str(word) or _is_file(str(word)) for word in words)
    if not source.own and (file or name not in HARMLESS):
        may, own = "as a file may" if file else "may", _config_folder() / "vidsr" / NAME
        raise source.wrong(at, f"{may} not be set by a file in the working folder; put it into {own}")


def _is_file(name: str | Path) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # a folder that may not be entered; a name that no file can have
        return False


def _value(option: click.Option, value: object, source: Source, at: Sequence[str]) -> object:
    """A value as the command line would take it."""
    several = option.multiple or option.nargs != 1
    words = value if several and isinstance(value, list) else [value]
    if option.is_flag and isinstance(value, bool):
        return value
    try:
        if option.is_flag or any(isinstance(word, bool) or not isinstance(word, (str, int, float)) for word in words):
            what = "true or false" if option.is_flag else "a list of texts" if several else "a text or a number"
            raise ValueError(f"it must be {what}")
        texts = [os.path.expanduser(str(w)) if isinstance(option.type, click.Path) else str(w) for w in words]  # noqa: PTH111
        fitting = texts if several else texts[0]
        option.type_cast_value(click.Context(click.Command(None)), fitting)
    except (click.BadParameter, ValueError) as error:  # the latter also for a path that no file can have
        what = error.message if isinstance(error, click.BadParameter) else str(error)
        shown = str(value).lower() if isinstance(value, bool) else repr(value)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        raise source.wrong(at, f"is {shown}: {what}") from error
    return fitting
