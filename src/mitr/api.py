"""The front door: train and calibrate, load, predict, evaluate (`mitr.train`, `mitr.load`, `mitr.evaluate`)."""

from pathlib import Path

from mitr.bench.evaluate import Evaluation, evaluate
from mitr.data.store import Dataset
from mitr.evaluation.calibrating import calibrate_if_possible
from mitr.prediction.answer import Prediction
from mitr.prediction.predictor import Predictor
from mitr.prediction.segments import How
from mitr.runs.config import RunConfig
from mitr.runs.run import Run
from mitr.training import train as training


class TrainedRun(Run):
    """A run that answers about clips."""

    def __init__(self, folder: str | Path):
        """Open a run.

        Raises:
            MitrError: the folder holds no run, or one of another version.
        """
        super().__init__(folder)
        self._predictor: Predictor | None = None

    def predict(
        self,
        file: str | Path | None,
        *,
        text: str | None = None,
        explain: bool = False,
        segments: How | None = None,
        window: float = 10.0,
    ) -> Prediction:
        """Answer about a clip; the network is loaded at the first call and kept.

        For modalities to leave out, limits or speech recognition, make a `Predictor` of the run.

        Args:
            file: a video or audio file; None: `text` alone.
            text: what is said in it, "" for nothing; None: a transcript beside the file, or speech recognition.
            explain: find the moments that mattered most.
            segments: also answer about stretches of the clip.
            window: seconds of a stretch, for `windows`.

        Raises:
            MitrError: the file is no media file, or the run was trained on features that no clip can give.
        """
        if self._predictor is None:
            self._predictor = Predictor(self)
        return self._predictor.predict(file, text=text, explain=explain, segments=segments, window=window)


def load(folder: str | Path) -> TrainedRun:
    """Open a run folder.

    Raises:
        MitrError: the folder holds no run, or one of another version.
    """
    return TrainedRun(folder)


def train(
    data: Dataset | str | Path,
    out: str | Path,
    config: RunConfig | None = None,
    *,
    quiet: bool = False,
    command: str | None = None,
    calibrate: bool = True,
) -> TrainedRun:
    """Train a model, then calibrate the prediction intervals that its answers carry.

    Args:
        data: a store, or its folder.
        out: the run folder to make.
        config: the options; None for the defaults.
        quiet: show no progress bar.
        command: the command line to record.
        calibrate: make prediction intervals, where the validation split can.

    Raises:
        MitrError: the folder holds a run already, or data and options do not go together.
    """
    dataset = data if isinstance(data, Dataset) else Dataset(data)
    run = training.train(dataset, out, config, quiet=quiet, command=command)
    return _calibrated(run, dataset, calibrate)


def resume(
    folder: str | Path, data: Dataset | str | Path | None = None, *, quiet: bool = False, calibrate: bool = True
) -> TrainedRun:
    """Continue a run that was stopped, to the same numbers as if it never had been, then calibrate it.

    Args:
        folder: the run folder.
        data: the store, if it is no longer where the run began.
        quiet: show no progress bar.
        calibrate: as for `train`.

    Raises:
        MitrError: no run there, or the data are not the same.
    """
    run = Run(folder)
    if run.finished:
        return load(folder)
    dataset = data if isinstance(data, Dataset) else run.data(data)
    return _calibrated(training.resume(folder, dataset, quiet=quiet), dataset, calibrate)


def _calibrated(run: Run, data: Dataset, calibrate: bool) -> TrainedRun:
    if calibrate:
        calibrate_if_possible(run, data)
    return load(run.folder)


__all__ = ["Evaluation", "TrainedRun", "evaluate", "load", "resume", "train"]
