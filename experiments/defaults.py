"""The release's habits against our defaults, on ICT-MMMO's validation splits.

Together these are the samples that the folds test on, so the table informs and chooses nothing.

python experiments/defaults.py SHARED/data/ict_mmmo --work runs/defaults --out docs/results/defaults.json
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from ict_mmmo import fold_data

from mitr.api import resume, train
from mitr.files import write_json
from mitr.runs.config import ModelConfig, RunConfig
from mitr.runs.history import read_history

SETTINGS: dict[str, dict[str, Any]] = {
    "Our defaults": {},
    "Causal attention": {"causal": True},
    "No position for steps that start with 0": {"skip_zero_positions": True},
    "Channel reversal": {"reversal": "channel"},
    "All three, as released": {"causal": True, "skip_zero_positions": True, "reversal": "channel"},
}


def main() -> None:
    """Train every setting on every fold and write one JSON file."""
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("source", type=Path)
    reader.add_argument("--work", type=Path, required=True)
    reader.add_argument("--out", type=Path, required=True)
    options = reader.parse_args()
    config = RunConfig.from_json(yaml.safe_load(Path(__file__).with_name("ict_mmmo.yaml").read_text()))
    found: dict[str, dict[str, list[float]]] = {}
    for number, (name, changes) in enumerate(SETTINGS.items()):
        found[name] = {"mae": [], "corr": []}
        for fold in range(5):
            folder = options.work / f"setting{number}-fold{fold}"
            data = fold_data(options.source, options.work, fold, complete_only=False)
            own = replace(config, model=ModelConfig.of(**changes))
            run = resume(folder, data, quiet=True) if folder.exists() else train(data, folder, own, quiet=True)
            best = read_history(run.folder)[run.outcome.best_epoch]
            for key in ("mae", "corr"):
                found[name][key].append(float(best[f"valid_{key}"]))
        print(name, found[name], flush=True)
    write_json(options.out, {"settings": found, "config": config.to_json()})


if __name__ == "__main__":
    main()
