"""How much of a stream could not be decoded."""


class Damage:
    """The damage of one stream, counted while it is decoded.

    Attributes:
        packets: damaged packets that were skipped.
        gave_up: whether decoding stopped for damage before the file's end.
    """

    def __init__(self) -> None:
        self.packets = 0
        self.gave_up = False

    def notes(self, what: str) -> list[str]:
        """Sentences for the user; `what` names the stream."""
        said = [f"damaged packets skipped in the {what}: {self.packets}"] if self.packets else []
        return said + ([f"the rest of the {what} is too damaged to be read"] if self.gave_up else [])
