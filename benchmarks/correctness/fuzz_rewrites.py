"""Random circuits through every rewrite, and random faults through the check.

    python -m benchmarks.correctness.fuzz_rewrites --circuits 100000 --broken 20000

For each circuit and rewrite: the result is well-formed, every world has the value that the pass
declares (and so do total mass and all single marginals), and a second run changes nothing. For
each planted fault: the check names the rule and the culprit. The results get one line.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import time
from collections import Counter

import numpy as np

from benchmarks.common import Report
from pccompiler.errors import CircuitError
from pccompiler.ir import Circuit, Kind
from pccompiler.ir.arrays import Float
from pccompiler.ir.kinds import PRODUCTS, factors
from pccompiler.passes import (
    Condition,
    Marginalize,
    MergeNested,
    NormalizeWeights,
    Pass,
    Prune,
    ShareEqual,
    Smooth,
    Square,
    findings,
)
from pccompiler.passes.transforms.pack.pack import Pack
from pccompiler.testing import random_circuit, with_values
from pccompiler.testing.faults import make_broken
from pccompiler.testing.random_circuits import RandomChoices, unsmooth
from pccompiler.testing.scalars import to_scalars

TOLERANCE = 1e-10
BATCH = 250


def values(circuit: Circuit, rows: Float) -> Float:
    """The circuit's value of rows, NaN summed out: node by node, without logarithms."""
    found: list[Float] = []
    for node in range(circuit.num_nodes):
        operands = [found[j] for j in circuit.operands_of(node).tolist()]
        kind, weight = int(circuit.kind[node]), int(circuit.weight[node])
        table = circuit.weights.values[weight] if weight >= 0 else np.zeros((0, 0))
        if kind == Kind.INPUT:
            found.append(_leaf(circuit, node, table, rows))
        elif kind in PRODUCTS:
            found.append(np.prod(factors(kind, operands), axis=0))
        elif kind == Kind.SUM:
            found.append(table @ np.concatenate(operands))
        else:
            found.append(np.einsum("ui,iub->ub", table, np.stack(operands)))
    return np.asarray(found[circuit.root][0] * np.exp(circuit.log_scale))


def _leaf(circuit: Circuit, node: int, table: Float, rows: Float) -> Float:
    column = rows[:, circuit.variable[node]]
    missing = np.isnan(column)
    state = np.where(missing, 0.0, column)
    variables = [circuit.variables[int(circuit.variable[node])]]
    log_density = circuit.family_of(node).log_density
    out = np.exp(log_density(table[None], state[None, None], variables)[0])
    return np.where(missing, 1.0, out)


def all_worlds(circuit: Circuit) -> Float:
    """All joint states, shape (worlds, variables)."""
    states = (range(v.cardinality) for v in circuit.variables)
    return np.array(list(itertools.product(*states)), np.float64)


def marginal_rows(circuit: Circuit, worlds: Float) -> tuple[Float, Float]:
    """A row for each state of each variable, and one for the mass; and which worlds each sums."""
    points = [(c, s) for c, v in enumerate(circuit.variables) for s in range(v.cardinality)]
    rows = np.full((len(points) + 1, len(circuit.variables)), np.nan)
    inside = np.ones((len(points) + 1, len(worlds)))
    for number, (column, state) in enumerate(points):
        rows[number, column] = state
        inside[number] = worlds[:, column] == state
    return rows, inside


def _close(rows: Float, want: Float, got: Float) -> None:
    if not np.allclose(got, want, rtol=TOLERANCE, atol=1e-300):
        worst = int(np.argmax(np.abs(got - want)))
        raise AssertionError(f"row {rows[worst]}: {want[worst]!r} became {got[worst]!r}")


