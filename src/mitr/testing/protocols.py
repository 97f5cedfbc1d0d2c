"""What every protocol must do. Its test is a subclass of `ProtocolContract` that gives the protocol's name."""

import pickle
import re
from typing import ClassVar

import numpy as np
import pytest

from mitr.config import MissingConfig
from mitr.data.scale import Scale
from mitr.missing import masks
from mitr.missing.protocols import Protocol, protocol_named
from mitr.missing.schedules import Extent

ALL = ("text", "audio", "vision")
SCALE = Scale.of((-3, 3))


def extents() -> dict[str, Extent]:
    """Three samples; the second lacks audio, the third has one step of it; text has [CLS] and [SEP]."""
    return {
        "text": Extent(np.array([6, 12, 3]), 50, special_tokens=True),
        "audio": Extent(np.array([10, 0, 1]), 20),
        "vision": Extent(np.array([4, 8, 5])),
    }


class ProtocolContract:
    """Tests of a protocol by its name.

    Attributes:
        name: a name of `mitr.missing.protocols.protocol_named`: its own, of an entry point, or `module:NAME`.
    """

    name: ClassVar[str]

    @pytest.fixture
    def protocol(self) -> Protocol:
        return protocol_named(self.name)

    def test_names_are_unique_and_fit_for_files(self, protocol: Protocol) -> None:
        conditions = protocol.conditions(ALL, SCALE)
        assert conditions
        assert len({condition.name for condition in conditions}) == len(conditions)
        assert all(re.fullmatch(r"[a-z0-9.+= -]+", condition.name) for condition in conditions)
        for axis in {condition.axis for condition in conditions}:
            levels = [condition.level for condition in conditions if condition.axis == axis]
            assert set(levels) == {None} or (None not in levels and len(set(levels)) == len(levels))

    def test_the_order_of_modalities_changes_nothing(self, protocol: Protocol) -> None:
        forward, backward = (protocol.conditions(order, SCALE) for order in (ALL, ALL[::-1]))
        assert forward == backward
        for one, other in zip(forward, backward, strict=True):
            drawn, again = one.masks(extents()), other.masks(dict(reversed(extents().items())))
            assert drawn.keys() == again.keys()
            assert all((a == b).all() for m in drawn for a, b in zip(drawn[m], again[m], strict=True))

    def test_masks_fit_the_extents_and_no_global_generator_is_touched(self, protocol: Protocol) -> None:
        made, before = extents(), pickle.dumps(np.random.get_state())
        for condition in protocol.conditions(ALL, SCALE):
            drawn = condition.masks(made)
            assert drawn.keys() == made.keys()
            for m, mask in drawn.items():
                assert mask.keep.shape == (3, made[m].steps)
                assert mask.absent.shape == (3,)
                assert (mask.keep <= masks.inside(made[m].lengths, made[m].steps)).all()
                assert not mask.keep[mask.absent].any()
        assert pickle.dumps(np.random.get_state()) == before

    def test_it_reaches_other_processes(self, protocol: Protocol) -> None:
        assert pickle.loads(pickle.dumps(protocol)).conditions(ALL, SCALE) == protocol.conditions(ALL, SCALE)

    def test_training_gives_options(self, protocol: Protocol) -> None:
        assert isinstance(protocol.training(MissingConfig()), MissingConfig)
