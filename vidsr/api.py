"""`enhance` and `preview` as functions, for Python and for notebooks: paths in, values out. Imports nothing heavy."""

from __future__ import annotations

import dataclasses
import html
import inspect
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from vidsr import config
from vidsr.cli.options import ENHANCED, PREVIEWED, enhance_settings, kind_of
from vidsr.errors import InputError, VidsrError

if TYPE_CHECKING:
    from vidsr.jobs.events import Tell
    from vidsr.networks.model_file import Model
    from vidsr.report.report import Report

StrPath = str | os.PathLike[str]
Function = TypeVar("Function", bound=Callable[..., object])

HELD_MIB = 64
"""Films up to this size lie inside the notebook's page."""


def _known(function: str) -> dict[str, tuple[dataclasses.Field[object], config.Option]]:
    """The options that a function takes, by their names."""
    found = {name: one for kind in ENHANCED for name, one in config.options_of(kind).items()}
    if function == "enhance":
        return found
    fewer = {*config.options_of(config.Render), *config.options_of(config.Analyze), *PREVIEWED}
    return {name: one for name, one in found.items() if name in fewer}


def _with_options(function: Function) -> Function:
    """Write the options that a function takes into its signature and its help."""
    known, own = _known(function.__name__), inspect.signature(function)
    fixed = [one for one in own.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=field.default)
        for name, (field, _) in known.items()
    ]
    lines = [f"    {name}: {option.words.partition('  [default')[0]}" for name, (_, option) in known.items()]
    title = f"Options, as of `vidsr {function.__name__}`:"
    function.__doc__ = "\n".join([f"{inspect.getdoc(function)}\n", title, *lines])
    function.__signature__ = own.replace(parameters=[*fixed, *more])  # type: ignore[attr-defined]
    return function


@_with_options
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
    from vidsr.jobs.events import Meter
    from vidsr.jobs.plan import plan

    settings = _settings(options, "enhance")
    work = plan(Path(source), None if output is None else Path(output), settings, _model(settings))
    with Bars(work.film.path.name, quiet) as bars:
        return film_job.enhance(work, Meter(str(source), bars, *([progress] if progress else [])))


@_with_options
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
    from vidsr.jobs.events import Meter
    from vidsr.previews.preview import Variant
    from vidsr.previews.preview import preview as make

    settings = _settings(options, "preview")
    part = config.Preview(None if frames is None else _span(frames), start, duration)
    model = _model(settings)
    with tempfile.TemporaryDirectory(prefix="vidsr-") as scratch, Bars(Path(source).name, quiet) as bars:
        folder = Path(scratch if output is None else output)
        made = make(Path(source), folder, part, settings, [Variant("restored", model)], Meter("", bars))
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
        from vidsr.report.html import data_uri

        name = html.escape(self.name)
        style = 'style="display: block; max-width: 100%"'
        if len(self.video) > HELD_MIB << 20:
            where = html.escape(str(self.files[0])) if self.files else "give an output to look at it"
            film = f"<p>The film is too large for a notebook: {where}</p>"
        else:
            title = f"{name}: enlarged plainly, left, and restored, right"
            source = data_uri("video/mp4", self.video)
            film = f'<video controls loop muted {style} aria-label="{title}" title="{title}" src="{source}"></video>'
        if self.sheet is None:
            return f"<div>{film}</div>"
        alt = f"Faces of {name}: input, enlarged plainly, and restored"
        return f'<div>{film}<img {style} alt="{alt}" src="{data_uri("image/png", self.sheet)}"></div>'


def _model(settings: config.Enhance) -> Model:
    from vidsr.networks import model_file

    return model_file.open_model(settings.render.model, settings.render.fidelity)


def _span(frames: tuple[int, int]) -> tuple[int, int]:
    first, stop = (int(number) for number in frames)
    if not 0 <= first < stop:
        raise InputError(f"frames wants (A, B) with A below B, as in (100, 150), not {frames}")
    return first, stop


def _settings(options: Mapping[str, object], function: str) -> config.Enhance:
    """The settings that these options name; TypeError for one that is unknown, VidsrError for a value that is wrong."""
    known = _known(function)
    for name in options:
        if name not in known:
            near = get_close_matches(name, known, 1)
            raise TypeError(f"there is no option {name!r}{f'; did you mean {near[0]!r}?' if near else ''}")
    return enhance_settings({name: _checked(value, *known[name]) for name, value in options.items()})


def _checked(value: object, field: dataclasses.Field[object], option: config.Option) -> object:
    """A value as the command line would take it."""
    flag = isinstance(field.default, bool)
    if value is field.default or (flag and isinstance(value, bool)):
        return value
    if flag or isinstance(value, bool):
        raise InputError(f"{field.name} is {value!r}: it must be {'True or False' if flag else 'a value'}")
    try:
        return kind_of(field, option).convert(str(value), None, None)
    except click.BadParameter as error:
        raise VidsrError(f"{field.name} is {value!r}: {error.message}") from error
