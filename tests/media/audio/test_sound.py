"""The sound: its samples, their times, and what is missing of it."""

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from made_clips import joined, rewritten, speechlike, tone, write_clip
from mitr.media.audio.sound import AudioStream, audio_of
from mitr.media.files.limits import Limits
from mitr.media.files.opening import open_clip


def heard(path: Path, limits: Limits | None = None) -> tuple[np.ndarray, AudioStream]:
    limits = limits or Limits()
    stream = audio_of(open_clip(path, limits), limits)
    wave = np.concatenate([np.zeros(0, np.float32), *stream])
    assert wave.dtype == np.float32
    assert wave.ndim == 1
    assert len(wave) / 16000 == stream.seconds
    assert len(stream.loudness) == -(-len(wave) // 160)
    return wave, stream


def wav(path: Path, samples: np.ndarray, rate: int) -> Path:
    """A WAV file of (n, channels) int16 or float32."""
    kind, width = (3, 4) if samples.dtype == np.float32 else (1, 2)
    channels, data = samples.shape[1], samples.astype(samples.dtype.newbyteorder("<")).tobytes()
    form = struct.pack("<HHIIHH", kind, channels, rate, rate * channels * width, channels * width, 8 * width)
    header = b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + struct.pack("<I", 16) + form
    path.write_bytes(header + b"data" + struct.pack("<I", len(data)) + data)
    return path


def click(times: np.ndarray, at: float = 0.5) -> np.ndarray:
    """A smooth bump of 4 ms round a time."""
    return 0.9 * np.exp(-(((times - at) / 0.002) ** 2))


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000])
def test_every_rate_becomes_16_khz(tmp_path: Path, rate: int) -> None:
    wave, stream = heard(write_clip(tmp_path / "a.wav", 1.0, picture=None, audio_rate=rate))
    assert len(wave) == 16000
    expected = tone(np.arange(16000) / 16000)
    np.testing.assert_allclose(wave[200:-200], expected[200:-200], atol=1e-3)
    np.testing.assert_allclose(stream.loudness[2:-2], 20 * np.log10(0.5 / np.sqrt(2)), atol=0.2)


@pytest.mark.parametrize("layout", ["mono", "stereo", "2.1", "quad", "5.0", "5.1", "7.1", "9 channels", "17 channels"])
def test_equal_channels_become_the_same_sound(tmp_path: Path, layout: str) -> None:
    count = {"mono": 1, "stereo": 2, "2.1": 3, "quad": 4, "5.0": 5, "5.1": 6, "7.1": 8}.get(layout) or int(layout[:2])
    times = np.arange(4800) / 48000
    samples = np.repeat((tone(times, level=0.95) * 32767).astype(np.int16)[:, None], count, axis=1)
    wave, _ = heard(wav(tmp_path / "a.wav", samples, 48000))
    expected = tone(np.arange(1600) / 16000, level=0.95)
    np.testing.assert_allclose(wave[100:-100], expected[100:-100], atol=2e-3)


def test_a_known_layout_keeps_the_centre_above_the_sides(tmp_path: Path) -> None:
    def centre(times: np.ndarray) -> np.ndarray:
        wave = np.zeros((len(times), 6))
        wave[:, 2] = tone(times)
        return wave

    wave, _ = heard(write_clip(tmp_path / "a.flac", 0.5, picture=None, sound=centre, layout="5.1", audio_rate=48000))
    assert 0.5 / 6 * 1.5 < wave.max() <= 0.5  # more than a plain mean


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".mov", ".avi", ".ts", ".flv", ".m4a", ".ogg", ".mp3"])
def test_sound_is_where_it_was(tmp_path: Path, suffix: str) -> None:
    path = write_clip(tmp_path / f"a{suffix}", 1.0, sound=click)
    wave, stream = heard(path)
    zero = 0.0235 if suffix in (".ts", ".flv") else 0.0  # the encoder's run-up, by which their pictures are late too
    assert abs(int(wave.argmax()) / 16000 - 0.5 - zero) < 0.001
    assert stream.missing == []
    assert stream.notes == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 40_000), st.sampled_from([8000, 16000, 22050, 44100, 48000]), st.integers(1, 2))
def test_no_length_is_lost(tmp_path: Path, count: int, rate: int, channels: int) -> None:
    samples = np.full((count, channels), 8192, np.int16)
    wave, stream = heard(wav(tmp_path / "a.wav", samples, rate))
    assert abs(len(wave) - count * 16000 / rate) <= 1
    assert (np.abs(wave) <= 1).all()
    assert stream.missing == [] or len(wave) == 0
    middle = wave[100:-100]
    np.testing.assert_allclose(middle, 0.25, atol=2e-3)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 50_000), st.floats(0.001, 1.0))