def rewrites(circuit: Circuit, rng: np.random.Generator) -> list[tuple[Pass, Circuit]]:
    """Every rewrite, with a circuit on which it can change something."""
    number = int(rng.integers(0, len(circuit.variables)))
    chosen = rng.permutation(len(circuit.variables))[:number].tolist()
    names = [circuit.variables[v].name for v in chosen]
    states = [float(rng.integers(circuit.variables[v].cardinality)) for v in chosen]
    evidence = dict(zip(names, states, strict=True))
    tables = circuit.weights.values.items()
    scaled = {w: t * rng.uniform(0.1, 9.0, (len(t), 1)) if t.shape[1] > 1 else t for w, t in tables}
    passes: list[tuple[Pass, Circuit]] = [
        (Smooth(), unsmooth(circuit, rng)),
        (NormalizeWeights(), with_values(circuit, scaled)),
        (Condition.on(evidence, normalize=bool(rng.integers(2))), circuit),
        (Marginalize.out(names), circuit),
        *((kind(), circuit) for kind in (Prune, MergeNested, ShareEqual, Square)),
    ]
    return [*passes, (Pack(), Prune()(to_scalars(circuit)))]


def check(step: Pass, before: Circuit) -> str:
    """The outcome: ``changed``, ``same``, or ``refused``. Raises if an answer is wrong."""
    try:
        after = step(before)
    except CircuitError as error:
        if error.diagnostics[0].code in ("PC143", "PC161"):  # impossible evidence, crossing splits
            return "refused"
        raise
    again = step(after) if step.name != "square" else after
    if again != after:
        raise AssertionError("a second run changed the circuit")
    if findings(after):
        raise AssertionError(f"ill-formed: {findings(after)[0]}")
    worlds = all_worlds(after)
    want = step.meaning(before, worlds, lambda old: values(before, old))
    got = values(after, worlds)
    _close(worlds, want, got)
    rows, inside = marginal_rows(after, worlds)  # what the backends call the mass and marginals
    _close(rows, inside @ want, values(after, rows))
    return "changed" if after is not before else "same"


def batch(seed: int) -> tuple[Counter[str], list[str]]:
    """One batch of circuits; counts of outcomes, and descriptions of failures."""
    counts: Counter[str] = Counter()
    failures: list[str] = []
    for number in range(BATCH):
        rng = np.random.default_rng([seed, number])
        circuit = random_circuit(rng, 4)
        for step, before in rewrites(circuit, rng):
            try:
                counts[f"{step.name} {check(step, before)}"] += 1
            except Exception as error:
                failures.append(f"{step} on seed {seed}/{number}: {type(error).__name__}: {error}")
    return counts, failures


def broken_batch(seed: int) -> tuple[Counter[str], list[str]]:
    """One batch of planted faults."""
    counts: Counter[str] = Counter()
    failures: list[str] = []
    for number in range(BATCH):
        fault = make_broken(RandomChoices(np.random.default_rng([seed, number, 1])))
        found = findings(fault.circuit)
        label = fault.circuit.label(fault.culprit)
        if any(f.code == fault.code and label in f"{f.message} {f.notes}" for f in found):
            counts[fault.code] += 1
        else:
            failures.append(f"{fault.code} at {label} on seed {seed}/{number} was not found")
    return counts, failures


def main() -> None:
    """Fuzz on all cores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--circuits", type=int, default=100_000)
    parser.add_argument("--broken", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=None)
    options = parser.parse_args()
    report = Report("fuzz_rewrites")
    start = time.perf_counter()
    outcomes: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    failures: list[str] = []
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        seeds = range(options.seed, options.seed + -(-options.circuits // BATCH))
        for counts, failed in pool.imap_unordered(batch, seeds):
            outcomes += counts
            failures += failed
        seeds = range(options.seed, options.seed + -(-options.broken // BATCH))
        for counts, failed in pool.imap_unordered(broken_batch, seeds):
            faults += counts
            failures += failed
    report.add(
        circuits=BATCH * -(-options.circuits // BATCH),
        outcomes=dict(sorted(outcomes.items())),
        faults_found=dict(sorted(faults.items())),
        failures=failures[:20],
        tolerance=TOLERANCE,
        seconds=round(time.perf_counter() - start, 1),
    )
    print("\n".join(failures[:20]) or "no failures")


if __name__ == "__main__":
    main()
