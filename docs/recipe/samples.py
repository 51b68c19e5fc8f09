"""Training samples that are cut out of coded film as the pipeline cuts them: python -m docs.recipe.samples -h

A job codes one scene several times and writes, for each coding, `NAME_SIDE_c.npy (K, T, s, s, 3)`, the network's
windows, and `NAME_SIDE_t.npy (K, 4s, 4s, 3)`, their truths, uint8; `index.jsonl` tells what each is made of.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vidsr.analysis.alignment import CENTRE, to_square
from vidsr.color import Color
from vidsr.config import Enhance
from vidsr.frame import Frame, PixelFormat, Track
from vidsr.jobs.events import Meter
from vidsr.jobs.passes import analyze_film
from vidsr.picture import small_rgb
from vidsr.restore.crop import Place, Planes, crop_side, cut, window
from vidsr.video import Film, Reader, probe

Images = NDArray[np.uint8]
Rng = np.random.Generator

OFFSETS = (-7, -3, -1, 0, 1, 3, 7)
"""Frames of the network's window: spread, as errors of neighbouring frames are alike."""
KERNELS = {
    Image.Resampling.BICUBIC: 0.55,
    Image.Resampling.BOX: 0.17,
    Image.Resampling.LANCZOS: 0.18,
    Image.Resampling.BILINEAR: 0.10,
}
MOST_PIXELS = 1_300_000  # of a truth's frame
SHORTEST_TRACK, SMALLEST_FACE = 16, 150.0
FFMPEG = ["ffmpeg", "-v", "error", "-threads", "1"]
PLANES = Planes(PixelFormat("yuv420p", 8, 1, 1), Color("bt601", False, 8), True)


@dataclass(frozen=True)
class Scene:
    """A truth `(n, H, W, 3)`, and for each face the side of its crop and its middle in each frame, film pixels."""

    name: str
    truth: Images
    faces: Sequence[tuple[int, NDArray[np.float64]]]


def reduced(picture: Images, size: tuple[int, int], kernel: Image.Resampling = Image.Resampling.BICUBIC) -> Images:
    return np.asarray(Image.fromarray(picture).resize(size, kernel))


def coding(rng: Rng, pixels_s: float) -> tuple[list[str], str]:
    """ffmpeg's options for one of the codecs, and its name."""
    preset = str(rng.choice(["medium", "veryfast", "slow", "faster", "ultrafast"], p=[0.5, 0.2, 0.12, 0.12, 0.06]))

    def rate(low: float, high: float) -> int:
        return int(np.exp(rng.uniform(np.log(low), np.log(high))) * pixels_s)

    kind = rng.random()
    if kind < 0.70:
        crf = int(rng.integers(0, 19)) if rng.random() < 1 / 3 else int(rng.integers(18, 37))
        return ["-c:v", "libx264", "-crf", str(crf), "-preset", preset], f"x264 {crf}"
    if kind < 0.78:
        bits = rate(0.02, 0.3)
        return ["-c:v", "libx264", "-b:v", str(bits), "-preset", preset], f"x264 {bits}b"
    if kind < 0.86:
        crf = int(rng.integers(12, 36))
        return ["-c:v", "libx265", "-crf", str(crf), "-x265-params", "log-level=none"], f"x265 {crf}"
    if kind < 0.93:
        bits = rate(0.12, 0.8)
        return ["-c:v", "mpeg2video", "-b:v", str(bits), "-g", "15", "-bf", "2"], f"mpeg2 {bits}b"
    bits = rate(0.04, 0.4)
    return ["-c:v", "mpeg4", "-b:v", str(bits), "-g", "250", "-bf", str(rng.integers(0, 2))], f"mpeg4 {bits}b"


def filmed(truth: Images, rng: Rng) -> tuple[Images, str]:
    """The film before its codec, `(n, H / 4, W / 4, 3)`: reduced, some of it sharpened, noisy, or from JPEGs."""
    kernel = list(KERNELS)[int(rng.choice(len(KERNELS), p=list(KERNELS.values())))]
    size, note = (truth.shape[2] // 4, truth.shape[1] // 4), kernel.name
    small = np.stack([reduced(frame, size, kernel) for frame in truth])
    if rng.random() < 0.12:
        share = float(rng.uniform(0.2, 1.0))
        soft = np.stack([cv2.GaussianBlur(frame, (0, 0), 0.8) for frame in small])
        small, note = rounded(small + share * (small.astype(np.float32) - soft)), f"{note} sharpened"
    if rng.random() < 0.15:
        strength = float(rng.uniform(0.5, 5))
        grain = rng.normal(0, strength, (*small.shape[:3], 1)) + rng.normal(0, 0.4 * strength, small.shape)
        small, note = rounded(small + grain), f"{note} noise {strength:.1f}"
    if rng.random() < 0.06:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 95))]
        files = [cv2.imencode(".jpg", frame[..., ::-1], quality)[1] for frame in small]
        small = np.stack([np.asarray(cv2.imdecode(file, 1))[..., ::-1] for file in files])
    return small, note


