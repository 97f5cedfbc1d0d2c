"""Packets into frames, past damaged ones, in a single pass over the file even where two streams are wanted."""

from collections.abc import Iterator
from typing import Any, Protocol

from mitr.media.files.channels import shares_memory
from mitr.media.files.damage import Damage
from mitr.media.files.limits import Limits
from mitr.media.files.opening import most_pixels

MOST_FAILURES = 100  # reads in a row that fail before the rest is given up
INDEXED = ("mov,mp4,m4a,3gp,3g2,mj2", "avi")  # containers that may hold one stream behind the other
MOST_ENDS = 1000  # ends of such a file in a row until neither of two streams has a packet left
MOST_REFUSED = 5000  # packets in a row that do not decode before the rest is given up


class SecondStream(Protocol):
    """A stream that is decoded in the pass over the file in which another stream is read."""

    stream: Any

    def take(self, packet: Any) -> None:
        """Decode a packet of this stream."""


class Decoder:
    """Decodes the packets of one stream, in the order of the file, and skips those that are damaged.

    It runs on one thread: with several, what a decoder makes of damaged data depends on their number.

    Attributes:
        over: whether no further packet should be decoded, because too many were refused.
    """

    def __init__(self, stream: Any, limits: Limits, damage: Damage) -> None:
        self.over = False
        self._stream, self._damage, self._refused = stream, damage, 0
        context = stream.codec_context
        context.thread_type, context.thread_count = "NONE", 1
        context.options = _options(stream, limits)

    def frames(self, packet: Any | None) -> list[Any]:
        """The frames that a packet completes; those that the decoder holds back for None, the end of the stream."""
        import av

        try:
            frames: list[Any] = self._stream.codec_context.decode(packet)
        except (av.error.FFmpegError, MemoryError):
            self._damage.packets += packet is not None
            self._refused += 1
            if self._refused == MOST_REFUSED:
                self._damage.gave_up = self.over = True
            return []
        self._refused = 0
        if self._stream.type == "audio" and [frame for frame in frames if shares_memory(frame.layout)]:
            self._damage.gave_up = self.over = True
            return []
        return frames


def decoded(
    container: Any, stream: Any, limits: Limits, damage: Damage, second: SecondStream | None = None
) -> Iterator[Any]:
    """The frames of a stream that can be decoded, in the decoder's order.

    Args:
        container: the open file.
        stream: the stream to decode.
        limits: bounds on what is decoded.
        damage: counts what could not be decoded.
        second: another stream, which gets its packets in the same pass; those after the end of this one it must read
            by itself.
    """
    decoder = Decoder(stream, limits, damage)
    streams = [stream] if second is None else [stream, second.stream]
    for packet in packets_of(container, streams, damage):
        if second is not None and packet.stream_index == second.stream.index:
            second.take(packet)
            continue
        yield from decoder.frames(packet)
        if decoder.over:
            return
    yield from decoder.frames(None)


def packets_of(container: Any, streams: list[Any], damage: Damage) -> Iterator[Any]:
    """The packets of some streams, from the position of the last read up to the end of the file.

    FFmpeg reports the end of a cut-off file at each packet that its index lists and the file lacks, although the other
    stream may have packets left.
    """
    import av
    from av.stream import Discard

    for other in container.streams:
        other.discard = Discard.default if any(other is stream for stream in streams) else Discard.all
    most_ends = MOST_ENDS if len(streams) > 1 and container.format.name in INDEXED else 1
    failures = ends = 0
    while failures < MOST_FAILURES and ends < most_ends:
        packets = container.demux(*streams)
        try:
            for packet in packets:
                failures = 0
                if packet.size:  # an empty one would make the decoder stop
                    ends = 0
                    yield packet
            ends += 1
        except av.error.FFmpegError:
            failures += 1
    damage.gave_up = damage.gave_up or failures == MOST_FAILURES


def _options(stream: Any, limits: Limits) -> dict[str, str]:
    """The decoder's options: the largest picture, and a plain order of channels in place of a custom one."""
    if stream.type == "video":
        return {"max_pixels": most_pixels(limits)}
    layout = stream.codec_context.layout
    return {"ch_layout": f"{layout.nb_channels} channels"} if shares_memory(layout) else {}
