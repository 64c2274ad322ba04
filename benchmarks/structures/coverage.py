"""Which share of random custom circuits runs in fused kernels, and how fast.

    python -m benchmarks.structures.coverage [--device cuda] [--number 1000]

Draws circuits of the kinds that people bring: random region graphs with mixed leaf families,
arities 1 to 7, widths 1 to 64, elementwise and Kronecker products, shared nodes, tied weights;
region trees with odd widths; images; hidden Markov models; learned scalar circuits, packed or not.
Each runs forward and backward with the engine that the model chooses, and in plain torch
operations, in one process; on CUDA both are CUDA graphs. One line a circuit, then a summary.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch

import pccompiler as pc
from benchmarks.common import Report
from benchmarks.steps.gpu_step import errors
from pccompiler import structures
from pccompiler.bench.kinds.registry import run_of
from pccompiler.bench.timing import times_of
from pccompiler.ir import Circuit, Variable, binary, categorical, count, real
from pccompiler.passes import PassManager
from pccompiler.testing.random_circuits import Maker, RandomChoices, random_circuit, rows
from pccompiler.torch_backend.engines.questions import Wanted

FAMILIES = tuple(map(pc.ir.Family.__getitem__, ("bernoulli", "categorical", "gaussian", "poisson")))
WIDTHS = (1, 2, 3, 4, 5, 8, 12, 16, 24, 32, 48, 64)
KINDS = ("custom", "tree", "image", "hmm", "learned", "scalar")


class Wide(Maker):
    """Regions of many units, cut into up to seven parts."""

    def product(self, scope: tuple[int, ...], units: int) -> int:
        """A product over a random split into two to seven parts."""
        order = self.choices.permute(scope)
        parts = min(len(order), self.pick(2, 7))
        cuts = sorted(self.choices.permute(range(1, len(order)))[: parts - 1])
        scopes = [tuple(sorted(each.tolist())) for each in np.split(np.array(order), cuts)]
        if len(scopes) == 2 and self.pick(0, 3) == 0:
            return self.builder.kronecker([self.region(s, self.pick(1, 8)) for s in scopes])
        return self.builder.product([self.region(s, units) for s in scopes])

    def region(self, scope: tuple[int, ...], units: int) -> int:
        """Sometimes a sum over a region of another width."""
        if len(scope) > 1 and self.pick(0, 7) == 0:
            return self.sum([self.region(scope, self.choose(WIDTHS))], units)  # mixed widths
        return super().region(scope, units)


def custom(choices: RandomChoices) -> Circuit:
    """A random region graph."""
    maker = Wide(choices, mixed_variables(choices, choices.pick(4, 40)), FAMILIES)
    root = maker.region(maker.scope, WIDTHS[choices.pick(0, len(WIDTHS) - 1)])
    return maker.builder.build(maker.sum([root], 1))


def mixed_variables(choices: RandomChoices, number: int) -> list[Variable]:
    """Binary, categorical, real and count variables."""
    kinds = (binary, binary, lambda n: categorical(n, choices.pick(3, 12)), real, count)
    alike = choices.pick(0, 1)
    kind = choices.pick(0, len(kinds) - 1)
    found: list[Variable] = []
    for index in range(number):
        kind = kind if alike else choices.pick(0, len(kinds) - 1)
        found.append(kinds[kind](f"x{index}"))
    return found


def tree(choices: RandomChoices) -> Circuit:
    """A random tree of regions of any widths."""
    crossed = choices.pick(0, 2) == 0
    widest = 6 if crossed else 64
    units = choices.pick(1, widest)
    return structures.random_tree(
        mixed_variables(choices, choices.pick(4, 100)),
        units=units,
        sum_units=choices.pick(1, widest) if crossed else None,
        replicas=choices.pick(1, 10),
        arity=2 if crossed else choices.pick(2, 7),
        split="random" if choices.pick(0, 1) else "balanced",
        product="kronecker" if crossed else "elementwise",
        seed=choices.pick(0, 1000),
    )


def image(choices: RandomChoices) -> Circuit:
    """A picture's rectangles."""
    side, units = choices.pick(4, 12), choices.pick(1, 32)
    if choices.pick(0, 1):
        return structures.quad_graph(side, side, units)
    return structures.poon_domingos(min(side, 8), min(side, 8), units, delta=2)


