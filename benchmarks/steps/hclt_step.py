"""Forward and backward of a hidden Chow-Liu tree on a GPU: fused kernels, layers, and PyJuice.

    python -m benchmarks.steps.hclt_step [--pyjuice] [--pyjuice-cuda] [--sweep] [--states 128] ...

One line each for errors against our float64 engine, for the parts of our fused step, and for times
of whole steps, measured in turns in one process; CUDA graphs wherever capture works. "gradients" is
what PyJuice's backward pass counts too: probabilities in, one number a parameter out. "softmax" is
the same from logits to gradients of logits.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import pccompiler as pc
from benchmarks.common import Report
from benchmarks.steps.hclt_contest import Contest, Step, guarded, profile
from pccompiler import structures
from pccompiler.api import Dtype
from pccompiler.ir import Circuit, Variable
from pccompiler.torch_backend.engines.base import NoMatch, Target
from pccompiler.torch_backend.engines.dense.buffers import Precision
from pccompiler.torch_backend.engines.dense.engine import Dense
from pccompiler.torch_backend.engines.dense.launch import Runner
from pccompiler.torch_backend.engines.dense.match import regions_of
from pccompiler.torch_backend.engines.dense.tiles import Tiles
from pccompiler.torch_backend.engines.differentiable import run
from pccompiler.torch_backend.engines.layered.engine import Layered
from pccompiler.torch_backend.engines.questions import Batch, Wanted

PRECISIONS: tuple[Precision, ...] = ("tf32", "bf16", "ieee")
Evaluate = Callable[[Tensor, list[Tensor]], Tensor]
"""Log-likelihoods of rows, from tables."""


def images(rows: int, side: int, seed: int = 0) -> NDArray[np.int64]:
    """Smooth random fields with noise in 256 levels, shape (rows, side * side)."""
    rng = np.random.default_rng(seed)
    waves = rng.normal(size=(rows, 5, 5))
    grid = np.linspace(0.0, np.pi, side)
    basis = np.cos(np.arange(5)[:, None] * grid) / (1.0 + np.arange(5))[:, None]
    field = np.einsum("nij,ix,jy->nxy", waves, basis, basis).reshape(rows, -1)
    field += 0.25 * rng.normal(size=field.shape)
    scaled = (field - field.min()) / (field.max() - field.min())
    pixels: NDArray[np.int64] = np.minimum((scaled * 256).astype(np.int64), 255)
    return pixels


def tree_of(data: NDArray[np.int64]) -> structures.ChowLiuTree:
    """The Chow-Liu tree of variables of 256 states, whether or not the data have them all."""
    variables = [Variable(f"x{i}", "categorical", 256) for i in range(data.shape[1])]
    return structures.chow_liu_tree(data, variables, mi_bins=8, mi_rows=1000)


def model(circuit: Circuit, dtype: Dtype = "float32") -> pc.CompiledCircuit:
    """On the GPU, with logits spread over [-2, 2]."""
    made = pc.compile(circuit, device="cuda", dtype=dtype)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters():
            draw = torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(4.0 * draw - 2.0)
    return made


def layered(made: pc.CompiledCircuit, fast: bool) -> Evaluate:
    """The layered engine, with torch's matrix products in TF32 or not."""

    def evaluate(x: Tensor, tables: list[Tensor]) -> Tensor:
        torch.backends.cuda.matmul.allow_tf32 = fast  # the backward pass must have it, too
        engine = made.engines.ask(Layered, Wanted.GRADIENT)
        if isinstance(engine, NoMatch):
            raise engine
        by_use = made.weights.by_use(tables)
        return run(engine, Batch(x), [*made.leaf_inputs(x, {}), *by_use], Wanted.GRADIENT)

    return evaluate


def dense(made: pc.CompiledCircuit, precision: Precision, tiles: Tiles | None = None) -> Evaluate:
    """The fused kernels."""
    target = Target(made.device, torch.float32)
    engine = Dense(made.plan, target, regions_of(made.plan), precision)
    engine.load(made.weights, made.engines.evaluate)
    if tiles is not None:
        engine.runner = Runner(engine.regions, made.device, precision, tiles)

    def evaluate(x: Tensor, tables: list[Tensor]) -> Tensor:
        return run(engine, Batch(x), tables, Wanted.GRADIENT)

    return evaluate


