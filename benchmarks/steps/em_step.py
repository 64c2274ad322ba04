"""One step of mini-batch EM on a GPU, beside forward and backward, and beside PyJuice's EM step.

    python -m benchmarks.steps.em_step [--pyjuice] [--states 128] [--variables 16]
        [--hmm 512x9999] [--length 32] [--blocks 64] [--rank 64]

Hidden Chow-Liu trees over 784 variables of 256 values, batch 512; the paper's RAT-SPNs (k = 5,
r = 50, batch 500) without a hypernetwork; and homogeneous hidden Markov models (states x
vocabulary), batch 512, with dense transitions and with Monarch ones or ones of low rank. Our step
draws its rows from the data set, runs up and down, and updates all parameters, in one CUDA graph.
PyJuice's is forward, backward and ``mini_batch_em``, with CUDA graphs of its inner layers. All in
turns in one process.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import pccompiler as pc
from benchmarks.common import Report
from benchmarks.steps.hclt_contest import Contest, Step, guarded, profile
from benchmarks.steps.hclt_step import images, tree_of
from pccompiler import structures
from pccompiler.bench.kinds.em import PACE, learner_of
from pccompiler.bench.kinds.registry import run_of
from pccompiler.ir import Circuit, Variable
from pccompiler.torch_backend.engines.questions import Wanted

ROWS = 2048


class Case(NamedTuple):
    """A circuit, its data and batch size, and how PyJuice builds it, given our module for it."""

    name: str
    make: Callable[[], Circuit]
    data: NDArray[np.int64]
    batch: int
    peer: Callable[[Any], Any] | None


def em_step(model: pc.CompiledCircuit, data: Tensor, batch: int) -> Step:
    """Our step; the CUDA graph is captured by the first call."""
    learner = learner_of(model, data, batch)
    assert learner.not_captured is None
    rows = torch.randperm(len(data), device=data.device)[:batch]
    learner.step(rows)
    return partial(learner.step, rows)


def gradients(model: pc.CompiledCircuit, x: Tensor) -> Step:
    """Forward and backward, from parameters to their gradients, in one CUDA graph."""
    return run_of(model, x, len(x), "gradients")


def ours(
    contest: Contest, name: str, make: Callable[[], Circuit], data: np.ndarray, batch: int
) -> None:
    """Our steps for one circuit, in float32 and, if dense kernels run, in TF32."""
    circuit = make()
    for precision in ("highest", "high"):
        torch.set_float32_matmul_precision(precision)
        model = pc.compile(circuit, device="cuda")
        engine = model.engines.choose(Wanted.COUNTS).name
        if precision == "high" and engine != "dense":
            break
        x = model.prepare(data)
        label = f"{name} ours {engine} {'tf32' if precision == 'high' else 'fp32'}"
        contest.enter(f"{label} EM", partial(em_step, model, x, batch), capture=False)
        with_rows = partial(gradients, model, x[:batch].clone())
        contest.enter(f"{label} gradients", with_rows, capture=False)
        if precision == "highest":
            guarded("profile", partial(profile, contest.steps[f"{label} EM"][0], f"{label} EM"))
    torch.set_float32_matmul_precision("highest")


def pyjuice(contest: Contest, name: str, made: Any, x: Tensor) -> None:
    """PyJuice's EM step, and its forward and backward pass."""
    from benchmarks.steps import hclt_pyjuice

    peer: Any = hclt_pyjuice  # PyJuice has no types
    contest.report.add(part="size", engine=f"{name} pyjuice", parameters=made.params.numel())

    def make() -> Step:
        both = peer.Step(made, x.long())

        def step() -> None:
            both()
            made.mini_batch_em(step_size=PACE.step_size, pseudocount=PACE.pseudocount)

        step()
        return step

    contest.enter(f"{name} pyjuice gradients", partial(peer.Step, made, x.long()), capture=False)
    contest.enter(f"{name} pyjuice EM", make, capture=False)


def measure(report: Report, case: Case) -> None:
    """One circuit: our steps, and PyJuice's if it is wanted."""
    contest = Contest(report)
    guarded(case.name, partial(ours, contest, case.name, case.make, case.data, case.batch))
    if case.peer is not None:
        from benchmarks.steps import hclt_pyjuice

        peer: Any = hclt_pyjuice
        peer.use_cuda_kernels(False)
        x = torch.from_numpy(case.data[: case.batch]).cuda()
        build = case.peer

        def run() -> None:
            pyjuice(contest, case.name, build(peer), x)

        guarded("pyjuice", run)
    contest.run()
    torch.cuda.empty_cache()


def cases(chosen: argparse.Namespace) -> Iterator[Case]:
    """All circuits."""

    def peer(function: str, *given: object) -> Callable[[Any], Any] | None:
        return (lambda module: getattr(module, function)(*given)) if chosen.pyjuice else None

    rng = np.random.default_rng(0)
    if chosen.states:
        data = images(ROWS, 28)
        tree = tree_of(data)
        edges, variables = tree.edges.tolist(), data.shape[1]
        for states in chosen.states:
            there = peer("circuit", edges, variables, states, 256, True)
            make = partial(structures.hclt, tree, states)
            yield Case(f"HCLT {states}", make, data, 512, there)
    for n in chosen.variables:
        binary = rng.integers(0, 2, (ROWS, n))
        there = peer("rat_spn", n, 50, 5, 2)
        yield Case(f"RAT-SPN {n}", partial(pc.rat_spn, n, 50, 5, seed=0), binary, 500, there)
    for size in chosen.hmm:
        states, words = map(int, size.split("x"))
        tokens = np.minimum(rng.zipf(1.3, (ROWS, chosen.length)) - 1, words - 1)
        steps = [Variable(f"t{i}", "categorical", words) for i in range(chosen.length)]
        there = peer("hmm", chosen.length, states, words)
        yield Case(f"HMM {size}", partial(pc.hmm, steps, states), tokens, 512, there)
        for name in ("blocks", "rank"):
            for number in getattr(chosen, name):
                make = partial(pc.hmm, steps, states, **{name: number})
                yield Case(f"HMM {size}, {name} {number}", make, tokens, 512, None)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pyjuice", action="store_true")
    parser.add_argument("--states", type=int, nargs="*", default=[128, 256, 512])
    parser.add_argument("--variables", type=int, nargs="*", default=[16, 100, 500])
    parser.add_argument("--hmm", nargs="*", default=["512x33279", "2048x33279", "4096x50257"])
    parser.add_argument("--length", type=int, default=32)
    parser.add_argument("--blocks", type=int, nargs="*", default=[])
    parser.add_argument("--rank", type=int, nargs="*", default=[])
    chosen, report = parser.parse_args(), Report("em_step")
    for case in cases(chosen):
        measure(report, case)


if __name__ == "__main__":
    main()
