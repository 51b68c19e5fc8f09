"""A training's log: a CSV, a plot of its curves, a picture of what the network makes now, and TensorBoard."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from vidsr.data.faces import Images

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


@dataclass(frozen=True)
class Progress:
    """One line of the training's log."""

    step: int
    seconds: float
    rate: float
    loss: float
    psnr_y: float | None
    bicubic_psnr_y: float | None

    def __str__(self) -> str:
        line = f"step {self.step}, {self.seconds:.0f} s: loss {self.loss:.5f}, rate {self.rate:.2g}"
        if self.psnr_y is None or self.bicubic_psnr_y is None:
            return line
        return f"{line}, PSNR-Y {self.psnr_y:.2f} dB (bicubic {self.bicubic_psnr_y:.2f})"


def grid(rows: Sequence[Sequence[Images]]) -> Images:
    """Pictures `(h, w, 3)` in rows as one picture; smaller ones are enlarged without smoothing."""
    height, width = rows[-1][-1].shape[:2]
    same = [[cv2.resize(p, (width, height), interpolation=cv2.INTER_NEAREST) for p in row] for row in rows]
    return np.vstack([np.hstack(row) for row in same]).astype(np.uint8)


class TrainingLog:
    """Written beside a model: `MODEL.csv`, `MODEL.curve.png`, `MODEL.faces.png`, and TensorBoard's `MODEL.runs/`.

    The plot needs matplotlib and the last needs tensorboard (both in the extra `train`); without them they are left
    out.
    """

    def __init__(self, model: Path) -> None:
        self._model = model
        self._plots = find_spec("matplotlib") is not None
        self._board: SummaryWriter | None = None
        with suppress(ImportError):
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(model.with_suffix(".runs")))

    def close(self) -> None:
        if self._board is not None:
            self._board.close()

    def write(self, progress: Progress, faces: Images | None) -> None:
        """Add a line, and draw everything anew; `faces (h, w, 3)` shows what the network makes."""
        row, log = asdict(progress), self._model.with_suffix(".csv")
        fresh = not log.exists()
        with log.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if fresh:
                writer.writeheader()
            writer.writerow(row)
        if faces is not None:
            cv2.imwrite(str(self._model.with_suffix(".faces.png")), faces[..., ::-1])
        if self._board is not None:
            for name in ("loss", "rate", "psnr_y"):
                if row[name] is not None:
                    self._board.add_scalar(name, row[name], progress.step)
            if faces is not None:
                self._board.add_image("faces", faces, progress.step, dataformats="HWC")
        if self._plots:
            plot(log, self._model.with_suffix(".curve.png"))


def plot(log: Path, picture: Path) -> None:
    """Draw the curves of a log's CSV: the loss, and PSNR-Y beside bicubic's where it was measured."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["step"]) for row in rows]
    figure = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left = figure.add_subplot(1, 2, 1, xlabel="step", ylabel="loss")
    left.plot(steps, [float(row["loss"]) for row in rows])
    measured = [row for row in rows if row["psnr_y"]]
    if measured:
        right = figure.add_subplot(1, 2, 2, xlabel="step", ylabel="PSNR-Y, dB")
        for name, label in (("psnr_y", "this model"), ("bicubic_psnr_y", "bicubic")):
            right.plot([int(r["step"]) for r in measured], [float(r[name]) for r in measured], label=label)
        right.legend()
    figure.savefig(str(picture))
