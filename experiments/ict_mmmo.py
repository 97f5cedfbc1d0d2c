"""ICT-MMMO, five folds: MITR-DNet with and without the 220 text-less training samples, and a ridge regression.

    python experiments/ict_mmmo.py SHARED/data/ict_mmmo --work runs/ict_mmmo --out docs/results/ict_mmmo.json

Stopped, it can be called again. Folds share their 120 complete samples, so each is tested once; three seeds a fold.
"""

import argparse
import csv
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mitr
from mitr.bench.robustness import robustness
from mitr.config import PUBLISHED_SEEDS
from mitr.data.importing import import_dataset
from mitr.data.normalize import Normalizer
from mitr.data.store import Dataset
from mitr.evaluation.metrics import compute
from mitr.files import write_json
from mitr.runs.config import RunConfig


def main() -> None:
    """Run all folds and write one JSON file."""
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("source", type=Path)
    reader.add_argument("--work", type=Path, required=True)
    reader.add_argument("--out", type=Path, required=True)
    reader.add_argument("--folds", type=int, default=5)
    options = reader.parse_args()
    config = RunConfig.from_json(yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text()))
    found: dict[str, Any] = {"config": config.to_json(), "seeds": list(PUBLISHED_SEEDS), "folds": []}
    for fold in range(options.folds):
        entry: dict[str, Any] = {}
        for name in ("all", "complete"):
            data = fold_data(options.source, options.work, fold, complete_only=name == "complete")
            entry |= {"n_test": len(data.indices("test"))}
            result = robustness(data, options.work / f"fold{fold}-{name}", config, seeds=PUBLISHED_SEEDS, quiet=True)
            entry[f"mitr-dnet, {name}"] = result.aggregate
            entry[f"ridge, {name}"] = ridge(data, config)
        found["folds"].append(entry)
        print(f"fold {fold} done", flush=True)
    write_json(options.out, found | {"mitr": mitr.__version__})


def ridge(data: Dataset, config: RunConfig) -> dict[str, float | None]:
    """Metrics of a ridge regression on time-averaged features; its penalty is chosen inside the train split."""
    normalizer = Normalizer.fit(data, config.normalize)
    train, test = (_averages(data, normalizer, split) for split in ("train", "test"))
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(0, 5, 21))).fit(*train)
    return compute(data.info.scale, model.predict(test[0]), test[1])


def _averages(data: Dataset, normalizer: Normalizer, split: str) -> tuple[np.ndarray, np.ndarray]:
    rows = data.indices(split)
    columns = []
    for m, about in data.info.modalities.items():
        means = np.zeros((len(rows), about.dim or 0))
        for i, row in enumerate(rows):
            available = data.available(m, int(row))
            values = normalizer.apply(m, data.features(m, int(row)), available)[available]
            means[i] = values.mean(axis=0) if len(values) else 0.0
        columns.append(means)
    return np.concatenate(columns, axis=1), data.labels[rows]


def fold_data(source: Path, work: Path, fold: int, complete_only: bool) -> Dataset:
    """A fold as a store, made on first use; `complete_only` leaves out the text-less training samples."""
    splits = source / "splits" / f"fold{fold}.csv"
    if complete_only:
        # the samples without text are those of the source's own train split
        with splits.open() as file:
            rows = [
                [r["id"], "unused" if r["id"].startswith("mmmo_train_") else r["mode"]] for r in csv.DictReader(file)
            ]
        splits = work / f"fold{fold}-complete.csv"
        splits.parent.mkdir(parents=True, exist_ok=True)
        splits.write_text("\n".join(["id,mode", *(",".join(row) for row in rows)]) + "\n")
    place = work / f"data-fold{fold}-{'complete' if complete_only else 'all'}"
    if not place.exists():
        import_dataset(
            source / "ict_mmmo.pkl", place, splits=splits, name=f"ICT-MMMO, fold {fold}", label_range=(-2, 2)
        )
    return Dataset(place)


if __name__ == "__main__":
    main()
