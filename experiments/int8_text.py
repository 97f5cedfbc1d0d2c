"""What an int8 text encoder costs: `python experiments/int8_text.py RUN ... --out docs/results/int8.json`.

The runs' data must be where they were trained. Nothing is left in the runs.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from mitr.export.checking import cost_of_int8
from mitr.export.engine import OnnxEngine
from mitr.export.exporting import export_onnx
from mitr.export.network import OnnxNetwork
from mitr.files import write_json
from mitr.runs.run import Run


def main() -> None:
    """Measure and write."""
    words = argparse.ArgumentParser()
    words.add_argument("runs", nargs="+", type=Path)
    words.add_argument("--out", type=Path, required=True)
    chosen = words.parse_args()
    found = {}
    for folder in chosen.runs:
        found[folder.name] = costs(Run(folder))
        print(json.dumps({folder.name: found[folder.name]}), flush=True)
    first = Run(chosen.runs[0])
    about = {"model": first.config.model.name, "data": first.info.data.name, "runs": found}
    write_json(chosen.out, about)


def costs(run: Run) -> dict[str, Any]:
    """Split -> its cost; and the bytes of the text encoder."""
    with tempfile.TemporaryDirectory() as place:
        export_onnx(run, Path(place) / "whole")
        export_onnx(run, Path(place) / "int8", int8_text=True)
        reduced, whole = (OnnxNetwork(OnnxEngine(Path(place) / name)) for name in ("int8", "whole"))
        data = run.data()
        found: dict[str, Any] = {split: cost_of_int8(run, data, whole, reduced, split) for split in ("valid", "test")}
        sizes = {name: (Path(place) / name / "text.onnx").stat().st_size for name in ("whole", "int8")}
    return found | {"bytes_float32": sizes["whole"], "bytes_int8": sizes["int8"]}


if __name__ == "__main__":
    main()
