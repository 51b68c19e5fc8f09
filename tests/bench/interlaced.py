"""Faces of interlaced film beside those of the same film that was never interlaced.

    python -m tests.bench.interlaced CLIP... [--frames 20] [--pictures FOLDER]

A sharp clip is shown at twice its rate, reduced by 4 and laid over a larger moving picture; its frames become the
fields of a film of PAL (576 lines, 25 frames) or NTSC (480, 29.97), either field first, flagged right, wrong or not at
all. Each is enhanced at twice its size, and its face compared with the clip reduced by 2: PSNR of luma, dB, the median
over frames. `progressive` is the film of every second frame, of which nothing was interlaced.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from vidsr.api import enhance
from vidsr.config import Enhance
from vidsr.frame import Frame, Track
from vidsr.jobs.events import Meter
from vidsr.jobs.passes import analyze_film
from vidsr.picture import png, small_rgb
from vidsr.video import Reader, probe

STANDARDS = {"pal": ("720x576", "50"), "ntsc": ("720x480", "60000/1001")}
PLACE = 16
"""Where the clip lies in the film, pixels from its upper left corner."""
MOST_LOST_DB = 1.0
"""How much lower the PSNR in the face may be than the progressive run's."""
EDGE = 4
"""Frames at either end that are not compared: a track fades in and out there."""


def ffmpeg(*words: object) -> None:
    """Run ffmpeg; CalledProcessError where it fails."""
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, words)], check=True)


def film(clip: Path, path: Path, standard: str, frames: int, made: str, flags: str) -> Path:
    """The clip as a film: `made` is "progressive", "top" or "bottom" (the field that comes first)."""
    size, rate = STANDARDS[standard]
    small = f"[1:v]setpts=N/({rate})/TB,fps={rate},scale=iw/4/4*4:ih/4/4*4:flags=area[small]"
    joined = f"{small};[0:v][small]overlay={PLACE}:{PLACE}:shortest=1,trim=end_frame={2 * frames}"
    last = "framestep=2" if made == "progressive" else f"tinterlace=interleave_{made}"
    told = {"right": made, "wrong": {"top": "bottom", "bottom": "top"}.get(made, ""), "none": ""}[flags]
    field = {"top": "tff", "bottom": "bff"}.get(told, "prog")
    coded = ["-flags", "+ildct+ilme"] if field != "prog" else []
    back = ["-f", "lavfi", "-i", f"testsrc2=s={size}:r={rate},gblur=3"]
    graph = f"{joined},{last},format=yuv420p,setfield={field}"
    ffmpeg(*back, "-i", clip, "-filter_complex", graph, "-c:v", "libx264", "-crf", 14, *coded, path)
    return path


def truth(clip: Path, path: Path, frames: int) -> Path:
    """The clip at half its size: the frames that are there when each first field is."""
    half = f"framestep=2,trim=end_frame={frames},scale=iw/4/4*8:ih/4/4*8:flags=area,format=yuv420p"
    ffmpeg("-i", clip, "-vf", half, "-c:v", "ffv1", path)
    return path


def read(path: Path) -> list[Frame]:
    with Reader(probe(path)) as reader:
        return list(reader)


def face_of(path: Path) -> Track:
    """The largest face of a film."""
    analysis, _ = analyze_film(probe(path), Enhance(), Meter())
    return max(analysis.tracks, key=lambda track: len(track) * track.height)


def psnr(made: list[Frame], true: list[Frame], face: Track) -> float:
    """In the face's box, luma, dB, the median over frames."""
    found = []
    for n in range(max(EDGE, face.first), min(len(true) - EDGE, face.stop)):
        left, top, right, bottom = (max(0, int(value)) for value in face.boxes[n - face.first])
        face_shown = made[n].luma[2 * PLACE :, 2 * PLACE :][top:bottom, left:right].astype(float)
        found.append(10 * np.log10(255**2 / np.mean((face_shown - true[n].luma[top:bottom, left:right]) ** 2)))
    return float(np.median(found))


def kinds() -> list[tuple[str, str]]:
    """How a film may be made, and what its flags say."""
    interlaced = [(order, flags) for order in ("top", "bottom") for flags in ("right", "wrong", "none")]
    return [("progressive", "right"), *interlaced]


def shown(source: Path, made: str, pictures: Path | None, name: str) -> list[Frame]:
    """The film enhanced at twice its size; with `pictures`, its middle frame before and after lies there."""
    output, how = source.with_name("out.mkv"), "off" if made == "progressive" else "auto"
    enhance(source, output, scale=2, codec="ffv1", deinterlace=how, overwrite=True, quiet=True)
    if pictures is not None:
        pictures.mkdir(exist_ok=True)
        for what, path in (("in", source), ("out", output)):
            frames = read(path)
            frame = frames[len(frames) // 2]
            (pictures / f"{name} {what}.png").write_bytes(png(small_rgb(frame, probe(path), max(frame.luma.shape))))
    return read(output)


def main() -> None:
    """Measure; exit code 1 where an interlaced face is more than MOST_LOST_DB worse."""
    parser = argparse.ArgumentParser()
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--pictures", type=Path)
    given, failed = parser.parse_args(), False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for clip in given.clips:
            true = read(truth(clip, folder / "truth.mkv", given.frames))
            face = face_of(folder / "truth.mkv")
            for standard in STANDARDS:
                best = 0.0
                for made, flags in kinds():
                    source = film(clip, folder / "film.mkv", standard, given.frames, made, flags)
                    name = f"{clip.stem:12} {standard:5} {made:12} {flags:6}"
                    found = psnr(shown(source, made, given.pictures, name), true, face)
                    best = best or found
                    failed = failed or found < best - MOST_LOST_DB
                    print(f"{name} {found:6.2f} dB {found - best:+.2f}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
