"""From a store to batches: padding, tokens, masks' extents, and the order of samples."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mitr.batches.examples import Examples
from mitr.batches.sampler import LengthSortedBatches
from mitr.config import NormalizeConfig, TextConfig
from mitr.data.normalize import Normalizer
from mitr.data.schema import DatasetInfo, Modality, Source
from mitr.data.store import Dataset, Sample, write_store
from mitr.errors import MitrError
from mitr.missing.masks import Mask, everything
from mitr.text.encoder import TextEncoder

AUDIO = [np.arange(1, 2 * n + 1, dtype=np.float32).reshape(n, 2) for n in (3, 1, 4)]
NO_SCALING = Normalizer({})


def store(
    folder: Path, text: Modality | None = None, texts: list | None = None, raw: tuple[str, ...] = ("",) * 4
) -> Dataset:
    """Four samples: audio of 3, 1, 0 and 4 steps, and text if given."""
    samples = []
    for i, audio in enumerate([AUDIO[0], AUDIO[1], None, AUDIO[2]]):
        sample = Sample(f"s{i}", "train", [1.0, None, -2.0, 0.5][i], raw[i])
        if audio is not None:
            sample.features["audio"] = audio
            sample.available["audio"] = np.arange(len(audio)) != 1
        if texts is not None and len(texts[i]):
            sample.features["text"] = texts[i]
        samples.append(sample)
    modalities = {"audio": Modality("features", 2, 7)}
    if text is not None:
        modalities["text"] = text
    write_store(folder, samples, DatasetInfo("x", (-3, 3), modalities, Source("x", "test")))
    return Dataset(folder)


def examples(data: Dataset, text: TextEncoder | None = None, rows: tuple[int, ...] = (0, 1, 2, 3)) -> Examples:
    return Examples(data, np.array(rows), NO_SCALING, text)


class TestCollate:
    def test_features_are_padded_to_the_longest_of_the_batch(self, tmp_path: Path) -> None:
        made = examples(store(tmp_path))
        batch = made.collate([made[p] for p in (1, 0, 2)])
        audio = batch.view["audio"]
        assert audio.values.tolist() == [
            [[1, 2], [0, 0], [0, 0]],
            [[1, 2], [0, 0], [5, 6]],  # the second step is not available
            [[0, 0], [0, 0], [0, 0]],
        ]
        assert audio.valid.int().tolist() == [[1, 0, 0], [1, 1, 1], [0, 0, 0]]
        assert audio.available.int().tolist() == [[1, 0, 0], [1, 0, 1], [0, 0, 0]]
        assert torch.equal(audio.content, audio.valid)
        assert audio.values.dtype == torch.float32

    def test_positions_and_labels(self, tmp_path: Path) -> None:
        made = examples(store(tmp_path), rows=(3, 1, 0))
        batch = made.collate([made[p] for p in (2, 0, 1)])
        assert batch.positions.tolist() == [2, 0, 1]
        assert batch.labels[:2].tolist() == [1.0, 0.5]
        assert batch.labels[2].isnan()
        assert batch.labels.dtype == torch.float32
        assert batch.view["audio"].valid.sum(dim=1).tolist() == [3, 4, 1]
        assert len(made) == 3
        assert made.ids == ["s3", "s1", "s0"]

    def test_labels_of_single_modalities_that_are_used(self, tmp_path: Path) -> None:
        data = store(tmp_path)
        data.modality_labels = {"audio": np.array([0.5, np.nan, 1, -1], np.float32), "vision": np.zeros(4, np.float32)}
        made = examples(data, rows=(3, 1, 0))
        batch = made.collate([made[p] for p in (2, 0, 1)])
        assert batch.unimodal.keys() == {"audio"}
        np.testing.assert_array_equal(batch.unimodal["audio"], [0.5, -1, np.nan])
        data.modality_labels = {}
        assert not examples(data).unimodal

    def test_masks_make_the_incomplete_view(self, tmp_path: Path) -> None:
        made = examples(store(tmp_path))
        keep = np.array([[0, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 0]], bool)
        masks = {"audio": Mask(keep, np.array([False, True, False, False]))}
        batch = made.collate([made[p] for p in (3, 0, 1)], masks)
        audio = batch.incomplete["audio"]
        assert audio.values[..., 0].tolist() == [[1, 0, 5, 0], [0, 0, 5, 0], [0, 0, 0, 0]]
        assert audio.available.int().tolist() == [[1, 0, 1, 0], [0, 0, 1, 0], [0] * 4]
        assert audio.valid.int().tolist() == [[1] * 4, [1, 1, 1, 0], [0] * 4]
        whole = made.collate([made[p] for p in (3, 0, 1)])
        assert whole.incomplete is whole.view
        for part, untouched in zip(batch.view["audio"][:4], whole.view["audio"][:4], strict=True):
            assert torch.equal(part, untouched)

    def test_hidden_tokens_become_the_encoders_unknown_one(self, tmp_path: Path, minilm: TextEncoder) -> None:
        made = examples(store(tmp_path, Modality("raw"), raw=("a fine film", "", "dull", "bad")), minilm)
        masks = {m: everything(extent.lengths, extent.steps) for m, extent in made.extents().items()}
        masks["text"].keep[0, 2] = False
        text = made.collate([made[0]], masks).incomplete["text"]
        assert minilm.tokenizer.convert_ids_to_tokens(text.values[0].tolist()) == [
            "[CLS]",
            "a",
            "[UNK]",
            "film",
            "[SEP]",
        ]

    def test_a_split_comes_in_batches_of_similar_length(self, tmp_path: Path) -> None:
        made = examples(store(tmp_path))  # of 3, 1, 0 and 4 steps
        masks = {"audio": Mask(np.zeros((4, 7), bool), np.zeros(4, bool))}
        batches = list(made.batches(3, masks))
        assert [batch.positions.tolist() for batch in batches] == [[2, 1, 0], [3]]
        assert not any(batch.incomplete["audio"].available.any() for batch in batches)
        assert all(batch.incomplete is batch.view for batch in made.batches(3))

    def test_there_are_always_two_steps(self, tmp_path: Path) -> None:
        made = examples(store(tmp_path))
        for positions in ((2,), (1,), (1, 2)):
            assert made.collate([made[p] for p in positions]).view["audio"].values.shape[1] == 2

    def test_scaled_features_have_zero_rows_where_nothing_was_seen(self, tmp_path: Path) -> None:
        data = store(tmp_path)
        made = Examples(data, np.arange(4), Normalizer.fit(data, NormalizeConfig()), None)
        audio = made.collate([made[p] for p in range(4)]).view["audio"]
        assert not audio.values[~audio.available].any()
        seen = audio.values[audio.available]
        torch.testing.assert_close(seen.mean(dim=0), torch.zeros(2), rtol=0, atol=1e-6)
        torch.testing.assert_close(seen.std(dim=0, unbiased=False), torch.ones(2))

    def test_embeddings_with_special_tokens(self, tmp_path: Path) -> None:
        texts = [np.ones((n, 4), np.float32) for n in (4, 2, 3, 0)]
        made = examples(store(tmp_path, Modality("embeddings", 4, 9, special_tokens=True), texts))
        text = made.collate([made[p] for p in range(4)]).view["text"]
        assert text.content.int().tolist() == [[0, 1, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
        assert text.valid.sum(dim=1).tolist() == [4, 2, 3, 0]
        assert text.observed.tolist() == [True, False, True, False]


class TestExtents:
    def test_they_hold_what_masks_depend_on(self, tmp_path: Path) -> None:
        texts = [np.ones((n, 4), np.float32) for n in (4, 2, 3, 0)]
        made = examples(store(tmp_path, Modality("embeddings", 4, None, special_tokens=True), texts), rows=(3, 0))
        extents = made.extents()
        assert list(extents) == ["text", "audio"]
        assert extents["audio"].lengths.tolist() == [4, 3]
        assert (extents["audio"].padded_length, extents["audio"].special_tokens) == (7, False)
        assert extents["text"].lengths.tolist() == [0, 4]
        assert (extents["text"].padded_length, extents["text"].special_tokens) == (None, True)
        assert made.costs().tolist() == [4, 7]

    def test_raw_text_counts_as_padded_to_50(self, tmp_path: Path, minilm: TextEncoder) -> None:
        raw = ("a fine film", "", "dull", "really quite bad")
        made = examples(store(tmp_path, Modality("raw"), raw=raw), minilm)
        extent = made.extents()["text"]
        assert extent.lengths.tolist() == [5, 0, 3, 5]
        assert (extent.padded_length, extent.special_tokens) == (50, True)
        assert made.costs().tolist() == [5, 0, 3, 5]


class TestText:
    def test_raw_text_becomes_tokens(self, tmp_path: Path, minilm: TextEncoder) -> None:
        raw = ("a fine film", "", "dull ☃", "   ")
        made = examples(store(tmp_path, Modality("raw"), raw=raw), minilm)
        text = made.collate([made[p] for p in range(4)]).view["text"]
        words = minilm.tokenizer.convert_ids_to_tokens(text.values[0].tolist())
        assert words == ["[CLS]", "a", "fine", "film", "[SEP]"]
        assert text.values[2].tolist() == [101, minilm.tokenizer.convert_tokens_to_ids("dull"), 100, 102, 0]
        assert text.values.dtype == torch.int64
        assert text.available.int().tolist() == [[1] * 5, [0] * 5, [1, 1, 0, 1, 0], [0] * 5]  # the snowman is [UNK]
        assert text.content.int().tolist() == [[0, 1, 1, 1, 0], [0] * 5, [0, 1, 1, 0, 0], [0] * 5]
        assert text.present.tolist() == [True, False, True, False]

    def test_stored_ids_are_kept(self, tmp_path: Path, minilm: TextEncoder) -> None:
        ids = [np.array(row, np.int32) for row in ([101, 7, 8, 102], [101, 102], [], [101, 100, 102])]
        made = examples(store(tmp_path, Modality("ids", padded_length=6), ids), minilm)
        text = made.collate([made[p] for p in range(4)]).view["text"]
        assert text.values.tolist() == [[101, 7, 8, 102], [101, 102, 0, 0], [0] * 4, [101, 100, 102, 0]]
        assert text.observed.tolist() == [True, False, False, False]
        assert made.extents()["text"].padded_length == 6
        assert made.unknown == 100

    def test_ids_of_another_vocabulary_name_the_sample(self, tmp_path: Path, minilm: TextEncoder) -> None:
        ids = [np.array([101, 7, 102], np.int32)] * 3 + [np.array([0, 7, 2], np.int32)]
        with pytest.raises(MitrError, match=r"sample 's3': its token ids do not belong"):
            examples(store(tmp_path, Modality("ids"), ids), minilm)

    @pytest.mark.parametrize("kind", ["raw", "ids"])
    def test_long_texts_are_cut_and_counted(self, tmp_path: Path, kind: str, minilm: TextEncoder) -> None:
        ids = [np.array([101, *[7] * n, 102], np.int32) for n in (3, 4, 9, 2)]
        raw = ("a b c", "a b c d", "a b c d e f g h i", "a b")
        data = store(tmp_path, Modality(kind), ids if kind == "ids" else None, raw)  # type: ignore[arg-type]
        short = TextEncoder(TextConfig(max_tokens=5, finetune=False))
        with pytest.warns(UserWarning, match="^2 texts are longer than 5 tokens and were cut$"):
            made = examples(data, short)
        assert made.extents()["text"].lengths.tolist() == [5, 5, 5, 4]
        for _, example in (made[p] for p in range(4)):
            assert (example["text"][0][0], example["text"][0][-1]) == (101, 102)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            examples(data, minilm)

    def test_text_of_more_tokens_than_the_tokenizers_own_habit_is_kept(
        self, tmp_path: Path, minilm: TextEncoder
    ) -> None:
        raw = ("film " * 200, "film", "film", "film")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            made = examples(store(tmp_path, Modality("raw"), raw=raw), minilm)
        assert made.extents()["text"].lengths.tolist() == [202, 3, 3, 3]


class TestBatches:
    law = settings(max_examples=100, deadline=None, derandomize=True)

    @law
    @given(
        st.lists(st.integers(0, 50), max_size=150).map(np.array),
        st.integers(1, 9),
        st.none() | st.integers(0, 2**32 - 1),
    )
    def test_they_are_a_permutation(self, lengths: np.ndarray, size: int, seed: int | None) -> None:
        batches = LengthSortedBatches(lengths, size, seed)
        batches.epoch = 3
        made = list(batches)
        assert sorted(p for batch in made for p in batch) == list(range(len(lengths)))
        assert len(made) == len(batches)
        assert all(0 < len(batch) <= size for batch in made)
        assert sum(len(batch) < size for batch in made) <= 1
        assert list(batches) == made

    def test_seed_and_epoch_decide(self) -> None:
        lengths = np.random.default_rng(0).integers(1, 50, 300)

        def order(seed: int, epoch: int) -> list[list[int]]:
            batches = LengthSortedBatches(lengths, 8, seed)
            batches.epoch = epoch
            return list(batches)

        np.random.seed(1)
        first = order(1, 0)
        np.random.seed(2)
        assert order(1, 0) == first
        assert order(1, 1) != first
        assert order(2, 0) != first
        mates = {frozenset(batch) for batch in first}
        assert len(mates & {frozenset(batch) for batch in order(1, 1)}) < len(mates) / 2  # not only their order

    def test_chances_decide_how_often_a_sample_comes(self) -> None:
        chances = np.array([0.5, 0.5, 0] * 40) / 40
        batches = LengthSortedBatches(np.arange(120), 8, 1, chances)

        def drawn(epoch: int) -> list[int]:
            batches.epoch = epoch
            made = list(batches)
            assert len(made) == len(batches)
            return [p for batch in made for p in batch]

        assert len(drawn(0)) == 120
        assert drawn(0) == drawn(0) != drawn(1)
        assert not set(drawn(0)) & set(range(2, 120, 3))
        assert len(set(drawn(0))) < 80  # with replacement: 1 - 1/e^1.5 of the 80 that can come, about 62
        often = np.bincount([p for epoch in range(100) for p in drawn(epoch)], minlength=120)
        np.testing.assert_allclose(often[chances > 0], 150, atol=50)  # 100 epochs of 120 / 80 each; four deviations

    def test_batches_hold_samples_of_similar_length(self) -> None:
        lengths = np.random.default_rng(0).integers(1, 500, 640)

        def padding(batches: list[list[int]]) -> int:
            return sum(len(b) * lengths[b].max() for b in batches) - lengths.sum()

        in_order = [list(range(i, i + 8)) for i in range(0, 640, 8)]
        assert padding(list(LengthSortedBatches(lengths, 8, 0))) < padding(in_order) / 5

    def test_training_does_not_go_from_short_to_long(self) -> None:
        lengths = np.arange(128)
        first_of_each = [batch[0] for batch in LengthSortedBatches(lengths, 8, 0)]
        assert first_of_each != sorted(first_of_each)

    def test_without_a_seed_windows_come_in_order(self) -> None:
        lengths = np.array([3, 1, 2] * 16)
        batches = list(LengthSortedBatches(lengths, 2))
        window = sorted(range(32), key=lambda p: (lengths[p], p))
        assert batches[:16] == [window[i : i + 2] for i in range(0, 32, 2)]
        assert sorted(p for batch in batches[16:] for p in batch) == list(range(32, 48))
