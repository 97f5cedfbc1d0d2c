"""The yardstick on CMU-MOSI: a ridge regression on frozen, mean-pooled MiniLM states, under the same masks.

    python experiments/mosi_ridge.py runs/data/mosi --out docs/results/mosi_ridge.json

Trained on complete text; its penalty is chosen inside the train split. Dropped tokens are [UNK], as for every model.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mitr.batches.examples import Examples
from mitr.batches.hiding import hide
from mitr.batches.sampler import LengthSortedBatches
from mitr.batches.views import all_missing
from mitr.bench.evaluate import data_facts
from mitr.config import NormalizeConfig, TextConfig
from mitr.data.normalize import Normalizer
from mitr.data.store import Dataset
from mitr.evaluation.predicting import observed_shares
from mitr.evaluation.summary import summarise
from mitr.files import write_json
from mitr.missing import schedules
from mitr.missing.protocols import tenths
from mitr.nn.masked import masked_mean
from mitr.text.encoder import TextEncoder


def main() -> None:
    """Fit, predict at all rates and write one JSON file."""
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("data", type=Path)
    reader.add_argument("--out", type=Path, required=True)
    options = reader.parse_args()
    data = Dataset(options.data)
    encoder = TextEncoder(TextConfig(finetune=False)).eval()
    normalizer = Normalizer.fit(data, NormalizeConfig())
    train, test = (Examples(data, data.indices(split), normalizer, encoder) for split in ("train", "test"))
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(0, 5, 21)))
    model.fit(averages(train, encoder, 0.0)[0], train.labels)
    tables = []
    for rate in tenths(10):
        features, about = averages(test, encoder, rate)
        known = {"id": test.ids, "rate": rate, "label": test.labels, "prediction": model.predict(features)}
        tables.append(pd.concat([pd.DataFrame(known), about], axis=1))
    summary = summarise(pd.concat(tables, ignore_index=True), protocol="auilc", scale=data.info.scale)
    write_json(options.out, summary.to_json() | {"data": data_facts(data)})


def averages(examples: Examples, encoder: TextEncoder, rate: float) -> tuple[np.ndarray, pd.DataFrame]:
    """Mean states (n, 384) of a split at a missing rate, and what was observed of each sample."""
    masks = schedules.at_rate(examples.extents(), rate)
    features = np.zeros((len(examples), encoder.dim))
    parts, order = [], []
    for positions in LengthSortedBatches(examples.costs(), 64):
        batch = examples.collate([examples[p] for p in positions])
        view = hide(batch.view, masks, batch.positions, examples.unknown)
        with torch.inference_mode():
            states = encoder(view["text"])
        features[positions] = masked_mean(states.values, states.valid).numpy()
        parts.append(pd.DataFrame(observed_shares(batch.view, view) | {"all_missing": all_missing(view).numpy()}))
        order += positions
    return features, pd.concat(parts, ignore_index=True).set_axis(order).sort_index()


if __name__ == "__main__":
    main()
