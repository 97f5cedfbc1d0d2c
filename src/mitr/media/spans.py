"""Stretches of time: spans from loudness and steps, and the steps of a span."""

from collections.abc import Iterable, Sequence

import numpy as np

from mitr.media.features import Span

LOUDNESS_RATE = 100  # levels a second
NEAR = 1e-6  # seconds of rounding in sums of times


def silences(loudness: np.ndarray, level: float, seconds: float) -> list[Span]:
    """Stretches of at least `seconds` in which every 10 ms are below `level`.

    Args:
        loudness: (n,) dBFS of each 10 ms.
        level: dBFS.
        seconds: the shortest silence.
    """
    return [
        Span(start / LOUDNESS_RATE, stop / LOUDNESS_RATE, "silence")
        for start, stop in runs_of(loudness < level)
        if (stop - start) / LOUDNESS_RATE >= seconds - NEAR
    ]


def runs_of(mask: np.ndarray) -> list[tuple[int, int]]:
    """First index and end of each run of True in (n,) bool."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def steps_in(span: Span, steps: int, rate: float) -> slice:
    """The steps whose middle, (i + 1/2) / rate, lies in a span."""
    first, last = (np.clip(np.ceil(time * rate - 0.5 - NEAR), 0, steps) for time in (span.start, span.stop))
    return slice(int(first), int(last))


def spans_of(reasons: Sequence[str], rate: float, seconds: float) -> tuple[Span, ...]:
    """Consecutive steps with the same reason as spans; the reason "" makes no span.

    Args:
        reasons: of T steps.
        rate: steps a second.
        seconds: length of the clip, at which the last span ends at the latest.
    """
    result: list[Span] = []
    codes = np.array(reasons, dtype=object)
    for reason in dict.fromkeys(reasons):
        if reason:
            result += [
                Span(round(start / rate, 3), round(min(stop / rate, max(seconds, start / rate)), 3), reason)
                for start, stop in runs_of(codes == reason)
            ]
    return tuple(sorted(result))


def shifted(spans: Iterable[Span], by: float) -> list[Span]:
    """The same spans so many seconds later."""
    return [Span(round(s.start + by, 3), round(s.stop + by, 3), s.reason) for s in spans]


def after(spans: Iterable[Span], time: float) -> tuple[Span, ...]:
    """The parts of spans behind a time; where spans overlap, the first one counts."""
    result: list[Span] = []
    for span in spans:
        if span.stop > time + NEAR:
            result.append(Span(round(max(span.start, time), 3), round(span.stop, 3), span.reason))
            time = span.stop
    return tuple(result)


def merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Spans in order; spans of the same reason that touch become one."""
    result: list[Span] = []
    for span in sorted(spans):
        if result and result[-1].reason == span.reason and span.start <= result[-1].stop + 0.001:
            result[-1] = result[-1]._replace(stop=max(result[-1].stop, span.stop))
        else:
            result.append(span)
    return tuple(result)


def within(spans: Iterable[Span], start: float, stop: float) -> list[Span]:
    """The parts of spans inside a stretch of time, in seconds from its beginning."""
    cut = [Span(max(s.start, start) - start, min(s.stop, stop) - start, s.reason) for s in spans]
    return [Span(round(s.start, 3), round(s.stop, 3), s.reason) for s in cut if s.stop - s.start > NEAR]
