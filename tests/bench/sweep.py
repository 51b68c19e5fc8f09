"""Every colour name and order of fields that ffprobe prints, and every codec of sound and subtitles that ffmpeg
writes, into every container.

    python -m tests.bench.sweep [--only colours|fields|sound|subtitles] [--match EXPRESSION]
        [--containers .mp4,.mkv]

Each is kept, losslessly converted, named as lost, left out with a sentence, or refused before the work; a film that
fails at its very end fails the bench. Prints a table, a row a value or codec, a column a container.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.clips import SUBTITLES, bitmap_subtitle
from tests.odd import made, planned
from vidsr.config import Encode
from vidsr.errors import RefusedError, VidsrError
from vidsr.video.probe import probe_streams

CONTAINERS = (".mp4", ".mov", ".mkv", ".webm")
TAGS = ("range", "space", "primaries", "transfer", "chroma_location")
USUAL = {"range": "tv"}
"""What a file means that says nothing."""
LOCATIONS = ("left", "center", "topleft", "top", "bottomleft", "bottom")
PICTURE = ["-f", "lavfi", "-i", "testsrc2=s=96x64:r=25,trim=end_frame=4"]
CODED = ["-c:v", "ffv1", "-pix_fmt", "yuv420p"]
SOUND = ["-f", "lavfi", "-i", "sine=440:d=0.3:r={rate}", "-ac", "{channels}"]
HOLDS_ALL = (".mkv", ".mov", ".nut", ".avi", ".asf", ".mxf", ".vob", ".m2ts", ".ts")
"""Containers that are tried, one after the other, for a source with a codec."""

PRIMARIES = [
    *("bt709", "unknown", "reserved", "bt470m", "bt470bg", "smpte170m", "smpte240m", "film", "bt2020", "smpte428"),
    *("smpte431", "smpte432"),
]
TRANSFERS = [
    *("bt709", "unknown", "reserved", "bt470m", "bt470bg", "smpte170m", "smpte240m", "linear", "log100", "log316"),
    *("iec61966-2-4", "bt1361e", "iec61966-2-1", "bt2020-10", "bt2020-12", "smpte2084", "smpte428", "arib-std-b67"),
]
MATRICES = [
    *("bt709", "unknown", "reserved", "fcc", "bt470bg", "smpte170m", "smpte240m", "ycgco", "bt2020nc", "bt2020c"),
    *("smpte2085", "chroma-derived-nc", "chroma-derived-c", "ictcp"),
]
NUMBERS = {
    "color_primaries": {name: n for n, name in enumerate(PRIMARIES, 1)} | {"ebu3213": 22},
    "color_trc": {name: n for n, name in enumerate(TRANSFERS, 1)},
    "colorspace": {name: n for n, name in enumerate(MATRICES, 1)} | {"gbr": 0},
}
"""ITU-T H.273's numbers for ffprobe's names."""


def colours(folder: Path, match: str = "") -> Iterator[tuple[str, Path]]:
    """A film for each value of each colour option."""
    values = [(option, name, str(number)) for option, names in NUMBERS.items() for name, number in names.items()]
    values += [("color_range", name, name) for name in ("tv", "pc")]
    values += [("chroma_sample_location", name, name) for name in LOCATIONS]
    for option, name, value in values:
        if not re.search(match, name):
            continue
        path = folder / f"{option} {name}.mkv"
        yield f"{option} {name}", path if written(path, [*PICTURE, *CODED, f"-{option}", value]) else Path()


def fields(folder: Path, match: str = "") -> Iterator[tuple[str, Path]]:
    """A film for each order of fields that ffprobe prints."""
    for name in filter(re.compile(match).search, ("progressive", "tt", "bb", "tb", "bt")):
        path = folder / f"fields {name}.mkv"
        ok = written(path, [*PICTURE, "-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-field_order", name])
        yield f"field_order {name}", path if ok else Path()


def sounds(folder: Path, match: str = "") -> Iterator[tuple[str, Path]]:
    """A film for each codec of sound."""
    for codec in filter(re.compile(match).search, encoders("A")):
        yield codec, source(folder, codec, ["-c:a", codec, "-strict", "-2"])


def source(folder: Path, codec: str, coded: list[str]) -> Path:
    """A film with a sound of this codec in the first container that takes it."""
    for rate, channels in ((48000, 2), (44100, 1), (8000, 1), (16000, 1), (48000, 6)):
        sound = [word.format(rate=rate, channels=channels) for word in SOUND]
        for suffix in HOLDS_ALL:
            path = folder / f"{codec}{suffix}"
            if written(path, [*PICTURE, *sound, "-c:v", "mpeg2video", *coded]) and is_known(path, "audio"):
                return path
    return Path()


def subtitles(folder: Path, match: str = "") -> Iterator[tuple[str, Path]]:
    """A film for each codec of text, and of pictures of text."""
    words = folder / "words.srt"
    words.write_text(SUBTITLES)
    bitmap = bitmap_subtitle(folder / "words.sup")
    for codec in filter(re.compile(match).search, ["hdmv_pgs", *encoders("S")]):
        inputs = bitmap if codec in ("hdmv_pgs", "dvbsub", "dvdsub", "xsub") else words
        for suffix in (".mkv", ".mp4", ".webm", ".ts", ".avi"):
            path = folder / f"{codec}{suffix}"
            video = ["-c:v", {".webm": "libvpx-vp9", ".ts": "mpeg2video"}.get(suffix, "mpeg4")]
            coded = ["-c:s", "copy" if codec == "hdmv_pgs" else codec]
            if written(path, [*PICTURE, "-i", str(inputs), *video, *coded]) and is_known(path, "subtitle"):
                yield codec, path
                break
        else:
            yield codec, Path()


def encoders(kind: str) -> list[str]:
    told = subprocess.run(["ffmpeg", "-v", "quiet", "-encoders"], capture_output=True, text=True, check=True).stdout
    return re.findall(rf"^ {kind}[.FSXBD]{{5}} (\w+)", told, re.MULTILINE)


def written(path: Path, words: list[str]) -> bool:
    run = subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *words, path], capture_output=True, check=False)
    if run.returncode:
        path.unlink(missing_ok=True)
    return run.returncode == 0


def is_known(path: Path, kind: str) -> bool:
    """Whether a file has a stream of this kind that is read back as one: some muxers take what no reader knows."""
    return any(one.kind == kind and one.codec != "unknown" for one in probe_streams(path))


def outcome(path: Path, output: Path) -> str:
    """What becomes of a film on its way into a container."""
    encode = Encode("libsvtav1", preset="12") if output.suffix == ".webm" else Encode("libx264", preset="ultrafast")
    try:
        work = planned(path, output, encode)
    except RefusedError:
        return "refused"
    except VidsrError as error:
        return f"no film ({error})"[:40]
    try:
        found = made(path, work.output, encode)
    except VidsrError as error:
        return f"FAILED {error} {error.details}"[:200]
    tags = (work.film.tags, found.film.tags)
    lost = [name for name in TAGS if getattr(tags[0], name) not in (None, getattr(tags[1], name), USUAL.get(name))]
    notes = " ".join(found.notes)
    if lost:
        return "named" if f"tag {lost[0]}" in notes else f"{lost[0]} lost"
    return "converted" if "written" in notes else "left out" if "left out" in notes else "kept"


def main() -> None:
    """Sweep."""
    parser = argparse.ArgumentParser()
    kinds = {"colours": colours, "fields": fields, "sound": sounds, "subtitles": subtitles}
    parser.add_argument("--only", choices=kinds)
    parser.add_argument("--match", default="", help="only values and codecs in whose names this expression is found")
    parser.add_argument("--containers", default=",".join(CONTAINERS))
    given = parser.parse_args()
    columns, failed = given.containers.split(","), False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"{'':32} " + " ".join(f"{suffix:10}" for suffix in columns), flush=True)
        for kind in [given.only] if given.only else kinds:
            for what, path in kinds[kind](folder, given.match):
                if path == Path():
                    print(f"{what:32} cannot be made", flush=True)
                    continue
                found = [outcome(path, folder / f"out{suffix}") for suffix in columns]
                failed = failed or any(one.startswith("FAILED") for one in found)
                print(f"{what:32} " + " ".join(f"{one:10}" for one in found), flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
