"""The paper's circuit as a researcher would write it in plain PyTorch, as a baseline.

Layer by layer in log space, with autograd: a table look-up at the leaves, pairwise sums of
logarithms, and log-sum-exp by a batched matrix product. Independent of pccompiler.
"""
# mypy: ignore-errors
# pyright: basic
# ruff: noqa: D103

from __future__ import annotations

import torch
from torch import Tensor, nn


def make(options):
    if (options.structure, options.units, options.values) != ("rat-spn", 5, 2):
        raise NotImplementedError("only binary RAT-SPNs of 5 units are written by hand")
    torch.set_num_threads(options.threads)
    model = PlainSPN(options.n, options.replicas).to(options.device)
    x = torch.randint(0, 2, (options.batch, options.n), device=options.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3, fused=True)

    def forward():
        with torch.no_grad():
            return model(x)

    def gradients():
        optimizer.zero_grad()
        (-model(x).sum()).backward()

    def step():
        gradients()
        optimizer.step()

    return {
        "runs": {"step": step, "gradients": gradients, "forward": forward},
        "notes": {"version": f"torch {torch.__version__}"},
    }


class PlainSPN(nn.Module):
    """Random binary trees; the last region of an odd level joins the last pair."""

    def __init__(self, n: int, replicas: int = 50, k: int = 5, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        orders = [torch.randperm(n, generator=generator) for _ in range(replicas)]
        self.register_buffer("order", torch.stack(orders))
        self.leaf = nn.Parameter(torch.rand(replicas, n, k, 2, generator=generator))
        widths: list[int] = []
        while n > 1:
            n //= 2
            widths.append(n)
        shapes = [(replicas, w, 1 if w == 1 else k, k) for w in widths]
        self.inner = nn.ParameterList(
            nn.Parameter(torch.rand(s, generator=generator)) for s in shapes
        )
        self.top = nn.Parameter(torch.rand(replicas, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        """Log-likelihood of integer ``x``, shape (batch, n)."""
        order: Tensor = self.get_buffer("order")
        states = x.t()[order]  # (replicas, n, batch)
        table = torch.log_softmax(self.leaf, dim=-1)
        picked = states.unsqueeze(2).expand(-1, -1, table.shape[2], -1)
        values = table.gather(3, picked)  # (replicas, n, k, batch)
        for logits in self.inner:
            width = logits.shape[1]
            joined = values[:, 0 : 2 * width : 2] + values[:, 1 : 2 * width : 2]
            if values.shape[1] % 2:
                joined = torch.cat([joined[:, :-1], joined[:, -1:] + values[:, -1:]], dim=1)
            top = joined.amax(2, keepdim=True).detach()
            mixed = torch.softmax(logits, dim=-1) @ (joined - top).exp()
            values = mixed.log() + top
        return torch.logsumexp(values[:, 0, 0] + torch.log_softmax(self.top, 0).unsqueeze(1), 0)
