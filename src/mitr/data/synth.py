"""A made data set whose evidence is known, for tests, examples and first steps without any download."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from mitr.data.draft import Draft, RawSteps, write_draft
from mitr.data.schema import MODALITIES, DatasetInfo, Modality, Source
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.files import new_folder

DIMS = {"text": 32, "audio": 12, "vision": 16}
STEPS = {"text": (6, 20), "audio": (20, 60), "vision": (15, 45)}
PERSISTENCE = {"text": 0.2, "audio": 0.8, "vision": 0.8}  # AR(1) coefficient of the noise
NOISE = {
    "text": 10.0,
    "audio": 5.7,
    "vision": 6.0,
}  # standard deviation of a column, against evidence of roughly 1
LABEL_SD = 1.3
SHARED = 0.25  # share of the label's variance that all modalities carry; the rest is split evenly over the three
RATE_ABSENT = 0.03
RATE_MISSING = 0.03
POSITIVE = ("wonderful", "great", "lovely", "brilliant", "charming", "superb", "touching", "clever", "funny")
NEGATIVE = ("awful", "boring", "terrible", "dull", "clumsy", "painful", "ugly", "tedious", "annoying")
NEUTRAL = ("plot", "scene", "actor", "camera", "story", "music", "ending", "dialogue", "costume")
OPENINGS = ("it was", "i thought it was", "the film felt", "well it seemed", "to me this was")
CLASSES = ("angry", "calm", "happy", "sad")
PLEASANT, AROUSED = -0.5, 0.3  # thresholds that make calm and happy frequent, angry rare (43, 26, 19 and 12 %)
FILLERS = ("and there was a {}", "with that {}", "you know the {}", "then came the {}", "about the {}")


@dataclass
class _Latents:
    label: np.ndarray  # (N,), or indices of classes
    own_labels: dict[str, np.ndarray]  # modality -> (N,), the same by its evidence alone
    evidence: dict[str, np.ndarray]  # modality -> (N, 2): the shared and its private component, unit variance each


def synthesise(
    out: Path,
    *,
    seed: int = 0,
    train: int = 600,
    valid: int = 150,
    test: int = 300,
    text: Literal["embeddings", "raw"] = "embeddings",
    task: Literal["regression", "classification"] = "regression",
    own_labels: bool = False,
    overwrite: bool = False,
) -> Dataset:
    """Make a synthetic data set; the same arguments give the same bytes.

    The label (-3 to 3, standard deviation 1.3) is a sum of a component that text, audio and vision all carry
    and of three that only one of them carries, so each modality alone tells a share of it. Evidence comes in
    bursts of a few steps under autocorrelated noise: the fewer steps are seen, the less is known. Some 3 % of the
    modalities are absent and 3 % of the steps missing, in every split. As a classification, the label is the quadrant
    of the shared component (pleasant or not) and the sum of the three others (aroused or not).

    Args:
        out: folder of the store.
        seed: of all random numbers.
        train, valid, test: samples a split; 0 leaves it out.
        text: `embeddings` (T, 32), or `raw` English sentences over a small lexicon.
        task: `regression`, or `classification` into four classes, some rarer than others.
        own_labels: each modality also has a label from its evidence alone.
        overwrite: replace `out` if it exists.

    Raises:
        MitrError: a negative or no number of samples, or `out` exists already; then nothing is written.
    """
    sizes = {"train": train, "valid": valid, "test": test}
    if min(sizes.values()) < 0 or not sum(sizes.values()):
        raise MitrError(f"a data set of {train}, {valid} and {test} samples cannot be made; pass numbers of 0 or more")
    if seed < 0:
        raise MitrError(f"seed is {seed}; it must not be negative")
    total = sum(sizes.values())
    latents = _latents(np.random.default_rng([seed, 0]), total, task == "classification")
    patterns = {m: _patterns(np.random.default_rng([seed, 1, k]), DIMS[m]) for k, m in enumerate(MODALITIES)}
    absent = _absent(np.random.default_rng([seed, 2]), total)

    def steps(row: int) -> dict[str, RawSteps]:
        sample = {}
        for k, m in enumerate(MODALITIES):
            if not absent[row, k] and not (m == "text" and text == "raw"):
                random = np.random.default_rng([seed, 3, row, k])
                values = _sequence(random, m, latents.evidence[m][row], patterns[m])
                sample[m] = RawSteps(values, len(values))
        return sample

    raw = [""] * total
    if text == "raw":
        raw = [
            "" if absent[i, 0] else _sentence(np.random.default_rng([seed, 4, i]), latents.evidence["text"][i])
            for i in range(total)
        ]
    modalities = {m: Modality("embeddings" if m == "text" else "features", DIMS[m]) for m in MODALITIES}
    if text == "raw":
        modalities["text"] = Modality("raw")
    names = [split for split, size in sizes.items() for _ in range(size)]
    ids = [f"{split}_{i:04d}" for split, size in sizes.items() for i in range(size)]
    labels: list[float | None] = [float(label) for label in latents.label]
    notes = [f"synthetic: made by mitr with seed {seed}, no real data; its numbers say nothing about real speech"]
    modality_labels: dict[str, list[float | None]] = {m: v.tolist() for m, v in latents.own_labels.items()}
    classes, scale = (CLASSES, (0.0, 3.0)) if task == "classification" else (None, (-3.0, 3.0))
    if not own_labels:
        modality_labels = {}
    draft = Draft(modalities, ids, names, labels, raw, steps, modality_labels, notes, classes)
    info = DatasetInfo("synthetic", scale, {}, Source("synthetic", "synthetic"), synthetic=True)
    with new_folder(out, "dataset.json", overwrite) as folder:
        write_draft(draft, folder, info)
    return Dataset(out)


def _latents(random: np.random.Generator, count: int, classes: bool) -> _Latents:
    shared = random.standard_normal(count)
    private = random.standard_normal((3, count))
    label_of = _quadrant if classes else _sentiment
    return _Latents(
        label_of(shared, private.sum(axis=0) / np.sqrt(3)),
        {m: label_of(shared, private[k]) for k, m in enumerate(MODALITIES)},
        {m: np.stack([shared, private[k]], axis=1) for k, m in enumerate(MODALITIES)},
    )


def _sentiment(shared: np.ndarray, private: np.ndarray) -> np.ndarray:
    label = np.sqrt(SHARED) * shared + np.sqrt(1 - SHARED) * private
    return np.round(np.clip(LABEL_SD * label, -3, 3), 1)


def _quadrant(shared: np.ndarray, private: np.ndarray) -> np.ndarray:
    """Indices into `CLASSES`."""
    pleasant, aroused = shared > PLEASANT, private > AROUSED
    return np.select([~pleasant & aroused, pleasant & ~aroused, pleasant & aroused], [0.0, 1.0, 2.0], 3.0)


def _patterns(random: np.random.Generator, dim: int) -> np.ndarray:
    """How the shared and the private component show in the columns, (2, D), orthogonal, roughly 1 a column."""
    directions = np.linalg.qr(random.standard_normal((dim, 2)))[0].T
    return np.asarray(directions * np.sqrt(dim))


def _absent(random: np.random.Generator, count: int) -> np.ndarray:
    """Which modalities are absent, (N, 3) bool; never all three."""
    absent = random.random((count, 3)) < RATE_ABSENT
    absent[absent.all(axis=1), 0] = False
    return absent


def _sequence(random: np.random.Generator, m: str, evidence: np.ndarray, patterns: np.ndarray) -> np.ndarray:
    """(T, D) float32: bursts of evidence under AR(1) noise, with a few missing steps."""
    low, high = STEPS[m]
    steps, dim = int(random.integers(low, high + 1)), patterns.shape[1]
    noise = random.standard_normal((steps, dim))
    keep = PERSISTENCE[m]
    for t in range(1, steps):
        noise[t] = keep * noise[t - 1] + np.sqrt(1 - keep**2) * noise[t]
    # two bursts for each component, over roughly half of the steps; unit mean, so that length tells nothing
    weights = np.zeros((steps, 2))
    width = max(1, steps // 4)
    for component in range(2):
        for start in random.integers(0, steps - width + 1, size=2):
            weights[start : start + width, component] += 1
    weights *= random.normal(1, 0.5, size=weights.shape)
    weights /= weights.mean(axis=0).clip(0.1)
    values = (weights * evidence) @ patterns + NOISE[m] * noise
    values[random.random(steps) < RATE_MISSING] = 0
    return values.astype(np.float32)


def _sentence(random: np.random.Generator, evidence: np.ndarray) -> str:
    """A sentence whose share of kind and unkind words follows the text's evidence."""
    score = (np.sqrt(SHARED) * evidence[0] + np.sqrt((1 - SHARED) / 3) * evidence[1]) / np.sqrt(
        SHARED + (1 - SHARED) / 3
    )
    kind = 1 / (1 + np.exp(-1.8 * score))
    words = [str(random.choice(OPENINGS))]
    for i in range(int(random.integers(2, 6))):
        adjective = str(random.choice(POSITIVE if random.random() < kind else NEGATIVE))
        words.append(
            ("and " if i else "") + ("really " if abs(score) > 1 and random.random() < 0.5 else "") + adjective
        )
        if random.random() < 0.4:
            words.append(str(random.choice(FILLERS)).format(random.choice(NEUTRAL)))
    return " ".join(words)
