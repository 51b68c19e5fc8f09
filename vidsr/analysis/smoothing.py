"""Paths -> landmarks without saw-tooth, and matrices that hold a still head still and follow a fast one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vidsr.analysis.alignment import from_square, similarity, to_square
from vidsr.analysis.linking import Tracklet, Trail
from vidsr.frame import Floats

Reals = NDArray[np.float64]

TRUST_S = 0.3
"""Over this time the detector's errors are averaged out; the motion itself comes from flow."""
NOISE = 0.0015
"""Smallest noise that is assumed of a path, in units of the aligned square's side (and of its logarithm, and rad)."""
CAUTION = 2.5
"""How many times the noise a motion must be before smoothing gives way to it by half."""
PLAY = 0.006
"""So far, in the units of NOISE, the window may be from the smoothed path, so that a still head is held quite still."""
TRUNCATE = 3.0


def smoothed(values: Reals, sigma: float) -> Reals:
    """Gaussian along the first axis without lag; the ends are continued by odd reflection, so that a slope stays."""
    reach = int(np.ceil(TRUNCATE * sigma))
    if reach == 0 or len(values) < 2:
        return values
    reach_in = min(reach, len(values) - 1)
    padded = np.pad(values, ((reach_in, reach_in), (0, 0)), mode="reflect", reflect_type="odd")
    padded = np.pad(padded, ((reach - reach_in, reach - reach_in), (0, 0)), mode="reflect", reflect_type="odd")
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    return np.stack([np.convolve(column, kernel, mode="valid") for column in padded.T], axis=1)


def keys_without_noise(path: Tracklet, fps: float) -> Reals:
    """The path's detections `(k, 7, 2)`, their errors averaged over `TRUST_S`, their motion kept.

    Flow tells how far the face moved from one detection to the next; what detection and its sum disagree about is the
    detector's error and the slow change of the face's looks, and that is smoothed (locally linear, so that a head
    that turns is not held back).
    """
    raw = np.array([key.points for key in path.keys])
    moves = [(trail.ahead[-1] if trail.whole else raw[i + 1]) - raw[i] for i, trail in enumerate(path.trails)]
    carried = np.concatenate([np.zeros((1, *raw.shape[1:])), np.cumsum(moves, axis=0)]) if moves else raw * 0
    times = np.array([key.frame for key in path.keys]) / fps
    return np.asarray(carried + _locally_linear(times, raw - carried, TRUST_S))


def _locally_linear(times: Reals, values: Reals, sigma: float) -> Reals:
    """Gaussian-weighted straight-line fit around each time, evaluated there: `(k, ...)` for values `(k, ...)`."""
    lows, highs = np.searchsorted(times, times - 3 * sigma), np.searchsorted(times, times + 3 * sigma, side="right")
    fitted: Reals = values.copy()
    for i, (low, high) in enumerate(zip(lows, highs, strict=True)):
        apart = times[low:high] - times[i]
        weight = np.exp(-0.5 * (apart / sigma) ** 2)
        s0, s1, s2 = ((weight * apart**power).sum() for power in (0, 1, 2))
        if high - low > 2:
            share = weight * (s2 - apart * s1) / (s0 * s2 - s1 * s1)
            fitted[i] = np.tensordot(share, values[low:high], axes=1)
    return fitted


def along(path: Tracklet, keys: Reals) -> Reals:
    """Points `(n, 7, 2)` in each frame of the path, its head and tail included, through `keys (k, 7, 2)`.

    Flow from one detection is bent so that it arrives at the next one. Where flow lost the face, a straight line
    leads from the last to the next frame that is known.
    """
    off = keys - np.array([key.points for key in path.keys])
    parts = [path.head + off[0], keys[:1]]
    for i, trail in enumerate(path.trails):
        share = (np.arange(1, trail.frames + 1) / trail.frames)[:, None, None]
        if trail.whole:
            parts.append(trail.ahead + (1 - share) * off[i] + share * (keys[i + 1] - trail.ahead[-1]))
        else:
            parts.append(_bridged(trail, keys[i], keys[i + 1], off[i], off[i + 1]))
    return np.concatenate([*parts, path.tail + off[-1]])


