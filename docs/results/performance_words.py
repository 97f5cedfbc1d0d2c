"""The words of docs/performance.md; its numbers come from performance.py."""

INTRODUCTION = """# What it costs

Rendered by `make bench` from the files in `docs/results/perf/`; no measured figure on this page was typed but those of
the table of the release. `make bench` measures everything, some 40 minutes on two cores with 8 GB of disk for the
largest set; each part has a command of its own, and `make bench-data SAMPLES=1000` a size.

Machines differ and are shared, so every benchmark measures a **yardstick** in the same run: GFLOP/s of a float32 matrix
product of 2048 x 2048 x 2048, the best of 8. **Units** are seconds times the yardstick: the work, in GFLOP, for which a
matrix product would have taken as long. Only units of different runs can be compared.
"""
NOTHING = "Not measured yet."
BARS = """## The bars set beforehand

"Times less" is against the authors' release as it was run on this very machine, in turns with ours, in seconds, the
best of its runs (below). "By the table" is the same against the figures of another machine, in units; units of two
machines are alike only as far as their memory and vector units keep pace with their matrix product. That accuracy is
the same with all of it is the matter of [results.md](results.md) and of the tests against the released code.
"""
MISSED = """### Why some are missed

What stands in the way, where it can be said in numbers:
"""
ACCURACY = """## Accuracy with all of it

CMU-MOSI, MiniLM fine-tuned in bf16, complete test data and the area over eleven rates, a run for each seed. The seeds
of [results.md](results.md) are others, and were trained before the last round of speed.
"""
ACCURACY_BARS = {  # by metric: its name, the bar, and how it counts
    "mae": ("MAE", 0.95, "at most", max),
    "corr": ("Corr", 0.7, "at least", min),
    "acc2_non0": ("Acc-2, non-zero", 0.8, "at least", min),
}
GIVEN_BACK = ", with --train.keep_memory false"
RELEASE = """## The release, in units

Measured on a machine of two cores with a yardstick of 82 GFLOP/s: a batch of 32, both views, 20 real tokens of 50, 200
steps of audio of 375, 250 of vision of 500. The release pads every batch to the full lengths, so that shorter texts
cost it the same.
"""
RIVAL = """\
The released models themselves, run here: MITR-DNet (github.com/Wangai30/MITR-DNet at e27c7b8a, its widths of audio and
vision set to CMU-MOSI's) and EMT-DLFR (github.com/sunlicai/EMT-DLFR at e9f09602), with their own settings, losses and
Adam, in the same shapes on made tensors, in float32: the best of three steps, of MITR-DNet the best of three such runs.
Their code is no part of mitr.
"""
RELEASE_ROWS = {
    "states": "training step, text as states 768 wide",
    "bert": "training step, BERT-base fine-tuned",
    "evaluation": "evaluation, both views, with BERT",
}
STEPS = """## A training step

MITR-DNet, 32 samples, both views, the training loop's own step. `table` has the lengths above, `mosi` a mean of 15
tokens. GFLOP is twice the multiply-adds on real steps; the floor is the time in which this machine's matrix product, in
the same number format, does as many. Evaluation is the incomplete view of 32 samples. Peak is all that the process
held, PyTorch and the other libraries included. Where a case was run more than once, the best time and the highest peak
count.

A process that trains keeps the memory that a step freed for the next one (`mitr/allocator.py`): holes remain between
what is used, and the next step takes no new pages. `--train.keep_memory false` gives it back (`memory given back`): a
smaller peak, and a longer step.
"""
PROFILE = """### Where it goes

By PyTorch's profiler, forward and backward together; its own cost makes parts of many small operations appear a little
larger. The floor counts multiply-adds alone: what attention over long, narrow sequences, normalisation and the sums of
losses take comes on top.
"""
COMPILED = """### torch.compile

It is not used: it needs a C++ compiler, and time on the first call. One part was tried, in which it can merge many
passes over values: the gate of the temporal module, forward and backward, at the rows of all modalities in a mean batch
of CMU-MOSI. What all gates of a step would save:
"""
EPOCHS = """## An epoch

The train split once, float32, in the sizes and shapes of the sets; lengths are made ones with the sets' means.
"""
SWEEP = """## Eleven missing rates (AUILC)

One model answers a test split under the published masks at rates 0.0 to 1.0. The masks are nested, and what two rates
show alike is asked once: `readings` are the tokens that are encoded, over those of the split. With [UNK] for a hidden
token a masked sentence costs as much as a whole one, and most rates make another sentence of it, so that eleven rates
cannot cost less than their readings do; with `skip` they cost what they show. A complete evaluation, in the release,
reads both views, padded. `Again` is a second sweep of a frozen encoder, whose texts are remembered.
"""
EVALUATIONS = {
    "over_one_view": "our complete view",
    "over_both_views": "both our views",
    "over_release": "the release's evaluation",
}
PROTOCOL = """## Protocol A on CMU-MOSI, from data to report

`mitr robustness` with one seed on made data of CMU-MOSI's sizes and lengths: training, eleven rates, metrics with
bootstrap intervals, report.
"""
DATA = """## Data sets

Made sets with CMU-MOSEI's shapes (audio 74 wide, vision 35, text states 768), in processes watched from outside. `Own`
is memory of the process itself; `peak` counts pages of mapped files as well, which the system takes back at need.
"""
TASKS = {
    "import": "import of a pickle",
    "open": "opening the store",
    "fit": "fitting the normalisation",
    "read": "reading the train split once",
    "train": "an epoch of LMF, text pre-extracted",
    "longest": "a step of MITR-DNet on the 32 longest samples",
}
INFERENCE = """## Answers from features

Clips of five seconds, text tokenised and encoded by MiniLM, features at hand; see [export.md](export.md).
"""
GROWTH = """## How it grows

An epoch of training, and for the rates an evaluation with MiniLM. The slope is that of a line through the logarithms: 1
is in proportion, 2 with the square, 0 for nothing.
"""
VARIED = {
    "samples": "Samples",
    "tokens": "Tokens and steps",
    "width of text": "Width of text",
    "missing rates": "Missing rates",
}
HISTORY = """## Slower than before?

Every run is kept in `docs/results/perf/history.csv`.
"""
