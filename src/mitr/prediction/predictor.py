"""A run that answers about clips."""

import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mitr.data.held import HeldDataset
from mitr.data.schema import MODALITIES, DatasetInfo, Modality, Source
from mitr.data.store import Sample
from mitr.errors import MitrError
from mitr.evaluation.calibrating import calibrate_if_possible, carried
from mitr.evaluation.predicting import predict_under
from mitr.evaluation.shapley import COMPLETE, PREFIX, shapley
from mitr.examples import Examples
from mitr.media.cache import Cache
from mitr.media.captions import Transcript
from mitr.media.decode import audio_of, open_clip
from mitr.media.folder import words_of
from mitr.media.hearing import transcript_by_ear
from mitr.media.limits import Limits
from mitr.media.options import SpeechConfig
from mitr.media.reading import Reading, read_clip
from mitr.media.registry import Recipe, current
from mitr.media.spans import shifted
from mitr.prediction.answer import Prediction
from mitr.prediction.moments import moments_of
from mitr.prediction.segments import How, Stretch, cut, part_of
from mitr.training.run import Run

LONG = 60.0  # seconds from which a clip holds more than one sentiment


class Predictor:
    """A run with its network, ready for clips.

    Args:
        run: a trained run, or its folder.
        missing: modalities to leave out of every clip.
        limits: bounds on what a file may ask for.
        speech: speech recognition for clips without a transcript.
        cache: where features of files that were read before are kept; None: in the user's cache.

    Raises:
        MitrError: no run is there, or it was trained on features that cannot be computed of a clip.
    """

    def __init__(
        self,
        run: Run | str | Path,
        *,
        missing: Collection[str] = (),
        limits: Limits | None = None,
        speech: SpeechConfig | None = None,
        cache: Cache | None = None,
    ):
        self.run = run if isinstance(run, Run) else Run(run)
        self.facts: dict[str, Any] = self.run.about["network"]
        self.modalities = [m for m in MODALITIES if m in self.facts["modalities"]]
        self.left_out = _left_out(missing, self.modalities)
        self.limits, self.speech, self.cache = limits or Limits(), speech or SpeechConfig(), cache or Cache()
        self.recipes = recipes_of(self.run, self.left_out)
        self.network = self.run.network()
        self.uncalibrated = ""
        self.intervals = self._intervals()

    def predict(
        self,
        file: str | Path | None,
        *,
        text: str | None = None,
        explain: bool = False,
        segments: How | None = None,
        window: float = 10.0,
    ) -> Prediction:
        """Answer about a clip.

        Args:
            file: the clip; None: `text` alone.
            text: what is said in it; otherwise a transcript beside the file, or speech recognition.
            explain: find the moments that mattered most.
            segments: also answer about stretches of the clip.
            window: seconds of a stretch, for `windows`.

        Raises:
            MitrError: the file is no media file, or cannot be cut into these segments.
        """
        reading = self._read(file, text)
        with _collected() as notes:
            parts = [reading]
            stretches: list[Stretch] = []
            if segments is not None:
                stretches = cut(reading, segments, window, self._loudness(reading) if segments == "silence" else None)
                parts += [part_of(reading, stretch) for stretch in stretches]
            answers = self._answer(parts)
            whole = answers[0]
            whole.file = str(file) if file is not None else None
            for answer, stretch in zip(answers[1:], stretches, strict=True):
                answer.file, answer.start, answer.stop = whole.file, stretch.start, stretch.stop
                answer.missing = {m: shifted(spans, stretch.start) for m, spans in answer.missing.items()}
            whole.segments = answers[1:]
            if explain:
                whole.moments = moments_of(self.network, self._examples([reading]), reading)
        whole.notes = self._notes(reading, segments) + [note for note in notes if note not in reading.notes]
        return whole

    def _read(self, file: str | Path | None, text: str | None) -> Reading:
        given = Transcript(text.strip(), (), (), "given") if text and text.strip() else None
        if file is None:
            if given is None:
                raise MitrError("name a file, or give --text")
            absent = {m: "no file was given" for m in self.modalities if m != "text"}
            reading = Reading(Path("text"), "", 0.0, {}, absent, given)
        else:
            words = given or words_of(Path(file))
            reading = read_clip(file, self.recipes, limits=self.limits, cache=self.cache, transcript=words)
            heard = "text" in self.modalities and "text" not in self.left_out
            if reading.transcript is None and self.speech.model is not None and heard and _has_sound(reading):
                reading.transcript = transcript_by_ear(file, reading.sha256, self.speech, self.limits, self.cache)
                if reading.transcript is not None:
                    reading.absent.pop("text", None)
        for m in self.left_out:
            reading.tracks.pop(m, None)
            reading.absent[m] = "left out as asked"
        if "text" in self.left_out or "text" not in self.modalities:
            reading.transcript = None
        if "text" not in self.modalities:
            reading.absent.pop("text", None)
        return reading

    def _loudness(self, reading: Reading) -> np.ndarray:
        stream = audio_of(open_clip(reading.path, self.limits), self.limits)
        for _ in stream:
            pass
        return stream.loudness

    def _examples(self, readings: Sequence[Reading]) -> Examples:
        samples = [sample_of(reading, str(i)) for i, reading in enumerate(readings)]
        classes = self.facts["classes"]
        low, high = self.facts["label_range"]
        about = {m: _as_stored(self.facts["modalities"][m], m) for m in self.modalities}
        source = Source(readings[0].path.name, "clip", readings[0].sha256)
        info = DatasetInfo(str(readings[0].path), (low, high), about, source, classes=classes)
        return self.run.examples(HeldDataset(samples, info), "test", self.network)

    def _answer(self, readings: Sequence[Reading]) -> list[Prediction]:
        examples = self._examples(readings)
        table = predict_under(self.network, examples, [COMPLETE])
        values = shapley(self.network, examples)
        bounds = None
        if self.intervals is not None and not self.facts["classes"]:
            bounds = self.intervals[1].interval(table, self.facts["label_range"])
        answers = []
        for i, reading in enumerate(readings):
            row, worth = table.iloc[i], values.iloc[i]
            low, high = self.facts["label_range"]
            answer = Prediction(None, 0.0, round(reading.seconds, 3), (low, high))
            if self.facts["classes"]:
                answer.category = self.facts["classes"][int(row["prediction"])]
                names: list[str] = self.facts["classes"]
                answer.probabilities = {name: float(row[f"probability_{name}"]) for name in names}
            else:
                answer.sentiment = min(max(float(row["prediction"]), low), high)
            if bounds is not None and self.intervals is not None:
                answer.low, answer.high = (float(bounds.iloc[i][end]) for end in ("low", "high"))
                answer.level = self.intervals[0]
            answer.all_missing = bool(row["all_missing"])
            answer.observed = {m: round(float(row[f"observed_{m}"]), 4) for m in self.modalities}
            answer.missing = {m: spans for m, spans in reading.missing().items() if m in self.modalities}
            answer.prior = float(worth["prior"])
            answer.shapley = {m: float(worth[PREFIX + m]) for m in self.modalities}
            answer.text = reading.text
            answer.text_source = reading.transcript.source if reading.transcript else None
            answers.append(answer)
        return answers

    def _intervals(self) -> tuple[float, Any] | None:
        if self.facts["classes"]:
            return None
        found = carried(self.run)
        if found is None:
            try:
                data = self.run.data()
                same = data.info.content_sha256 == self.run.about["data"]["sha256"]
                if same and calibrate_if_possible(self.run, data) is not None:
                    found = carried(self.run)
            except MitrError:
                pass
        if found is None:
            self.uncalibrated = (
                "no interval: the run carries no calibration, and its validation split is not at hand or too small"
            )
        return found

    def _notes(self, reading: Reading, segments: How | None) -> list[str]:
        notes = list(reading.notes)
        if self.uncalibrated:
            notes.append(self.uncalibrated)
        if segments is None and reading.seconds > LONG:
            notes.append(
                f"{reading.seconds:.0f} s were answered as one sample; --segments gives an answer for each part"
            )
        if segments is not None and reading.transcript and not (reading.transcript.words or reading.transcript.cues):
            notes.append("the text has no times, so the segments have none of it; an .srt or .vtt file would have")
        return notes


