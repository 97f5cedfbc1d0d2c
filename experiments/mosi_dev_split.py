"""Splits of CMU-MOSI for choosing a design: `python experiments/mosi_dev_split.py LABEL.csv OUT.csv`.

The official validation split plays the test split, thirteen videos of the training split play validation, and the
official test split takes no part.
"""

import sys

import numpy as np
import pandas as pd

VIDEOS, SEED = 13, 0

if __name__ == "__main__":
    table = pd.read_csv(sys.argv[1], dtype={"video_id": str, "clip_id": str})
    videos = np.sort(table.loc[table["mode"] == "train", "video_id"].unique())
    chosen = np.random.default_rng(SEED).permutation(videos)[:VIDEOS]
    part = table["mode"].map({"train": "train", "valid": "test", "test": "unused"})
    part = part.mask((part == "train") & table["video_id"].isin(chosen), "valid")
    ids = table["video_id"] + "$_$" + table["clip_id"]
    pd.DataFrame({"id": ids, "mode": part}).to_csv(sys.argv[2], index=False)