def test_loudness_is_rms_of_each_10_ms(tmp_path: Path, count: int, level: float) -> None:
    samples = np.full((count, 1), level, np.float32)
    _, stream = heard(wav(tmp_path / "a.wav", samples, 16000))
    np.testing.assert_allclose(stream.loudness, 20 * np.log10(np.float32(level)), atol=1e-4)


def test_silence_has_the_lowest_level(tmp_path: Path) -> None:
    _, stream = heard(wav(tmp_path / "a.wav", np.zeros((1600, 1), np.int16), 16000))
    assert stream.loudness.tolist() == [-120.0] * 10


def test_chunks_are_seconds(tmp_path: Path) -> None:
    stream = audio_of(open_clip(write_clip(tmp_path / "a.flac", 2.5, picture=None)))
    assert [len(chunk) for chunk in stream] == [16000, 16000, 8000]
    assert list(stream) == []  # once


def test_what_is_no_number_becomes_0_without_spreading(tmp_path: Path) -> None:
    samples = np.full((44100, 2), 0.5, np.float32)
    samples[22050:22052, 0] = np.nan, np.inf
    samples[30000, 1] = 1e30
    wave, stream = heard(wav(tmp_path / "a.wav", samples, 44100))
    assert np.isfinite(wave).all()
    assert stream.notes == ["3 samples that are no numbers are taken for 0"]
    touched = np.flatnonzero(np.abs(wave[50:-50] - 0.5) > 0.05) + 50
    assert touched.min() > 8000 - 40
    assert touched.max() < 10884 + 40


def test_beyond_full_scale_is_cut(tmp_path: Path) -> None:
    samples = np.full((16000, 1), 3.0, np.float32)
    samples[8000:] = -3
    wave, _ = heard(wav(tmp_path / "a.wav", samples, 16000))
    assert set(wave.tolist()) == {1.0, -1.0}


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_a_late_start_is_missing_and_zero(tmp_path: Path, suffix: str) -> None:
    path = write_clip(tmp_path / f"a{suffix}", 2.0, sound=click, sound_start=1.0, sound_seconds=1.0)
    wave, stream = heard(path)
    assert abs(int(wave.argmax()) / 16000 - 1.5) < 0.002
    ((start, stop, reason),) = stream.missing
    assert (start, reason) == (0.0, "the sound starts later")
    assert stop == pytest.approx(1.0, abs=0.025)  # the encoder's run-up comes first
    assert not wave[: int(stop * 16000)].any()


@pytest.mark.parametrize(("suffix", "codec"), [(".mkv", "pcm_s16le"), (".mp4", "aac"), (".ts", "mp2")])
def test_a_gap_is_missing_and_time_goes_on(tmp_path: Path, suffix: str, codec: str) -> None:
    sound = partial(click, at=1.5)
    whole = write_clip(tmp_path / f"whole{suffix}", 2.0, picture=None, sound=sound, audio_codec=codec)
    expected, _ = heard(whole)
    wave, stream = heard(rewritten(whole, tmp_path / f"a{suffix}", without(0.5, 1.0)))
    assert abs(int(wave.argmax()) - int(expected.argmax())) < 16
    assert abs(len(wave) - len(expected)) <= 16
    ((start, stop, reason),) = stream.missing
    assert reason == "no sound in the file"
    assert (start, stop) == (pytest.approx(0.5, abs=0.1), pytest.approx(1.0, abs=0.1))
    assert stop - start == pytest.approx(0.5, abs=0.03)
    assert not wave[round(start * 16000) : round(stop * 16000)].any()


def without(start: float, stop: float) -> Callable[[Any], Any]:
    """Leave out what begins in a stretch of time."""

    def change(packet: Any) -> Any:
        return None if start <= float(packet.pts * packet.time_base) < stop else packet

    return change


def seam(tmp_path: Path, start: float, limits: Limits | None = None) -> tuple[np.ndarray, AudioStream]:
    """A click in the middle of each of two files of 1 s put together, of which the second's clock begins at `start`."""
    parts = [
        write_clip(tmp_path / f"{part}.ts", 1.0, picture=None, sound=click, sound_start=begin, audio_codec="mp2")
        for part, begin in enumerate((0.0, start))
    ]
    return heard(joined(tmp_path / "a.ts", *parts), limits)


def between_clicks(wave: np.ndarray) -> float:
    half = len(wave) // 2
    return float(half + wave[half:].argmax() - wave[:half].argmax()) / 16000


def test_a_small_step_of_the_clock_changes_nothing(tmp_path: Path) -> None:
    wave, stream = seam(tmp_path, 1.04)
    assert stream.missing == []
    assert between_clicks(wave) == pytest.approx(1.0188, abs=0.002)  # an encoder's whole frames


