"""Compares the dense kernels with the layered engine in float64, in a separate process.

    TRITON_INTERPRET=1 python tests/torch_backend/engines/dense/dense_check.py

Triton reads ``TRITON_INTERPRET`` when kernels are defined. Prints the worst relative errors of
log-likelihoods, of gradients and of expected counts, case by case.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
import torch

import pccompiler as pc
from pccompiler import structures
from pccompiler.ir import Builder, Circuit, Family
from pccompiler.ir.sectors import partition
from pccompiler.ir.variables import binary, categorical, real
from pccompiler.torch_backend.engines.base import Engine, Target
from pccompiler.torch_backend.engines.dense.buffers import Precision
from pccompiler.torch_backend.engines.dense.engine import Dense
from pccompiler.torch_backend.engines.dense.match import regions_of
from pccompiler.torch_backend.engines.dense.tiles import Tiles
from pccompiler.torch_backend.engines.differentiable import evaluate
from pccompiler.torch_backend.engines.questions import Batch, Task, Wanted


def correlated(rows: int, variables: int, states: int) -> torch.Tensor:
    """Rows of a random walk on a tree; a fifth of the values is missing, and one whole row."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, states, (rows, variables)).astype(np.float32)
    for column in range(1, variables):
        parent = rng.integers(max(0, column - 3), column)
        x[:, column] = np.where(rng.random(rows) < 0.7, x[:, parent], x[:, column])
    x[rng.random(x.shape) < 0.2] = np.nan
    x[-1] = np.nan
    return torch.from_numpy(x)


def compare(
    circuit: Circuit, x: torch.Tensor, precision: Precision, wide: int
) -> tuple[float, ...]:
    """Errors of log-likelihoods, gradients and counts, relative to the largest and the 2-norms.

    Sums of at least ``wide`` units are matrix products in cuBLAS. Gradients are asked for twice,
    since there, and if ``wide`` is 2**20, the way down writes over what the way up has kept.

    Terms of -50 nats or less make larger errors in gradients: a term of -s is rounded by s 2**-24.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    single, double = (
        pc.compile(circuit, device=str(device), dtype=dtype) for dtype in ("float32", "float64")
    )
    x = x.to(device)
    share = torch.linspace(-0.5, 1.5, len(x), device=device)
    true = double.evaluate_once(x.double())
    slopes = torch.autograd.grad((true * share).sum(), list(double.parameters()))
    target = Target(device, torch.float32)
    engine = Dense(single.plan, target, regions_of(single.plan), precision)
    engine.tiles = Tiles(wide=(wide, wide))
    if wide == 16:  # everything in small pieces
        engine.tiles = Tiles(wide=(wide, wide), programs=1, joined_batch=16, chunk=16)
    if wide == 2**20:
        engine.tiles = Tiles(wide=(wide, wide), large=1)
    engine.load(single.weights, single.engines.evaluate)
    out = evaluate(engine, Batch(x), single.weights, Wanted.GRADIENT)
    torch.autograd.grad(out.sum(), list(single.parameters()), retain_graph=True)
    found = torch.autograd.grad((out * share).sum(), list(single.parameters()))
    a, b = (torch.cat([g.double().flatten() for g in grads]) for grads in (found, slopes))
    value = (out.double() - true).abs().max() / true.abs().max().clamp_min(1.0)
    size = true.abs().max().div(50.0).clamp_min(1.0).detach()
    pairs = [(a, b)]
    if not any(group.generated for group in single.plan.groups):
        engines = (single, engine), (double, double.engines.choose(Wanted.COUNTS))
        mine, true_ones = (
            torch.cat([table.double().flatten() for table in counts_of(model, each, x)])
            for model, each in engines
        )
        pairs.append((mine, true_ones))
    return float(value.detach()), *(float((f - t).norm() / t.norm() / size) for f, t in pairs)


@torch.no_grad()
def counts_of(model: pc.CompiledCircuit, engine: Engine, x: torch.Tensor) -> list[torch.Tensor]:
    """Expected counts of all tables."""
    x = x.to(model.dtype)
    if any(layer.family == Family.INDICATOR for layer in model.plan.layers):
        x = x.nan_to_num(0.0)  # a missing value may give a sum over indicators counts, or not
    tables = [model.weights.constrained(number) for number in model.weights.tables]
    densities = model.leaf_inputs.densities(x, model.weights.leaves()).values()
    _, ascent = engine.up(Batch(x), [*tables, *densities], Wanted.COUNTS)
    shares = torch.linspace(0.5, 1.5, len(x), device=x.device).to(x)
    found = engine.down(ascent, Task(shares, Wanted.COUNTS)).operands
    return [counts for counts in found[: len(tables)] if counts is not None]


def tree(variables: int, states: int, units: int) -> Circuit:
    """A hidden Chow-Liu tree."""
    data = correlated(200, variables, states).nan_to_num(0.0).cpu().numpy().astype(np.int64)
    return structures.hclt(data, units)


def mixed(units: int) -> Circuit:
    """States, tables and densities; mixtures of many units, with some zero weights."""
    build = Builder()
    flag, level = build.binary("flag"), build.variable(categorical("level", 5))
    size, count = build.real("size"), build.variable(categorical("count", 4))
    parts: list[int] = []
    for _ in range(3):
        states = build.sum([build.indicator(flag)], units)
        inner = build.product([states, build.categorical(level, units=units)])
        parts.append(build.product([inner, build.gaussian(size, units=units)]))
    shares = np.random.default_rng(1).dirichlet([0.3] * 3, units)
    shares[0] = [1.0, 0.0, 0.0]
    roots: list[int] = []
    for part in (build.mixture(parts, weights=shares), *parts[:2]):
        counts = build.inputs([count], Family.BINOMIAL, units=units).item()
        roots.append(build.sum([build.product([build.sum([part], units), counts])], 1))
    return build.build(build.mixture(roots))


def kinds(rows: int) -> torch.Tensor:
    """Rows for `mixed`, some of them outliers."""
    rng = np.random.default_rng(3)
    x = np.stack([rng.integers(0, 2, rows), rng.integers(0, 5, rows),
                  3.0 * rng.standard_normal(rows), rng.integers(0, 4, rows)], axis=1)  # fmt: skip
    x[0, 2] = 60.0
    x[rng.random(x.shape) < 0.2] = np.nan
    return torch.from_numpy(x.astype(np.float32))


def long_product(factors: int) -> Circuit:
    """A mixture of products of many leaves with equal logarithms, except one that may be -inf."""
    build = Builder([binary(f"x{i}") for i in range(factors)])
    leaves = [build.bernoulli(i, np.full(16, 0.5)) for i in range(factors - 1)]
    last = build.bernoulli(factors - 1, np.linspace(0.0, 1.0, 16))
    return build.build(build.sum([build.sum([build.product([*leaves, last])], 16)], 1))


def hmms(length: int, states: int) -> Circuit:
    """A mixture of two hidden Markov models, whose steps are levels of two regions."""
    build = Builder([binary(f"x{i}") for i in range(length)])
    steps = [build.inputs([i, i], Family.BERNOULLI, states) for i in range(length)]
    rest = steps[0]
    for step in steps[1:]:
        rest = build.products(np.stack([step, build.sums(rest, states)], axis=1))
    return build.build(build.mixture(build.sums(rest, 1).tolist()))


def words(length: int, states: int, values: int) -> Circuit:
    """A hidden Markov model over categorical variables; all steps share their weights."""
    return pc.hmm([categorical(f"x{i}", values) for i in range(length)], states)


def hyper(circuit: Circuit) -> Circuit:
    """The same with weights from a hypernetwork."""
    return partition(circuit, pc.Sectors()).replace(generator=pc.Hypernetwork())


def reals(rows: int, variables: int) -> torch.Tensor:
    """Normal numbers, a tenth missing."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((rows, variables))
    x[rng.random(x.shape) < 0.1] = np.nan
    return torch.from_numpy(x.astype(np.float32))