def chain(choices: RandomChoices) -> Circuit:
    """A hidden Markov model."""
    variables = [categorical(f"x{t}", 20) for t in range(choices.pick(4, 40))]
    return pc.hmm(variables, choices.pick(2, 64), homogeneous=bool(choices.pick(0, 1)))


def learned(choices: RandomChoices) -> Circuit:
    """LearnSPN on rows of a mixture, sometimes packed."""
    number = choices.pick(8, 40)
    source = pc.compile(
        pc.naive_bayes_mixture(number, choices.pick(2, 12)), seed=choices.pick(0, 9)
    )
    table = source.sample(1000, seed=choices.pick(0, 1000))
    circuit = structures.learn_spn(np.asarray(table), min_rows=choices.pick(20, 200))
    return packed(circuit) if choices.pick(0, 1) else circuit


def scalar(choices: RandomChoices) -> Circuit:
    """A small circuit of all kinds of nodes, sometimes packed."""
    circuit = random_circuit(choices.pick(0, 10**6), choices.pick(2, 10), families=FAMILIES)
    return packed(circuit) if choices.pick(0, 1) else circuit


def packed(circuit: Circuit) -> Circuit:
    """As imported circuits become."""
    return PassManager.parse("share,merge,pack")(circuit)


MAKERS = dict(zip(KINDS, (custom, tree, image, chain, learned, scalar), strict=True))


def measure(circuit: Circuit, device: str, batch: int, repeats: int) -> dict[str, object]:
    """Engines, times of both ways, and errors."""
    fused, plain = (pc.compile(circuit, device=device) for _ in range(2))
    plain.without_kernels()
    double = pc.compile(circuit, device=device, dtype="float64")
    x = torch.from_numpy(rows(circuit, 0, batch, missing=0.0)).float().to(device)
    found: dict[str, object] = {
        "nodes": circuit.num_nodes,
        "engine": fused.engines.choose(Wanted.GRADIENT).name,
        "float64": double.engines.choose(Wanted.GRADIENT).name,
    }
    double.without_kernels()
    for direction in ("forward", "gradients"):
        runs = [run_of(model, x, batch, direction) for model in (fused, plain)]
        both = [times_of(run, device, repeats).median for run in runs]
        both = [
            min(a, times_of(r, device, repeats).median) for a, r in zip(both, runs, strict=True)
        ]
        found[f"{direction}_ms"], found[f"{direction}_plain_ms"] = (round(t, 4) for t in both)
        found[f"{direction}_ratio"] = round(both[1] / both[0], 3)
    return found | {
        name: float(f"{e:.2g}")
        for name, e in errors(fused, double, possible(double, x[:64])).items()
    }


def possible(model: pc.CompiledCircuit, x: torch.Tensor) -> torch.Tensor:
    """The rows of positive density; of all others the error is not a number."""
    with torch.no_grad():
        fine = model(x.double()).isfinite()
    return x[fine] if bool(fine.any()) else x


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw, measure and summarize."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--number", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1e9, help="draw no more after this time")
    options = parser.parse_args(arguments)
    report = Report(f"coverage_{options.device}")
    begun, lines = time.perf_counter(), []
    for seed in range(options.first, options.first + options.number):
        if time.perf_counter() - begun > options.seconds:
            break
        kind = KINDS[seed % len(KINDS)]
        circuit = MAKERS[kind](RandomChoices(seed))
        line = measure(circuit, options.device, options.batch, options.repeats)
        lines.append(line)
        report.add(seed=seed, kind=kind, batch=options.batch, **line)
        torch.cuda.empty_cache()
    fused = [line for line in lines if line["engine"] not in ("layered", "arena")]
    summary: dict[str, object] = {
        "circuits": len(lines),
        "fused_share": round(len(fused) / len(lines), 4),
        "engines": dict(Counter(str(line["engine"]) for line in lines)),
    }
    for direction in ("forward", "gradients"):
        ratios = [float(str(line[f"{direction}_ratio"])) for line in lines]
        summary[f"{direction}_median"] = round(statistics.median(ratios), 2)
        summary[f"{direction}_tenth"] = round(float(np.quantile(ratios, 0.1)), 2)
        summary[f"{direction}_slower"] = sum(ratio < 1.0 for ratio in ratios)
    report.add(summary=summary)


if __name__ == "__main__":
    main()
