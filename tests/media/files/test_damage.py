"""Files that are cut off, damaged, or claim what they do not hold."""

import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from made_clips import moving_squares, one_after_the_other, speechlike, write_clip
from mitr.errors import MitrError
from mitr.media.audio.sound import AudioStream, HeldSound, audio_of
from mitr.media.files.damage import Damage
from mitr.media.files.decode import decoded
from mitr.media.files.limits import Limits
from mitr.media.files.opening import Clip, described, open_clip, opened
from mitr.media.video.pictures import FrameStream, frames_of

small = partial(moving_squares, size=(64, 48))


def read(path: Path, limits: Limits | None = None) -> tuple[Clip, np.ndarray, AudioStream, list, FrameStream]:
    limits = limits or Limits()
    clip = open_clip(path, limits)
    sound, frames = audio_of(clip, limits), frames_of(clip, limits=limits)
    wave = np.concatenate([np.zeros(0, np.float32), *sound])
    images = [frame.image for frame in frames]
    if not clip.absent:
        read_in_one_pass(path, limits, wave, sound, images, frames)
    return clip, wave, sound, images, frames


def read_in_one_pass(
    path: Path, limits: Limits, wave: np.ndarray, sound: AudioStream, images: list, frames: FrameStream
) -> None:
    """Both streams decoded in a single pass over the file give what each of them gives alone."""
    with opened(path, limits) as container:
        clip = described(container, path, limits)
        held = HeldSound(clip, container, limits)
        pictures = frames_of(clip, limits=limits, container=container, second=held)
        seen = [frame.image for frame in pictures]
        held.finish()
    again = held.audio()
    np.testing.assert_array_equal(np.concatenate([np.zeros(0, np.float32), *again]), wave)
    np.testing.assert_array_equal(again.loudness, sound.loudness)
    assert (again.seconds, again.missing, again.notes) == (sound.seconds, sound.missing, sound.notes)
    assert [image is None for image in seen] == [image is None for image in images]
    if path.suffix != ".webm" or path.stem == "cut":  # of a damaged VP9 picture each decoding makes other pixels
        for image, other in zip(seen, images, strict=True):
            np.testing.assert_array_equal(image, other)
    assert (pictures.seconds, pictures.missing, pictures.notes) == (frames.seconds, frames.missing, frames.notes)
    held.close()


def cut(path: Path, share: float) -> Path:
    """The beginning of a file."""
    content = path.read_bytes()
    short = path.with_name(f"cut{path.suffix}")
    short.write_bytes(content[: int(len(content) * share)])
    return short


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi", ".mov"])
def test_a_clip_that_is_cut_off(tmp_path: Path, suffix: str) -> None:
    options = {"movflags": "faststart"} if suffix in (".mp4", ".mov") else None
    path = write_clip(tmp_path / f"a{suffix}", 2.0, picture=small, sound=speechlike, options=options)
    _, whole, _, _, _ = read(path)
    clip, wave, sound, images, frames = read(cut(path, 0.5))
    assert clip.seconds == pytest.approx(2.0, abs=0.05)
    ((start, stop, reason),) = sound.missing
    assert (reason, stop) == ("the file ends early", pytest.approx(2.0, abs=0.05))
    assert 0.5 < start < 1.5
    np.testing.assert_array_equal(wave[: int(start * 16000) - 1000], whole[: int(start * 16000) - 1000])
    assert not wave[round(start * 16000) :].any()
    assert len(wave) == pytest.approx(2.0 * 16000, abs=800)
    ((start, stop, reason),) = frames.missing
    assert (reason, stop) == ("the file ends early", pytest.approx(2.0, abs=0.05))
    assert [image is None for image in images] == [step / 10 >= start - 0.002 for step in range(20)]
    assert "ends early" in sound.notes[0]
    assert f"at {start:.2f} s of {stop:.2f} s (damaged or cut off)" in frames.notes[0]


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("first", ["video", "audio"])
def test_a_stream_behind_the_other_is_cut_off_by_itself(tmp_path: Path, first: str, share: float) -> None:
    path = write_clip(tmp_path / "a.mp4", 3.0, picture=small, sound=speechlike)
    apart = one_after_the_other(path, tmp_path / "apart.mp4", first)
    _, wave, _, images, _ = read(apart)
    assert (len(wave), len(images)) == (3 * 16000, 30)
    _, _, sound, _, frames = read(cut(apart, share))
    assert sound.missing != frames.missing