def main() -> int:
    """Run all cases; the exit code says whether all agree."""
    cases: list[tuple[str, Circuit, torch.Tensor, Precision]] = [
        ("HCLT, batch 40", tree(7, 5, 16), correlated(40, 7, 5), "ieee"),
        ("HCLT, batch 40, TF32", tree(7, 5, 16), correlated(40, 7, 5), "tf32"),
        ("HCLT, 40 units, 20 states", tree(4, 20, 40), correlated(30, 4, 20), "ieee"),
        ("HCLT, batch 1", tree(5, 3, 16), correlated(5, 5, 3)[:1], "ieee"),
        ("HMM, Bernoulli leaves", pc.hmm(5, 20), correlated(17, 5, 2), "ieee"),
        (
            "HMM, units that differ from step to step",
            pc.hmm(7, 16, homogeneous=False),
            correlated(33, 7, 2),
            "ieee",
        ),
        ("HMM, 128 units, TF32", pc.hmm(5, 128), correlated(20, 5, 2), "tf32"),
        (
            "HMM, Gaussian leaves",
            pc.hmm([real(f"x{i}") for i in range(6)], 16),
            reals(21, 6),
            "ieee",
        ),
        ("HMM, 70 values", words(5, 24, 70), correlated(40, 5, 70), "ieee"),
        ("HMM, more values than rows", words(5, 24, 300), correlated(10, 5, 300), "ieee"),
        ("HMM with a hypernetwork", hyper(pc.hmm(6, 16)), correlated(20, 6, 2), "ieee"),
        ("two HMMs mixed", hmms(6, 18), correlated(23, 6, 2), "ieee"),
        (
            "RAT-SPN: sums over states, a mixture of roots",
            pc.rat_spn(7, 3, 16, seed=1),
            correlated(33, 7, 2),
            "ieee",
        ),
        (
            "Gaussian leaves",
            structures.quad_tree(2, 3, 16, variables=[real(f"p{i}") for i in range(6)]),
            reals(21, 6),
            "ieee",
        ),
        ("leaves of many kinds, wide mixtures", mixed(20), kinds(19), "ieee"),
        (
            "products of 600 leaves of equal logarithms",
            long_product(600),
            correlated(5, 600, 2),
            "ieee",
        ),
        (
            "sums over up to five products",
            structures.poon_domingos(3, 3, 16, states=3),
            correlated(20, 9, 3),
            "ieee",
        ),
        (
            "quad graph: parts read twice, and sums over two products",
            structures.quad_graph(2, 4, 16, states=3),
            correlated(20, 8, 3),
            "ieee",
        ),
    ]
    bad = 0
    both = [(*case, wide) for case in cases for wide in (256, 16, 2**20)]
    for name, circuit, x, precision, wide in both:
        value, *slopes = compare(circuit, x, precision, wide)
        # float32 leaves 1e-6; TF32 rounds operands by 2^-12 at most
        good = value < (1e-6 if precision == "ieee" else 1e-4)
        good &= max(slopes) < (3e-6 if precision == "ieee" else 2e-3)
        print(f"{'ok ' if good else 'BAD'} {name}: {value:.1e}", *(f"{e:.1e}" for e in slopes))
        bad += not good
    return bad


if __name__ == "__main__":
    warnings.filterwarnings("ignore")  # NumPy warns of logarithms of zero in masked entries
    sys.exit(main())