def rounded(picture: NDArray[np.floating]) -> Images:
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def coded(film: Images, words: list[str]) -> list[Frame]:
    """The film coded as a whole in 4:2:0, and decoded again."""
    count, height, width, _ = film.shape
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", "25", "-i", "-"]
    scaler = ["-sws_flags", "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp", "-pix_fmt", "yuv420p"]
    data = np.ascontiguousarray(film).tobytes()
    stream = subprocess.run([*FFMPEG, *raw, *scaler, *words, "-f", "nut", "-"], input=data, capture_output=True).stdout
    plain = ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]
    back = subprocess.run([*FFMPEG, "-i", "-", *plain], input=stream, capture_output=True).stdout
    samples = np.frombuffer(back, np.uint8).reshape(-1, height * width * 3 // 2)
    if len(samples) != count:
        raise ValueError(f"{len(samples)} frames came back of {count}")
    luma = samples[:, : height * width].reshape(-1, height, width)
    chroma = samples[:, height * width :].reshape(-1, 2, height // 2, width // 2)
    return [Frame(n, n, *planes) for n, planes in enumerate(zip(luma, chroma, strict=True))]


def windows(frames: Sequence[Frame], scene: Scene, middles: Sequence[int], rng: Rng) -> dict[int, list[tuple]]:
    """By side: the network's windows `(T, s, s, 3)` around these frames, and their truths."""
    found: dict[int, list[tuple]] = {}
    height, width = frames[0].luma.shape
    for side, middle in scene.faces:
        side, off = min(side, height // 16 * 16, width // 16 * 16), rng.uniform(-4, 4, 2)
        for index in middles if side >= 32 else ():
            cuts = []
            for other in (min(max(index + step, 0), len(frames) - 1) for step in OFFSETS):
                x, y = (
                    int(np.clip(2 * round((centre - side / 2) / 2), 0, (length - side) // 2 * 2))
                    for centre, length in zip(middle[other] + off, (width, height), strict=True)
                )
                cuts.append(cut(frames[other], 0, Place(x, y, side, 1, 0, np.eye(2, 3, dtype=np.float32)), PLANES))
            place = cuts[OFFSETS.index(0)].place
            rows, columns = (slice(4 * corner, 4 * (corner + side)) for corner in (place.y, place.x))
            clip = rounded(255 * window(cuts[OFFSETS.index(0)], cuts).transpose(0, 2, 3, 1))
            found.setdefault(side, []).append((clip, scene.truth[index, rows, columns]))
    return found


def real(films: dict[Path, tuple[Film, tuple[Track, ...]]], rng: Rng) -> Scene | None:
    """A stretch of one of the films, its face at a drawn size."""
    path = list(films)[int(rng.integers(len(films)))]
    film, tracks = films[path]
    if not tracks:
        return None
    track = tracks[int(rng.integers(len(tracks)))]
    count = min(len(track), int(rng.choice([24, 32, 40])))
    first = track.first + int(rng.integers(0, len(track) - count + 1))
    with Reader(film, first=first, stop=first + count) as reader:
        frames = [small_rgb(frame, film, max(film.width, film.height)) for frame in reader]
    most = min(track.window, 600.0)
    least = min(170.0, 0.9 * most)
    wanted = float(np.exp(np.log(least) + np.log(most / least) * rng.random() ** 0.65))
    factor = max(1.0, track.window / wanted, (film.width * film.height / MOST_PIXELS) ** 0.5)
    size = (int(film.width / factor) // 8 * 8, int(film.height / factor) // 8 * 8)
    truth = np.stack([reduced(frame, size) for frame in frames])
    here = slice(first - track.first, first - track.first + len(frames))
    centre, side, _ = to_square(track.matrices[here])
    middle = np.stack([centre.real, centre.imag + (CENTRE[1] - 0.5) * side], 1) * size[0] / film.width / 4
    return Scene(path.stem, truth, [(crop_side(track.window * size[0] / film.width / 4), middle)])


def mosaic(stills: Sequence[Path], rng: Rng, columns: int = 3, count: int = 17) -> Scene:
    """Stills side by side, each turned, at a drawn size, and moving by fractions of a pixel."""
    tile = int(rng.choice([192, 256, 256, 320]))
    truth, faces = np.zeros((count, columns * tile, columns * tile, 3), np.uint8), []
    for n in range(columns * columns):
        picture = np.asarray(Image.open(stills[int(rng.integers(len(stills)))]).convert("RGB"))
        scale = min(1.0, float(rng.uniform(0.7, 1.25)) * tile / picture.shape[0])
        if scale < 0.75:
            side = round(picture.shape[0] * scale * 1.05)
            picture, scale = reduced(picture, (side, side)), 1 / 1.05
        reach = 0.0 if rng.random() < 0.25 else float(rng.choice([1, 4, 12, 24]))
        path = np.arange(count)[:, None] * rng.normal(0, reach / 6, 2)
        path = path + np.cumsum(rng.normal(0, reach / 14, (count, 2)), 0)
        path = np.clip(path - path[count // 2] + rng.uniform(-2, 2, 2), -0.3 * tile, 0.3 * tile)
        angles = np.clip(rng.normal(0, 18), -45, 45) + np.cumsum(rng.normal(0, reach / 60, count))
        y, x = n // columns * tile, n % columns * tile
        half = picture.shape[0] / 2
        for t in range(count):
            matrix = cv2.getRotationMatrix2D((half - 0.5, half - 0.5), float(angles[t]), scale)
            matrix[:, 2] += tile / 2 - half + path[t]
            moved = cv2.warpAffine(picture, matrix, (tile, tile), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
            truth[t, y : y + tile, x : x + tile] = moved
        faces.append((tile // 4 // 16 * 16, (np.array([x, y]) + tile / 2 + np.rint(path - path[count // 2])) / 4))
    return Scene("stills", truth, faces)


def save(scene: Scene, folder: Path, number: int, rng: Rng) -> int:
    """Code a scene some times and write its samples; how many they are."""
    if rng.random() < 0.08:
        gray = rounded(scene.truth @ np.array([0.299, 0.587, 0.114]))
        scene = Scene(scene.name, np.repeat(gray[..., None], 3, -1), scene.faces)
    total, count = 0, len(scene.truth)
    inner = np.arange(7, count - 7) if count > 14 else np.array([count // 2])
    for _ in range(4 if len(scene.faces) == 1 else 2):
        film, note = filmed(scene.truth, rng)
        words, name = coding(rng, film.shape[1] * film.shape[2] * 25)
        try:
            frames = coded(film, words)
        except ValueError:
            continue
        middles = rng.choice(inner, min(6 if len(scene.faces) == 1 else 2, len(inner)), replace=False)
        for side, pairs in windows(frames, scene, [int(m) for m in middles], rng).items():
            stem = f"{number:06d}{chr(97 + total % 26)}{total}_{side}"
            clips, truths = zip(*pairs, strict=True)
            np.save(folder / f"{stem}_t.npy", np.stack(truths))
            np.save(folder / f"{stem}_c.part.npy", np.stack(clips))
            (folder / f"{stem}_c.part.npy").rename(folder / f"{stem}_c.npy")  # only then it is read
            with (folder / "index.jsonl").open("a") as index:
                index.write(json.dumps({"file": stem, "of": scene.name, "film": note, "codec": name}) + "\n")
            total += len(pairs)
    return total


def main() -> None:
    """Make samples until stopped."""
    parser = argparse.ArgumentParser()
    parser.add_argument("films", type=Path)
    parser.add_argument("stills", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=1 << 30)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    films = {}
    for path in sorted(given.films.iterdir()):
        film = probe(path)
        tracks = analyze_film(film, Enhance(), Meter())[0].tracks
        large = (track for track in tracks if track.window >= SMALLEST_FACE and len(track) >= SHORTEST_TRACK)
        films[path] = film, tuple(large)
    stills = sorted(path for path in given.stills.iterdir() if path.suffix in (".jpg", ".png", ".webp"))
    total = 0
    for number in range(given.jobs):
        rng = np.random.default_rng([given.seed, number])
        scene = real(films, rng) if rng.random() < 0.6 else mosaic(stills, rng)
        if scene is not None and len(scene.truth) > 2:
            total += save(scene, given.output, number, rng)
            print(number, scene.name, total, flush=True)


if __name__ == "__main__":
    main()
