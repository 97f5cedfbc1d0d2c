"""Opening a media file safely, and what its header declares before it is decoded.

FFmpeg gets the open file's bytes and nothing else: no name, no address, no second file. Only real containers are let
in, so that a playlist, whatever its file name, is refused.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from mitr.errors import MitrError
from mitr.media.features import importable
from mitr.media.files.channels import shares_memory
from mitr.media.files.limits import Limits

CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,gif,"
    "wav,w64,aiff,au,caf,mp3,flac,aac,ac3,eac3,amr,amrnb,amrwb"
)
PICTURE_FILES = "png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,tiff_pipe,jpegxl_pipe,j2k_pipe,jpegls_pipe"
GUESSING = {"mp3", "aac", "ac3", "eac3", "amr", "amrnb", "amrwb", "mpeg", "mpegvideo"}  # length from the bit rate
RATES = range(1_000, 768_001)  # Hz; a resampler's memory grows with the rate
STILL = "a still picture, not a video"
UNREADABLE = "a codec that cannot be read"


@dataclass
class Clip:
    """What the header of a media file declares.

    Attributes:
        path: the file.
        seconds: declared length of the longest stream, at most the limit; 0 if none is declared, as in MP3.
        container: FFmpeg's name of the format.
        absent: `audio` and `vision`, each with the reason, where the file has no such stream that can be read.
        notes: what a user should know, as sentences without a full stop.
    """

    path: Path
    seconds: float
    container: str
    absent: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def open_clip(path: str | Path, limits: Limits = Limits()) -> Clip:  # noqa: B008 - frozen
    """Read the header of a media file.

    Raises:
        MitrError: the file is missing, no regular file, empty, larger than the limit, or no media that can be read.
    """
    path = Path(path)
    with opened(path, limits) as container:
        return described(container, path, limits)


def described(container: Any, path: Path, limits: Limits) -> Clip:
    """The header of an open media file.

    Raises:
        MitrError: it has neither sound nor pictures, or cannot be read.
    """
    with readable(path):
        tracks = {"audio": sound_track(container), "vision": picture_track(container)}
        if not container.streams.audio and not container.streams.video:
            raise MitrError(f"{path} holds neither sound nor pictures; give a video or sound file")
        absent = {"audio": _no_sound(tracks["audio"], limits), "vision": _no_pictures(container, limits)}
        return Clip(
            path=path,
            seconds=min(_extent(container, path), limits.seconds),
            container=container.format.name,
            absent={modality: reason for modality, reason in absent.items() if reason},
            notes=_on_tracks(container),
        )


@contextmanager
def opened(path: Path, limits: Limits) -> Iterator[Any]:
    """Yield a file as a PyAV container whose streams are known; both are closed afterwards.

    Raises:
        MitrError: as `open_clip`.
    """
    importable("av", extra="media")
    import av

    with _regular_file(path, limits) as file:
        try:
            container = av.open(
                _Bytes(file),
                metadata_errors="replace",
                container_options={"format_whitelist": f"{CONTAINERS},{PICTURE_FILES}", "protocol_whitelist": ""},
                options={"max_pixels": most_pixels(limits)},
                io_open=_refuse,
            )
        except av.error.FFmpegError as error:
            raise MitrError(_not_media(path, file, error)) from None
        except OSError as error:
            raise MitrError(f"{path} cannot be read: {error.strerror or error}") from None
        try:
            yield container
        finally:
            container.close()


@contextmanager
def container_of(clip: Clip, limits: Limits, container: Any | None) -> Iterator[Any]:
    """Yield the clip's open container, or its file opened anew if that is None.

    Raises:
        MitrError: the file cannot be opened or read any more.
    """
    if container is not None:
        with readable(clip.path):
            yield container
    else:
        with opened(clip.path, limits) as anew, readable(clip.path):
            yield anew


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Name the file in errors of reading it.

    Raises:
        MitrError: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise MitrError(f"{path} could not be read to its end: {error.strerror or error}") from None


def most_pixels(limits: Limits) -> str:
    """The bound on pixels that decoders get: above the limit, because decoders count the padding of whole blocks."""
    return str(int(limits.megapixels * 1.25e6) + 65536)


class _Bytes:
    """An open file without a name, so that FFmpeg can neither guess its format by it nor open a neighbouring file."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


def _refuse(url: str, flags: int, options: dict[str, str]) -> None:
    raise PermissionError("a media file may not open another file")


