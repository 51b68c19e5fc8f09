"""The command that makes a film again."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator

from vidsr.options import ANALYZE, ENCODE, ENHANCE, RENDER
from vidsr.plan import Plan

ONCE = ("overwrite", "work_dir", "keep_work")
"""What does not change the film."""


def command(work: Plan) -> tuple[str, ...]:
    """The words of `vidsr enhance` for this film: its names, and every setting that is not the default."""
    settings = work.settings
    words = ["vidsr", "enhance", os.fspath(work.film.path), "-o", os.fspath(work.output)]
    for part, names in (
        (settings.render, RENDER),
        (settings.analyze, ANALYZE),
        (settings.encode, ENCODE),
        (settings, ENHANCE),
    ):
        words += _changed(part, [name for name in names if name not in ONCE])
    return tuple(words)


def _changed(part: object, names: list[str]) -> Iterator[str]:
    for field in dataclasses.fields(part):  # type: ignore[arg-type]
        value = getattr(part, field.name)
        if field.name in names and value != field.default:
            yield f"--{field.name.replace('_', '-')}"
            if value is not True:
                yield str(value)
