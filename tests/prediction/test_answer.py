"""An answer as lines of text and as JSON."""

import json

from mitr.media.features import Span
from mitr.prediction.answer import Moment, Prediction, json_line


def answer() -> Prediction:
    gaps = [Span(float(i), i + 0.1 * (i + 1), "no face") for i in range(5)]
    return Prediction(
        "clip.mp4",
        0.0,
        12.34,
        (-3.0, 3.0),
        sentiment=0.8349,
        low=-0.91,
        high=2.4,
        level=0.9,
        observed={"text": 1.0, "audio": 0.912, "vision": 0.0},
        missing={"vision": gaps},
        prior=0.1,
        shapley={"text": -0.2, "audio": 0.9349, "vision": 0.0},
        moments=[Moment(1.0, 2.0, "so good", 0.5), Moment(None, None, "bad", -0.25)],
        notes=["12 s were answered"],
    )


def test_the_lines() -> None:
    assert str(answer()).splitlines() == [
        "clip.mp4  12.3 s",
        "  sentiment  +0.83 on a scale from -3 to 3, 90% interval -0.91 to +2.40",
        "  observed   text 100%, audio 91%, vision 0%",
        "  missing    vision 1.0-1.2 s (no face), 2.0-2.3 s (no face), 3.0-3.4 s (no face), 4.0-4.5 s (no face) and 1 "
        "shorter stretch",
        "  mattered   audio +0.93, text -0.20, vision +0.00 (from the prior +0.10)",
        "  moment     +0.50  1.0-2.0 s “so good”",
        "  moment     -0.25  “bad”",
        "  note       12 s were answered",
    ]


def test_what_has_no_times_is_missing_without_them() -> None:
    found = answer()
    found.missing = {"audio": [Span(0.0, 0.0, "no file was given")]}
    assert "  missing    audio (no file was given)\n" in str(found)


def test_the_words_are_shown_with_their_source() -> None:
    found = answer()
    found.text, found.text_source = "well " * 40, "clip.srt"
    line = next(line for line in str(found).splitlines() if line.startswith("  words "))
    assert line == "  words      “" + ("well " * 40)[:79].rstrip() + "…” (clip.srt)"


def test_json_for_an_output_that_lacks_letters() -> None:
    assert json_line({"text": "é"}) == '{"text": "é"}'
    assert json_line({"text": "é"}, "ascii") == '{"text": "\\u00e9"}'


def test_classes_and_the_prior() -> None:
    found = Prediction(None, 0.0, 0.0, (0.0, 1.0), category="joy", probabilities={"anger": 0.3, "joy": 0.7})
    found.all_missing = True
    assert str(found).splitlines() == [
        "the given words",
        "  class      joy (joy 70%, anger 30%)",
        "             nothing could be observed: this is the prior of the training labels",
    ]


def test_json_has_all_of_it_on_one_line() -> None:
    whole = answer()
    whole.segments = [Prediction("clip.mp4", 0.0, 2.0, (-3.0, 3.0), sentiment=1.0)]
    line = json_line(whole.to_json())
    assert "\n" not in line
    back = json.loads(line)
    assert back["missing"]["vision"][1] == {"start": 1.0, "stop": 1.2, "reason": "no face"}
    assert back["moments"][0] == {"start": 1.0, "stop": 2.0, "text": "so good", "change": 0.5}
    assert back["segments"][0]["sentiment"] == 1.0
    assert back["sentiment"] == 0.8349
    assert "+1.00" in str(whole)
