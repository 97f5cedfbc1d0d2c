"""Training steps and epochs of MITR-DNet: `python benchmarks/training.py --out FILE [--cases NAME ...] [--quick]`.

A step is the training loop's own, from samples to the optimiser, with 32 samples and both views, in the shapes of the
release's table: 20 tokens, 200 steps of audio and 250 of vision in every sample, which the release pads to 50, 375 and
500; or with CMU-MOSI's lengths, a mean of 15 tokens (made_sets.py). Text is given as states 768 wide, or encoded by a
BERT-base of random weights, which is trained as well. `evaluation` is the incomplete view of 32 other samples.

An epoch is one over a train split of the data set's size and shape; of MOSEI's, and with an encoder, it is 512 or 256
samples, and the rest by proportion (`of`).

Times of steps are those of the best of six epochs after a first one (with BERT, of three), in seconds and in yardstick
units: seconds x GFLOP/s of a float32 matrix product, the better of before and after. `gflop` is twice the multiply-adds
on real steps, forward once and backward twice (fusion and heads, which are small, are not counted); `times_floor` is
the time over what a matrix product of the same number format takes for as many. `profile` says where the time of a step
goes, in percent (step_profile.py). `peak_mb` is all that the process ever held.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import harness
from made_sets import SHAPES, Shape, bert, made
from yardstick import yardstick

BATCH = 32
BERT = {"width": 768, "layers": 12}
MINILM = {"width": 384, "layers": 6}


class Case(NamedTuple):
    """What is trained: `samples` of `of`, text as `states` or by an encoder, `epochs` after the first.

    `keeps`: memory that a step freed stays for the next one.
    """

    shape: str
    text: str
    precision: Literal["no", "bf16"]
    samples: int
    of: int
    epochs: int
    keeps: bool = True


CASES = {
    f"step, {text}, {shape}, {'float32' if precision == 'no' else precision}": Case(
        shape,
        text,
        precision,
        BATCH * (2 if (text, shape) == ("bert", "table") else 8),
        BATCH,
        6 if text == "states" else 3,
    )
    for text in ("states", "bert")
    for shape in ("table", "mosi")
    for precision in ("no", "bf16")
}
CASES |= {
    f"step, bert, table, {name}, memory given back": CASES[f"step, bert, table, {name}"]._replace(keeps=False)
    for name in ("float32", "bf16")
}
CASES |= {
    "epoch, mosi, states": Case("mosi", "states", "no", 1284, 1284, 0),
    "epoch, sims, states": Case("sims", "states", "no", 1368, 1368, 0),
    "epoch, mosei, states": Case("mosei", "states", "no", 512, 16326, 0),
    "epoch, mosi, minilm": Case("mosi", "minilm", "no", 256, 1284, 0),
}
QUICK = ("step, states, mosi, float32", "epoch, sims, states")


def main() -> None:
    """Measure and write."""
    harness.run("training", __doc__, CASES, QUICK, measured)


def measured(name: str, quick: bool) -> dict[str, Any]:
    """One case."""
    import torch

    case, shape = CASES[name], SHAPES[CASES[name].shape]
    samples, epochs = (8, min(case.epochs, 1)) if quick else (case.samples, case.epochs)
    torch.manual_seed(0)
    speeds = {"no": yardstick(), "bf16": yardstick(torch.bfloat16)}
    with tempfile.TemporaryDirectory() as place:
        trainer = trainer_for(case, Path(place), samples, 8 if quick else 3 * BATCH, epochs)
        seconds = []
        for _ in range(epochs + 1):
            start = time.perf_counter()
            trainer._train_epoch(lambda: None)
            seconds.append(time.perf_counter() - start)
            trainer.epoch += 1
        peak = harness.peak_mb()
        start = time.perf_counter()
        trainer._predict_valid(next(iter(trainer.valid_masks.values())))
        evaluation = (time.perf_counter() - start) * BATCH / len(trainer.valid_set)
        shares = _profile(trainer) if case.of == BATCH else {}
    # of the machine as it is when nobody else uses it: the better of before and after
    speeds = {
        name: max(speeds[name], yardstick(dtype)) for name, dtype in (("no", torch.float32), ("bf16", torch.bfloat16))
    }
    best = min(seconds[1:] or seconds) * case.of / samples
    tokens = shape.lengths(samples + len(trainer.valid_set) + 1)[:samples]
    gflop = 2 * case.of * multiply_adds(shape, case.text, tokens) / 1e9
    found = {
        "case": name,
        "yardstick": round(speeds["no"], 1),
        "seconds": round(best, 4),
        "units": round(best * speeds["no"], 1),
        "samples": samples,
        "of": case.of,
        "mean_tokens": round(float(np.mean(tokens)), 1),
        "gflop": round(gflop, 1),
        "yardstick_own": round(speeds[case.precision], 1),
        "times_floor": round(best * speeds[case.precision] / gflop, 2),
        "peak_mb": peak,
    }
    if case.of == BATCH:
        evaluated = {"evaluation_seconds": evaluation, "evaluation_units": evaluation * speeds["no"]}
        found |= {key: round(value, 4) for key, value in evaluated.items()} | {"profile": shares}
    return found


def trainer_for(case: Case, place: Path, samples: int, valid: int, epochs: int) -> Any:
    """The training loop of a MITR-DNet on made data, in `place`; `samples` of train and `valid` of the valid split."""
    import torch

    from mitr.allocator import keep_memory
    from mitr.batches.examples import Examples
    from mitr.data.normalize import Normalizer
    from mitr.runs.building import build_network, network_info
    from mitr.runs.config import RunConfig
    from mitr.training.loop import Trainer

    config = RunConfig()
    config.train.device, config.train.precision, config.train.threads = "cpu", case.precision, torch.get_num_threads()
    config.train.batch_size, config.train.max_epochs = BATCH, epochs + 2
    keep_memory(case.keeps)
    config.text.encoder = bert(place) if case.text == "bert" else "minilm"
    kind = "states" if case.text == "states" else "ids"
    data = made(SHAPES[case.shape], kind, (samples, valid, 1))
    info = network_info(data, config)
    network = build_network(config, info)
    normalizer = Normalizer.fit(data, config.normalize)
    train, stop = (Examples(data, data.indices(split), normalizer, network.text) for split in ("train", "valid"))
    return Trainer(network, train, stop, config, place, info, quiet=True)


def _profile(trainer: Any) -> dict[str, float]:
    from step_profile import profiled

    return profiled(trainer)


def multiply_adds(shape: Shape, text: str, tokens: Sequence[int]) -> float:
    """Multiply-adds of a sample's training on real steps, a mean: forward once, backward twice, both views."""
    width, levels, dim = 25, 4, 100  # of MITR-DNet's temporal module, and its common width
    encoder = {"bert": BERT, "minilm": MINILM}.get(text)
    total = 0.0
    for count in tokens:
        for m, n in {"text": count, **shape.steps(count)}.items():
            d = encoder["width"] if encoder and m == "text" else shape.widths[m]
            total += n * 12 * d * d + 2 * n * n * d
            total += n * (2 * d * width + levels * 2 * 5 * width * width)
            total += n * dim * d / 2  # the student alone restores
        if encoder:
            read, d = count + 2, encoder["width"]
            total += encoder["layers"] * (read * 12 * d * d + 2 * read * read * d)
    return 3 * 2 * total / len(tokens)


if __name__ == "__main__":
    main()
