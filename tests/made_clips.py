"""Small media made in the tests: pictures and sounds as functions of time, written by PyAV; no footage."""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

Picture = Callable[[float], np.ndarray]  # seconds -> (H, W, 3) uint8 RGB, as it is seen upright
Sound = Callable[[np.ndarray], np.ndarray]  # (n,) float64 seconds -> (n,) or (n, channels), in [-1, 1]

CODECS: dict[str, tuple[str | None, str | None]] = {  # what a suffix stands for: video, audio
    ".mp4": ("libx264", "aac"),
    ".mov": ("libx264", "aac"),
    ".mkv": ("libx264", "aac"),
    ".webm": ("libvpx", "libopus"),
    ".avi": ("mpeg4", "pcm_s16le"),
    ".ts": ("libx264", "aac"),
    ".mpg": ("mpeg2video", "mp2"),
    ".flv": ("libx264", "aac"),
    ".gif": ("gif", None),
    ".wav": (None, "pcm_s16le"),
    ".w64": (None, "pcm_s16le"),
    ".aiff": (None, "pcm_s16be"),
    ".mp3": (None, "libmp3lame"),
    ".flac": (None, "flac"),
    ".ogg": (None, "libopus"),
    ".m4a": (None, "aac"),
    ".aac": (None, "aac"),
}
_FAST = {"libx264": {"preset": "ultrafast", "threads": "1"}, "libvpx": {"deadline": "realtime", "cpu-used": "8"}}


def tone(times: np.ndarray, hertz: float = 440.0, level: float = 0.5) -> np.ndarray:
    """A sine. Bind other values with `functools.partial`."""
    return level * np.sin(2 * np.pi * hertz * times)


def silence(times: np.ndarray) -> np.ndarray:
    """Digital silence."""
    return np.zeros(len(times))


def speechlike(times: np.ndarray, pitch: float = 140.0, level: float = 0.5) -> np.ndarray:
    """Something that speech features find speech in: voiced syllables at about 4 a second, with pauses.

    Harmonics of a pitch that glides by 15 % around `pitch` Hz, under three resonances that move between two vowels;
    from 1.6 to 2.0 s of every two seconds it is silent. A function of time alone, so any stretch of it is the same at
    every rate.
    """
    phase = 2 * np.pi * pitch * (times - 0.15 / (2 * np.pi * 0.7) * np.cos(2 * np.pi * 0.7 * times))
    vowel = 0.5 + 0.5 * np.sin(2 * np.pi * 1.3 * times)
    resonances = [(700 - 400 * vowel, 90), (1200 + 900 * vowel, 120), (2600 + 200 * vowel, 160)]  # Hz, bandwidths
    wave = np.zeros(len(times))
    for harmonic in range(1, int(3800 / (1.15 * pitch)) + 1):
        gain = sum(1 / (1 + ((harmonic * pitch - centre) / width) ** 2) for centre, width in resonances)
        wave += (0.05 + gain) / harmonic**0.5 * np.sin(harmonic * phase)
    syllables = np.sin(np.pi * (4 * times % 1)) ** 0.5 * (times % 2 < 1.6)
    return np.clip(level * syllables * wave / 2.5, -1, 1)


