"""Frames of a film, each with the exact time stamp of the file, from any frame on."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import KW_ONLY, dataclass, field, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from vidsr.errors import InputError, VidsrError
from vidsr.frame import Frame
from vidsr.picture import reduced_size
from vidsr.video.decoder import Decode
from vidsr.video.pixels import planar
from vidsr.video.probe import Film
from vidsr.video.process import PATIENCE_S

SEEK_MARGINS_S = (0, 1, 5, 30)
"""How far before the first frame to seek, one after the other, until the time stamps agree with the timeline."""

WITHOUT_STAMPS = ("h264", "hevc", "m4v", "mpegvideo", "h263", "obu", "vc1", "cavsvideo", "dirac", "mjpeg")
"""Bare streams: their time stamps are counted from where reading began, so that a seek proves nothing."""

WITH_CLOCK_JUMPS = ("mpegts", "mpeg")
CLOCK_TOLERANCE_S = 0.25
"""In these the duration is measured on the clock of the file, so that a clock that was set back shows."""

SMALL_DISORDER = 8
"""Frames by which a pts may be out of order and still count as such, not as a clock that was set back."""


NEIGHBOURS = 8
"""Frames before the first one that deinterlacing must have seen for it to look as it does in a whole read."""


class _Disagreement(Exception):
    """What a seek brought is not what the timeline says."""


@dataclass(eq=False, repr=False)
class Reader:
    """Iterate the `Frame`s of `film` in presentation order, from `first` to before `stop`; a context manager.

    The planes are views of one buffer a frame, and `pts` is the file's own, in ticks of `film.time_base`. Where a frame
    has no pts, or one that does not increase, it is repaired (see `repair`) and counted in `repaired`. `rescaled` are
    the frames at which the picture changed its size or format, once the whole film was read.

    `timeline` holds the pts of all frames of the film, int64, as an earlier whole read gave them. With it, a range is
    reached by seeking and the pts of each frame is compared; where they differ, the seek is made earlier, and at last
    the film is decoded from its start. Without it, a range is always decoded from the start.

    Damage raises InputError after the last frame that could be decoded; with `keep_going` it is only told in `damage`.
    With a `timeline` it is not looked for again. A read that brings nothing for `patience_s` raises ToolError.

    With `side`, ffmpeg reduces the picture to that long side and to 8 bits before it is handed over: for a look at it.
    """

    film: Film
    _: KW_ONLY
    first: int = 0
    stop: int | None = None
    timeline: NDArray[np.int64] | None = None
    keep_going: bool = False
    patience_s: float = PATIENCE_S
    side: int | None = None
    damage: str | None = field(default=None, init=False)
    repaired: int = field(default=0, init=False)
    rescaled: list[int] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        whole = self.film
        if self.side is not None:
            width, height = reduced_size(whole.width, whole.height, self.side)
            pixels = planar(8, whole.pixels.shift_x, whole.pixels.shift_y)
            self.film = replace(whole, width=width, height=height, pixels=pixels)
        self._reduced = self.film != whole
        self._before = round(NEIGHBOURS / (whole.rate * whole.time_base)) if whole.deinterlace else 0
        self._closed = False
        self._run: Decode | None = None
        self._crash: VidsrError | None = None
        self._frames: Generator[Frame, None, None] | None = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End ffmpeg, from any thread; frames already given stay valid, and an iteration under way ends."""
        self._closed = True
        if self._run is not None:
            self._run.process.kill()
        if self._frames is not None:
            # Where another thread is inside it, it ends there by itself: its pipes have just broken.
            with suppress(ValueError):
                self._frames.close()

    def __iter__(self) -> Iterator[Frame]:
        self._frames = self._whole() if self.timeline is None else self._along(self.timeline)
        return self._frames

    @contextmanager
    def _decode(self, begin: int | None, seek_s: Fraction | None) -> Iterator[Decode]:
        run = Decode(self.film, begin, seek_s, self.patience_s, self._reduced)
        with run.process:
            self._run = run
            if self._closed:
                run.process.kill()
            try:
                yield run
            except _Disagreement:
                self._crash = run.process.crash()  # then the film is not to blame
                raise

    def _whole(self) -> Generator[Frame, None, None]:
        """Decode from the start; what is found there is the timeline."""
        previous, count = None, 0
        with self._decode(None, None) as run:
            for index, raw in enumerate(run.stamps()):
                if index == self.stop:
                    return
                pts = repair(raw, previous, self.film)
                if pts < 0:
                    raise InputError(
                        f"{self.film.path} shows its first frame before time 0, which segments cannot hold: "
                        "copy it with `ffmpeg -i FILM -c copy -avoid_negative_ts make_zero COPY.mkv` first."
                    )
                frame = run.picture(index, pts)
                if frame is None:
                    break
                self.repaired += pts != raw
                previous, count = pts, index + 1
                if index >= self.first:
                    yield frame
            if not self._closed:
                self.rescaled = run.began[1:]
                self._judge(run, count)

    def _judge(self, run: Decode, count: int) -> None:
        """At the end of the film: raise or note what ffmpeg complained of."""
        status = run.process.finish()
        path = self.film.path
        worst = run.complaints.worst or (f"ffmpeg ended with status {status}" if status else None)
        if count == 0:
            raise InputError(f"{path} has no frame that can be decoded.", run.process.last_lines)
        if worst is None:
            return
        self.damage = f"{path} is damaged or cut off: {count} frames of it can be decoded ({worst})."
        if not self.keep_going:
            raise InputError(f"{self.damage[:-1]}; --keep-going enhances these.", run.process.last_lines)

    def _along(self, timeline: NDArray[np.int64]) -> Generator[Frame, None, None]:
        """Take the range from the latest place that agrees with the timeline."""
        index = self.first
        for seek_s in self._places(timeline):
            if self._closed:
                return
            with suppress(_Disagreement):
                for frame in self._attempt(timeline, index, seek_s):
                    index = frame.index + 1
                    yield frame
                return
        if self._crash is not None:
            raise self._crash
        asked = ", with this --deinterlace" if self.film.fields else ""
        raise InputError(f"{self.film.path} is not what it was when it was analyzed: analyze it again{asked}.")

    def _places(self, timeline: NDArray[np.int64]) -> Iterator[Fraction | None]:
        """Where to begin decoding, seconds; None is the start of the film."""
        film = self.film
        if self.first < len(timeline) and _seekable(film, timeline):
            start_s, first_s = (int(timeline[index]) * film.time_base for index in (0, self.first))
            yield from (first_s - margin_s for margin_s in SEEK_MARGINS_S if first_s - margin_s > start_s)
        yield None

    def _attempt(self, timeline: NDArray[np.int64], first: int, seek_s: Fraction | None) -> Iterator[Frame]:
        """Frames from `first` on; _Disagreement where what is decoded is not what the timeline says."""
        stop = len(timeline) if self.stop is None else min(self.stop, len(timeline))
        if first >= stop:
            return
        begin = None if seek_s is None else int(timeline[first])
        with self._decode(begin, seek_s) as run:
            landed = None if begin is None else run.landing()
            if begin is not None and (landed is None or landed > begin - self._before):
                raise _Disagreement
            for index, raw in self._verified(run.stamps(), timeline, landed):
                sent = begin is None or (raw is not None and raw >= begin)
                if begin is not None and sent != (index >= first):
                    raise _Disagreement
                if sent:
                    frame = run.picture(index, int(timeline[index]))
                    if frame is None:
                        raise _Disagreement
                    if index >= first:
                        yield frame
                if index + 1 == stop:
                    return

    def _verified(
        self, stamps: Iterator[int | None], timeline: NDArray[np.int64], landed: int | None
    ) -> Iterator[tuple[int, int | None]]:
        """The index and raw pts of each decoded frame, from the start or from `landed` on, while they agree."""
        index = 0 if landed is None else -1
        for raw in stamps:
            if index < 0:
                if raw is None or (landed is not None and raw < landed):
                    continue
                index = int(np.searchsorted(timeline, raw))
            previous = int(timeline[index - 1]) if index else None
            if index == len(timeline) or repair(raw, previous, self.film) != timeline[index]:
                raise _Disagreement
            yield index, raw
            index += 1
        raise _Disagreement


