"""A run that answers about clips."""

import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from mitr.batches.examples import Examples
from mitr.data.held import HeldDataset
from mitr.data.schema import MODALITIES, DatasetInfo, Modality, Source
from mitr.data.store import Sample
from mitr.errors import MitrError
from mitr.evaluation.calibrating import LEVEL, calibrate_if_possible, carried
from mitr.evaluation.intervals import Intervals
from mitr.evaluation.predicting import predict_under
from mitr.evaluation.shapley import PREFIX, coalitions_of, explained
from mitr.media.cache import Cache
from mitr.media.files.limits import Limits
from mitr.media.options import SpeechConfig
from mitr.media.reading import Reading, read_clip
from mitr.media.ready import check
from mitr.media.registry import FeatureRecipe, current
from mitr.media.spans import shifted
from mitr.media.words.captions import Transcript, words_of
from mitr.prediction.answer import Prediction
from mitr.prediction.moments import moments_of, parts_of
from mitr.prediction.segments import How, Stretch, cut, part_of
from mitr.runs.info import NetworkInfo
from mitr.runs.run import Run

LONG = 60.0  # seconds from which a clip holds more than one sentiment
Engine = Literal["torch", "onnx"]


class Predictor:
    """A run with its network, ready for clips.

    Args:
        run: a trained run, or its folder.
        missing: modalities to leave out of every clip.
        limits: bounds on what a file may ask for.
        speech: speech recognition for clips without a transcript.
        cache: where features of files that were read before are kept; None: in the user's cache.
        engine: the runtime of the network: PyTorch, or onnxruntime with the run's export.

    Raises:
        MitrError: the folder holds no run or no export, or the run was trained on features that cannot be computed of a
            clip.
    """

    def __init__(
        self,
        run: Run | str | Path,
        *,
        missing: Collection[str] = (),
        limits: Limits | None = None,
        speech: SpeechConfig | None = None,
        cache: Cache | None = None,
        engine: Engine = "torch",
    ):
        self.run = run if isinstance(run, Run) else Run(run)
        self.info: NetworkInfo = self.run.info.network
        self.modalities = [m for m in MODALITIES if m in self.info.modalities]
        self.left_out = _left_out(missing, self.modalities)
        self.limits, self.speech, self.cache = limits or Limits(), speech or SpeechConfig(), cache or Cache()
        self.recipes = recipes_of(self.run, self.left_out)
        self.reads_text = "text" in self.modalities and "text" not in self.left_out
        self.network = self._network(engine)
        self._ready = False
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
            text: the words in the clip, "" for none; None: a transcript beside the file, or speech recognition.
            explain: find the moments that mattered most.
            segments: also answer about stretches of the clip.
            window: seconds of a stretch, for `windows`.

        Raises:
            MitrError: the file is no media file, or cannot be cut into these segments.
        """
        if segments == "subtitles" and text is not None:
            raise MitrError(
                "--segments subtitles cuts by the subtitles beside the clip, which --text replaces: leave it out"
            )
        reading = self._read(file, text, segments)
        with _collected() as notes:
            stretches: list[Stretch] = []
            if segments is not None:
                stretches = cut(reading, segments, window, reading.loudness)
            if not self.reads_text:
                reading.transcript = None
            whole = self._answer([reading], explain)[0]
            whole.file = str(file) if file is not None else None
            whole.segments = self._answer([part_of(reading, stretch) for stretch in stretches])
            for answer, stretch in zip(whole.segments, stretches, strict=True):
                answer.file, answer.start, answer.stop = whole.file, stretch.start, stretch.stop
                answer.missing = {m: shifted(spans, stretch.start) for m, spans in answer.missing.items()}
        whole.notes = list(dict.fromkeys([*self._notes(reading, segments, bool(text and text.strip())), *notes]))
        return whole

    def ready(self) -> None:
        """Check, once, that the packages and models that reading clips needs are on this machine.

        Raises:
            MitrError: a package, the face models or the speech model is missing; with the way to get it.
        """
        if not self._ready:
            check(self.recipes.values(), self.speech if self.reads_text else SpeechConfig())
        self._ready = True

    def _network(self, engine: Engine) -> Any:
        if engine == "torch":
            return self.run.load_network()
        from mitr.export.network import onnx_network  # needs an extra

        return onnx_network(self.run)

    def _read(self, file: str | Path | None, text: str | None, segments: How | None) -> Reading:
        """A clip with the subtitles or the loudness that `segments` needs, or the text alone."""
        given = Transcript(text.strip(), (), (), "given") if text and text.strip() else None
        if file is None:
            if given is None:
                raise MitrError("name a file, or give --text")
            if not self.reads_text:
                raise MitrError(f"{self.run.folder} reads no text here, so words alone cannot be answered: name a file")
            absent = {m: "no file was given" for m in self.modalities if m != "text"}
            reading = Reading(Path("text"), "", 0.0, {}, absent, given)
        else:
            self.ready()
            wanted = text is None and (self.reads_text or segments == "subtitles")
            listens = self.reads_text and text is None and "audio" not in self.left_out
            reading = read_clip(
                file,
                self.recipes,
                limits=self.limits,
                cache=self.cache,
                transcript=words_of(Path(file)) if wanted else given,
                speech=self.speech if listens else None,
                loudness=segments == "silence",
            )
        reading.absent |= dict.fromkeys(self.left_out, "left out as asked")
        return reading

    def _examples(self, readings: Sequence[Reading]) -> Examples:
        samples = [sample_of(reading, str(i)) for i, reading in enumerate(readings)]
        modalities = {m: _as_stored(self.info.modalities[m], m) for m in self.modalities}
        source = Source(readings[0].path.name, "clip", readings[0].sha256)
        name, scale = str(readings[0].path), self.info.label_range
        info = DatasetInfo(name, scale, modalities, source, classes=self.info.classes)
        return self.run.examples(HeldDataset(samples, info), "test", self.network)

    def _answer(self, readings: Sequence[Reading], explain: bool = False) -> list[Prediction]:
        """The answers about clips, from one call of the network; `explain` finds the moments of a single clip."""
        if not readings:
            return []
        examples = self._examples(readings)
        coalitions = coalitions_of(examples)
        parts = parts_of(self.network, readings[0]) if explain else []
        table = predict_under(self.network, examples, [*coalitions, *(part.condition() for part in parts)])
        shown, hidden = table[: len(coalitions) * len(readings)], table[len(coalitions) * len(readings) :]
        complete = shown[-len(readings) :].reset_index(drop=True)
        values = explained(shown, self.network, examples)
        bounds = None
        if self.intervals is not None and not self.info.classes:
            bounds = self.intervals[1].interval(complete, self.info.label_range)
        answers = []
        for i, reading in enumerate(readings):
            row, worth = complete.iloc[i], values.iloc[i]
            low, high = self.info.label_range
            answer = Prediction(None, 0.0, round(reading.seconds, 3), (low, high))
            if self.info.classes:
                answer.category = self.info.classes[int(row["prediction"])]
                answer.probabilities = {name: float(row[f"probability_{name}"]) for name in self.info.classes}
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
        if explain:
            column = f"probability_{answers[0].category}" if self.info.classes else "prediction"
            without = hidden[column].astype(float).tolist()
            answers[0].moments = moments_of(parts, float(complete[column].iloc[0]), without)
        return answers

    def _intervals(self) -> tuple[float, Intervals] | None:
        if self.info.classes:
            return None
        found = carried(self.run)
        if found is None:
            with suppress(MitrError):  # the data are not at hand, or have changed
                data = self.run.data()
                if self.run.trained_on(data):
                    made = calibrate_if_possible(self.run, data)
                    found = None if made is None else (LEVEL, made)
        if found is None:
            self.uncalibrated = (
                "no interval: the run carries no calibration, and its validation split is not at hand or too small"
            )
        return found

    def _notes(self, reading: Reading, segments: How | None, text: bool) -> list[str]:
        notes = list(reading.notes)
        if text and "text" not in self.modalities:
            notes.append("this run reads no text, so the given words changed nothing")
        if self.uncalibrated:
            notes.append(self.uncalibrated)
        if segments is None and reading.seconds > LONG:
            notes.append(
                f"{reading.seconds:.0f} s were answered as one sample; --segments gives an answer for each part"
            )
        late = (
            [cue for cue in reading.transcript.cues if cue.start >= reading.seconds > 0] if reading.transcript else []
        )
        if segments is not None and late:
            notes.append(
                f"{len(late)} subtitles after the clip's end are in no segment, but in the answer about the whole"
            )
        if segments is not None and reading.transcript and not (reading.transcript.words or reading.transcript.cues):
            notes.append("the text has no times, so the segments have none of it; an .srt or .vtt file would have")
        return notes


def recipes_of(run: Run, left_out: Collection[str] = ()) -> dict[str, FeatureRecipe]:
    """How the features of a run's modalities are made of a clip.

    Raises:
        MitrError: the run does not record it for a modality, or this mitr cannot make them.
    """
    recipes: dict[str, FeatureRecipe] = {}
    unknown: dict[str, str] = {}
    for m, one in run.info.network.modalities.items():
        if m in left_out or (m == "text" and one.kind in ("raw", "ids")):
            continue
        if one.extractor is None:
            unknown[m] = f"{m} ({one.kind} of width {one.dim})"
            continue
        recipes[m] = FeatureRecipe.from_json(one.extractor, f"{run.folder / 'run.json'}")
        current(recipes[m], str(run.folder))
    if unknown:
        rest = [m for m in run.info.network.modalities if m not in unknown]
        leave = f"; or leave them out with --missing {','.join(unknown)}" if rest else ""
        raise MitrError(
            f"{run.folder} was trained on {' and '.join(unknown.values())} from {run.info.data.source}. Nothing "
            "says how these were computed, so mitr cannot compute them from a clip. Train on features that it can: "
            "`mitr extract CLIPS --out DATA`, then `mitr train DATA --out RUN`; or give it such features: "
            f"`mitr data import`, then `mitr evaluate {run.folder} --data DATA --out DIR`{leave}"
        )
    return recipes


def sample_of(reading: Reading, id_: str) -> Sample:
    """A clip as a sample of the split `test`, without a label."""
    values = {m: track.values for m, track in reading.tracks.items()}
    available = {m: track.available for m, track in reading.tracks.items()}
    return Sample(id_, "test", None, reading.text, values, available)


def _as_stored(info: Modality, modality: str) -> Modality:
    return Modality("raw") if modality == "text" and info.kind in ("raw", "ids") else info


def _left_out(missing: Collection[str], modalities: Sequence[str]) -> list[str]:
    for m in missing:
        if m not in MODALITIES:
            raise MitrError(f"--missing names {m!r}; it must be text, audio or vision")
    return [m for m in modalities if m in missing]


@contextmanager
def _collected() -> Iterator[list[str]]:
    """The warnings of the block, as notes."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield notes
    notes += list(dict.fromkeys(str(warning.message) for warning in caught if warning.category is UserWarning))
