"""Number formats: which results need more digits than the format of products has."""

import torch


def precise(dtype: torch.dtype) -> torch.dtype:
    """The type of sums over steps and of scores: rounded to bf16, they would be most of the error of a result."""
    return torch.promote_types(dtype, torch.float32)
