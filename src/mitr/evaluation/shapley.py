"""Which modality mattered: exact Shapley values of a network's modalities, for each prediction and on average.

The players are the modalities that a sample has under a condition. A coalition is worth the prediction when only they
are shown; nothing at all is worth the prior, as `Network` answers it. Hence the prior and the values of all modalities
add up to the prediction. With three modalities that takes seven predictions a sample, and no sampling.

Values explain what the network does, not the data: a network that never met an absent modality in training may answer
strangely where one is taken away. What is shared is split: two modalities that say the same get half of it each.

Source: Shapley, A Value for n-Person Games (Contributions to the Theory of Games II, 1953).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import pandas as pd

from mitr.batches.examples import Examples
from mitr.data.schema import MODALITIES
from mitr.errors import MitrError
from mitr.evaluation.metrics import Array
from mitr.evaluation.predicting import predict_under
from mitr.missing import schedules
from mitr.missing.masks import Mask
from mitr.missing.protocols import Condition
from mitr.missing.schedules import Extent, Masks
from mitr.models.network import Network

COMPLETE = Condition("complete", "complete", None, partial(schedules.with_only, available=MODALITIES))
PREFIX = "shapley_"


def shapley(
    network: Network,
    examples: Examples,
    condition: Condition | None = None,
    *,
    batch_size: int = 64,
    tick: Callable[[int], None] = lambda answers: None,
) -> pd.DataFrame:
    """Explain each prediction of a split under a condition by what its modalities added to the prior.

    What is explained is the sentiment, in label units; of classes, the probability of the class that was predicted. A
    modality of which the condition leaves a part is shown with that part or not at all. One of which a sample has
    nothing under the condition (`observed_<modality>` is 0 in `predict_under`) is no player: it stays as it is in all
    coalitions, with the length that it may still have, and its value is exactly 0.

    Args:
        network: in evaluation mode.
        examples: the split.
        condition: the way in which the split is incomplete; None: it is shown as it is.
        batch_size: samples a batch.
        tick: called after each batch with the number of answers that it gives, 2^M - 1 a sample in all, M modalities.

    Returns:
        One row per sample: `id`, `prediction`, `prior` and `shapley_<modality>` for each modality of `examples`, in the
        order text, audio, vision. `prior` and the values add up to `prediction`. Of classes, `prediction` and `prior`
        are probabilities (0 to 1), and `class` is the name of the one that they are of.
    """
    conditions = coalitions_of(examples, condition)
    table = predict_under(network, examples, conditions, batch_size=batch_size, tick=tick)
    return explained(table, network, examples)


def coalitions_of(examples: Examples, condition: Condition | None = None) -> list[Condition]:
    """A condition with each non-empty set of modalities shown: 2^M - 1 conditions, that with all of them last."""
    return [_of_these(condition or COMPLETE, shown) for shown in schedules.subsets(examples.modalities)]


def explained(table: pd.DataFrame, network: Network, examples: Examples) -> pd.DataFrame:
    """The table of `shapley` from predictions that were made before.

    Args:
        table: of `predict_under` with the conditions of `coalitions_of`.
        network: the network that predicted.
        examples: the split.
    """
    names, classes = examples.modalities, examples.data.info.classes
    coalitions = [(), *schedules.subsets(names)]
    prior = network.prior.detach().float()
    shape = len(coalitions) - 1, len(examples)
    if classes is None:
        chosen = None
        worth = table["prediction"].to_numpy(np.float64).reshape(shape)
        start = np.full(len(examples), prior.item())
    else:
        chosen = table["prediction"].to_numpy(np.int64).reshape(shape)[-1]  # (N,)
        shares = table[[f"probability_{name}" for name in classes]].to_numpy(np.float64).reshape(*shape, len(classes))
        worth = np.take_along_axis(shares, chosen[None, :, None], axis=2)[:, :, 0]
        start = prior.softmax(dim=0).cpu().numpy().astype(np.float64)[chosen]
    worth = np.concatenate([start[None], worth])  # (2^M, N)
    observed = table[[f"observed_{m}" for m in names]].to_numpy().reshape(*shape, len(names))[-1] > 0  # (N, M)
    worth = _with_the_unobserved(worth, coalitions, names, observed)
    values = values_from({frozenset(shown): worth[i] for i, shown in enumerate(coalitions)}, names)
    about: dict[str, Any] = {"id": examples.ids, "prediction": worth[-1], "prior": worth[0]}
    if classes is not None:
        about["class"] = np.array(classes)[chosen]
    return pd.DataFrame(about | {PREFIX + m: value for m, value in values.items()})


def values_from(subset_predictions: Mapping[frozenset[str], Array], modalities: Collection[str]) -> dict[str, Array]:
    """The Shapley values of a game: what each modality adds, averaged over the orders in which they may arrive.

    Args:
        subset_predictions: each of the 2^M sets of modalities, the empty one too -> what it is worth, (...) numbers.
        modalities: the M players.

    Returns:
        modality -> (...) float64; together they are the worth of all modalities less that of none.

    Raises:
        MitrError: a set of modalities has no prediction.
    """
    names = list(modalities)
    totals: dict[str, Array] = {}
    for m in names:
        others = [other for other in names if other != m]
        terms = []
        for size in range(len(names)):
            weight = factorial(size) * factorial(len(names) - size - 1) / factorial(len(names))
            for before in map(frozenset, combinations(others, size)):
                added = _worth(subset_predictions, before | {m}) - _worth(subset_predictions, before)
                terms.append(weight * added)
        totals[m] = np.sum(terms, axis=0)
    return totals


def summary(table: pd.DataFrame) -> dict[str, Any]:
    """What a table of `shapley` says on average, as plain numbers for JSON.

    Returns:
        `n` (samples) and `modalities`: modality -> `mean` (signed, in the unit of the prediction), `mean_absolute`, and
        `share`, its part of the sum of all mean absolute values, 0 to 1; all shares are 0 where all values are.
        Samples that lack a modality count, with 0.

    Raises:
        MitrError: the table has no rows or no values.
    """
    names = [m for m in MODALITIES if PREFIX + m in table]
    if table.empty or not names:
        raise MitrError("the table of Shapley values is empty: there is nothing to average")
    values = table[[PREFIX + m for m in names]].to_numpy(np.float64)  # (N, M)
    mean, size = values.mean(axis=0), np.abs(values).mean(axis=0)
    total = size.sum()
    share = size / total if total > 0 else np.zeros_like(size)
    modalities = {
        m: {"mean": float(mean[i]), "mean_absolute": float(size[i]), "share": float(share[i])}
        for i, m in enumerate(names)
    }
    return {"n": len(table), "modalities": modalities}


def _of_these(condition: Condition, shown: Sequence[str]) -> Condition:
    return Condition(f"{condition.name}, {'+'.join(shown)}", "shown", None, partial(_only, condition, shown))


def _only(condition: Condition, shown: Collection[str], extents: Mapping[str, Extent]) -> Masks:
    """The condition's masks, with all modalities but the shown ones taken away."""
    return {
        m: mask if m in shown else Mask(np.zeros_like(mask.keep), np.ones_like(mask.absent))
        for m, mask in condition.masks(extents).items()
    }


def _with_the_unobserved(
    worth: Array, coalitions: Sequence[Sequence[str]], names: Sequence[str], observed: np.ndarray
) -> Array:
    """Let modalities without anything observed, (N, M), join all coalitions: (2^M, N) -> (2^M, N).

    Whether they join changes nothing then, not even by the rounding of another batch.
    """
    bit = {m: 1 << i for i, m in enumerate(names)}
    code = np.array([sum(bit[m] for m in shown) for shown in coalitions])  # (2^M,)
    joined = code[:, None] | (~observed * np.array([bit[m] for m in names])).sum(axis=1)  # (2^M, N)
    taken: Array = np.take_along_axis(worth, np.argsort(code)[joined], axis=0)
    return taken


def _worth(subset_predictions: Mapping[frozenset[str], Array], shown: frozenset[str]) -> Array:
    if shown not in subset_predictions:
        raise MitrError(f"there is no prediction of {' + '.join(sorted(shown)) or 'the empty set'}")
    return np.asarray(subset_predictions[shown], np.float64)