def test_a_wav_that_is_cut_off(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.wav", 2.0, picture=None, audio_rate=16000, layout="mono")
    _, whole, _, _, _ = read(path)
    clip, wave, sound, _, _ = read(cut(path, 0.5))
    assert clip.seconds == pytest.approx(2.0, abs=0.002)
    ((start, stop, reason),) = sound.missing
    assert (start, stop) == (pytest.approx(1.0, abs=0.002), pytest.approx(2.0, abs=0.002))
    assert reason == "the file ends early"
    np.testing.assert_array_equal(wave[:15900], whole[:15900])


def test_a_wav_that_was_streamed_is_not_cut_off(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.wav", 1.0, picture=None, audio_rate=16000, layout="mono")
    content = bytearray(path.read_bytes())
    place = content.index(b"data")
    content[4:8] = content[place + 4 : place + 8] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    _, wave, sound, _, _ = read(path)
    assert (len(wave), sound.missing) == (16000, [])


def test_little_of_what_a_header_claims_is_not_filled_up(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", 4.0, options={"movflags": "faststart"})
    content = path.read_bytes()
    short = tmp_path / "cut.mp4"
    short.write_bytes(content[: content.index(b"mdat") + 4000])
    _, wave, sound, images, frames = read(short)
    assert 0 < len(wave) < 8000
    assert 0 < len(images) < 4
    assert sound.missing == [(len(wave) / 16000, 4.0, "the file ends early")]
    assert frames.missing == [(pytest.approx(frames.seconds), 4.0, "the file ends early")]


def test_10_000_seconds_of_nothing(tmp_path: Path) -> None:
    content = bytearray(write_clip(tmp_path / "a.mkv", 0.4).read_bytes())
    place = content.index(b"\x44\x89\x88") + 3  # the duration, in ms
    content[place : place + 8] = struct.pack(">d", 1e7)
    path = tmp_path / "nothing.mkv"
    path.write_bytes(content[: content.index(b"\x1f\x43\xb6\x75") + 12])  # up to the first cluster
    clip, wave, sound, images, frames = read(path)
    assert clip.seconds == Limits().seconds
    assert (len(wave), len(images)) == (0, 0)
    assert sound.missing == [(0.0, 7200.0, "no sound could be read")]
    assert frames.missing == [(0.0, 7200.0, "no picture could be read")]
    assert (sound.notes, frames.notes) == (["no sound could be read"], ["no picture could be read"])


def test_an_mp4_of_nothing_but_its_header(tmp_path: Path) -> None:
    content = write_clip(tmp_path / "a.mp4", 0.4, options={"movflags": "faststart"}).read_bytes()
    path = tmp_path / "header.mp4"
    path.write_bytes(content[: content.index(b"mdat") + 4])
    clip, wave, sound, images, frames = read(path)
    assert clip.absent == {}
    assert (len(wave), len(images)) == (0, 0)
    assert [sound.missing[0].reason, frames.missing[0].reason] == ["no sound could be read", "no picture could be read"]


OFTEN = {"cluster_time_limit": "200"}  # places at which reading Matroska can begin anew, in ms


def damaged(path: Path, seed: int, places: int = 6, width: int = 60) -> Path:
    """Overwrite some places after the header with noise."""
    chance = np.random.default_rng(seed)
    content = bytearray(path.read_bytes())
    first = content.index(b"mdat") + 3000 if b"mdat" in content else 3000
    for _ in range(places):
        place = int(chance.integers(first, len(content) - width))
        content[place : place + width] = chance.bytes(width)
    spoilt = path.with_name(f"damaged{seed}{path.suffix}")
    spoilt.write_bytes(content)
    return spoilt


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi", ".ts"])
def test_damage_in_the_middle_costs_only_what_it_hits(
    tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    options = {".mp4": {"movflags": "faststart"}, ".mkv": OFTEN, ".webm": OFTEN}.get(suffix)
    path = write_clip(tmp_path / f"a{suffix}", 3.0, picture=small, sound=speechlike, options=options)
    for seed in range(2):
        _, wave, sound, images, _ = read(damaged(path, seed))
        assert len(wave) == pytest.approx(3 * 16000, abs=0.3 * 16000)
        assert len(images) >= 29
        assert sum(stop - start for start, stop, _ in sound.missing) < 2.0
        _, again, _, same, _ = read(damaged(path, seed))
        np.testing.assert_array_equal(wave, again)
        for image, other in zip(images, same, strict=True):
            np.testing.assert_array_equal(image, other)
    assert capfd.readouterr() == ("", "")


def test_damaged_packets_are_counted(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", 2.0, picture=None, sound=speechlike, audio_codec="flac")
    content = bytearray(path.read_bytes())
    place = len(content) // 2
    content[place : place + 4000] = bytes(4000)
    path.write_bytes(content)
    _, wave, sound, _, _ = read(path)
    assert any(note.startswith("damaged packets skipped in the sound: ") for note in sound.notes)
    assert len(wave) == pytest.approx(2 * 16000, abs=100)
    assert sound.missing != []


@pytest.mark.parametrize("seed", range(12))
def test_noise_anywhere_never_hangs_or_crashes(tmp_path: Path, seed: int) -> None:
    suffix = [".mp4", ".mkv", ".webm", ".ts", ".wav", ".flac"][seed % 6]
    content = bytearray(write_clip(tmp_path / f"a{suffix}", 0.6).read_bytes())
    chance = np.random.default_rng(seed)
    for place in chance.integers(0, len(content), 40):
        content[place] = chance.integers(256)
    path = tmp_path / f"b{suffix}"
    path.write_bytes(content)
    limits = Limits(seconds=30, megapixels=1)
    try:
        _, wave, sound, images, frames = read(path, limits)
    except MitrError as error:
        message = str(error)
    else:
        message = f"{path}"
        check(wave, sound, images, frames)
    assert str(path) in message


def check(wave: np.ndarray, sound: AudioStream, images: list, frames: FrameStream) -> None:
    assert len(wave) <= 30 * 16000
    assert len(images) <= 300
    assert np.isfinite(wave).all()
    for span in (*sound.missing, *frames.missing):
        assert span.start <= span.stop


class Broken:
    """A container, its only stream and its decoder in one, of packets that are sizes; -1 is a read that fails."""

    type = "video"

    def __init__(self, sizes: list[int], refuses: bool = False, for_ever: bool = False) -> None:
        self.streams, self.codec_context = [self], self
        self.thread_type, self.thread_count = "AUTO", 0
        self.taken: list[int | None] = []
        self._sizes, self._refuses, self._for_ever = sizes, refuses, for_ever

    def demux(self, stream: "Broken") -> Iterator[SimpleNamespace]:
        while self._sizes:
            size = self._sizes[0] if self._for_ever else self._sizes.pop(0)
            if size < 0:
                raise av.error.InvalidDataError(1, "no packet")
            yield SimpleNamespace(size=size)

    def decode(self, packet: SimpleNamespace | None) -> list[int | None]:
        self.taken.append(None if packet is None else packet.size)
        if self._refuses and packet is not None:
            raise av.error.InvalidDataError(1, "no picture")
        return self.taken[-1:]


def test_empty_packets_and_failing_reads_are_passed_over() -> None:
    file, damage = Broken([5, 0, 6, -1, -1, 7, 0]), Damage()
    assert list(decoded(file, file, Limits(), damage)) == [5, 6, 7, None]
    assert (damage.packets, damage.gave_up) == (0, False)
    assert (file.thread_type, file.thread_count) == ("NONE", 1)


def test_reads_that_fail_for_ever_end() -> None:
    file, damage = Broken([-1], for_ever=True), Damage()
    assert list(decoded(file, file, Limits(), damage)) == [None]
    assert damage.notes("video") == ["the rest of the video is too damaged to be read"]


def test_packets_that_are_refused_for_ever_end() -> None:
    file, damage = Broken([9], refuses=True, for_ever=True), Damage()
    assert list(decoded(file, file, Limits(), damage)) == []
    assert damage.packets == len(file.taken) == 5000
    assert damage.gave_up
