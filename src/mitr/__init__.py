"""mitr: multimodal sentiment analysis that keeps working when text, audio or vision is missing."""

import os
from typing import Any

# OpenMP's threads sleep while they wait. By default they spin, which takes the processor from the threads that they
# wait for where other programs run (docs/performance.md). OpenMP reads this when PyTorch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
__all__ = ["MitrError", "evaluate", "extract", "load", "open_dataset", "train"]

from mitr.errors import MitrError

_PLACES = {
    "open_dataset": ("mitr.data.store", "Dataset"),
    "train": ("mitr.training.run", "train"),
    "evaluate": ("mitr.evaluation.evaluate", "evaluate"),
    "extract": ("mitr.media.extracting", "extract"),
    "load": ("mitr.training.run", "load"),
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'mitr' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _PLACES[name]
    return getattr(import_module(module), attribute)  # torch and its kin are imported only when they are needed
