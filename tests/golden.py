"""Golden crops: what each shipped model made of one face when it was shipped.

    python -m tests.golden

writes them anew, after a model was trained; look at them before they are committed.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from tests.faces import portrait
from vidsr.data.faces import Images
from vidsr.evaluate.stills import still_restorer
from vidsr.networks import model_file, store

FOLDER = Path(__file__).parent / "golden"
SIDE = 32


def small() -> Images:
    """The face of NASA's portrait at 32 pixels."""
    return np.asarray(cv2.resize(portrait()[44:172, 158:286], (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def restored(name: str) -> NDArray[np.uint8]:
    return still_restorer(model_file.load(name).network, torch.device("cpu"))(small())


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in store.shipped():
        cv2.imwrite(str(FOLDER / f"{name}.png"), restored(name)[..., ::-1])


if __name__ == "__main__":
    main()
