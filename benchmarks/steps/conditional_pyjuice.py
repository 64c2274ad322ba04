"""The same HMM in PyJuice, for `benchmarks.steps.conditional_step`; only if PyJuice exists."""
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
# ruff: noqa: D102

import pyjuice as juice
import torch
from pyjuice.nodes.distributions import Categorical
from pyjuice.nodes.external_params import LowRankSumParams

WORDS = 1000


def hmm(length, states, rank):
    """Backwards from the last step, as ours; one pair of factors for all transitions."""
    external = LowRankSumParams(rank=rank, tie_external=True)
    with juice.set_block_size(block_size=states):
        emitted = juice.inputs(length - 1, num_node_blocks=1, dist=Categorical(num_cats=WORDS))
        below, first = emitted, None
        for step in range(length - 2, -1, -1):
            if first is None:
                moved = first = juice.summate(below, num_node_blocks=1, external_params=external)
            else:
                moved = first.duplicate(below, tie_params=True)
            here = emitted.duplicate(step, tie_params=True)
            below = juice.multiply(here, moved)
        return juice.summate(below, num_node_blocks=1, block_size=1), first


class Step:
    """Forward and backward, with gradients of the factors."""

    def __init__(self, states, rank, x, context):
        root, self.moves = hmm(x.shape[1], states, rank)
        root.init_parameters(perturbation=2.0)
        self.made = juice.TensorCircuit(root).to(x.device)
        self.x = x.long()
        factors = context.detach().view(len(x), 2, 1, states, rank)
        self.factors = tuple(f.contiguous() for f in factors.unbind(1))
        self.gradients = tuple(torch.zeros_like(f) for f in self.factors)
        for _ in range(3):
            self()

    def __call__(self):
        with torch.no_grad():
            self.made(self.x, sum_external_params={self.moves: self.factors})
        self.made.backward(
            self.x,
            flows_memory=0.0,
            allow_modify_flows=False,
            logspace_flows=True,
            sum_external_params_grad={self.moves: self.gradients},
        )
