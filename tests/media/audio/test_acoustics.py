"""Pitch, MFCC and chroma of sounds whose answers are known, in blocks that do not show."""

import subprocess
import sys

import av
import librosa
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitr.media.audio import acoustics
from mitr.media.audio.acoustics import HOP, RATE, SIMS33, blocks, extract_sims33, in_steps
from mitr.testing import ExtractorContract
from waiting import LONGEST

pytestmark = pytest.mark.filterwarnings("error")
TIME = np.arange(2 * RATE) / RATE
NAMES = [column.name for column in SIMS33.columns]


def voice(pitch: float) -> np.ndarray:
    """Two seconds of a buzz with harmonics that fall off, (32000,) float32."""
    return (0.2 * sum(np.sin(2 * np.pi * pitch * k * TIME) / k for k in range(1, 12))).astype(np.float32)


def noise(seconds: float, level: float = 0.1) -> np.ndarray:
    return (level * np.random.default_rng(0).standard_normal(int(seconds * RATE))).astype(np.float32)


def column(values: np.ndarray, name: str) -> np.ndarray:
    return values[:, NAMES.index(name)]


class TestContract(ExtractorContract):
    name = "sims33"


def test_card():
    assert (SIMS33.rate, SIMS33.modality) == (31.25, "audio")
    assert len(set(NAMES)) == 33


@pytest.mark.parametrize("pitch", [80, 150, 235, 500])
def test_pitch(pitch):
    f0 = column(extract_sims33([voice(pitch)]).values, "log_f0")
    np.testing.assert_allclose(np.exp(f0[2:-2]), pitch, rtol=0.01)


def test_pitch_stands_where_the_voice_is():
    sound = np.concatenate([noise(1, 0.001), voice(150), noise(1, 0.001)])
    voiced = np.flatnonzero(column(extract_sims33([sound]).values, "log_f0"))
    assert abs(voiced[0] - 31.25) <= 1.5
    assert abs(voiced[-1] - 3 * 31.25) <= 1.5
    assert len(voiced) == voiced[-1] - voiced[0] + 1


def test_noise_has_no_pitch():
    assert not column(extract_sims33([noise(3)]).values, "log_f0").any()


def test_silence():
    values = extract_sims33([np.zeros(RATE, np.float32)]).values
    expected = np.zeros(33)
    expected[1] = -50 * np.sqrt(128)  # the floor in all 128 mel bands
    np.testing.assert_allclose(values, np.broadcast_to(expected, (32, 33)), atol=1e-3)