def test_what_overlaps_is_cut(tmp_path: Path) -> None:
    wave, stream = seam(tmp_path, 0.8)
    assert between_clicks(wave) == pytest.approx(0.789, abs=0.002)  # the first lies later by its encoder's run-up
    assert stream.missing == []


def test_a_clock_set_back_does_not_stop_the_sound(tmp_path: Path) -> None:
    wave, stream = seam(tmp_path, 0.0)
    assert between_clicks(wave) == pytest.approx(1.0188, abs=0.002)
    assert stream.seconds == pytest.approx(2.0376, abs=0.002)
    assert stream.missing == []


def test_a_clock_set_back_goes_on_from_there(tmp_path: Path) -> None:
    first = write_clip(tmp_path / "first.ts", 1.0, picture=None, sound=click, audio_codec="mp2")
    second = rewritten(first, tmp_path / "second.ts", without(0.2, 0.4))
    _, stream = heard(joined(tmp_path / "a.ts", first, second))
    assert stream.missing == [(pytest.approx(1.23, abs=0.03), pytest.approx(1.43, abs=0.03), "no sound in the file")]


def test_a_clock_set_far_ahead_is_filled_up_to_the_limit(tmp_path: Path) -> None:
    wave, stream = seam(tmp_path, 1000.0, Limits(seconds=5.0))
    assert len(wave) == 5 * 16000
    assert stream.missing == [
        (pytest.approx(1.02, abs=0.01), 5.0, "no sound in the file"),
        (5.0, pytest.approx(1001.0, abs=0.1), "beyond the limit of 5 s"),
    ]


def test_the_limit_ends_the_sound(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", 3.0, sound=speechlike)
    whole, _ = heard(path)
    wave, stream = heard(path, Limits(seconds=1.25))
    np.testing.assert_array_equal(wave, whole[:20000])
    assert stream.missing == [(1.25, 3.0, "beyond the limit of 1.25 s")]
    assert stream.notes == ["sound beyond the limit of 1.25 s is not read (limits.seconds)"]
    exact, stream = heard(path, Limits(seconds=3.0))
    np.testing.assert_array_equal(exact, whole)
    assert stream.missing == []


def test_a_length_that_nobody_knows_is_limited_too(tmp_path: Path) -> None:
    wave, stream = heard(write_clip(tmp_path / "a.mp3", 3.0, picture=None), Limits(seconds=1.0))
    assert len(wave) == 16000
    assert stream.missing[0][0] == 1.0
    assert "limits.seconds" in stream.notes[0]


def test_stopping_early_closes_the_file(tmp_path: Path) -> None:
    clip = open_clip(write_clip(tmp_path / "a.mp4", 3.0))
    before = len(os.listdir("/proc/self/fd"))
    stream = audio_of(clip)
    for _ in stream:
        assert len(os.listdir("/proc/self/fd")) == before + 1
        break
    stream.close()
    assert len(os.listdir("/proc/self/fd")) == before
    for _ in audio_of(clip):
        break
    assert len(os.listdir("/proc/self/fd")) == before


def caf(path: Path, channels: list[int]) -> Path:
    """A CAF file that puts its channels in an order of its own: 1 left, 2 right, 3 centre, 4 low."""
    wave = (tone(np.arange(16000) / 16000) * 32767).astype(">i2")
    count, data = len(channels), np.repeat(wave, len(channels)).tobytes()
    form = struct.pack(">d4sIIIII", 16000, b"lpcm", 0, 2 * count, 1, count, 16)
    order = struct.pack(">III", 0, 0, count) + b"".join(struct.pack(">II3f", each, 0, 0, 0, 0) for each in channels)
    chunks = [(b"desc", form), (b"chan", order), (b"data", bytes(4) + data)]
    path.write_bytes(b"caff\0\1\0\0" + b"".join(name + struct.pack(">q", len(body)) + body for name, body in chunks))
    return path


def test_channels_in_an_order_of_their_own_do_not_end_the_process(tmp_path: Path) -> None:
    paths = [str(caf(tmp_path / "a.caf", [2, 1])), str(caf(tmp_path / "b.caf", [1, 2, 4, 3]))]
    script = (
        "import gc, sys\n"
        "from mitr.media.audio.sound import audio_of\n"
        "from mitr.media.files.opening import open_clip\n"
        "for path in sys.argv[1:]:\n"
        "    peak = max(chunk[100:-100].max() for chunk in audio_of(open_clip(path)))\n"
        "    gc.collect(); print(round(float(peak), 2))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *paths], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["0.5", "0.5"], "")
