"""SimSiam's projector and predictor (Chen & He, CVPR 2021), over the samples that have the modality."""

from torch import Tensor, nn
from torch.nn import functional as F

from mitr.nn.masked import MaskedBatchNorm


class SimSiamHead(nn.Module):
    """z' = BatchNorm(Linear(z)); p = Linear(ReLU(BatchNorm(Linear(z')))).

    Args:
        dim: D of z, z' and p.
        hidden: width inside the predictor.
    """

    def __init__(self, dim: int = 100, hidden: int = 50):
        super().__init__()
        self.project = nn.Linear(dim, dim)
        self.project_norm = MaskedBatchNorm(dim, affine=False)
        self.predict_in = nn.Linear(dim, hidden, bias=False)
        self.predict_norm = MaskedBatchNorm(hidden)
        self.predict_out = nn.Linear(hidden, dim)

    def forward(self, z: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) and (B,) bool -> z' (B, D) and p (B, D), zero where not present."""
        target = self.project_norm(self.project(z), present)
        prediction = self.predict_out(F.relu(self.predict_norm(self.predict_in(target), present)))
        absent = ~present[:, None]
        return target.masked_fill(absent, 0), prediction.masked_fill(absent, 0)
