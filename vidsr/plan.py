"""What is to be done with one film, every choice made: what is read, what is written, and how."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vidsr.align import Planes
from vidsr.color import Color
from vidsr.config import Enhance
from vidsr.errors import OutputError
from vidsr.video import Film, Output, check_codec, output_suffix, passages, probe, require_encoder
from vidsr.weights import Model

SHORT_SIDE = 1440  # of the output, at most, where `--scale auto` enlarges


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
        """The work folder, beside the output."""
        return self.output.with_name(self.output.name + ".vidsr")

    @property
    def planes(self) -> Planes:
        film = self.film
        color = Color(film.matrix, film.full_range, film.pixels.depth)
        return Planes(film.pixels, color, film.chroma_location in (None, "left", "unspecified"), self.scale)


def auto_scale(width: int, height: int) -> int:
    """The largest of 1, 2, 4 that keeps the short side at or under SHORT_SIDE."""
    return max(scale for scale in (1, 2, 4) if scale == 1 or min(width, height) * scale <= SHORT_SIDE)


def default_output(film: Film, codec: str) -> Path:
    """NAME.enhanced.EXT beside the input."""
    return film.path.with_name(f"{film.path.stem}.enhanced{output_suffix(film, codec)}")


def checked_output(output: Path, film: Film, settings: Enhance) -> Path:
    output = Path(os.path.abspath(output))  # noqa: PTH100  (links are kept: a link is what the user named)
    if output.exists() and output.samefile(film.path):
        raise OutputError(f"the output {output} is the input; choose another name with -o")
    if output.is_dir() or (output.exists() and not output.is_file()):
        raise OutputError(f"the output {output} exists and is not a file; choose another name with -o")
    if output.exists() and not settings.overwrite:
        raise OutputError(f"the output {output} exists; give --overwrite to replace it")
    if not output.parent.is_dir():
        raise OutputError(f"the folder {output.parent} does not exist; create it first")
    if not os.access(output.parent, os.W_OK | os.X_OK):
        raise OutputError(f"the folder {output.parent} cannot be written to; choose another with -o")
    return output


def plan(source: Path, output: Path | None, settings: Enhance, model: Model) -> Plan:
    """Probe the film and settle every choice; writes nothing. Raises InputError or OutputError.

    `output` is a file, a folder that gets the default name, or None for that name beside the input.
    """
    film = probe(source)
    wanted = settings.render.scale
    scale = auto_scale(film.width, film.height) if wanted == "auto" else int(wanted)
    codec = settings.encode.codec
    usual = default_output(film, codec)
    named = output / usual.name if output is not None and output.is_dir() else output
    target = checked_output(named or usual, film, settings)
    check_codec(codec, target.suffix)
    passages(film, target.suffix)  # an output that cannot hold the sound is better known now than in the morning
    require_encoder(codec)
    return Plan(film, target, settings, scale, model)


def output_spec(work: Plan) -> Output:
    """How the output's picture is stored: the input's properties at the output's size."""
    return Output.of(work.film, work.settings.encode, work.scale)
