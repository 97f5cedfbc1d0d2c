"""openSMILE's descriptors: their names, their place in time, and the sounds that it reads wrongly by itself."""

import av
import numpy as np
import opensmile
import pytest

from mitr.media.audio import smile
from mitr.media.audio.smile import COMPARE, EGEMAPS, HOP, RATE, _smile

pytestmark = pytest.mark.filterwarnings("error")
both = pytest.mark.parametrize("extractor", [EGEMAPS, COMPARE], ids=lambda extractor: extractor.name)
TIME = np.arange(RATE) / RATE


def voice(pitch: float, seconds: float = 1) -> np.ndarray:
    """A buzz with harmonics that fall off, (n,) float32."""
    time = np.arange(int(seconds * RATE)) / RATE
    return (0.2 * sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 12))).astype(np.float32)


def noise(seconds: float, level: float = 1e-3) -> np.ndarray:
    return (level * np.random.default_rng(0).standard_normal(int(seconds * RATE))).astype(np.float32)


def column(extractor, values: np.ndarray, name: str) -> np.ndarray:
    return values[:, [column.name for column in extractor.columns].index(name)]


@pytest.mark.parametrize(("extractor", "width", "own"), [(EGEMAPS, 25, "eGeMAPSv02"), (COMPARE, 65, "ComParE_2016")])
def test_card(extractor, width, own):
    names = [column.name for column in extractor.columns]
    assert (len(names), extractor.rate) == (width, 100)
    level = opensmile.FeatureLevel.LowLevelDescriptors
    assert names == opensmile.Smile(opensmile.FeatureSet[own], level).feature_names
    assert "non-commercial" in extractor.licence
    assert all(column.unit and column.about for column in extractor.columns)


@pytest.mark.parametrize("pitch", [90, 150, 235])
def test_pitch(pitch):
    semitones = column(EGEMAPS, EGEMAPS.extract([voice(pitch)]).values, "F0semitoneFrom27.5Hz_sma3nz")[10:-10]
    np.testing.assert_allclose(27.5 * 2 ** (semitones / 12), pitch, rtol=0.02)
    hertz = column(COMPARE, COMPARE.extract([voice(pitch)]).values, "F0final_sma")[10:-10]
    np.testing.assert_allclose(hertz, pitch, rtol=0.02)


@both
def test_steps_stand_where_the_sound_is(extractor):
    sound = np.concatenate([noise(1), voice(150) + noise(1), noise(1)])
    values = extractor.extract([sound]).values
    pitch = {"egemaps": "F0semitoneFrom27.5Hz_sma3nz", "compare": "F0final_sma"}[extractor.name]
    voiced = np.flatnonzero(column(extractor, values, pitch))
    assert abs(voiced[0] - 100) <= 2
    assert abs(voiced[-1] - 199) <= 2
    loudness = {"egemaps": "Loudness_sma3", "compare": "audspec_lengthL1norm_sma"}[extractor.name]
    level = column(extractor, values, loudness)
    loud = np.flatnonzero(level > level.max() / 2)
    assert abs(loud[0] - 100) <= 2
    assert abs(loud[-1] - 200) <= 2


def test_spectral_balance_has_the_sign_of_its_card():
    low, high = ((0.3 * np.sin(2 * np.pi * f * TIME)).astype(np.float32) + noise(1) for f in (300, 3000))
    for name, sign in (("alphaRatio_sma3", 1), ("hammarbergIndex_sma3", -1)):
        values = [sign * column(EGEMAPS, EGEMAPS.extract([sound]).values, name)[50] for sound in (low, high)]
        assert values[0] < -20
        assert values[1] > 20


@both
def test_full_scale_does_not_wrap(extractor):
    sound = np.clip(5 * voice(150), -1, 1)
    assert (sound == 1).any()
    loudest = extractor.extract([sound]).values
    np.testing.assert_array_equal(extractor.extract([np.minimum(sound, np.float32(1 - 2**-15))]).values, loudest)
    np.testing.assert_array_equal(extractor.extract([np.where(sound == 1, np.float32(2), sound)]).values, loudest)
    wrapped = _smile({"egemaps": "eGeMAPSv02", "compare": "ComParE_2016"}[extractor.name])(sound, RATE)[0].T
    assert np.abs(wrapped[20:60] - loudest[22:62]).max() > 1  # openSMILE itself does wrap


@both
def test_the_numbers_are_opensmiles(extractor):
    sound = np.concatenate([np.zeros(500, np.float32), voice(150), noise(1)])
    own = _smile({"egemaps": "eGeMAPSv02", "compare": "ComParE_2016"}[extractor.name])(sound, RATE)[0].T
    values = extractor.extract([sound]).values
    np.testing.assert_array_equal(values[2 : len(own) - 3], own[:-5])  # its last steps lack a part of their windows
    np.testing.assert_array_equal(values[:2], own[[0, 0]])


@both
@pytest.mark.parametrize("length", [0, 1, 160, 959, 960, 961, 1500, 16001])
def test_any_length(extractor, length):
    values, notes = extractor.extract([voice(150, 2)[:length]])
    assert values.dtype == np.float32
    assert values.shape == (-(-length // HOP), len(extractor.columns))
    short = 0 < length <= 960
    assert np.isnan(values).all() if short else np.isfinite(values).all()
    assert len(notes) == short


@both
@pytest.mark.parametrize("level", [0, 1e-30, 1, -1])
def test_constant_sound_is_finite(extractor, level):
    assert np.isfinite(extractor.extract([np.full(RATE, level, np.float32)]).values).all()


@both
def test_a_sample_that_is_no_number_blanks_its_step(extractor):
    sound = voice(150)
    sound[5000] = np.nan
    values = extractor.extract([sound]).values
    assert np.flatnonzero(np.isnan(values).any(axis=1)).tolist() == [5000 // HOP]
    assert np.isnan(values[5000 // HOP]).all()


@both
def test_blocks_do_not_show(extractor, monkeypatch):
    parts = [noise(0.5), voice(110, 2), noise(1, 0.1), voice(220, 2), np.zeros(RATE), voice(180, 4)]
    sound = np.concatenate(parts).astype(np.float32)
    whole = extractor.extract([sound]).values
    monkeypatch.setattr(smile, "BLOCK", 3 * RATE)
    in_blocks = extractor.extract([sound]).values
    np.testing.assert_allclose(in_blocks, whole, rtol=1e-5, atol=1e-4)
    cuts = np.sort(np.random.default_rng(0).integers(0, len(sound), 50))
    np.testing.assert_array_equal(extractor.extract(np.split(sound, cuts)).values, in_blocks)


@both
def test_no_step_of_a_real_clip_is_blank(extractor, shared):
    for path in sorted((shared / "data" / "clips" / "Raw").rglob("*.mp4")):
        with av.open(str(path)) as clip:
            resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
            sound = [part.to_ndarray()[0] for frame in clip.decode(audio=0) for part in resampler.resample(frame)]
        values = extractor.extract(sound).values
        assert np.isfinite(values).all()
        assert (np.ptp(values, axis=0) > 1e-3).all()