def moving_squares(time: float, size: tuple[int, int] = (160, 120)) -> np.ndarray:
    """Three coloured squares that wander over a still gradient: (H, W, 3) for a size of (W, H)."""
    width, height = size
    picture = np.empty((height, width, 3), np.uint8)
    picture[..., 0] = np.linspace(40, 120, width, dtype=np.uint8)
    picture[..., 1] = np.linspace(40, 120, height, dtype=np.uint8)[:, None]
    picture[..., 2] = 80
    side = max(1, height // 4)
    for channel, (across, down) in enumerate(((0.31, 0.17), (0.23, 0.41), (0.47, 0.29))):
        x = int((width - side) * (0.5 + 0.5 * np.sin(2 * np.pi * across * time + channel)))
        y = int((height - side) * (0.5 + 0.5 * np.cos(2 * np.pi * down * time + channel)))
        picture[y : y + side, x : x + side] = [230 if each == channel else 20 for each in range(3)]
    return picture


def clock(time: float, size: tuple[int, int] = (160, 160)) -> np.ndarray:
    """A picture that `read_clock` can tell the time from, after any codec: 4 x 4 cells, the bits of milliseconds."""
    bits = [(round(time * 1000) >> bit) & 1 for bit in range(16)]
    cells = np.array([235 if bit else 20 for bit in bits], np.uint8).reshape(4, 4)
    width, height = size
    grey = cells[np.arange(height) * 4 // height][:, np.arange(width) * 4 // width]
    return np.repeat(grey[..., None], 3, axis=2)


def read_clock(image: np.ndarray) -> float:
    """The time that `clock` drew, in seconds to the millisecond, of an (H, W, 3) picture of any size."""
    height, width = image.shape[:2]
    cells = [image[(2 * row + 1) * height // 8, (2 * column + 1) * width // 8].mean() for row, column in _CELLS]
    return sum(1 << bit for bit, cell in enumerate(cells) if cell > 127) / 1000


_CELLS = [(row, column) for row in range(4) for column in range(4)]


def compass(time: float, size: tuple[int, int] = (160, 120)) -> np.ndarray:
    """Red, green, blue and white quarters (top left, top right, bottom left, bottom right) round a moving black bar."""
    width, height = size
    picture = np.empty((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2] = (220, 30, 30)
    picture[: height // 2, width // 2 :] = (30, 200, 30)
    picture[height // 2 :, : width // 2] = (30, 30, 220)
    picture[height // 2 :, width // 2 :] = (235, 235, 235)
    x = int(width * (0.4 + 0.15 * (time % 1)))
    picture[height * 3 // 8 : height * 5 // 8, x : x + max(1, width // 8)] = 0
    return picture


def write_clip(
    path: Path,
    seconds: float = 2.0,
    fps: float | Fraction = 25,
    size: tuple[int, int] | None = None,
    picture: Picture | None = moving_squares,
    sound: Sound | None = tone,
    audio_rate: int = 44100,
    layout: str = "stereo",
    rotation: int = 0,
    frame_times: Sequence[float] | None = None,
    *,
    video_codec: str | None = None,
    audio_codec: str | None = None,
    pixel_format: str | None = None,
    aspect: Fraction = Fraction(1),
    mirrored: bool = False,
    picture_start: float = 0.0,
    sound_start: float = 0.0,
    sound_seconds: float | None = None,
    container: str | None = None,
    options: dict[str, str] | None = None,
    video_bits: int | None = None,
) -> Path:
    """Write a clip and return its path; kind and codecs follow the suffix unless given (`CODECS`).

    Args:
        path: the file.
        seconds: length of the pictures.
        fps: pictures a second; ignored with `frame_times`.
        size: (width, height) that pictures are scaled to and seen with; None: as `picture` makes them.
        picture: the picture at a time; None: no video.
        sound: the sound at times; one column is written to every channel; None: no audio.
        audio_rate: Hz; the nearest that the codec has is taken.
        layout: FFmpeg's name of the channels, such as mono, stereo, 5.1.
        rotation: the file stores its pictures turned and says so: seen upright, they are what `picture` gives. A
            multiple of 90, in degrees by which a player turns them counter-clockwise.
        frame_times: ascending times of the pictures, to the millisecond, for a variable rate.
        video_codec: FFmpeg's encoder.
        audio_codec: FFmpeg's encoder.
        pixel_format: FFmpeg's name; default yuv420p, or yuv444p for odd sizes.
        aspect: width of a pixel over its height, as stored; the pictures are stored as `size` says.
        mirrored: the file stores its pictures mirrored left to right and says so.
        picture_start: time stamp of the first picture; `picture` still begins at 0.
        sound_start: time stamp of the first sample; `sound` still begins at 0.
        sound_seconds: length of the sound; None: that of the pictures.
        container: FFmpeg's muxer, if the suffix does not tell.
        options: of the muxer, such as {"movflags": "faststart"}.
        video_bits: bits a second of the pictures; None: the encoder's own choice.
    """
    import av

    of_video, of_audio = CODECS.get(path.suffix.lower(), (None, None))
    with av.open(str(path), "w", format=container, options=options or {}) as output:
        tracks = []
        if picture is not None and (video_codec or of_video):
            times = [index / fps for index in range(round(seconds * fps))] if frame_times is None else frame_times
            turned = _turned(picture, size, rotation, mirrored)
            stream = _video_stream(output, video_codec or of_video, fps, turned(0.0).shape, pixel_format)
            stream.codec_context.sample_aspect_ratio = aspect
            if video_bits is not None:
                stream.codec_context.bit_rate = video_bits
            if rotation or mirrored:
                stream.set_display_rotation(rotation, hflip=mirrored)
            tracks.append(_pictures(stream, turned, times, picture_start, frame_times is not None))
        if sound is not None and (audio_codec or of_audio):
            stream = _audio_stream(output, audio_codec or of_audio, audio_rate, layout)
            length = seconds if sound_seconds is None else sound_seconds
            tracks.append(_sound(stream, sound, length, sound_start))
        for packets in _interleaved(tracks):
            output.mux(packets)
    return path


def _turned(picture: Picture, size: tuple[int, int] | None, rotation: int, mirrored: bool) -> Picture:
    """The picture as the file stores it."""

    def stored(time: float) -> np.ndarray:
        image = picture(time)
        if size is not None and image.shape[1::-1] != size:
            image = image[np.arange(size[1]) * image.shape[0] // size[1]]
            image = image[:, np.arange(size[0]) * image.shape[1] // size[0]]
        image = image[:, ::-1] if mirrored else image
        return np.ascontiguousarray(np.rot90(image, -rotation // 90))

    return stored


def _video_stream(output: Any, codec: str, fps: float, shape: tuple[int, ...], pixel_format: str | None) -> Any:
    stream = output.add_stream(codec, rate=Fraction(fps).limit_denominator(1001), options=_FAST.get(codec, {}))
    stream.height, stream.width = shape[:2]
    odd = shape[0] % 2 or shape[1] % 2
    even_only = codec.startswith("libvpx") or codec in ("mpeg4", "mpeg2video", "flv")
    usual = {"gif": "rgb8", "png": "rgb24"}.get(codec, "yuv444p" if odd and not even_only else "yuv420p")
    stream.pix_fmt = pixel_format or usual
    return stream


def _audio_stream(output: Any, codec: str, rate: int, layout: str) -> Any:
    from av.codec import Codec

    known = Codec(codec, "w").audio_rates
    nearest = min(known, key=lambda each: abs(each - rate)) if known else rate
    return output.add_stream(codec, rate=nearest, layout=layout)


def _pictures(
    stream: Any, picture: Picture, times: Sequence[float], start: float, variable: bool
) -> Iterator[tuple[float, Any]]:
    """(time, packets) for each picture, then for what the encoder held back."""
    import av

    context = stream.codec_context
    tick = Fraction(1, 1000) if variable else 1 / Fraction(context.framerate)
    context.time_base = tick
    for time in times:
        frame = av.VideoFrame.from_ndarray(picture(float(time)), format="rgb24").reformat(format=stream.pix_fmt)
        frame.pts, frame.time_base = round(float(time) / tick) + round(start / tick), tick
        yield float(time) + start, stream.encode(frame)
    yield float("inf"), stream.encode(None)


def _sound(stream: Any, sound: Sound, seconds: float, start: float, block: int = 1024) -> Iterator[tuple[float, Any]]:
    """(time, packets) for each block of samples, then for what the encoder held back."""
    import av

    rate, count = stream.rate, round(seconds * stream.rate)
    channels = stream.layout.nb_channels
    for first in range(0, count, block):
        wave = np.asarray(sound(np.arange(first, min(count, first + block)) / rate), np.float32)
        wave = np.repeat(wave[:, None], channels, axis=1) if wave.ndim == 1 else wave
        frame = av.AudioFrame.from_ndarray(wave.reshape(1, -1), format="flt", layout=stream.layout.name)
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = first + round(start * rate)
        yield first / rate + start, stream.encode(frame)
    yield float("inf"), stream.encode(None)


def _interleaved(tracks: list[Iterator[tuple[float, Any]]]) -> Iterator[Any]:
    """The packets of all tracks, in the order of their times."""
    heads = [(next(track), track) for track in tracks]
    while heads:
        (_, packets), track = heads.pop(min(range(len(heads)), key=lambda index: heads[index][0][0]))
        yield packets
        following = next(track, None)
        if following is not None:
            heads.append((following, track))


def joined(path: Path, *parts: Path) -> Path:
    """Put files one after another, which for .ts is a file whose clock is set anew at each seam; return its path."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def rewritten(source: Path, path: Path, change: Callable[[Any], Any | None]) -> Path:
    """Copy a clip packet by packet, without encoding anew, and return the copy's path.

    Args:
        source: the clip.
        path: the copy; its suffix tells the container.
        change: gives what is to be written for a PyAV packet: the packet, whose `pts` and `dts` it may set, or None to
            leave it out.
    """
    import av

    with av.open(str(source)) as given, av.open(str(path), "w") as output:
        tracks = {stream.index: output.add_stream_from_template(stream) for stream in given.streams}
        for packet in given.demux():
            if packet.size and packet.dts is not None and (changed := change(packet)) is not None:
                changed.stream = tracks[packet.stream_index]
                output.mux(changed)
    return path


def one_after_the_other(source: Path, path: Path, first: str) -> Path:
    """Copy an MP4 file so that all of one stream, `audio` or `video`, lies before the other, and return its path."""
    import av

    def packets(given: Any) -> list[Any]:
        return [packet for packet in given.demux() if packet.size]

    options = {"options": {"movflags": "faststart"}, "container_options": {"max_interleave_delta": "1"}}
    with av.open(str(source)) as given, av.open(str(path), "w", **options) as output:
        tracks = {stream.index: output.add_stream_from_template(stream) for stream in given.streams}
        for packet in sorted(packets(given), key=lambda packet: packet.stream.type != first):
            packet.stream = tracks[packet.stream_index]
            output.mux(packet)
    return path
