"""What torch.compile is worth: `python benchmarks/compiled.py --out FILE [--cases NAME ...] [--quick]`.

Measured is one block, in which it can merge many passes over values: the gate of MITR-DNet's temporal module, forward
and backward, at the rows of all modalities in a mean batch of CMU-MOSI. `seconds` are those of the code as it is,
`compiled_seconds` those of the same formulas compiled for open sizes, `compiling_seconds` what the first call takes
(with an empty cache, and a C++ compiler). `step_ms` is what all gates of a step would save.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import harness
from made_sets import SHAPES
from yardstick import best, yardstick

CASES = {"gate, float32": "float32", "gate, bf16": "bfloat16"}
BATCH, TOKENS, STREAMS, TRIES = 32, 15, 4, 40


def main() -> None:
    """Measure and write."""
    harness.run("compiled", __doc__, CASES, CASES, measured)


def measured(name: str, quick: bool) -> dict[str, Any]:
    """One case."""
    with tempfile.TemporaryDirectory() as place:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = place  # read when torch.compile is first used
        rows = BATCH * (TOKENS + sum(SHAPES["mosi"].steps(TOKENS).values()))
        return _measured(name, 100 if quick else rows)


def _measured(name: str, rows: int) -> dict[str, Any]:
    import torch
    from torch import Tensor

    from mitr.models.mitr_dnet import LEVELS, WIDTH  # a gate at each level
    from mitr.nn.cpu.temporal import _Gated

    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        v = (2 * x.float().sigmoid() - 1).clamp_min(0)
        content, gate = v.chunk(2, dim=-1)
        return v.to(x.dtype), (2 * (content + content * gate)).to(x.dtype)

    def backward(v: Tensor, g: Tensor) -> Tensor:
        v, of = v.float(), g.float()
        content, gate = v.chunk(2, dim=-1)
        to_x = torch.cat([of * (gate + 1), of * content], dim=-1)
        return torch.where(v > 0, to_x * (1 - v * v), 0).to(g.dtype)

    class Context:
        def save_for_backward(self, *saved: Tensor) -> None:
            self.saved_tensors = saved

    speed = yardstick()
    x = torch.randn(rows, STREAMS, 2 * WIDTH).to(getattr(torch, CASES[name]))
    g = torch.randn(rows, STREAMS, WIDTH).to(x.dtype)
    context = Context()
    out = _Gated.forward(context, x, 0.0)
    to_x, _ = _Gated.backward(context, g)
    start = time.perf_counter()
    there: Callable[[Tensor], tuple[Tensor, Tensor]] = torch.compile(forward, dynamic=True, fullgraph=True)
    back: Callable[[Tensor, Tensor], Tensor] = torch.compile(backward, dynamic=True, fullgraph=True)
    v, compiled_out = there(x)
    compiled_to_x = back(v, g)
    compiling = time.perf_counter() - start
    tolerance = 1e-5 if x.dtype == torch.float32 else 0.02
    torch.testing.assert_close(compiled_out, out, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(compiled_to_x, to_x, atol=tolerance, rtol=tolerance)
    seconds = best(lambda: (_Gated.forward(context, x, 0.0), _Gated.backward(context, g)), TRIES)
    compiled = best(lambda: (there(x), back(v, g)), TRIES)
    return {
        "case": name,
        "rows": rows,
        "yardstick": round(speed, 1),
        "seconds": round(seconds, 6),
        "units": round(seconds * speed, 4),
        "compiled_seconds": round(compiled, 6),
        "compiling_seconds": round(compiling, 1),
        "step_ms": round(1000 * LEVELS * (seconds - compiled), 1),
    }


if __name__ == "__main__":
    main()
