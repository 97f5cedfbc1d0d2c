"""Causal attention and no position for steps that start with 0, against our defaults, on CMU-MOSI's validation split.

    mitr robustness runs/data/mosi --out runs/mosi-frozen-habits --split valid --config experiments/mosi_frozen.yaml \\
        --model.causal --model.skip_zero_positions
    python experiments/defaults_mosi.py runs/mosi-frozen runs/mosi-frozen-habits --out docs/results/defaults_mosi.json
"""

import argparse
from pathlib import Path

from mitr.files import write_json
from mitr.runs.history import read_history
from mitr.runs.run import Run


def main() -> None:
    """Collect the validation values of the chosen epochs of both experiments."""
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("ours", type=Path)
    reader.add_argument("habits", type=Path)
    reader.add_argument("--out", type=Path, required=True)
    options = reader.parse_args()
    found: dict[str, dict[str, list[float]]] = {}
    for name, folder in (("Our defaults", options.ours), ("Causal attention, no position at 0", options.habits)):
        runs = [Run(path) for path in sorted((folder / "runs").iterdir())]
        best = [read_history(run.folder)[run.outcome.best_epoch] for run in runs]
        found[name] = {key: [float(row[f"valid_{key}"]) for row in best] for key in ("mae", "corr")}
    write_json(options.out, {"settings": found})


if __name__ == "__main__":
    main()
