"""What is to be done with one film, every choice made: what is read, what is written, and how."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from vidsr import video
from vidsr.config import Enhance, options_of
from vidsr.errors import OutputError, RefusedError
from vidsr.files import check_readable, check_writable, fitting, is_folder
from vidsr.jobs.work_folder import delivered
from vidsr.networks.lazy_model import LazyModel
from vidsr.video import Film, Output

if TYPE_CHECKING:  # they load torch, which a film without faces does not need
    from vidsr.networks.model_file import Model
    from vidsr.restore.crop import Planes

SHORT_SIDE = 1440  # of the output, at most, where `--scale auto` enlarges
LONGEST_SIDE = 16384  # of the output: more, no encoder takes
FOLDER = ".vidsr"
"""How the names of work folders end."""


@dataclass(frozen=True)
class Plan:
    """One film's work with every choice made: what is read, what is written, and how."""

    film: Film
    output: Path
    settings: Enhance
    scale: int
    model: Model

    @property
    def folder(self) -> Path:
        """The work folder: beside the output, or in `--work-dir` under a name of which each output has its own."""
        home = self.settings.work_dir
        if home is None:
            return self.output.with_name(fitting(self.output.name, FOLDER))
        mark = hashlib.sha256(os.fsencode(self.output)).hexdigest()[:8]
        return _absolute(Path(home)) / fitting(f"{self.output.name}-{mark}", FOLDER)

    def portable(self) -> Plan:
        """The same plan for another process: absolute names, and a model that is opened there by its name."""
        wanted, own = self.settings.render, self.model
        model = LazyModel(own.name, own.sha256, wanted.model, wanted.fidelity, own.notes)
        return replace(self, film=replace(self.film, path=self.film.path.absolute()), model=cast("Model", model))

    @property
    def planes(self) -> Planes:
        from vidsr.color import Color
        from vidsr.restore.crop import Planes

        film = self.film
        color = Color(film.matrix, film.full_range, film.pixels.depth)
        return Planes(film.pixels, color, film.tags.chroma_location in (None, "left", "unspecified"), self.scale)


def auto_scale(width: int, height: int) -> int:
    """The largest of 1, 2, 4 that keeps the short side at or under SHORT_SIDE."""
    return max(scale for scale in (1, 2, 4) if scale == 1 or min(width, height) * scale <= SHORT_SIDE)


def checked_output(output: Path, film: Film, overwrite: bool) -> Path:
    """The output's absolute path; OutputError where it is the film itself or cannot be written."""
    output = _absolute(output)
    check_writable(output, True)
    if output.exists() and output.samefile(film.path):
        raise OutputError(f"the output {output} is the input; choose another name with -o")
    check_writable(output, overwrite)
    return output


def check_report(work: Plan, report: Path) -> None:
    """RefusedError where a report would be written over the output, its work folder, or what is read for it."""
    settings, place = work.settings, _absolute(report)
    if place == work.output or work.folder in (place, *place.parents):
        raise RefusedError(f"the report {report} is the output, or its work folder; choose another name")
    read = (work.film.path, *(Path(name) for name in (settings.tracks, settings.render.model) if name))
    if place.exists() and any(path.exists() and place.samefile(path) for path in (work.output, *read)):
        raise RefusedError(f"the report {report} is the output or an input; choose another name")


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100  (links are kept: a link is what the user named)


def _checked(work: Plan) -> Plan:
    """OutputError for a plan that cannot end well: better known now than in the morning."""
    home, codec = work.settings.work_dir, work.settings.encode.codec
    if home is not None and not Path(home).is_dir():
        raise OutputError(f"the folder {home} of --work-dir does not exist; create it first")
    if max(work.film.width, work.film.height) * work.scale > LONGEST_SIDE:
        size = f"{work.film.width * work.scale}x{work.film.height * work.scale}"
        raise OutputError(f"the output would be {size}: sides of up to {LONGEST_SIDE} can be coded; lower --scale")
    with suppress(OSError):  # an empty folder is what a run left that was killed at its very last step
        if work.output.exists():
            work.folder.rmdir()
    done = delivered(work.folder, work.output) is not None
    checked_output(work.output, work.film, work.settings.overwrite or done)
    video.check_codec(codec, work.output.suffix)
    video.require_encoder(codec)
    video.rehearse(work.film, output_spec(work), work.output.suffix)
    return work


def plan(source: Path, output: Path | None, settings: Enhance, model: Model) -> Plan:
    """Probe the film and settle every choice; writes nothing. Raises InputError or OutputError.

    `output` is a file, a folder that gets the default name, or None for that name beside the input.
    """
    return planned(video.probe(source), output, settings, model)


def planned(film: Film, output: Path | None, settings: Enhance, model: Model) -> Plan:
    """The plan for a film that was probed; see `plan`."""
    film = video.looked_at(film, settings.deinterlace, settings.ignore_dolby_vision)
    wanted = settings.render.scale
    scale = auto_scale(film.width, film.height) if wanted == "auto" else int(wanted)
    if settings.tracks is not None:
        check_readable(Path(settings.tracks))
    ending = f".enhanced{video.output_suffix(film, settings.encode.codec)}"
    usual = film.path.with_name(fitting(film.path.stem, ending))
    named = _absolute((output / usual.name if output is not None and is_folder(output) else output) or usual)
    if settings.encode.codec == "auto":
        encode = replace(settings.encode, codec=video.chosen_codec(film, named.suffix))
        settings = replace(settings, encode=encode)
    return _checked(Plan(film, named, settings, scale, model))


def output_spec(work: Plan) -> Output:
    """How the output's picture is stored: the input's properties at the output's size."""
    spec = Output.of(work.film, work.settings.encode, work.scale)
    if video.container_of(work.output.suffix).muxer != "matroska":
        return spec
    # Matroska says itself how a frame holds two views; of a file that says so twice, ffmpeg 9 decodes nothing.
    return replace(spec, tags=replace(spec.tags, stereo=None))


def copies_picture(work: Plan) -> bool:
    """Whether the picture may be the input's own packets where no frame of it is changed: they are what was asked for,
    a codec at its default quality, in the kind of file in which they were found."""
    film, encode = work.film, work.settings.encode
    as_usual = encode.crf is None and encode.preset is None and film.codec == video.CODED[encode.codec]
    same_home = film.container == video.container_of(work.output.suffix).demuxer
    return work.scale == 1 and as_usual and same_home and not film.converted and not film.deinterlace


def reproduce_command(work: Plan) -> tuple[str, ...]:
    """The words of `vidsr enhance` for this film: its names, and every setting that changes the film."""
    settings = work.settings
    words = ["vidsr", "enhance", os.fspath(work.film.path), "-o", os.fspath(work.output)]
    for part in (settings.render, settings.analyze, settings.encode, settings):
        words += _changed(part)
    return tuple(words)


def _changed(part: object) -> Iterator[str]:
    for name, (field, option) in options_of(type(part)).items():
        value = getattr(part, name)
        if option.changes and value != field.default:
            yield f"--{name.replace('_', '-')}"
            if value is not True:
                yield str(value)
