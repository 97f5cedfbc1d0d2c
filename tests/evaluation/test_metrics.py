"""Metrics against MMSA's values, scikit-learn, SciPy and numbers counted by hand."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from mitr.data.scale import Scale
from mitr.errors import MitrError
from mitr.evaluation.metrics import METRICS, auilc, compute, measure, metric, metric_keys
from waiting import LONGEST

SCALES = {"mosi": Scale.of((-3, 3)), "sims": Scale.of((-1, 1)), "general": Scale.of((-2, 2))}
MOSI, SIMS = SCALES["mosi"], SCALES["sims"]
MMSA = {
    "mosi": {
        "mae": "MAE",
        "corr": "Corr",
        "acc7": "Mult_acc_7",
        "acc5": "Mult_acc_5",
        "acc2_has0": "Has0_acc_2",
        "acc2_non0": "Non0_acc_2",
        "f1_has0": "Has0_F1_score",
        "f1_non0": "Non0_F1_score",
    },
    "sims": {
        "mae": "MAE",
        "corr": "Corr",
        "acc2": "Mult_acc_2",
        "acc3": "Mult_acc_3",
        "acc5": "Mult_acc_5",
        "f1": "F1_score",
    },
}
CLASSES = {
    "accuracy": accuracy_score,
    "ua": balanced_accuracy_score,
    "f1_weighted": partial(f1_score, average="weighted"),
    "f1_macro": partial(f1_score, average="macro"),
}
families = st.sampled_from(sorted(SCALES))


def of_classes(number: int) -> Scale:
    return Scale.of((0, number - 1), [f"class {i}" for i in range(number)])


@st.composite
def pairs(draw, smallest: int = 1):
    """A family, predictions and labels in tenths over and beyond the scale, so that every edge is met."""
    family = draw(families)
    edge = int(SCALES[family].high * 10)
    n = draw(st.integers(smallest, 30))
    tenths = st.lists(st.integers(-edge - 8, edge + 8), min_size=n, max_size=n)
    labels = st.lists(st.integers(-edge, edge), min_size=n, max_size=n)
    return family, np.array(draw(tenths)) / 10, np.array(draw(labels)) / 10


def test_classes_counted_by_hand() -> None:
    truth, prediction = [0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 3, 0]
    # recalls 2/3, 1/2, 0; F1 2*2/(3+3), 2*1/(2+2), 0, and 0 for class 3, which no label has
    values = compute(of_classes(5), prediction, truth)
    expected = {"accuracy": 3 / 6, "ua": (2 / 3 + 1 / 2 + 0) / 3}
    expected |= {"f1_weighted": (3 * 2 / 3 + 2 * 1 / 2) / 6, "f1_macro": (2 / 3 + 1 / 2 + 0 + 0) / 4}
    assert values == pytest.approx(expected)
    assert set(compute(of_classes(5), [], []).values()) == {None}


@settings(deadline=None, derandomize=True)
@given(st.integers(2, 6), st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30))
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true", "ignore:A single label was found")
def test_classes_as_scikit_learn_has_them(classes: int, drawn: list[tuple[int, int]]) -> None:
    truth, prediction = np.array(drawn).T % classes
    values = compute(of_classes(classes), prediction, truth)
    for key, score in CLASSES.items():
        assert values[key] == pytest.approx(score(truth, prediction)), key


def test_resamples_of_classes_are_metrics_of_repeated_samples() -> None:
    truth, prediction = np.array([0.0, 1, 2, 1]), np.array([[0.0, 1, 1, 2], [0, 0, 2, 1]])
    counts = np.array([[1.0, 1, 1, 1], [2, 0, 1, 1], [0, 4, 0, 0]])
    drawn = measure(of_classes(3), prediction, truth, counts)
    for row, how_often in enumerate(counts.astype(int)):
        for model in range(2):
            alone = compute(of_classes(3), np.repeat(prediction[model], how_often), np.repeat(truth, how_often))
            assert {key: values[model, row] for key, values in drawn.items()} == pytest.approx(alone)


@pytest.mark.parametrize("family", sorted(MMSA))
def test_golden(family: str, shared: Path) -> None:
    arrays = np.load(shared / "golden" / "protocol.npz")
    values = compute(SCALES[family], arrays[f"metrics/{family}/pred"], arrays[f"metrics/{family}/true"])
    assert list(values) == list(MMSA[family])
    for key, name in MMSA[family].items():
        value, golden = values[key], float(arrays[f"metrics/{family}/{name}"])
        if family == "mosi":
            assert round(value, 4) == pytest.approx(golden, abs=1e-6), key  # the release rounds to 4 decimals
        else:
            assert value == pytest.approx(golden, abs=5e-8), key  # its MAE is a float32 mean


def test_mosi_by_hand() -> None:
    prediction = np.array([0.5, 1.5, -0.2, 0.0, 2.6, -3.9])
    truth = np.array([0.0, 2.0, 0.0, -1.0, 3.0, -3.0])
    values = compute(MOSI, prediction, truth)
    assert values["mae"] == pytest.approx((0.5 + 0.5 + 0.2 + 1 + 0.4 + 0.9) / 6)
    assert values["acc7"] == 5 / 6  # halves to even: .5 → 0, 1.5 → 2; −3.9 is −3; 0 for −1 is wrong
    assert values["acc5"] == 5 / 6
    assert values["acc2_has0"] == 4 / 6  # −.2 for 0 and 0 for −1 are on the wrong side
    assert values["acc2_non0"] == 1.0  # 2, −1, 3, −3: a prediction of 0 is not above 0


def test_sims_by_hand() -> None:
    prediction = np.array([0.1, 0.11, -0.1, 0.0, 1.7, -0.71])
    truth = np.array([0.0, 0.2, -0.2, 0.2, 1.0, -0.8])
    values = compute(SIMS, prediction, truth)
    assert values["mae"] == pytest.approx((0.1 + 0.09 + 0.1 + 0.2 + 0 + 0.09) / 6)  # 1.7 counts as 1
    assert values["acc2"] == 4 / 6  # .1 against 0 and 0 against .2 fall on different sides
    assert values["acc3"] == 5 / 6  # .1 belongs to the middle, −.1 to the lowest
    assert values["acc5"] == 5 / 6


def test_edges_are_those_of_float32() -> None:
    for kind in (np.float32, np.float64):
        at_edges = np.array([0.1, -0.1, 0.7, -0.7], dtype=kind)
        below = np.array([0.05, -0.2, 0.5, -0.9])
        assert compute(SIMS, at_edges, below)["acc5"] == 1.0


def test_general_scales() -> None:
    assert metric_keys(Scale.of((-2, 2)))[2] == "acc5"
    values = compute(Scale.of((1, 5)), np.array([1.0, 2.6, 3.0, 9.0]), np.array([2.0, 3.0, 3.0, 5.0]))
    assert values["acc5"] == 3 / 4
    assert values["acc2_has0"] == 3 / 4  # around 3: 2.6 is below, its label is not
    assert values["acc2_non0"] == 1.0
    assert metric_keys(Scale.of((0.2, 0.8))) == [
        "mae",
        "corr",
        "acc2_has0",
        "acc2_non0",
        "f1_has0",
        "f1_non0",
    ]
    assert metric("acc11").label == "Acc-11"


def test_families_and_names() -> None:
    for scale in SCALES.values():
        assert set(metric_keys(scale)) <= set(METRICS)
    assert METRICS["acc2_has0"].label == "Acc-2 has-zero"
    assert [key for key, about in METRICS.items() if about.lower_is_better] == ["mae"]


@settings(max_examples=60, deadline=None)
@given(pairs(smallest=2))
def test_like_scikit_learn_and_scipy(case) -> None:
    family, prediction, truth = case
    values = compute(SCALES[family], prediction, truth)
    suffix = "" if family == "sims" else "_has0"
    p, t = (prediction > 0, truth > 0) if family == "sims" else (prediction >= 0, truth >= 0)
    assert values[f"acc2{suffix}"] == pytest.approx(accuracy_score(t, p))
    assert values[f"f1{suffix}"] == pytest.approx(f1_score(t, p, average="weighted", zero_division=0))
    if family != "sims" and np.any(truth != 0):
        p, t = prediction[truth != 0] > 0, truth[truth != 0] > 0
        assert values["acc2_non0"] == pytest.approx(accuracy_score(t, p))
        assert values["f1_non0"] == pytest.approx(f1_score(t, p, average="weighted", zero_division=0))
    clipped = np.clip(prediction, -1, 1) if family == "sims" else prediction
    if np.ptp(clipped) > 0 and np.ptp(truth) > 0:
        assert values["corr"] == pytest.approx(pearsonr(clipped, truth).statistic, abs=1e-9)
    else:
        assert values["corr"] is None


@settings(max_examples=40, deadline=None)
@given(pairs(), st.randoms(use_true_random=False))
def test_order_of_samples_does_not_matter(case, random) -> None:
    family, prediction, truth = case
    order = list(range(len(truth)))
    random.shuffle(order)
    first = compute(SCALES[family], prediction, truth)
    assert compute(SCALES[family], prediction[order], truth[order]) == pytest.approx(first, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(pairs())
def test_perfect_prediction(case) -> None:
    family, _, truth = case
    values = compute(SCALES[family], truth, truth)
    assert values.pop("mae") == 0
    corr = values.pop("corr")
    assert corr is None or corr == pytest.approx(1)
    assert all(value == 1 for value in values.values() if value is not None)


@settings(max_examples=30, deadline=None)
@given(pairs(smallest=2), st.integers(0, 2**32 - 1))
def test_counts_are_the_same_as_repeated_samples(case, seed) -> None:
    family, prediction, truth = case
    drawn = np.random.default_rng(seed).integers(0, len(truth), len(truth))
    counts = np.bincount(drawn, minlength=len(truth)).astype(float)[None]
    rows = np.stack([prediction, -prediction])  # (2, n)
    weighted = measure(SCALES[family], rows, truth, counts)
    repeated = measure(SCALES[family], rows[:, drawn], truth[drawn])
    for key, value in repeated.items():
        assert weighted[key].shape == (2, 1)
        np.testing.assert_allclose(weighted[key][:, 0], value, atol=1e-9)


def test_swapped_arguments_change_f1() -> None:
    prediction = np.array([1.0, 1, 1, 1, -1, -1])
    truth = np.array([1.0, 1, 1, -1, -1, -1])  # 3 of 6 labels are positive, 4 of 6 predictions
    right, swapped = compute(MOSI, prediction, truth), compute(MOSI, truth, prediction)
    positive, negative = 2 * 3 / (4 + 3), 2 * 2 / (2 + 3)
    assert right["f1_has0"] == pytest.approx((3 * positive + 3 * negative) / 6)
    assert swapped["f1_has0"] == pytest.approx((4 * positive + 2 * negative) / 6)
    assert right["f1_has0"] != pytest.approx(swapped["f1_has0"])


@pytest.mark.filterwarnings("error")
def test_undefined_values_are_none() -> None:
    labels = np.array([-1.0, 0.5, 2.0])
    for constant in (0.1, np.float32(0.1), -2.7):
        assert compute(MOSI, np.full(3, constant), labels)["corr"] is None
    noise = 0.1 + np.array([0, 1e-8, -1e-8])  # one answer up to float32 rounding of different batches
    assert compute(MOSI, noise, labels)["corr"] is None
    assert compute(MOSI, labels, np.zeros(3))["corr"] is None
    assert compute(MOSI, labels[:1], labels[:1])["corr"] is None
    zeros = compute(MOSI, labels, np.zeros(3))
    assert zeros["acc2_non0"] is None
    assert zeros["f1_non0"] is None
    assert zeros["acc2_has0"] == pytest.approx(2 / 3)
    assert set(compute(SIMS, [], []).values()) == {None}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(MitrError, match="1 of 2 predictions are NaN or infinite"):
        compute(MOSI, np.array([bad, 1.0]), np.zeros(2))
    with pytest.raises(MitrError, match="labels"):
        compute(MOSI, np.zeros(2), np.array([bad, 1.0]))


def test_wrong_input_is_refused() -> None:
    with pytest.raises(MitrError, match="equally long"):
        compute(MOSI, np.zeros(2), np.zeros(3))
    with pytest.raises(MitrError, match="no metric"):
        metric("accurate")


def test_auilc() -> None:
    assert auilc([0, 0.5, 1], [1, 3, 2]) == pytest.approx(0.5 * 2 + 0.5 * 2.5)
    assert auilc([0, 0.1, 0.5], [0.8, 0.8, 0.8]) == pytest.approx(0.4)
    assert auilc([0, 0.1, 0.5], [0.8, 0.8, 0.8], divided=True) == pytest.approx(0.8)
    assert np.isnan(auilc([0, 1], [np.nan, 1]))
    assert auilc([0, 1], np.array([[1.0, 3], [0, 0]])).tolist() == [2, 0]
    for rates in ([0.1], [0, 0], [0.5, 0.1], []):
        with pytest.raises(MitrError, match="rising"):
            auilc(rates, np.zeros(len(rates)))
    with pytest.raises(MitrError, match="one value per"):
        auilc([0, 1], [1, 2, 3])


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, 100), min_size=2, max_size=11), st.floats(-5, 5))
def test_auilc_of_a_constant_is_constant_times_range(hundredths: set[int], constant: float) -> None:
    rates = np.sort(np.array(list(hundredths))) / 100
    values = np.full(len(rates), constant)
    assert auilc(rates, values) == pytest.approx(constant * (rates[-1] - rates[0]), abs=1e-12)
    assert auilc(rates, values, divided=True) == pytest.approx(constant, abs=1e-12)


def test_import_is_cheap() -> None:
    code = (
        "import sys, mitr.evaluation.metrics, mitr.evaluation.summary, mitr.report.plan, mitr.report.plots\n"
        "assert not {'torch', 'matplotlib', 'transformers', 'jinja2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=LONGEST)