def _bridged(trail: Trail, start: Reals, end: Reals, off_start: Reals, off_end: Reals) -> Reals:
    known = np.concatenate([start[None], trail.ahead + off_start, trail.back + off_end, end[None]])
    ahead, back = len(trail.ahead), len(trail.back)
    times = np.concatenate([np.arange(ahead + 1), np.arange(trail.frames - back, trail.frames + 1)])
    wanted = np.arange(1, trail.frames + 1)
    columns = [np.interp(wanted, times, column) for column in known.reshape(len(known), -1).T]
    return np.stack(columns, axis=1).reshape(-1, *start.shape)


def steady(landmarks: NDArray[np.floating], fps: float, smooth_s: float) -> Floats:
    """Steadied similarities `(n, 2, 3)` to the unit template, for the landmarks `(n, 5, 2)` of consecutive frames.

    Smooths centre, log of the side, and angle of the aligned square with a Gaussian of `smooth_s` seconds, less where
    that would change the path by more than its noise.
    """
    centre, side, angle = to_square(similarity(landmarks))
    log_side = np.log(side)
    unit = np.exp(smoothed(log_side[:, None], 4 * smooth_s * fps))[:, 0]
    place = np.stack([centre.real, centre.imag], axis=1)
    place = _adapted(place, unit, fps * smooth_s)
    log_side = _adapted(log_side[:, None], np.ones_like(unit), fps * smooth_s)[:, 0]
    angle = _adapted(np.unwrap(angle)[:, None], np.ones_like(unit), fps * smooth_s)[:, 0]
    across, down = (held(line, PLAY * unit) for line in place.T)
    log_side, angle = (held(line, np.full_like(unit, PLAY)) for line in (log_side, angle))
    return from_square(across + 1j * down, np.exp(log_side), angle)


def held(values: Reals, play: Reals) -> Reals:
    """A path that stays within `play (n,)` of `values (n,)` and rests for as long as it can.

    The mean of a hysteresis that runs forwards and one that runs backwards: what one lags behind a motion, the other
    is ahead of it.
    """
    return (_dragged(values, play) + _dragged(values[::-1], play[::-1])[::-1]) / 2


def _dragged(values: Reals, play: Reals) -> Reals:
    highest, lowest = np.minimum.accumulate(values + play), np.maximum.accumulate(values - play)
    rest = np.flatnonzero(lowest <= highest)[-1]  # until then one place is near enough to all
    place, found = (highest[rest] + lowest[rest]) / 2, np.empty_like(values)
    for n, (value, room) in enumerate(zip(values, play, strict=True)):
        place = min(max(place, value - room), value + room)
        found[n] = place
    return found


def _adapted(values: Reals, unit: Reals, sigma: float) -> Reals:
    """Smooth values `(n, k)` by `sigma` frames where they stand still, by a third where they move, else not at all.

    Each step is a Wiener gain: what the stronger filter takes away counts as motion as far as it exceeds the noise.
    """
    noise = max(NOISE, _noise(values / unit[:, None]))
    middle = _blend(values, smoothed(values, sigma / 3), unit, noise, sigma / 3)
    return _blend(middle, smoothed(values, sigma), unit, noise, sigma)


def _blend(fine: Reals, smooth: Reals, unit: Reals, noise: float, sigma: float) -> Reals:
    lost = np.sum(((fine - smooth) / unit[:, None]) ** 2, axis=1, keepdims=True)
    lost = np.maximum(smoothed(lost, sigma), 0)
    return smooth + lost / (lost + (CAUTION * noise) ** 2) * (fine - smooth)


def _noise(values: Reals) -> float:
    """Standard deviation of white noise on a path `(n, k)`, robustly.

    From its fourth differences, in which a motion of up to 3 Hz leaves nearly nothing.
    """
    if len(values) < 6:
        return 0.0
    return float(np.median(np.abs(np.diff(values, n=4, axis=0))) / 0.6745 / np.sqrt(70))