def repair(raw: int | None, previous: int | None, film: Film) -> int:
    """The pts to use for a frame that the decoder gives as `raw`, after one that was given `previous`.

    A pts that increases is taken as it is. One that is only a little out of order becomes the tick after `previous`, so
    that the frames behind it keep theirs; a missing one, or one that jumps back, continues at the nominal rate.
    """
    step = max(1, round(1 / (film.rate * film.time_base)))
    if previous is None:
        return 0 if raw is None else raw
    if raw is not None and raw > previous:
        return raw
    near = raw is not None and previous - raw < SMALL_DISORDER * step
    return previous + (1 if near else step)


def _seekable(film: Film, timeline: NDArray[np.int64]) -> bool:
    """Whether a pts names one frame only, from which it can be decoded: not in bare streams, nor where a clock jumped
    back within the film, nor where frames were dropped."""
    if not film.seekable or film.container in WITHOUT_STAMPS or film.deinterlace == "ivtc":
        return False  # the latter as what goes depends on where it begins
    if film.container not in WITH_CLOCK_JUMPS or film.duration_s is None:
        return True
    start_s = next((s.start_s for s in film.streams if s.index == film.index and s.start_s is not None), film.start_s)
    end_s = float(int(timeline[-1]) * film.time_base + 1 / film.rate)
    return abs(end_s - start_s - float(film.shift_s) - film.duration_s) < CLOCK_TOLERANCE_S


NEAR = 100
"""Frames: those that lie closer to each other are reached by decoding on, not by a seek."""


def picked(film: Film, timeline: NDArray[np.int64], indices: Sequence[int]) -> Iterator[Frame]:
    """These frames of a film whose timeline is known, `indices` rising, with few seeks and little decoding."""
    far = np.flatnonzero(np.diff(indices) >= NEAR) + 1
    for group in (part.tolist() for part in np.split(np.array(indices, np.int64), far) if len(part)):
        with Reader(film, first=group[0], stop=group[-1] + 1, timeline=timeline, keep_going=True) as frames:
            yield from (frame for frame in frames if frame.index in group)
