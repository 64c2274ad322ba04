"""A homogeneous hidden Markov model of many steps, compared with the forward algorithm in float64.

    python -m benchmarks.correctness.long_hmm [--device cuda] [--steps 1000] [--states 512]

Rows end at different lengths: what comes after is missing. For each matrix-product precision the
largest relative error of a row's log-likelihood is reported, and so are the engine and the largest
error of the gradient with respect to the transition logits, relative to its largest entry.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from torch import Tensor

import pccompiler as pc
from benchmarks.common import Report
from pccompiler.ir import Variable
from pccompiler.torch_backend.engines.questions import Wanted

ROWS = 16


def forward_algorithm(x: Tensor, start: Tensor, move: Tensor, emit: Tensor) -> Tensor:
    """Log-likelihoods in nats, ``(rows,)``, one step at a time, scaled to a total of 1 each time.

    Args:
        x: Observations ``(rows, steps)``; -1 is missing.
        start: First state, ``(states,)``.
        move: From state to state, rows sum to 1.
        emit: From state to symbol, rows sum to 1.
    """
    total = torch.zeros(len(x), dtype=start.dtype, device=start.device)
    state = start.expand(len(x), -1)
    for number, column in enumerate(x.T):
        state = state if number == 0 else state @ move
        seen = emit.T[column.clamp(min=0)]
        state = torch.where((column >= 0)[:, None], state * seen, state)
        scale = state.sum(1, keepdim=True)
        total, state = total + scale[:, 0].log(), state / scale
    return total


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--states", type=int, default=512)
    parser.add_argument("--words", type=int, default=33279)
    chosen, report = parser.parse_args(), Report("long_hmm")
    rng = np.random.default_rng(0)
    x = np.minimum(rng.zipf(1.3, (ROWS, chosen.steps)) - 1, chosen.words - 1).astype(np.int64)
    for row, length in enumerate(rng.integers(chosen.steps // 2, chosen.steps, ROWS)):
        x[row, length:] = -1
    steps = [Variable(f"t{i}", "categorical", chosen.words) for i in range(chosen.steps)]
    circuit = pc.hmm(steps, chosen.states)
    for precision in ("highest", "high") if chosen.device == "cuda" else ("highest",):
        torch.set_float32_matmul_precision(precision)
        model = pc.compile(circuit, device=chosen.device, seed=0)
        report.add(precision=precision, **compare(model, x))


def compare(model: pc.CompiledCircuit, x: np.ndarray) -> dict[str, object]:
    """Errors of the log-likelihoods and of gradients, and the engine that made them."""
    ours = dict(model.named_parameters())
    states = model.circuit.units.max()
    kinds = ("logits_sum_1x", f"logits_sum_{states}x", "leaf_")  # first state, next state, symbol
    found = [next(name for name in ours if kind in name) for kind in kinds]
    wanted = [ours[name].detach().double()[0].requires_grad_() for name in found]
    start, move, emit = (logits.softmax(-1) for logits in wanted)
    rows = torch.from_numpy(x).to(start.device)
    reference = forward_algorithm(rows, start[0], move, emit)
    reference.sum().backward()
    made = model.log_likelihood(np.where(x < 0, np.nan, x))
    made.sum().backward()
    grads = {
        name: _error(ours[name].grad, logits.grad)
        for name, logits in zip(found, wanted, strict=True)
    }
    return {
        "engine": model.engines.choose(Wanted.GRADIENT).name,
        "log_likelihood": ((made - reference) / reference).abs().max().item(),
        "gradients": grads,
    }


def _error(made: Tensor | None, reference: Tensor | None) -> float:
    """The largest difference, relative to the largest entry."""
    assert made is not None
    assert reference is not None
    return ((made[0] - reference).abs().max() / reference.abs().max()).item()


if __name__ == "__main__":
    main()
