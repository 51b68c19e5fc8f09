"""A trip through a real codec and back, for training data that looks like film."""

from __future__ import annotations

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from vidsr.errors import ToolError


def h264(frames: NDArray[np.uint8], crf: int, preset: str) -> NDArray[np.uint8]:
    """Code `(T, H, W, 3)` RGB as H.264 4:2:0 at quality `crf` and x264's `preset`, and decode it again; H, W even."""
    _, height, width, _ = frames.shape
    raw = {"format": "rawvideo", "pix_fmt": "rgb24", "video_size": (width, height), "framerate": 25}
    coded = {"format": "nut", "vcodec": "libx264", "crf": crf, "preset": preset, "pix_fmt": "yuv420p"}
    plain = {"format": "rawvideo", "pix_fmt": "rgb24", "sws_flags": "bicubic+accurate_rnd+full_chroma_int"}
    stream = _run(ffmpeg.input("pipe:", **raw).output("pipe:", **coded), np.ascontiguousarray(frames).tobytes())
    decoded = _run(ffmpeg.input("pipe:", format="nut").output("pipe:", **plain), stream)
    return np.frombuffer(decoded, np.uint8).reshape(frames.shape)


def _run(graph: ffmpeg.nodes.OutputStream, data: bytes) -> bytes:
    try:
        output: bytes = graph.run(input=data, capture_stdout=True, quiet=True)[0]
    except ffmpeg.Error as error:
        raise ToolError("ffmpeg could not code training frames", error.stderr.decode(errors="replace")) from error
    except FileNotFoundError as error:
        raise ToolError("ffmpeg is not on the PATH; install it (Debian: apt-get install ffmpeg)") from error
    return output
