"""A run: the folder that training fills, opened again.

`run.json` (options, data, versions, selection rule), `model.safetensors` (the best epoch), `state.safetensors` (the
last one, to resume from), `normalizer.safetensors`, `history.csv`, `tensorboard/`.
"""

from pathlib import Path

import numpy as np
import torch

from mitr.batches.examples import Examples
from mitr.data.normalize import Normalizer
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.models.network import Network
from mitr.runs import checkpoint
from mitr.runs.building import build_network, check_fit, check_vocabulary
from mitr.runs.config import RunConfig
from mitr.runs.info import NetworkInfo, Outcome, RunInfo, read_run_info

WEIGHTS, STATE, NORMALIZER = "model.safetensors", "state.safetensors", "normalizer.safetensors"


class Run:
    """An existing run folder.

    Attributes:
        folder: where it lies.
        info: the content of `run.json`.
    """

    def __init__(self, folder: str | Path):
        """Open a run.

        Raises:
            MitrError: the folder holds no run, or one of another version.
        """
        self.folder = Path(folder)
        self.info: RunInfo = read_run_info(self.folder)

    def __repr__(self) -> str:
        state = "trained" if self.finished else "not finished"
        return f"<{type(self).__name__} {self.folder}: {self.info.network.model} on {self.info.data.name}, {state}>"

    @property
    def config(self) -> RunConfig:
        """All options."""
        return self.info.config

    @property
    def finished(self) -> bool:
        """Training ended by its own rule."""
        return self.info.finished

    @property
    def outcome(self) -> Outcome:
        """How training ended.

        Raises:
            MitrError: it has not ended.
        """
        if self.info.outcome is None:
            raise MitrError(f"{self.folder} has not finished training: go on with `mitr train --resume {self.folder}`")
        return self.info.outcome

    @property
    def weights(self) -> Path:
        """The file of the best epoch's weights; it is not there before the first epoch ends."""
        return self.folder / WEIGHTS

    def normalizer(self) -> Normalizer:
        """The normalisation that was fitted on the train split."""
        tensors, _ = checkpoint.load(self.folder / NORMALIZER)
        return Normalizer.from_tensors({name: tensor.numpy() for name, tensor in tensors.items()})

    def load_network(self) -> Network:
        """Build the network and load the weights of the best epoch; in evaluation mode, on the CPU.

        Raises:
            MitrError: there is no checkpoint yet, it does not fit, or the text encoder is not at hand.
        """
        tensors, header = checkpoint.load(self.weights)
        network = build_network(self.config, NetworkInfo.from_json(header, str(self.weights)))
        checkpoint.load_weights(network, tensors, str(self.weights))
        return network.eval()

    def examples(self, data: Dataset, split: str, network: Network, rows: np.ndarray | None = None) -> Examples:
        """A split as this run sees it.

        Args:
            data: the data set.
            split: train, valid or test.
            network: the run's.
            rows: those of the data set to take of the split; None: all.

        Raises:
            MitrError: the data do not have the modalities or widths of the run.
        """
        check_fit(self.info.network, data, str(self.folder))
        check_vocabulary(network, data)
        chosen = data.indices(split) if rows is None else rows
        return Examples(data, chosen, self.normalizer(), network.text, list(self.info.network.modalities))

    def data(self, place: str | Path | None = None) -> Dataset:
        """The store at `place`, or the one that the run was trained on.

        Raises:
            MitrError: it is not there any more.
        """
        trained_on = Path(self.info.data.folder)
        if place is None and not (trained_on / "dataset.json").exists():
            raise MitrError(f"the data of {self.folder} are no longer at {trained_on}: name their folder")
        return Dataset(place or trained_on)

    def trained_on(self, data: Dataset) -> bool:
        """The data set is the one that the run was trained on, by its hash."""
        return data.info.content_sha256 == self.info.data.sha256


def write_normalizer(folder: Path, normalizer: Normalizer) -> None:
    """Keep the normalisation with a run."""
    arrays = {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in normalizer.to_tensors().items()}
    checkpoint.save(folder / NORMALIZER, arrays, {})
