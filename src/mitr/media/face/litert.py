"""Models in LiteRT's format (.tflite), run so that the same input gives the same numbers in every process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mitr.errors import MitrError


class Model:
    """A LiteRT model with one input and named outputs, run on one thread so that results do not depend on cores.

    Raises:
        MitrError: LiteRT is not installed.
        KeyError, RuntimeError, ValueError: the file is no LiteRT model, or has no output of these names.
    """

    def __init__(self, file: Path | bytes, *outputs: str) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise MitrError(
                f"faces need LiteRT, which is not usable here ({error}): pip install ai-edge-litert"
            ) from None

        source = {"model_content": file} if isinstance(file, bytes) else {"model_path": str(file)}
        with _quiet():
            self._interpreter = Interpreter(num_threads=1, **source)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        indices = {detail["name"]: detail["index"] for detail in self._interpreter.get_output_details()}
        self._outputs = [indices[name] for name in outputs]

    def run(self, value: np.ndarray) -> list[np.ndarray]:
        """The outputs for an input without its batch dimension, in the order of their names."""
        self._interpreter.set_tensor(self._input, np.ascontiguousarray(value[None], dtype=np.float32))
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


def sigmoid(logits: Any) -> Any:
    """Logits as probabilities."""
    return 1 / (1 + np.exp(-np.clip(logits, -80, 80)))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep LiteRT from announcing itself on stderr, which no setting of it prevents."""
    try:
        kept = os.dup(2)
    except OSError:  # the process has no stderr
        yield
        return
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
