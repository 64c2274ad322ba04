"""The same HMM in PyJuice, for `conditional_step`; imported only if PyJuice exists."""
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false

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


def forward(states, rank, x, context):
    """The forward pass as a function, run three times."""
    root, moves = hmm(x.shape[1], states, rank)
    root.init_parameters(perturbation=2.0)
    made = juice.TensorCircuit(root).to(x.device)
    x, factors = x.long(), context.detach().view(len(x), 2, 1, states, rank)
    factors = tuple(factor.contiguous() for factor in factors.unbind(1))

    def step():
        with torch.no_grad():
            return made(x, sum_external_params={moves: factors})

    for _ in range(3):
        step()
    return step
