"""draft"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mitr.config import LossConfig, ModelConfig
from mitr.losses import masked
from mitr.losses.task import Task
from mitr.models.base import Model, read_options
from mitr.nn.attention import Attention
from mitr.nn.masked import masked_mean
from mitr.nn.temporal import BidirectionalTemporal
from mitr.nn.unimodal import UnimodalEncoder
from mitr.views import Targets, View


@dataclass
class PlusOptions:
    width: int = 64
    layers: int = 1
    heads: int = 4
    dropout: float = 0.3
    skip_path: bool = True
    temporal: bool = False
    unimodal: bool = False
    distill: float = 0.0
    consistency: float = 0.0
    gate: bool = False
    noise: float = 0.0


class Layer(nn.Module):
    def __init__(self, dim, heads, dropout):
        super().__init__()
        self.n1 = nn.LayerNorm(dim)
        self.n2 = nn.LayerNorm(dim)
        self.att = Attention(dim, heads, dropout)
        self.a = nn.Linear(dim, 2 * dim)
        self.b = nn.Linear(2 * dim, dim)
        self.dropout = dropout

    def forward(self, x, mask):
        n = self.n1(x)
        x = x + F.dropout(self.att(n, n, mask), self.dropout, self.training)
        return x + F.dropout(self.b(F.gelu(self.a(self.n2(x)))), self.dropout, self.training)


class MitrDNetPlus(Model):
    hidden_tokens = "skip"

    def __init__(self, dims, config: ModelConfig, loss: LossConfig, task: Task | None = None):
        super().__init__()
        self.dims, self.task = dims, task or Task()
        o = self.o = read_options(PlusOptions, config)
        D = o.width
        self.unimodal = nn.ModuleDict({m: UnimodalEncoder(d, 0.3, 0.2) for m, d in dims.items()} if o.unimodal else {})
        self.temporal = nn.ModuleDict(
            {m: BidirectionalTemporal(d, D // 4, 4, "time") for m, d in dims.items()} if o.temporal else {}
        )
        self.project = nn.ModuleDict({m: nn.Linear(d, D) for m, d in dims.items()})
        self.norm = nn.ModuleDict({m: nn.LayerNorm(d) for m, d in dims.items()})
        self.kind = nn.ParameterDict({m: nn.Parameter(0.02 * torch.randn(D)) for m in dims})
        self.absent = nn.ParameterDict({m: nn.Parameter(0.02 * torch.randn(D)) for m in dims})
        self.token = nn.Parameter(0.02 * torch.randn(D))
        self.layers = nn.ModuleList([Layer(D, o.heads, o.dropout) for _ in range(o.layers)])
        self.out_norm = nn.LayerNorm(D)
        self.head = nn.Linear(D, self.task.outputs)
        if o.skip_path:
            self.linear = nn.ModuleDict({m: nn.Linear(d, self.task.outputs) for m, d in dims.items()})
        if o.gate:
            self.gate = nn.Linear(2 * len(dims), 1)

    def states(self, view):
        o = self.o
        tokens, masks, straight, shares = [self.token.expand(len(next(iter(view.values())).valid), 1, -1)], [], 0.0, []
        masks.append(torch.ones_like(tokens[0][:, :, 0], dtype=torch.bool))
        pooled = {}
        for m in self.dims:
            s = view[m]
            there = s.available & s.valid
            have = there.any(1)
            x = self.norm[m](s.values)
            if o.noise and self.training:
                x = x + o.noise * torch.randn_like(x)
            h = self.unimodal[m](x, there) if o.unimodal else x
            z = self.temporal[m](h, there) if o.temporal else self.project[m](F.dropout(h, o.dropout, self.training))
            z = z + self.kind[m]
            tokens += [z, torch.where(have[:, None], masked_mean(z, there), self.absent[m])[:, None]]
            masks += [there, torch.ones_like(have)[:, None]]
            mean = masked_mean(x, there)
            pooled[m] = mean
            if o.skip_path:
                straight = straight + self.linear[m](F.dropout(mean, o.dropout, self.training)) * have[:, None]
            shares += [there.float().sum(1).clamp(max=20) / 20, have.float()]
        x, mask = torch.cat(tokens, 1), torch.cat(masks, 1)
        for layer in self.layers:
            x = layer(x, mask[:, None])
        fused = self.out_norm(x[:, 0])
        with torch.autocast(fused.device.type, enabled=False):
            last = self.head(F.dropout(fused, o.dropout, self.training).float()) + straight
            if o.gate:
                last = last * 2 * torch.sigmoid(self.gate(torch.stack(shares, 1)))
        return self.task.answer(last), fused, pooled

    def forward(self, view: View) -> Tensor:
        return self.states(view)[0]

    def losses(self, complete: View, incomplete: View, targets: Targets, teacher=None):
        o = self.o
        p, f, z = self.states(incomplete)
        tp, tf, tz = self.states(complete)
        seen = ~self.nothing_observed(complete)
        terms = {"task_student": self.task.loss(p, targets, seen), "task_teacher": self.task.loss(tp, targets, seen)}
        if o.distill:
            terms["distill"] = masked.vector_mse(f, tf.detach(), seen)
        if o.consistency:
            terms["consistency"] = masked.mean_where((p - tp.detach()).abs(), seen)
        return p, terms

    def weight_of(self, term: str) -> float:
        return {"distill": self.o.distill, "consistency": self.o.consistency}.get(term, 1.0)
