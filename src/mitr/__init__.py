"""mitr: multimodal sentiment analysis that keeps working when text, audio or vision is missing."""

import os
from typing import TYPE_CHECKING

# OpenMP's threads sleep while they wait. By default they spin, which takes the processor from the threads that they
# wait for where other programs run (docs/performance.md). OpenMP reads this when PyTorch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


from mitr.errors import MitrError
from mitr.version import VERSION as __version__

if TYPE_CHECKING:
    from mitr.api import evaluate, load, resume, train
    from mitr.data.store import Dataset as open_dataset
    from mitr.media.dataset.extracting import extract

__all__ = ["MitrError", "__version__", "evaluate", "extract", "load", "open_dataset", "resume", "train"]

_PLACES = {
    "evaluate": ("mitr.api", "evaluate"),
    "extract": ("mitr.media.dataset.extracting", "extract"),
    "load": ("mitr.api", "load"),
    "open_dataset": ("mitr.data.store", "Dataset"),
    "resume": ("mitr.api", "resume"),
    "train": ("mitr.api", "train"),
}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module 'mitr' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _PLACES[name]
    value: object = getattr(import_module(module), attribute)  # torch is imported only when it is needed
    return value
