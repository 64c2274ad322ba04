"""The paper's structure on a GPU: our whole step and PyJuice's forward and backward.

    python -m benchmarks.steps.rat_pyjuice            # where PyJuice 2.6.3 can be imported

50 random binary trees over n binary variables, k units a region. Ours: hypernetwork, forward,
backward and Adam, k = 5, batch 500. PyJuice: forward and backward (flows) alone, with the CUDA
graphs that it records itself, and all of it in one; batch 512; k = 5 in blocks of one, and k = 8 in
blocks of eight, which suits its kernels better. Times by CUDA events, medians, in turns.
"""
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
# ruff: noqa: D103

import random
import warnings
from functools import partial

import numpy as np
import pyjuice as juice
import torch
from pyjuice.nodes import inputs, multiply, set_block_size, summate
from pyjuice.nodes.distributions import Categorical

import pccompiler as pc
from benchmarks.common import Report
from benchmarks.steps.hclt_contest import Contest
from benchmarks.steps.hclt_pyjuice import Step, use_cuda_kernels
from pccompiler.bench.kinds.registry import run_of


def tree(variables, units, block):
    """A product of two halves, each a sum over the like, down to leaves of its own."""
    if len(variables) == 1:
        blocks = units // block
        return inputs(variables[0], num_node_blocks=blocks, dist=Categorical(num_cats=2))
    middle = len(variables) // 2
    halves = [tree(part, units, block) for part in (variables[:middle], variables[middle:])]
    return summate(multiply(*halves), num_node_blocks=units // block)


def circuit(n, replicas, units, seed=0):
    block = 8 if units % 8 == 0 else 1
    rng = random.Random(seed)
    with set_block_size(block):
        products = []
        for _ in range(replicas):
            order = rng.sample(range(n), n)
            halves = (tree(part, units, block) for part in (order[: n // 2], order[n // 2 :]))
            products.append(multiply(*halves))
        root = summate(*products, num_node_blocks=1, block_size=1)
    root.init_parameters(perturbation=2.0)
    return juice.TensorCircuit(root).to(torch.device("cuda"))


def ours(n):
    model = pc.compile(pc.rat_spn(n, 50, 5, seed=0), pc.Hypernetwork(), device="cuda")
    data = model.prepare(np.random.default_rng(0).integers(0, 2, (2000, n)))
    return run_of(model, data, 500, "step")


ALIVE = []  # CUDA graphs do not keep what they read


def kept(made, x, **options):
    ALIVE.append(Step(made, x, **options))
    return ALIVE[-1]


def main():
    warnings.simplefilter("ignore")
    report = Report("rat_pyjuice")
    use_cuda_kernels(False)
    for n in (16, 100):
        contest = Contest(report)
        x = torch.randint(0, 2, (512, n), device="cuda")
        contest.enter(f"n={n} ours, whole step", partial(ours, n), capture=False)
        for units in (5, 8):
            made = circuit(n, 50, units)
            name = f"n={n} pyjuice k={units} forward+backward"
            contest.enter(name, partial(kept, made, x), capture=False)
            contest.enter(f"{name}, one graph", partial(kept, made, x, record=False))
        contest.run()


if __name__ == "__main__":
    main()
