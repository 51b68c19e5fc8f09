"""What a film's headers do not say: its first frames, and samples of its fields, are looked at."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from vidsr.errors import InputError, RefusedError
from vidsr.video.ffprobe import Answer, ask
from vidsr.video.probe import Film, with_light
from vidsr.video.process import GLOBAL, SAFE, local, run

PACKETS = 16
PREDICTED = ("P", "B", "S")
"""Kinds of pictures that cannot be decoded without others, as ffprobe names them."""
SAMPLES, SAMPLE_FRAMES = 3, 50
LONG_S = 20
"""Films up to this length are sampled at their beginning only."""
TALLEST = 1088
"""Pixels: no standard has interlaced film that is higher."""
SHORTEST = 400
"""Pixels: nor film that is lower, so that a small picture combs by its fine patterns alone."""
FEWEST = 6
"""Frames that must comb before flags are overruled."""
COMBED = 0.5
"""The share of frames, of those that show motion, from which on it is interlaced: fine patterns seem to comb."""
REPEATED = (0.2, 0.6)
"""The share of frames that repeat a field where film was spread over the fields of video: two in five."""
VIDEO_RATES = (Fraction(29), Fraction(31))


def looked_at(film: Film, deinterlace: str = "auto", ignore_dolby_vision: bool = False) -> Film:
    """The film with all that its first frames tell, to be read as `deinterlace` says; see `Film.deinterlace`.

    RefusedError for Dolby Vision of profile 5, whose colours nobody but its own players can show.
    """
    if film.dolby_vision == 5 and not ignore_dolby_vision:
        raise RefusedError(
            f"{film.path} is Dolby Vision of profile 5: without its own metadata, which cannot be kept, its colours "
            "are wrong; --ignore-dolby-vision enhances it all the same"
        )
    frames, keys = _first_frames(film)
    film = replace(film, seekable=not (keys and any(frame.text("pict_type") in PREDICTED for frame in frames)))
    film = with_light(film, [data for frame in frames for data in frame.many("side_data_list")])
    stereo = next((name for frame in frames if (name := frame.one("tags").text("stereo_mode"))), film.tags.stereo)
    film = replace(film, tags=replace(film.tags, stereo=stereo if stereo != "mono" else None))
    return _with_fields(film, frames, deinterlace)


def _first_frames(film: Film) -> tuple[list[Answer], bool]:
    """The first frames, and whether the file calls all of their packets keyframes."""
    words = ["-select_streams", str(film.index), "-read_intervals", f"%+#{PACKETS}", "-show_packets", "-show_frames"]
    try:
        found = ask(words, film.path).many("packets_and_frames")
    except InputError:
        return [], False  # the reader will say what is wrong with it
    packets, frames = ([one for one in found if one.text("type") == kind] for kind in ("packet", "frame"))
    return frames, all((packet.text("flags") or "").startswith("K") for packet in packets)


def _with_fields(film: Film, frames: Sequence[Answer], deinterlace: str) -> Film:
    order = _order(film, frames)
    looked = order is not None or SHORTEST <= film.height <= TALLEST
    seen, is_whole, repeats = _fields(film) if looked else (None, False, False)
    asked = deinterlace in ("frame", "field", "ivtc")
    if seen is None and ((is_whole or order is None) and not asked):
        return film
    telecine = seen is not None and repeats and VIDEO_RATES[0] < film.rate < VIDEO_RATES[1]
    # Files have been seen whose flags are wrong in both directions.
    return fielded(film, seen or order or "tff", telecine, deinterlace)


def _order(film: Film, frames: Sequence[Answer]) -> str | None:
    """The order of fields by the flags of the first frames, or else of the stream; None for whole frames."""
    top = [frame.flag("top_field_first") for frame in frames if frame.flag("interlaced_frame")]
    if len(top) * 2 > len(frames):
        return "tff" if sum(top) * 2 >= len(top) else "bff"
    return {"tt": "tff", "tb": "tff", "bb": "bff", "bt": "bff"}.get(film.field_order or "") if not frames else None


def _fields(film: Film) -> tuple[str | None, bool, bool]:
    """What ffmpeg's `idet` says of samples of the film: the order of its fields, None unless it is interlaced beyond
    doubt; whether its frames are whole pictures beyond doubt; whether some two frames of five repeat a field."""
    long = (film.duration_s or 0.0) > LONG_S
    places = [(film.duration_s or 0.0) * (n + 0.5) / SAMPLES for n in range(SAMPLES)] if long else [0.0]
    found: Counter[str] = Counter()
    for place in places:
        seek = ["-ss", f"{place:.3f}"] if place else []
        words = ["-i", local(film.path), "-map", f"0:{film.index}", "-frames:v", str(SAMPLE_FRAMES)]
        words += ["-vf", "idet,metadata=print:file=-", "-f", "null", "-"]
        _, output, _ = run(["ffmpeg", *GLOBAL, "-loglevel", "error", *SAFE, *seek, *words])
        told = output.decode("ascii", "replace")
        found.update(re.findall(r"^lavfi\.idet\.(?:multiple|repeated)\.current_frame=(\w+)", told, re.MULTILINE))
    least, most = sorted((found["tff"], found["bff"]))
    whole, repeated = found["progressive"], found["top"] + found["bottom"]
    repeats = REPEATED[0] < repeated / max(1, repeated + found["neither"]) < REPEATED[1]
    combs = most >= FEWEST and most > 3 * least and most >= (0.3 if repeats else COMBED) * (most + least + whole)
    order = "tff" if found["tff"] >= found["bff"] else "bff"
    return order if combs else None, whole >= 2 * FEWEST and whole > 9 * (most + least), repeats


def fielded(film: Film, order: str, telecine: bool, deinterlace: str) -> Film:
    """An interlaced film, to be read as `deinterlace` says, with a sentence on what that means."""
    how = "top" if order == "tff" else "bottom"
    what = f"The film is {'telecined, 24 frames in 30' if telecine else 'interlaced'} ({how} field first): "
    film = replace(film, fields=order)
    if deinterlace == "off" or film.rotation % 180:
        why = "it is turned, and" if film.rotation % 180 else "as asked,"
        return replace(
            film, warnings=(*film.warnings, f"{what}{why} it is handled as it is; faces are passed through.")
        )
    mode = ("match" if telecine else "frame") if deinterlace == "auto" else deinterlace
    said = {
        "match": "its fields are put together as they were shot; --deinterlace ivtc drops the doubled frames, too.",
        "frame": "each frame is made whole from its fields, and faces are restored in that.",
        "field": "each field becomes a frame of its own, at twice the rate, and faces are restored in these.",
        "ivtc": "its 24 frames are put together again, without the doubled ones.",
    }[mode]
    kept = " Outside of faces, the picture is the deinterlaced one."
    film = replace(film, deinterlace=mode, warnings=(*film.warnings, what + said + kept))
    if mode == "field":
        return replace(film, time_base=film.time_base / 2, rate=film.rate * 2)
    return replace(film, rate=film.rate * 4 / 5) if mode == "ivtc" else film
