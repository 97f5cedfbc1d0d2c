"""Where the time of a training step goes, by PyTorch's profiler.

Every operation counts for the part of the model in whose code it was called; an operation of the backward pass counts
for the part whose operation it differentiates (both have the same sequence number). What is left of the wall time, the
loop itself and additions of gradients among it, is `other`. The profiler costs time of its own with each operation, so
that parts of many small operations appear a little larger than they are.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

LOADER = "enumerate(DataLoader)"  # PyTorch's own name for the time until a batch is there
LABEL = "mitr: "


def profiled(trainer: Any) -> dict[str, float]:
    """Part -> percent of the wall time of an epoch of a MITR-DNet, the largest first."""
    from torch.profiler import ProfilerActivity, profile

    with _labelled(trainer), profile(activities=[ProfilerActivity.CPU]) as found:
        start = time.perf_counter()
        trainer._train_epoch(lambda: None)
        wall = 1e6 * (time.perf_counter() - start)
    parts = by_part(found.events())
    parts["other"] = max(0.0, wall - sum(time for part, time in parts.items() if part != "other"))
    shares = {part: round(100 * time / wall, 1) for part, time in parts.items()}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def by_part(events: Any) -> dict[str, float]:
    """Part -> microseconds that its operations took themselves; `other` for those of no part."""
    part_of_sequence: dict[int, str] = {}
    forward: list[Any] = []
    backward: list[Any] = []
    for event in events:
        (backward if _of_backward(event) else forward).append(event)
    total: dict[str, float] = {}
    for event in forward:
        part = _part(event)
        if event.sequence_nr >= 0:
            part_of_sequence[event.sequence_nr] = part
        total[part] = total.get(part, 0.0) + event.self_cpu_time_total
    for event in backward:
        part = part_of_sequence.get(_root(event).sequence_nr, "other")
        total[part] = total.get(part, 0.0) + event.self_cpu_time_total
    return total


@contextmanager
def _labelled(trainer: Any) -> Iterator[None]:
    """Let the calls of each part appear in the profile by its name."""
    from mitr.training import loop

    network, model = trainer.network, trainer.network.model
    calls = [(model, name, "fusion and heads") for name in ("_pooled", "_fused")] + [(model, "losses", "losses")]
    calls += [(network.text, "forward", "text encoder")] if network.text is not None else []
    for m in model.dims:
        calls += [(model.encoder[m], "forward", "unimodal encoders"), (model.temporal[m], "of_views", "temporal")]
    calls += [(trainer.optimizer, name, "optimiser") for name in ("step", "zero_grad")]
    calls += [(trainer, "_hidden", "loader and masks"), (loop.schedules, "for_epoch", "loader and masks")]
    with ExitStack() as stack:
        for owner, name, part in calls:
            stack.enter_context(patch.object(owner, name, _inside(getattr(owner, name), part)))
        yield


def _inside(original: Callable[..., Any], part: str) -> Callable[..., Any]:
    from torch.profiler import record_function

    def labelled(*args: Any, **options: Any) -> Any:
        with record_function(LABEL + part):
            return original(*args, **options)

    return labelled


def _part(event: Any) -> str:
    """The innermost part around an event."""
    while event is not None:
        if event.name.startswith(LABEL):
            return str(event.name.removeprefix(LABEL))
        if event.name.startswith(LOADER):
            return "loader and masks"
        event = event.cpu_parent
    return "other"


def _root(event: Any) -> Any:
    """The node of the backward pass that an event belongs to, or its outermost parent."""
    while event.cpu_parent is not None and not event.name.startswith("autograd::engine"):
        event = event.cpu_parent
    return event


def _of_backward(event: Any) -> bool:
    return str(_root(event).name).startswith("autograd::engine")
