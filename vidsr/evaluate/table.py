"""The tables of `vidsr evaluate video`: a line for each row, and the means over clips with a column for each coding."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict

from vidsr.evaluate.videos import NETWORK, PIPELINE, PLAIN, Row, means

LEAST = 0.01  # dB: of a smaller gain there is no share
Cell = Callable[[Row, Row], float]
"""A number of a row, beside the plain enlargement's row."""


def _gain(row: Row, plain: Row) -> float:
    return row.psnr_y - plain.psnr_y


COLUMNS: tuple[tuple[str, str, Cell], ...] = (
    ("PSNR-Y gain, dB", "+.2f", _gain),
    ("LPIPS, times plain's", ".2f", lambda row, plain: row.lpips / plain.lpips),
    ("identity distance (dlib), times plain's", ".2f", lambda row, plain: row.distance / plain.distance),
    ("identity (MobileFaceNet)", ".3f", lambda row, _: row.identity),
    ("flicker", ".3f", lambda row, _: row.flicker),
    ("jitter", ".3f", lambda row, _: row.jitter),
    ("warping", ".3f", lambda row, _: row.warping),
)
"""The measures that are shown where they were taken: label, format, number."""
PLAINLY: tuple[tuple[str, str, Cell], ...] = (
    ("PSNR-Y, dB", ".2f", lambda row, _: row.psnr_y),
    ("LPIPS", ".3f", lambda row, _: row.lpips),
    ("identity distance (dlib)", ".3f", lambda row, _: row.distance),
    *COLUMNS[3:],
)
"""Those of the plain enlargement itself."""


def beside_plain(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Each row with the plain enlargement's of its clip and coding; with itself where there is none."""
    found = {(row.clip, row.coding): row for row in rows if row.way == PLAIN}
    return [(row, found.get((row.clip, row.coding), row)) for row in rows]


def line(row: Row, plain: Row) -> str:
    """One row: what was shown, and its numbers."""
    cells = PLAINLY if row is plain else COLUMNS
    numbers = [(label, layout, cell(row, plain)) for label, layout, cell in cells]
    told = [f"{label} {value:{layout}}" for label, layout, value in numbers if math.isfinite(value)]
    return f"{row.clip:24} {row.coding:12} {row.model} {row.way}: {'; '.join(told)}"


def summary(rows: Sequence[Row]) -> list[str]:
    """Means over clips: for each model, way and measure a line with a column for each coding."""
    pairs = beside_plain(means(rows))
    names = list(dict.fromkeys(row.coding for row, _ in pairs))
    clips = len({row.clip for row in rows})
    found = [f"{f'mean of {clips} clips':78}" + "".join(f"{name:>14}" for name in names)]
    kept = {(row.model, row.coding): _gain(row, plain) for row, plain in pairs if row.way == NETWORK}
    for model, way in dict.fromkeys((row.model, row.way) for row, _ in pairs):
        same = [(row, plain) for row, plain in pairs if (row.model, row.way) == (model, way)]
        cells = PLAINLY if way == PLAIN else COLUMNS
        for label, layout, cell in cells:
            found += _told(f"{model} {way}: {label}", layout, [cell(row, plain) for row, plain in same])
        if way == PIPELINE:
            gains = [(_gain(row, plain), kept.get((model, row.coding), 0.0)) for row, plain in same]
            shares = [gain / of if of > LEAST else math.nan for gain, of in gains]
            found += _told(f"{model} {way}: share of the network's gain", ".0%", shares)
    return found


def _told(label: str, layout: str, values: Sequence[float]) -> list[str]:
    if not any(math.isfinite(value) for value in values):
        return []
    return [f"{label:78}" + "".join(f"{format(value, layout):>14}" for value in values)]


def plain_rows(rows: Sequence[Row]) -> list[dict[str, str | float]]:
    """The rows and their means as plain values, for JSON; `gain` is that over the plain enlargement, dB."""
    return [asdict(row) | {"gain": _gain(row, plain)} for row, plain in beside_plain([*rows, *means(rows)])]