@contextmanager
def _regular_file(path: Path, limits: Limits) -> Iterator[BinaryIO]:
    """Yield an open file; a pipe is refused without waiting for its writer."""
    try:
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise MitrError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise MitrError(f"{path} is a folder; give a media file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MitrError(f"{path} cannot be opened: {reason[:1].lower()}{reason[1:]}") from None
    try:
        _check(path, os.fstat(number), limits)
    except MitrError:
        os.close(number)
        raise
    with os.fdopen(number, "rb") as file:
        yield file


def _check(path: Path, facts: os.stat_result, limits: Limits) -> None:
    if stat.S_ISDIR(facts.st_mode):
        raise MitrError(f"{path} is a folder; give a media file")
    if not stat.S_ISREG(facts.st_mode):
        raise MitrError(f"{path} is not a regular file (a pipe or a device); give a media file")
    if facts.st_size == 0:
        raise MitrError(f"{path} is empty (0 bytes)")
    if facts.st_size > limits.gigabytes * 1e9:
        size = f"{facts.st_size / 1e9:.2f} GB, more than the limit of {limits.gigabytes:g} GB"
        raise MitrError(f"{path} has {size}; raise limits.gigabytes to read it")


def _not_media(path: Path, file: BinaryIO, error: Exception) -> str:
    file.seek(0)
    start = file.read(512).lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith((b"#EXTM3U", b"ffconcat", b"v=0", b"[playlist]")) or b"<MPD" in start:
        return f"{path} is a playlist, which points to other files; give the media file itself"
    if start[4:8] == b"ftyp":
        return f"{path} cannot be read: it is cut off or damaged, and its index is missing"
    return f"{path} is not a video or sound file that can be read, or it is damaged"


def picture_track(container: Any) -> Any | None:
    """The video stream to use, or None; pictures that are attached to sound, such as covers, are no video."""
    from av.stream import Disposition

    attached = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    tracks = [stream for stream in container.streams.video if not stream.disposition & attached]
    return _preferred(container, "video", tracks)


def sound_track(container: Any) -> Any | None:
    """The audio stream to use, or None."""
    return _preferred(container, "audio", list(container.streams.audio))


def required(stream: Any | None, path: Path) -> Any:
    """A stream that the clip had when its header was read.

    Raises:
        MitrError: the file has no such stream any more.
    """
    if stream is None or stream.codec_context is None:
        raise MitrError(f"{path} has changed since it was opened")
    return stream


def _preferred(container: Any, kind: str, tracks: list[Any]) -> Any | None:
    best = container.streams.best(kind)
    if any(stream is best for stream in tracks) and best.codec_context is not None:
        return best
    return next((stream for stream in tracks if stream.codec_context is not None), tracks[0] if tracks else None)


def _no_sound(stream: Any | None, limits: Limits) -> str:
    """Why there is no sound, or nothing."""
    if stream is None:
        return "no audio stream"
    if stream.codec_context is None:
        return UNREADABLE
    layout, rate = stream.codec_context.layout, stream.codec_context.sample_rate
    shares_memory(layout)  # or else the process ends
    channels = layout.nb_channels
    if channels > limits.channels:
        return f"{channels} channels are more than the limit of {limits.channels} (limits.channels)"
    if rate and rate not in RATES:
        return f"a sampling rate of {rate} Hz, which is not sound"
    return ""


def _no_pictures(container: Any, limits: Limits) -> str:
    """Why there are no pictures, or nothing."""
    stream = picture_track(container)
    if stream is None:
        return STILL if container.streams.video else "no video stream"
    if stream.codec_context is None:
        return UNREADABLE
    width, height = stream.codec_context.width, stream.codec_context.height
    if too_large(width, height, limits):
        return f"pictures of {width} x {height} are {beyond(limits)}"
    return STILL if container.format.name in PICTURE_FILES.split(",") else ""


def too_large(width: int, height: int, limits: Limits) -> bool:
    """Whether a picture exceeds the limit."""
    return width * height > limits.megapixels * 1e6


def beyond(limits: Limits) -> str:
    """The words for a picture that exceeds the limit."""
    return f"larger than the limit of {limits.megapixels:g} megapixels (limits.megapixels)"


def _on_tracks(container: Any) -> list[str]:
    sounds = len(container.streams.audio)
    return [f"one of {sounds} sound tracks is used"] if sounds > 1 else []


def beginning(container: Any) -> float:
    """The container's time stamp at clip time 0, in seconds: the earliest start of its sound and pictures.

    A start slightly before 0 is an encoder's run-up, which does not belong to the clip.
    """
    starts = [_start(stream) for stream in _tracks(container) if stream.start_time is not None]
    earliest = min(starts, default=0.0)
    return 0.0 if -0.1 <= earliest < 0 else earliest


def _tracks(container: Any) -> list[Any]:
    return [stream for stream in (sound_track(container), picture_track(container)) if stream is not None]


def _start(stream: Any) -> float:
    return float((stream.start_time or 0) * stream.time_base)


def _extent(container: Any, path: Path) -> float:
    """The clip's declared length in seconds, without a limit; 0 if the container only estimates it."""
    return max((declared_end(container, stream, path) or 0.0 for stream in _tracks(container)), default=0.0)


def declared_end(container: Any, stream: Any, path: Path) -> float | None:
    """The declared end of a stream in clip time, at least 0; None if the container only estimates it."""
    if container.format.name in GUESSING:
        return None
    start, zero = _start(stream), beginning(container)
    claim = _overstated(path) if container.format.name in ("wav", "avi") else 1.0
    if stream.duration is not None and stream.duration > 0:
        return max(0.0, start - zero + float(stream.duration * stream.time_base) * claim)
    tags = (value for name, value in stream.metadata.items() if name.upper().startswith("DURATION"))
    tagged = _seconds_of(next(tags, ""))  # in Matroska; counted from its time 0
    if tagged is not None:
        return max(0.0, tagged - zero)
    if container.duration is None or container.duration <= 0:
        return None
    whole = container.duration / 1e6 * claim
    counted_from_0 = container.format.name.startswith("matroska") and 1 < zero < whole
    return whole - zero if counted_from_0 else whole


def _overstated(path: Path) -> float:
    """Declared over real size of a WAV or AVI file, at least 1; FFmpeg corrects the declaration silently."""
    with path.open("rb") as file:
        header = file.read(44)
        size = os.fstat(file.fileno()).st_size
    claimed = int.from_bytes(header[4:8], "little") + 8
    known = header[:4] == b"RIFF" and 44 < size < claimed < 0x7FFF0000  # streamed files declare the largest size
    return (claimed - 44) / (size - 44) if known else 1.0


def _seconds_of(text: str) -> float | None:
    """Seconds of a time such as 00:00:02.023000000."""
    try:
        hours, minutes, seconds = text.split(":")
        total = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None
    return total if 0 < total < 1e9 else None
