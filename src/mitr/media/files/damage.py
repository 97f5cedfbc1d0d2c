"""Reading a stream past its damaged places."""

from collections.abc import Iterator
from typing import Any

from mitr.media.files.channels import shares_memory
from mitr.media.files.limits import Limits
from mitr.media.files.opening import most_pixels

MOST_FAILURES = 100  # reads in a row that fail before the rest is given up
MOST_REFUSED = 5000  # packets in a row that do not decode before the rest is given up


class Damage:
    """How much of a stream could not be read.

    Attributes:
        packets: damaged packets that were skipped.
        gave_up: whether reading stopped for damage before the file's end.
    """

    def __init__(self) -> None:
        self.packets = 0
        self.gave_up = False

    def notes(self, what: str) -> list[str]:
        """Sentences for the user; `what` names the stream."""
        said = [f"damaged packets skipped in the {what}: {self.packets}"] if self.packets else []
        return said + ([f"the rest of the {what} is too damaged to be read"] if self.gave_up else [])


def decoded(container: Any, stream: Any, limits: Limits, damage: Damage) -> Iterator[Any]:
    """The frames of a stream, in the decoder's order, those that can be decoded.

    One thread only: with several, what a decoder makes of damaged data depends on their number.
    """
    import av
    from av.stream import Discard

    context = stream.codec_context
    context.thread_type, context.thread_count = "NONE", 1
    context.options = _options(stream, limits)
    for other in container.streams:
        other.discard = Discard.default if other is stream else Discard.all
    refused = 0
    for packet in _packets(container, stream, damage):
        try:
            frames = context.decode(packet)
        except (av.error.FFmpegError, MemoryError):
            damage.packets += packet is not None
            refused += 1
            if refused == MOST_REFUSED:
                damage.gave_up = True
                return
            continue
        refused = 0
        if stream.type == "audio" and [frame for frame in frames if shares_memory(frame.layout)]:
            damage.gave_up = True
            return
        yield from frames


def _options(stream: Any, limits: Limits) -> dict[str, str]:
    """Of the decoder: the largest picture; a plain order of channels in place of a custom one."""
    if stream.type == "video":
        return {"max_pixels": most_pixels(limits)}
    layout = stream.codec_context.layout
    return {"ch_layout": f"{layout.nb_channels} channels"} if shares_memory(layout) else {}


def _packets(container: Any, stream: Any, damage: Damage) -> Iterator[Any | None]:
    """The packets of a stream, then None, at which the decoder gives what it holds back."""
    import av

    failures = 0
    while failures < MOST_FAILURES:
        packets = container.demux(stream)
        try:
            for packet in packets:
                failures = 0
                if packet.size:  # an empty one would make the decoder stop
                    yield packet
            break
        except av.error.FFmpegError:
            failures += 1
    damage.gave_up = failures == MOST_FAILURES
    yield None
