"""`enhance` and `preview` as functions, for Python and for notebooks: paths in, values out. Imports nothing heavy."""

from __future__ import annotations

import dataclasses
import html
import inspect
import os
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from vidsr import config
from vidsr.cli.options import HELP, enhance_settings, kind_of
from vidsr.config import ANALYZE_FIELDS, ENCODE_FIELDS, ENHANCE_FIELDS, RENDER_FIELDS
from vidsr.errors import InputError, VidsrError

if TYPE_CHECKING:
    from vidsr.jobs.events import Tell
    from vidsr.networks.model_file import Model
    from vidsr.report.report import Report

StrPath = str | os.PathLike[str]
Function = TypeVar("Function", bound=Callable[..., object])

ENHANCED = (*RENDER_FIELDS, *ANALYZE_FIELDS, *ENCODE_FIELDS, *ENHANCE_FIELDS)
PREVIEWED = (*RENDER_FIELDS, *ANALYZE_FIELDS, "tracks", "overwrite", "keep_going")

HELD_MIB = 64
"""Films up to this size lie inside the notebook's page."""


def _defaults(names: Iterable[str]) -> dict[str, object]:
    """The defaults of these settings."""
    kinds = (config.Render, config.Analyze, config.Encode, config.Enhance)
    fields = {field.name: field.default for kind in kinds for field in dataclasses.fields(kind)}
    return {name: fields[name] for name in names}


def _with_options(*names: str) -> Callable[[Function], Function]:
    """Write the options that a function takes into its signature and its help, from where the commands have them."""

    def decorate(function: Function) -> Function:
        defaults = _defaults(names)
        own = inspect.signature(function)
        fixed = [one for one in own.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        more = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value) for name, value in defaults.items()
        ]
        lines = [f"    {name}: {HELP[name].partition('  [default')[0]}" for name in names]
        function.__doc__ = f"{inspect.getdoc(function)}\n\nOptions, as of `vidsr {function.__name__}`:\n" + "\n".join(
            lines
        )
        function.__signature__ = own.replace(parameters=[*fixed, *more])  # type: ignore[attr-defined]
        return function

    return decorate


@_with_options(*ENHANCED)
def enhance(
    source: StrPath,
    output: StrPath | None = None,
    *,
    quiet: bool = False,
    progress: Tell | None = None,
    **options: object,
) -> Report:
    """Restore the faces in a film, and return the report on it.

    `output` is a file or a folder; None is NAME.enhanced.EXT beside the film. The output appears whole or not at all,
    and where a run was interrupted, the same call goes on. Progress is drawn unless `quiet`.
    `progress` is called with a `vidsr.jobs.events.Progress` now and then; where it returns False, Cancelled is raised.
    Raises VidsrError.
    """
    from vidsr.cli.progress import Bars
    from vidsr.jobs import film_job
    from vidsr.jobs.events import Told
    from vidsr.jobs.plan import plan

    settings = _settings(options, ENHANCED)
    work = plan(Path(source), None if output is None else Path(output), settings, _model(settings))
    with Bars(work.film.path.name, quiet) as bars:
        return film_job.enhance(work, Told(bars, progress, str(source)) if progress else bars)


@_with_options(*PREVIEWED)
def preview(
    source: StrPath,
    output: StrPath | None = None,
    *,
    frames: tuple[int, int] | None = None,
    start: float | None = None,
    duration: float = config.Preview.duration,
    quiet: bool = False,
    **options: object,
) -> Preview:
    """Render a part of a film by the same path as `enhance`, beside the plain enlargement.

    The part is `frames` `(first, stop)`, or `duration` seconds from `start`, or the seconds that tell the most.

    What is returned shows itself in a notebook. With `output`, a folder, the files are left there as well. Progress is
    drawn unless `quiet`. Raises VidsrError.
    """
    from vidsr.cli.progress import Bars
    from vidsr.previews.preview import Way
    from vidsr.previews.preview import preview as make

    settings = _settings(options, PREVIEWED)
    part = config.Preview(None if frames is None else _span(frames), start, duration)
    model = _model(settings)
    with tempfile.TemporaryDirectory(prefix="vidsr-") as scratch, Bars(Path(source).name, quiet) as bars:
        folder = Path(scratch if output is None else output)
        made = make(Path(source), folder, part, settings, [Way("restored", model)], bars)
        return Preview.of(Path(source).name, made, kept=output is not None)


@dataclasses.dataclass(frozen=True, repr=False)
class Preview:
    """What `preview` made: the film side by side, mp4, and the contact sheet, PNG (None where there is no face).

    `files` is where they lie, where they were to be kept.
    """

    name: str
    video: bytes
    sheet: bytes | None
    files: tuple[Path, ...]

    @classmethod
    def of(cls, name: str, made: Sequence[Path], kept: bool) -> Preview:
        """Take the files into memory."""
        found = {path.suffix: path.read_bytes() for path in made if path.suffix in (".mp4", ".png")}
        return cls(name, found[".mp4"], found.get(".png"), tuple(made) if kept else ())

    def __repr__(self) -> str:
        where = ", ".join(map(str, self.files)) or f"{len(self.video)} bytes"
        return f"Preview({self.name!r}, {where})"

    def _repr_html_(self) -> str:
        """For a notebook: both pictures inside the page, which needs no other file."""
        name = html.escape(self.name)
        style = 'style="display: block; max-width: 100%"'
        if len(self.video) > HELD_MIB << 20:
            where = html.escape(str(self.files[0])) if self.files else "give an output to look at it"
            film = f"<p>The film is too large for a notebook: {where}</p>"
        else:
            title = f"{name}: enlarged plainly, left, and restored, right"
            source = _data_uri("video/mp4", self.video)
            film = f'<video controls loop muted {style} aria-label="{title}" title="{title}" src="{source}"></video>'
        if self.sheet is None:
            return f"<div>{film}</div>"
        alt = f"Faces of {name}: input, enlarged plainly, and restored"
        return f'<div>{film}<img {style} alt="{alt}" src="{_data_uri("image/png", self.sheet)}"></div>'


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{b64encode(data).decode()}"


def _model(settings: config.Enhance) -> Model:
    from vidsr.networks import model_file

    return model_file.open_model(settings.render.model, settings.render.fidelity)


def _span(frames: tuple[int, int]) -> tuple[int, int]:
    first, stop = (int(number) for number in frames)
    if not 0 <= first < stop:
        raise InputError(f"frames wants (A, B) with A below B, as in (100, 150), not {frames}")
    return first, stop


def _settings(options: Mapping[str, object], names: Sequence[str]) -> config.Enhance:
    """The settings that these options name; TypeError for one that is unknown, VidsrError for a value that is wrong."""
    defaults = _defaults(names)
    for name in options:
        if name not in defaults:
            near = get_close_matches(name, names, 1)
            raise TypeError(f"there is no option {name!r}{f'; did you mean {near[0]!r}?' if near else ''}")
    return enhance_settings({name: _checked(name, value, defaults[name]) for name, value in options.items()})


def _checked(name: str, value: object, default: object) -> object:
    """A value as the command line would take it."""
    if value is default:
        return value
    if isinstance(default, bool) or isinstance(value, bool):
        if type(value) is not type(default):
            raise InputError(
                f"{name} is {value!r}: it must be {'True or False' if isinstance(default, bool) else 'a value'}"
            )
        return value
    try:
        return kind_of(name).convert(str(value), None, None)
    except click.BadParameter as error:
        raise VidsrError(f"{name} is {value!r}: {error.message}") from error
