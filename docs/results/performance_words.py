"""The words of docs/performance.md; its numbers come from performance.py."""

INTRODUCTION = """# What it costs

Rendered by `make bench` from the files in `docs/results/perf/`; no measured figure on this page was typed but those of
the table of the release and of the row of the release cropped to real lengths, which stand in `rival.json`.
`make bench` measures everything, some 60 minutes on two cores with 8 GB of disk for the largest set; each part has a
command of its own, and `make bench-data SAMPLES=1000` a size.

Machines differ and are shared, so every benchmark measures a **yardstick** in the same run: GFLOP/s of a float32 matrix
product of 2048 x 2048 x 2048, the best of 8. **Units** are seconds times the yardstick: the work, in GFLOP, for which a
matrix product would have taken as long. Only units of different runs can be compared.
"""
NOTHING = "Not measured yet."
BARS = """## Figures and goals

"Times less" is against the authors' release as it was run on this very machine, in turns with ours, in seconds, the
best of its runs (below). "By the table" is the same against the figures of another machine, in units; units of two
machines are alike only as far as their memory and vector units keep pace with their matrix product. That accuracy is
the same with all of it is the matter of [results.md](results.md) and of the tests against the released code.
"""
MISSED = """### What limits the figures that miss their goal
"""
ACCURACY = """## Accuracy

CMU-MOSI, MiniLM fine-tuned in bf16, complete test data and the area over eleven rates, a run for each seed.
[results.md](results.md) has the means of its own seeds.
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

It is not used: it needs a C++ compiler, and time on the first call. Measured is the block in which it can merge most
passes over values: the gate of the temporal module, forward and backward, at the rows of all modalities in a mean batch
of CMU-MOSI, and the time that all gates of a step would save:
"""
FACTORS = """## What the factor against the release is made of

The release computes all steps of the padding, to 50, 375 and 500 steps. Cropped to the real lengths, its step is that
much nearer to ours: the quotient of the two rows is padding, and the second row is the rest, such as the kernels below.
"""
KERNELS = """## Kernels

The blocks of `mitr.nn` are plain PyTorch. On a CPU, kernels in `mitr.nn.cpu` stand in for some of them, with the same
outputs and gradients; a GPU and an exported graph take the plain blocks. A whole training step of MITR-DNet with and
without each kernel, in pairs in one process, text as states at CMU-MOSI's lengths (`bert`: BERT-base, fine-tuned):
`make bench-kernels` measures one and two threads. Seconds of one thread are those of the processor. The rows below are
those that were measured; the others of that command are not in the file yet.

- `dropout` draws fewer random numbers, `attention` adds dropout and true lengths to attention.
- `temporal` computes the temporal module over valid steps alone, both streams and both views in one call.
- `encoder` leaves padding out of wide products of the unimodal encoder and folds its first norm into the projections.
- `bert` computes BERT over valid tokens alone, and keeps less for the backward pass.

`encoder` and `bert` save less than a tenth of a step. They stay because figures above would miss their goal without
them: `encoder` for the steps on states at CMU-MOSI's lengths; `bert` for the peak memory (the last
column), which has to stay below half of the release's with `--train.keep_memory false`.
"""
WAITING = """## Threads on a shared machine

Of OpenMP's threads, those that are done spin by default until the others are, and take the processor from them where
other programs run. mitr asks for threads that sleep instead (`OMP_WAIT_POLICY=PASSIVE`, unless the environment says
more; it must be imported before PyTorch). A training step, text as states, float32, alone and beside as many busy
processes as the machine has cores:
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
