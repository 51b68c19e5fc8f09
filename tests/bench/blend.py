"""What a face costs beside the network, and a frame that is enlarged: milliseconds on one thread.

    python -m tests.bench.blend [--device cuda]

By side of the crop, one face in a 1080p frame at `--scale 1`: cutting it out, the network (in `--precision auto`), what
is shown of it, the way back to the frame's planes, and the verdict, which every fifth frame pays.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np
import torch

from tests.bench.gpu import seconds
from tests.faces import frame_of, planes, portrait, track_of
from vidsr import weights
from vidsr.align import crops, cut
from vidsr.blend import Place, differences, enlarged, shown
from vidsr.config import CROP_SIZES
from vidsr.upscale import Restorer, pick_device, pick_dtype
from vidsr.verdict import verdicts

HEIGHT, WIDTH = 1080, 1920
STEPS = ("crop", "network", "shown", "way back", "verdict")


def costs(side: int, restorer: Restorer) -> list[float]:
    """Milliseconds of each of STEPS."""
    frame = frame_of(np.asarray(cv2.resize(portrait(), (WIDTH, HEIGHT)), np.uint8))
    track, lanes = track_of(1, (800.0, 450.0), float(side), angle=0.1), restorer.lanes
    place, weight = Place(planes(), (HEIGHT, WIDTH), lanes), torch.ones(1, device=restorer.device)
    (face,) = crops([cut(frame, track, side, planes())], planes(), lanes)
    clips = face.rgb.expand(1, restorer.window, -1, -1, -1).contiguous()
    added = restorer.added(clips)
    showing = shown(added)
    works = (
        lambda: crops([cut(frame, track, side, planes())], planes(), lanes),
        lambda: restorer.added(clips),
        lambda: shown(added),
        lambda: lanes.fetch([differences([face], showing, [1.0], place).luma]).open(),
        lambda: verdicts(showing, face.rgb[None], weight),
    )
    return [1000 * seconds(work, restorer.device, 3) for work in works]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    device = pick_device(parser.parse_args().device)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    restorer = Restorer(weights.open_model("vidsr_x4", None), device, pick_dtype("auto", device))
    print("side  " + "".join(f"{name:>10}" for name in STEPS))
    with torch.inference_mode():
        for side in CROP_SIZES:
            print(f"{side:4}  " + "".join(f"{cost:10.2f}" for cost in costs(side, restorer)), flush=True)
    small = frame_of(np.asarray(cv2.resize(portrait(), (1280, 720)), np.uint8))
    taken = seconds(lambda: enlarged(small, planes(2)), torch.device("cpu"), 3)
    print(f"a frame of 1280x720 enlarged to 2560x1440: {1000 * taken:.1f}")


if __name__ == "__main__":
    main()
