"""What opens, what is refused, and what is said of each."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest

from made_clips import CODECS, moving_squares, tone, write_clip
from mitr.errors import MitrError
from mitr.media.audio.sound import audio_of
from mitr.media.files.limits import Limits
from mitr.media.files.opening import open_clip
from mitr.media.video.pictures import frames_of


def refused(path: Path | str, *words: str, limits: Limits | None = None) -> None:
    """Opening fails with a message that names the file and says all the words."""
    with pytest.raises(MitrError) as caught:
        open_clip(path, limits or Limits())
    message = str(caught.value)
    for word in (str(path), *words):
        assert word in message


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts", ".flv"])
def test_a_clip_with_sound_and_pictures(tmp_path: Path, suffix: str) -> None:
    clip = open_clip(write_clip(tmp_path / f"a{suffix}", 1.0))
    assert clip.absent == {}
    assert clip.notes == []
    assert clip.seconds == pytest.approx(1.0, abs=0.05)
    assert clip.path == tmp_path / f"a{suffix}"


@pytest.mark.parametrize("suffix", [suffix for suffix, (video, _) in CODECS.items() if video is None])
def test_sound_alone(tmp_path: Path, suffix: str) -> None:
    clip = open_clip(write_clip(tmp_path / f"a{suffix}", 0.5, picture=None))
    assert clip.absent == {"vision": "no video stream"}
    guesses = suffix in (".mp3", ".aac")  # from the bit rate
    assert clip.seconds == (0.0 if guesses else pytest.approx(0.5, abs=0.01))


def test_pictures_alone(tmp_path: Path) -> None:
    clip = open_clip(write_clip(tmp_path / "a.mp4", 0.4, sound=None))
    assert clip.absent == {"audio": "no audio stream"}
    sound = audio_of(clip)
    assert list(sound) == []
    assert sound.missing == [(0.0, 0.4, "no audio stream")]


def test_real_clips_are_as_long_as_their_containers_say(shared: Path) -> None:
    lengths = {"Sqr0AcuoNnk/12": (2.466667, 25), "video_0001/0001": (1.28, 13), "video_0001/0008": (2.68, 27)}
    for name, (seconds, steps) in (lengths | {"video_0007/0006": (3.916667, 40)}).items():
        clip = open_clip(shared / "data" / "clips" / "Raw" / f"{name}.mp4")
        assert clip.absent == {}
        assert clip.seconds == pytest.approx(seconds, abs=1e-6)
        frames, sound = frames_of(clip), audio_of(clip)
        assert [frame.image is not None for frame in frames] == [True] * steps
        assert frames.seconds == pytest.approx(seconds, abs=1e-6)
        assert sum(map(len, sound)) / 16000 == sound.seconds == pytest.approx(seconds, abs=0.045)
        assert [frames.missing, sound.missing, frames.notes, sound.notes] == [[], [], [], []]


def test_spaces_and_other_alphabets_in_names(tmp_path: Path) -> None:
    path = tmp_path / "Ordner mit Leerzeichen" / "é 你好 🎬 %s [1] 'x'.mp4"
    path.parent.mkdir()
    assert open_clip(str(write_clip(path, 0.2))).path == path


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    refused(tmp_path / "nothing.mp4", "does not exist")
    refused(tmp_path, "is a folder")
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    refused(tmp_path / "loop.mp4", "symbolic links")
    os.mkfifo(tmp_path / "pipe.mp4")
    refused(tmp_path / "pipe.mp4", "not a regular file")
    refused("/dev/zero", "not a regular file")
    with pytest.raises(MitrError, match="null byte"):
        open_clip("a\0.mp4")


def test_a_link_to_a_clip_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link.mp4").symlink_to(write_clip(tmp_path / "a.mp4", 0.2))
    assert open_clip(tmp_path / "link.mp4").seconds == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("zero.mp4", b"", "empty (0 bytes)"),
        ("text.mp4", b"They were sad.\n" * 400, "not a video or sound file"),
        ("text.mp3", b"They were sad.\n" * 400, "not a video or sound file"),
        ("junk.webm", np.random.default_rng(0).bytes(20_000), "not a video or sound file"),
        ("subtitles.srt", b"1\n00:00:00,000 --> 00:00:01,000\nHello\n\n", "not a video or sound file"),
    ],
)
def test_what_is_no_media(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, words)


def test_an_mp4_without_its_index_says_so(tmp_path: Path) -> None:
    content = write_clip(tmp_path / "a.mp4", 0.5).read_bytes()  # the index comes last
    (tmp_path / "half.mp4").write_bytes(content[: len(content) // 2])
    refused(tmp_path / "half.mp4", "its index is missing")


def test_a_header_without_any_stream(tmp_path: Path) -> None:
    content = write_clip(tmp_path / "a.webm", 0.5).read_bytes()
    (tmp_path / "header.webm").write_bytes(content[: content.index(b"\x16\x54\xae\x6b")])  # up to the tracks
    refused(tmp_path / "header.webm")


def test_a_file_over_the_limit(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", 0.5)
    refused(path, "limits.gigabytes", limits=Limits(gigabytes=1e-6))


def test_playlists_never_open_another_file(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.ts", 0.5)
    lists = {
        "a.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:0.5,\na.ts\n#EXT-X-ENDLIST\n",
        "ff.mp4": f"ffconcat version 1.0\nfile '{tmp_path}/a.ts'\n",
        "a.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
        "a.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period></Period></MPD>',
    }
    for name, content in lists.items():
        (tmp_path / name).write_text(content)
        refused(tmp_path / name, "playlist")


def test_names_are_never_addresses(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.ts", 0.2)
    for name in (f"concat:{path}", f"file:{path}", f"subfile,,start,0,end,0,,:{path}", "http://127.0.0.1:9/a.ts"):
        with pytest.raises(MitrError, match="does not exist"):
            open_clip(name)


def test_containers_that_are_not_on_the_list(tmp_path: Path) -> None:
    refused(write_clip(tmp_path / "a.mp4", 0.2, sound=None, container="nut"), "not a video or sound file")


def test_picture_files_are_stills(tmp_path: Path) -> None:
    from PIL import Image

    for name in ("a.png", "a.jpg", "a.webp", "a.bmp", "a.tiff"):
        Image.fromarray(moving_squares(0)).save(tmp_path / name)
        clip = open_clip(tmp_path / name)
        assert clip.absent == {"audio": "no audio stream", "vision": "a still picture, not a video"}
        assert list(frames_of(clip)) == []


def test_a_cover_is_a_still(tmp_path: Path) -> None:
    path = with_cover(write_clip(tmp_path / "a.mp3", 1.0, picture=None))
    clip = open_clip(path)
    assert clip.absent == {"vision": "a still picture, not a video"}
    assert sum(map(len, audio_of(clip))) == 16000


def with_cover(path: Path) -> Path:
    """Put a PNG into the ID3 tag of an MP3."""
    import io

    from PIL import Image

    picture = io.BytesIO()
    Image.fromarray(moving_squares(0)).save(picture, "png")
    body = b"\0image/png\0\3\0" + picture.getvalue()
    frame = b"APIC" + struct.pack(">I", len(body)) + b"\0\0" + body
    size = bytes((len(frame) >> shift) & 127 for shift in (21, 14, 7, 0))
    path.write_bytes(b"ID3\3\0\0" + size + frame + path.read_bytes())
    return path


def test_pictures_over_the_limit_are_absent(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", 0.4, size=(320, 240))
    clip = open_clip(path, Limits(megapixels=0.07))
    assert clip.absent == {
        "vision": "pictures of 320 x 240 are larger than the limit of 0.07 megapixels (limits.megapixels)"
    }
    assert sum(map(len, audio_of(clip))) == 6400
    assert open_clip(path, Limits(megapixels=0.0768)).absent == {}


def test_channels_over_the_limit_are_absent(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.wav", 0.2, picture=None, layout="5.1")
    clip = open_clip(path, Limits(channels=5))
    assert clip.absent["audio"] == "6 channels are more than the limit of 5 (limits.channels)"
    assert "audio" not in open_clip(path, Limits(channels=6)).absent


def test_a_rate_that_is_no_sound_is_absent(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.wav", 0.2, picture=None, audio_rate=16000, layout="mono")
    content = bytearray(path.read_bytes())
    content[24:28] = struct.pack("<I", 2_000_000_000)
    path.write_bytes(content)
    assert open_clip(path).absent["audio"] == "a sampling rate of 2000000000 Hz, which is not sound"


def test_an_unknown_codec_is_absent(tmp_path: Path) -> None:
    content = write_clip(tmp_path / "a.mp4", 0.4).read_bytes()
    (tmp_path / "b.mp4").write_bytes(content.replace(b"avc1", b"zzzz"))
    clip = open_clip(tmp_path / "b.mp4")
    assert clip.absent == {"vision": "a codec that cannot be read"}
    assert list(frames_of(clip)) == []


def test_length_is_capped_and_times_start_at_zero(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", 1.0, picture_start=1000, sound_start=1000)
    assert open_clip(path).seconds == pytest.approx(1.02, abs=0.01)
    assert open_clip(path, Limits(seconds=0.5)).seconds == 0.5


def test_several_sound_tracks_are_said(tmp_path: Path) -> None:
    import av

    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as output:
        tracks = [output.add_stream("pcm_s16le", rate=16000, layout="mono") for _ in range(2)]
        for track in tracks:
            wave = (tone(np.arange(1600) / 16000) * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts = 16000, 0
            output.mux(track.encode(frame))
    assert open_clip(path).notes == ["one of 2 sound tracks is used"]