def tables_of(made: pc.CompiledCircuit) -> list[Tensor]:
    """Probabilities, group by group."""
    return [made.weights.constrained(number) for number in made.weights.tables]


def gradients(
    evaluate: Evaluate, made: pc.CompiledCircuit, x: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Log-likelihoods, and gradients of all parameters of their weighted sum."""
    out = evaluate(x, tables_of(made))
    share = torch.linspace(0.5, 1.5, len(out), device="cuda", dtype=out.dtype)
    return out.detach(), list(torch.autograd.grad((out * share).sum(), list(made.parameters())))


def norm_error(found: list[Tensor], true: list[Tensor]) -> float:
    """2-norm of the difference over the 2-norm, of all tensors together."""
    squares = sum(float((a.double() - b).square().sum()) for a, b in zip(found, true, strict=True))
    return float((squares / sum(float(b.square().sum()) for b in true)) ** 0.5)


@dataclass(frozen=True)
class Judge:
    """Compares engines with the layered one in float64."""

    report: Report
    single: pc.CompiledCircuit
    double: pc.CompiledCircuit

    def judge(self, name: str, evaluate: Evaluate, x: Tensor) -> None:
        """Report the errors of one engine on rows ``x``."""
        true, slopes = gradients(layered(self.double, False), self.double, x.double())
        out, found = gradients(evaluate, self.single, x)
        again = gradients(evaluate, self.single, x)[1]
        self.report.add(
            part="errors",
            engine=name,
            batch=len(x),
            log_likelihood=float((out.double() - true).abs().max() / true.abs().max()),
            gradient=norm_error(found, slopes),
            same_twice=all(torch.equal(a, b) for a, b in zip(found, again, strict=True)),
        )


def errors(report: Report, states: int) -> None:
    """Against float64: 64 variables, a tenth of the values missing."""
    data = images(2000, 8)
    circuit = structures.hclt(tree_of(data), states)
    judge = Judge(report, model(circuit), model(circuit, "float64"))
    rows = judge.single.prepare(data[:512])
    rows[torch.rand(rows.shape, device="cuda") < 0.1] = torch.nan
    for precision in PRECISIONS:
        engine = dense(judge.single, precision)
        name = f"dense {precision}"
        for batch in (512, 100, 7) if precision == "tf32" else (512,):
            guarded(f"{name}, {batch}", partial(judge.judge, name, engine, rows[:batch]))
    for fast in (False, True):
        name = f"layered {'tf32' if fast else 'fp32'}"
        guarded(name, partial(judge.judge, name, layered(judge.single, fast), rows))


@dataclass(frozen=True)
class Ours:
    """Steps of a model on some rows."""

    made: pc.CompiledCircuit
    x: Tensor

    def tables(self) -> list[Tensor]:
        """Probabilities, as leaves of torch's graph."""
        return [t.detach().clone().requires_grad_() for t in tables_of(self.made)]

    def gradients(self, evaluate: Evaluate) -> Step:
        """From probabilities to their gradients."""
        given = self.tables()
        return lambda: torch.autograd.grad(evaluate(self.x, given).sum(), given)

    def forward(self, evaluate: Evaluate) -> Step:
        """Log-likelihoods alone."""
        given = [t.detach() for t in self.tables()]
        return lambda: evaluate(self.x, given)

    def softmax(self, evaluate: Evaluate) -> Step:
        """From logits to their gradients."""
        logits = list(self.made.parameters())
        return lambda: torch.autograd.grad(evaluate(self.x, self.made.weights()[0]).sum(), logits)


def ours(contest: Contest, made: pc.CompiledCircuit, x: Tensor, sweep: bool) -> None:
    """All steps of ours."""
    steps = Ours(made, x)
    for precision in PRECISIONS:
        engine = dense(made, precision)
        contest.enter(f"dense {precision} gradients", partial(steps.gradients, engine))
        if precision == "tf32":
            contest.enter("dense tf32 forward", partial(steps.forward, engine))
            contest.enter("dense tf32 softmax", partial(steps.softmax, engine))
            step = steps.softmax(engine)
            guarded("profile", partial(profile, step, "dense tf32 softmax"))
    for name, tiles in variants() if sweep else ():
        engine = dense(made, "tf32", tiles)
        contest.enter(f"dense tf32 gradients {name}", partial(steps.gradients, engine))
    for fast in (True, False):
        engine = layered(made, fast)
        name = f"layered {'tf32' if fast else 'fp32'} gradients"
        contest.enter(name, partial(steps.gradients, engine))


def variants() -> list[tuple[str, Tiles]]:
    """Other block shapes."""
    base = Tiles()
    return [
        ("[step 64]", replace(base, step=64)),
        ("[4 warps]", replace(base, warps=4, gradient_warps=8)),
        ("[batch 128]", replace(base, batch=128, gradient=(128, 128), gradient_warps=8)),
        ("[out 64]", replace(base, out=64, warps=4, gradient=(64, 64))),
        ("[thin step 64]", replace(base, thin_step=64, gradient_batch=64)),
        ("[never thin]", replace(base, programs=0, states=64)),
        ("[thinner]", replace(base, least=16, programs=264, states=16)),
    ]


def pyjuice(contest: Contest, edges: list[list[int]], x: Tensor, states: int, cuda: bool) -> None:
    """PyJuice's steps; ``cuda``: with its CUTLASS kernels, which nvcc builds for minutes."""
    from benchmarks.steps import hclt_pyjuice

    peer: Any = hclt_pyjuice  # PyJuice has no types
    peer.use_cuda_kernels(cuda)
    kind, rows = "cuda" if cuda else "triton", x.long()
    for same in (True, False):
        name = f"pyjuice {kind} {'same circuit' if same else 'its own circuit'}"
        made = peer.circuit(edges, x.shape[1], states, 256, same)
        contest.report.add(part="size", engine=name, sum_parameters=made.params.numel())
        contest.enter(name, partial(peer.Step, made, rows), capture=False)
        if same:
            step = peer.Step(made, rows)
            guarded(f"{name} profile", partial(profile, step, name))
            contest.enter(f"{name} forward", partial(getattr, step, "forward"), capture=False)
            contest.enter(f"{name} in one graph", partial(peer.Step, made, rows, record=False))
            linear = partial(peer.Step, made, rows, logspace=False)
            contest.enter(f"{name} linear flows", linear, capture=False)
            log_likelihood, flows = peer.own_error(made, rows)
            contest.report.add(
                part="errors",
                engine=f"{name} against its fp32",
                log_likelihood=log_likelihood,
                gradient=flows,
            )


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser()
    for flag in ("--pyjuice", "--pyjuice-cuda", "--sweep"):
        parser.add_argument(flag, action="store_true")
    for option, value in (("--states", 128), ("--side", 28), ("--batch", 512)):
        parser.add_argument(option, type=int, default=value)
    return parser.parse_args()


def main() -> None:
    """Measure."""
    chosen, report = options(), Report("hclt_step")
    guarded("errors", partial(errors, report, chosen.states))
    data = images(2000, chosen.side)
    tree = tree_of(data)
    made = model(structures.hclt(tree, chosen.states))
    x = made.prepare(data[: chosen.batch])
    levels = regions_of(made.plan).levels
    report.add(
        part="size",
        variables=x.shape[1],
        states=chosen.states,
        batch=len(x),
        levels=len(levels),
        regions=[level.rows for level in levels],
        parameters=made.num_parameters,
    )
    contest = Contest(report)
    guarded("ours", partial(ours, contest, made, x, chosen.sweep))
    for wanted, cuda in ((chosen.pyjuice, False), (chosen.pyjuice_cuda, True)):
        if wanted:
            run = partial(pyjuice, contest, tree.edges.tolist(), x, chosen.states, cuda)
            guarded("pyjuice", run)
    contest.run()


if __name__ == "__main__":
    main()