def recipes_of(run: Run, left_out: Collection[str] = ()) -> dict[str, Recipe]:
    """How the features of a run's modalities are made of a clip.

    Raises:
        MitrError: nobody knows how for some of them.
    """
    recipes: dict[str, Recipe] = {}
    unknown: dict[str, str] = {}
    about: dict[str, dict[str, Any]] = run.about["network"]["modalities"]
    for m, facts in about.items():
        if m in left_out or (m == "text" and facts["kind"] in ("raw", "ids")):
            continue
        if facts.get("extractor") is None:
            unknown[m] = f"{m} ({facts['kind']} of width {facts['dim']})"
            continue
        recipes[m] = Recipe.from_json(facts["extractor"], f"{run.folder / 'run.json'}")
        current(recipes[m], str(run.folder))
    if unknown:
        rest = [m for m in about if m not in unknown]
        leave = f"; or leave them out with --missing {','.join(unknown)}" if rest else ""
        raise MitrError(
            f"{run.folder} was trained on {' and '.join(unknown.values())} from {run.about['data']['source']}. Nothing "
            "says how these were computed, so mitr cannot compute them from a clip. Train on features that it can: "
            "`mitr extract CLIPS --out DATA`, then `mitr train DATA --out RUN`; or give it such features: "
            f"`mitr data import`, then `mitr evaluate {run.folder} --data DATA --out DIR`{leave}"
        )
    return recipes


def sample_of(reading: Reading, id_: str) -> Sample:
    """A clip as a sample of the split `test`, without a label."""
    values = {m: track.values for m, track in reading.tracks.items()}
    there = {m: track.available for m, track in reading.tracks.items()}
    return Sample(id_, "test", None, reading.text, values, there)


def _as_stored(facts: dict[str, Any], modality: str) -> Modality:
    if modality == "text" and facts["kind"] in ("raw", "ids"):
        return Modality("raw")
    return Modality(facts["kind"], facts["dim"], extractor=facts.get("extractor"))


def _left_out(missing: Collection[str], modalities: Sequence[str]) -> list[str]:
    for m in missing:
        if m not in MODALITIES:
            raise MitrError(f"--missing names {m!r}; it must be text, audio or vision")
    return [m for m in modalities if m in missing]


def _has_sound(reading: Reading) -> bool:
    return "audio" in reading.tracks or "audio" not in reading.absent


@contextmanager
def _collected() -> Iterator[list[str]]:
    """Warnings that are raised meanwhile, as notes."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield notes
    notes += list(dict.fromkeys(str(warning.message) for warning in caught if warning.category is UserWarning))
