"""How times grow: `python benchmarks/growth.py --out FILE [--quick]`.

An epoch of training of MITR-DNet on made data of CMU-MOSI's shape, one thing varied at a time: the number of samples,
the length of all of them, the width of text's states; and an evaluation of a test split under more missing
rates, with MiniLM in the network. The slope is that of a straight line through the logarithms: 1 is in proportion, 2
is with the square, 0 costs nothing. Each time is the best of two, after one that warms up.
"""

import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import harness
from made_sets import SHAPES, made
from yardstick import best, yardstick

TRIES = 2
CASES: dict[str, list[float]] = {
    "samples": [64, 128, 256, 512],
    "tokens": [5, 10, 20, 40],
    "width of text": [96, 192, 384, 768],
    "missing rates": [1, 2, 4, 8],
}
SAMPLES, TOKENS, WIDTH, TESTED = 128, 10, 192, 64  # where they are not varied


def main() -> None:
    """Measure and write."""
    chosen = harness.arguments(__doc__, CASES).parse_args()
    rows = harness.in_processes(measured, chosen.cases or CASES, chosen.quick, chosen.threads)
    slopes = {what: slope([row for row in rows if row["varied"] == what]) for what in chosen.cases or CASES}
    harness.write("growth", rows, chosen.out, slopes=slopes)


def measured(what: str, quick: bool) -> list[dict[str, Any]]:
    """A row for each value."""
    speed = yardstick()
    rows = []
    for value in CASES[what][:2] if quick else CASES[what]:
        seconds = best(work_of(what, value, 8 if quick else SAMPLES), 1 if quick else TRIES)
        about = {"case": f"{what}: {value:g}", "varied": what, "value": value}
        measures = {"yardstick": round(speed, 1), "seconds": round(seconds, 4), "units": round(seconds * speed, 2)}
        rows.append(about | measures)
    return rows


def slope(rows: list[dict[str, Any]]) -> float:
    """Of the logarithm of the seconds over that of the value."""
    values, seconds = ([row[key] for row in rows] for key in ("value", "seconds"))
    return round(float(np.polyfit(np.log(values), np.log(seconds), 1)[0]), 2)


def work_of(what: str, value: float, samples: int) -> Callable[[], object]:
    """An epoch of training (or an evaluation, for the rates) with one thing as it is asked for."""
    import torch

    from mitr.batches.examples import Examples
    from mitr.data.normalize import Normalizer
    from mitr.evaluation.predicting import predict_at_rates
    from mitr.runs.building import build_network, network_info
    from mitr.runs.config import RunConfig
    from mitr.training.loop import Trainer

    rates = what == "missing rates"
    shape = SHAPES["mosi"]
    if not rates:
        width = int(value) if what == "width of text" else WIDTH
        tokens = value if what == "tokens" else TOKENS
        shape = replace(shape, widths=shape.widths | {"text": width}, tokens=tokens, fixed=True)
    train = round(value * samples / SAMPLES) if what == "samples" else samples
    data = made(shape, "ids" if rates else "states", (train, 32, TESTED * samples // SAMPLES))
    config = RunConfig()
    config.train.device, config.train.threads = "cpu", torch.get_num_threads()
    info = network_info(data, config)
    network = build_network(config, info)
    normalizer = Normalizer.fit(data, config.normalize)
    fits, checks, tests = (
        Examples(data, data.indices(s), normalizer, network.text) for s in ("train", "valid", "test")
    )
    if rates:
        shown = np.linspace(0, 0.9, int(value)).tolist()
        return lambda: predict_at_rates(network.eval(), tests, shown)
    trainer = Trainer(network, fits, checks, config, Path(tempfile.mkdtemp()), info, quiet=True)
    return lambda: trainer._train_epoch(lambda: None)


if __name__ == "__main__":
    main()
