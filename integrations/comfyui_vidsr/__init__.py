"""ComfyUI: a node that restores the faces in the images of a film."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidsr import enhance
from vidsr.config import BALANCE, SCALES
from vidsr.jobs.events import Progress


class VidsrEnhance:
    """Images `(B, H, W, 3)`, float 0..1, in the order of the film -> the same, `H` and `W` times `scale`."""

    CATEGORY = "video"
    FUNCTION = "restore"
    RETURN_TYPES = ("IMAGE",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """What ComfyUI asks a node for."""
        return {
            "required": {
                "images": ("IMAGE",),
                "fps": ("FLOAT", {"default": 25.0, "min": 1.0, "max": 1000.0, "step": 0.001}),
                "scale": (list(SCALES), {"default": "1"}),
                "fidelity": ("FLOAT", {"default": BALANCE, "min": 0.0, "max": 1.0, "step": 0.05}),
            }
        }

    def restore(
        self, images: torch.Tensor, fps: float, scale: str = "1", fidelity: float = BALANCE
    ) -> tuple[torch.Tensor]:
        """Restore; what stops ComfyUI's queue stops this too."""
        with tempfile.TemporaryDirectory(prefix="vidsr-comfy-") as folder:
            film, made = Path(folder, "film.mkv"), Path(folder, "made.mkv")
            _write(images, fps, film)
            enhance(film, made, scale=scale, fidelity=fidelity, codec="ffv1", quiet=True, progress=_heard)
            factor = max(1, round(_height(made) / images.shape[1]))
            return (_read(made, images.shape[1] * factor, images.shape[2] * factor),)


def _heard(_: Progress) -> None:
    try:
        from comfy.model_management import throw_exception_if_processing_interrupted
    except ImportError:
        return
    throw_exception_if_processing_interrupted()


COLOURS = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"]


def _write(images: torch.Tensor, fps: float, film: Path) -> None:
    samples = (images.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    size = f"{images.shape[2]}x{images.shape[1]}"
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", f"{fps:g}", "-i", "-"]
    coded = ["-vf", "scale=out_color_matrix=bt709:out_range=tv", "-pix_fmt", "yuv444p", *COLOURS, "-c:v", "ffv1"]
    subprocess.run(["ffmpeg", "-v", "error", *raw, *coded, f"file:{film}"], input=samples.tobytes(), check=True)


def _height(film: Path) -> int:
    words = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=height", "-of", "csv=p=0"]
    found = subprocess.run([*words, f"file:{film}"], capture_output=True, text=True, check=True)
    return int(found.stdout.split()[0].strip(","))


def _read(film: Path, height: int, width: int) -> torch.Tensor:
    words = ["ffmpeg", "-v", "error", "-i", f"file:{film}", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(words, capture_output=True, check=True).stdout
    samples = np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)
    return torch.from_numpy(samples.astype(np.float32) / 255)


NODE_CLASS_MAPPINGS = {"VidsrEnhance": VidsrEnhance}
NODE_DISPLAY_NAME_MAPPINGS = {"VidsrEnhance": "Restore faces in film (vidsr)"}
