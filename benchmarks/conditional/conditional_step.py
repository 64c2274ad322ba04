"""Hidden Markov models whose transitions differ from row to row, beside PyJuice's own.

    python -m benchmarks.conditional.conditional_step [--device cuda] [--pyjuice] [--states 128 256]

The work of PyJuice's `LowRankSumParams`: the transitions of a row are shared ones plus a product of
two factors of low rank, which come from outside, normalised. Homogeneous, 32 steps, 1,000 words.
Ours is an `External` module with blocks; it forms the transitions of each row, and PyJuice does
not. Times are of the forward pass, and of ours with its backward pass to the factors and to all
shared parameters: the wheel of PyJuice 2.6.3 lacks CUDA sources that its backward pass needs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

import pccompiler as pc
from benchmarks.common import Report
from benchmarks.correctness.long_hmm import forward_algorithm
from benchmarks.steps.hclt_contest import Contest
from pccompiler.ir import Variable

LENGTH, WORDS, TRANSITIONS = 32, 1000, 1


class LowRank(nn.Module):
    """Shared transitions plus a product of factors, as logarithms."""

    def __init__(self, states: int, rank: int) -> None:
        super().__init__()
        self.states, self.rank = states, rank
        self.shared = nn.Parameter(torch.randn(states, states))

    def features(self, context: Tensor) -> Tensor:
        """The factors, shape (rows, 2, states, rank)."""
        return context.view(-1, 2, self.states, self.rank).exp()

    def logits(self, features: Tensor, entries: slice | Tensor) -> Tensor:
        """Shape (rows, entries)."""
        children, parents = features.unbind(1)
        added = torch.baddbmm(self.shared.softmax(1), parents, children.transpose(1, 2))
        return added.log().flatten(1)[:, entries]


def model_of(states: int, rank: int, device: str) -> pc.ConditionalCircuit:
    """The model, on a device."""
    steps = [Variable(f"t{i}", "categorical", WORDS) for i in range(LENGTH)]
    torch.manual_seed(0)
    external = pc.External(LowRank(states, rank), weights=[TRANSITIONS])
    return pc.compile(pc.hmm(steps, states), external, device=device)


def forward(states: int, rank: int, x: Tensor, context: Tensor) -> Callable[[], object]:
    """Log-likelihoods without gradients."""
    model = model_of(states, rank, str(x.device))

    def step() -> object:
        with torch.no_grad():
            return model.log_likelihood(x, context=context, check=False)

    return step


def gradients(states: int, rank: int, x: Tensor, context: Tensor) -> Callable[[], object]:
    """Forward and backward."""
    model = model_of(states, rank, str(x.device))
    wanted = [context, *(p for p in model.parameters() if p.requires_grad)]

    def step() -> object:
        value = model.log_likelihood(x, context=context, check=False)
        return torch.autograd.grad(value.sum(), wanted)

    return step


def errors(states: int, rank: int, x: Tensor, context: Tensor) -> float:
    """The largest relative error of a row's log-likelihood, beside the forward algorithm."""
    model = model_of(states, rank, str(x.device))
    found = model.log_likelihood(x, context=context).detach()
    module = model.module.double()
    made = module.logits(module.features(context.double()), slice(None))  # type: ignore[operator]
    moves = made.detach().view(-1, states, states).softmax(2)
    tables = {name: v.double()[0] for name, v in model.base.weights.values.items()}
    start, emit = (
        next(v for name, v in tables.items() if kind in name).softmax(-1).detach()
        for kind in ("logits_sum_1x", "leaf_")
    )
    wanted = torch.cat(
        [
            forward_algorithm(row, start[0], move, emit)
            for row, move in zip(x.long().split(1), moves, strict=True)
        ]
    )
    return ((found - wanted) / wanted).abs().max().item()


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--pyjuice", action="store_true")
    parser.add_argument("--states", type=int, nargs="*", default=[128, 256])
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--batch", type=int, default=128)
    chosen, report = parser.parse_args(), Report("conditional_step")
    rng = np.random.default_rng(0)
    words = np.minimum(rng.zipf(1.3, (chosen.batch, LENGTH)) - 1, WORDS - 1)
    x = torch.from_numpy(words).to(chosen.device)
    for states in chosen.states:
        size = chosen.batch, 2 * states * chosen.rank
        context = (torch.randn(size, device=chosen.device) - 6.0).requires_grad_()
        given = states, chosen.rank, x.float(), context
        name = f"{states} states, rank {chosen.rank}, {chosen.batch} rows"
        report.add(part="error", circuit=name, log_likelihood=errors(*given))
        if chosen.device == "cpu":
            continue
        contest = Contest(report)
        contest.enter(f"{name} ours forward", partial(forward, *given))
        contest.enter(f"{name} ours gradients", partial(gradients, *given))
        if chosen.pyjuice:
            from benchmarks.conditional import conditional_pyjuice

            there = partial(conditional_pyjuice.forward, *given)
            contest.enter(f"{name} pyjuice forward", there)
        contest.run()


if __name__ == "__main__":
    main()
