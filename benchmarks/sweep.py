"""One model under eleven missing rates: `python benchmarks/sweep.py --out FILE [--quick]`.

MITR-DNet answers a test split of CMU-MOSI's shape and lengths (made) under the published masks at rates 0.0 to 1.0. Its
text encoder is MiniLM, frozen or fine-tuned, or a BERT-base of random weights; hidden tokens are [UNK], as published,
or left out (`skip`). For each case, in seconds:

    one view      the complete view of every sample, once
    both views    the complete view and one at rate 0.5, each by itself: what a complete evaluation is in the release
    sweep         all eleven rates in one call

The bar is a sweep for less than four complete evaluations. It is stated against all three there are: our one view, our
two views, and the release's two views (BERT alone: 5.5 s for 32 samples at 82 GFLOP/s). `readings` is how many tokens
are encoded in the sweep, over those of the split: with [UNK] no two rates need the same ones unless the masks, which
are nested, hide nothing more from one rate to the next; then the text is read once.

Batches are such that the split makes eleven of them, as CMU-MOSI's 686 samples do by 64: were there only a few, an
evaluation of one view would mix all lengths and look dearer than it is. The better of two counts, and one sweep.
Memory is empty at the start of each; a frozen encoder's second sweep (`again`) finds its texts there. `cpu_over_` are
the ratios of processor time, which a busy machine changes least; on several threads it counts their waiting, too.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import harness
from made_sets import SHAPES, bert, made
from yardstick import yardstick

# name -> encoder, is it trained, what a hidden token is, samples
CASES: dict[str, tuple[str, bool, Literal["unknown", "skip"], int]] = {
    "minilm frozen": ("minilm", False, "unknown", 256),
    "minilm fine-tuned": ("minilm", True, "unknown", 256),
    "minilm fine-tuned, skip": ("minilm", True, "skip", 256),
    "bert": ("bert", True, "unknown", 128),
    "bert, skip": ("bert", True, "skip", 128),
}
QUICK = ("minilm frozen", "minilm fine-tuned, skip")
TRIES, BATCHES = 2, 11
RELEASE_UNITS = 5.5 * 82 / 32  # a sample, both views, BERT


def main() -> None:
    """Measure and write."""
    harness.run("sweep", __doc__, CASES, QUICK, measured)


def measured(name: str, quick: bool) -> dict[str, Any]:
    """One case."""
    import torch

    from mitr.batches.examples import Examples
    from mitr.data.normalize import Normalizer
    from mitr.evaluation.distinct_views import DistinctViews
    from mitr.evaluation.predicting import predict_at_rates
    from mitr.missing.protocols import at_rates
    from mitr.runs.building import build_network, network_info
    from mitr.runs.config import RunConfig
    from mitr.text.state_cache import TEXT_STATES

    encoder, finetune, hidden, samples = CASES[name]
    samples = 12 if quick else samples
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as place:
        config = RunConfig()
        config.text.encoder = bert(Path(place)) if encoder == "bert" else encoder
        config.text.finetune, config.text.hidden = finetune, hidden
        data = made(SHAPES["mosi"], "ids", (8, 8, samples))
        network = build_network(config, network_info(data, config)).eval()
        text = network.text
        assert text is not None, "ids need an encoder"
        normalizer = Normalizer.fit(data, config.normalize)
        examples = Examples(data, data.indices("test"), normalizer, network.text)
    rates = [k / 10 for k in range(11)]

    size = -(-samples // BATCHES)

    def predict(*own: float) -> np.ndarray:
        return times_of(lambda: predict_at_rates(network, examples, own, batch_size=size))

    def forget() -> None:
        TEXT_STATES.sets.clear()
        text.known = {}

    speed = yardstick()
    predict(0.3)
    complete, half = [], []
    for _ in range(TRIES):
        forget()
        complete.append(predict(0.0))
        half.append(predict(0.5))
    one, both = np.min(complete, axis=0), np.min(complete, axis=0) + np.min(half, axis=0)
    forget()
    sweep = predict(*rates)
    seconds = sweep[0]
    views = DistinctViews(examples, at_rates(rates), text.skip_hidden)
    skip = text.skip_hidden
    read = (steps for batches in views.text_sets(size) for steps in batches)
    tokens = sum(int((steps.available & steps.valid if skip else steps.valid).sum()) for steps in read)
    found = {
        "case": name,
        "samples": samples,
        "yardstick": round(speed, 1),
        "seconds": round(seconds, 3),
        "units": round(seconds * speed, 1),
        "one_view_seconds": round(one[0], 3),
        "both_views_seconds": round(both[0], 3),
        "over_one_view": round(seconds / one[0], 2),
        "over_both_views": round(seconds / both[0], 2),
        "cpu_over_one_view": round(sweep[1] / one[1], 2),
        "cpu_over_both_views": round(sweep[1] / both[1], 2),
        "readings": round(tokens / int(examples.costs().sum()), 2),
        "views": round(len(views.distinct) / samples, 2),
    }
    if not finetune:
        found["again_seconds"] = round(predict(*rates)[0], 3)
    if encoder == "bert":
        found["over_release"] = round(seconds * speed / (RELEASE_UNITS * samples), 2)
    return found


def times_of(work: Callable[[], object]) -> np.ndarray:
    """Seconds that a call takes, and those of the processor."""
    start = np.array([time.perf_counter(), time.process_time()])
    work()
    return np.array([time.perf_counter(), time.process_time()]) - start


if __name__ == "__main__":
    main()