@pytest.mark.parametrize(("pitch", "note"), [(440.0, "A"), (261.63, "C"), (369.99, "F#")])
def test_chroma(pitch, note):
    values = extract_sims33([(0.3 * np.sin(2 * np.pi * pitch * TIME)).astype(np.float32)]).values
    middle = values[20:-20, 21:]
    assert set(middle.argmax(axis=1)) == {NAMES.index(f"chroma_{note}") - 21}
    np.testing.assert_allclose(middle.max(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(("cents", "sharp"), [(0, 0.006), (30, 0.283)])
def test_tuning_is_that_of_concert_pitch(cents, sharp):
    tone = 0.3 * np.sin(2 * np.pi * 440 * 2 ** (cents / 1200) * TIME)
    step = extract_sims33([tone.astype(np.float32)]).values[31]
    np.testing.assert_allclose(
        [step[NAMES.index("chroma_G#")], step[NAMES.index("chroma_A#")]], [0.005, sharp], atol=2e-3
    )


def test_a_step_does_not_hang_on_what_is_loud_elsewhere():
    quiet = noise(3, 5e-4)
    louder = np.concatenate([quiet, voice(150) * 2])
    np.testing.assert_allclose(extract_sims33([louder]).values[:40], extract_sims33([quiet]).values[:40], atol=1e-4)


def test_mfcc_are_librosas():
    sound = noise(3)
    mel = librosa.feature.melspectrogram(y=sound, sr=RATE)
    expected = librosa.feature.mfcc(S=librosa.power_to_db(mel, amin=1e-5, top_db=None)).T
    np.testing.assert_allclose(extract_sims33([sound]).values[:, 1:21], expected[:94], rtol=1e-4, atol=1e-3)


def test_level_moves_only_the_first_mfcc():
    loud, soft = (extract_sims33([noise(2, level)]).values for level in (0.1, 0.01))
    np.testing.assert_allclose(column(loud, "mfcc_0") - column(soft, "mfcc_0"), 20 * np.sqrt(128), rtol=1e-4)
    np.testing.assert_allclose(loud[:, 2:21], soft[:, 2:21], atol=1e-3)


@pytest.mark.parametrize("length", [0, 1, 2, 511, 512, 513, 1024, 2000, 32768, 32769])
def test_any_length(length):
    values = extract_sims33([noise(3)[:length]]).values
    assert values.dtype == np.float32
    assert values.shape == (-(-length // HOP), 33)
    assert np.isfinite(values).all()


def test_blocks_do_not_show(monkeypatch):
    sound = np.concatenate([voice(110), noise(3), voice(220), noise(2, 0.01), np.zeros(RATE), voice(330), noise(0.7)])
    sound = sound.astype(np.float32)
    whole = extract_sims33([sound]).values
    monkeypatch.setattr(acoustics, "BLOCK", 125 * HOP)  # 4 s: three blocks and a rest
    in_blocks = extract_sims33([sound]).values
    np.testing.assert_allclose(in_blocks, whole, rtol=1e-4, atol=1e-3)
    cuts = np.sort(np.random.default_rng(0).integers(0, len(sound), 50))
    np.testing.assert_array_equal(extract_sims33(np.split(sound, cuts)).values, in_blocks)


def test_a_sample_that_is_no_number_blanks_its_step():
    sound = voice(150)
    sound[5000], sound[20000] = np.nan, np.inf
    values = extract_sims33([sound]).values
    assert np.flatnonzero(np.isnan(values).all(axis=1)).tolist() == [5000 // HOP, 20000 // HOP]
    assert np.isnan(values).sum() == 2 * 33
    assert np.isnan(sound[5000])  # the caller's array is as it was


def test_no_step_of_a_real_clip_is_blank(shared):
    for path in sorted((shared / "data" / "clips" / "Raw").rglob("*.mp4")):
        sound = decoded(path)
        values = extract_sims33([sound]).values
        assert np.isfinite(values).all()
        assert (values.std(axis=0) > 0.01).all()
        voiced = column(values, "log_f0") > 0
        assert 0.2 < voiced.mean() < 0.95
        assert 80 < np.exp(np.median(column(values, "log_f0")[voiced])) < 300


def decoded(path) -> np.ndarray:
    with av.open(str(path)) as clip:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
        parts = [part for frame in clip.decode(audio=0) for part in resampler.resample(frame)]
        return np.concatenate([part.to_ndarray()[0] for part in [*parts, *resampler.resample(None)]])


@given(
    lengths=st.lists(st.integers(0, 30), max_size=12),
    size=st.integers(1, 20),
    context=st.integers(1, 25),
)
def test_pieces_are_the_stream(lengths, size, context):
    sound = np.arange(sum(lengths), dtype=np.float32)
    chunks = np.split(sound, np.cumsum(lengths)[:-1]) if lengths else []
    start = 0
    for block in blocks(chunks, size, context):
        left = len(sound) - start
        assert block.size == (left if left < size + context else size)
        first, last = start - block.before, start + block.size
        assert block.before == min(context, start)
        np.testing.assert_array_equal(block.samples, sound[first : last + context])
        start = last
    assert start == len(sound)


@given(length=st.integers(0, 200), size=st.integers(1, 10), context=st.integers(1, 10))
def test_a_local_measurement_is_the_same_in_blocks(length, size, context):
    sound = np.random.default_rng(length).standard_normal(length).astype(np.float32)

    def level(samples: np.ndarray) -> np.ndarray:
        padded = np.pad(samples, (0, -len(samples) % 4))
        return padded.reshape(-1, 4).mean(axis=1)[:, None]

    values = in_steps([sound], 4, 4 * size, 4 * context, 1, level)
    np.testing.assert_array_equal(values, level(sound).astype(np.float32))


def test_importing_is_cheap():
    code = (
        "import sys, mitr.media.audio.acoustics, mitr.media.audio.smile;"
        "import mitr.media.words.captions, mitr.media.words.speech;"
        "print([name for name in ('librosa', 'opensmile', 'faster_whisper', 'torch', 'numba') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=LONGEST)
    assert done.stdout.strip() == "[]"
