"""Stretches of time and steps."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mitr.media.features import Span
from mitr.media.spans import after, merged, runs_of, silences, spans_of, steps_in, within


def test_silence_needs_its_time() -> None:
    loudness = np.full(300, -20.0)
    loudness[50:99] = -80.0  # 0.49 s
    loudness[100:150] = -61.0  # 0.5 s
    loudness[200:260] = -59.0  # not low enough
    assert silences(loudness, -60.0, 0.5) == [Span(1.0, 1.5, "silence")]
    assert silences(loudness, -60.0, 0.4) == [Span(0.5, 0.99, "silence"), Span(1.0, 1.5, "silence")]
    assert silences(np.zeros(0), -60.0, 0.5) == []


def test_runs() -> None:
    assert runs_of(np.array([True, True, False, True])) == [(0, 2), (3, 4)]
    assert runs_of(np.zeros(3, bool)) == []


def test_steps_belong_to_a_span_by_their_middle() -> None:
    assert steps_in(Span(0.0, 1.0, ""), 100, 10.0) == slice(0, 10)
    assert steps_in(Span(0.06, 0.24, ""), 100, 10.0) == slice(1, 2)
    assert steps_in(Span(9.0, 99.0, ""), 100, 10.0) == slice(90, 100)
    assert steps_in(Span(20.0, 30.0, ""), 100, 10.0) == slice(100, 100)


@given(st.lists(st.sampled_from(["", "no face", "silence"]), max_size=40), st.sampled_from([1.0, 10.0, 31.25]))
def test_spans_say_of_each_step_why_it_is_missing(reasons: list[str], rate: float) -> None:
    spans = spans_of(reasons, rate, len(reasons) / rate)
    back = [""] * len(reasons)
    for span in spans:
        part = steps_in(span, len(reasons), rate)
        back[part] = [span.reason] * (part.stop - part.start)
    assert back == reasons
    assert list(spans) == sorted(spans)


def test_spans_end_with_the_clip() -> None:
    assert spans_of(["", "no face"], 10.0, 0.17) == (Span(0.1, 0.17, "no face"),)


def test_parts_of_spans_inside_a_stretch() -> None:
    spans = [Span(1.0, 3.0, "a"), Span(4.0, 5.0, "b"), Span(6.0, 7.0, "c")]
    assert within(spans, 2.0, 4.5) == [Span(0.0, 1.0, "a"), Span(2.0, 2.5, "b")]


def test_what_lies_behind_a_time() -> None:
    spans = [Span(0.0, 1.0, "a"), Span(1.5, 4.0, "b"), Span(1.0, 6.0, "c")]
    assert after(spans, 2.0) == (Span(2.0, 4.0, "b"), Span(4.0, 6.0, "c"))
    assert after(spans, 6.0) == ()


def test_spans_that_touch_are_one() -> None:
    spans = [Span(1.0, 2.0, "a"), Span(0.0, 1.0, "a"), Span(2.0, 3.0, "b"), Span(4.0, 5.0, "b")]
    assert merged(spans) == (Span(0.0, 2.0, "a"), Span(2.0, 3.0, "b"), Span(4.0, 5.0, "b"))
