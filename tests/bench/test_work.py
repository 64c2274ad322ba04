from __future__ import annotations

from itertools import pairwise
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pccompiler as pc
from pccompiler.bench.kinds.registry import DIRECTIONS, KINDS
from pccompiler.bench.units import Work
from pccompiler.bench.work import ascent
from pccompiler.ir import Circuit, Direct, Family, Hypernetwork, Kind
from pccompiler.ir.sectors import partition
from pccompiler.passes import plan
from pccompiler.testing.strategies import DISCRETE, circuits

PASSES = {"forward": 1, "gradients": 2, "step": 6, "em": 2, "posterior_marginals": 1}
"""How many times parameters, or as many numbers, go through memory."""
DENSITY = {
    Family.GAUSSIAN: (5, 1, 6),
    Family.BINOMIAL: (4, 1, 4),
    Family.POISSON: (3, 1, 3),
    Family.LAPLACE: (4, 1, 5),
}


def slow_work(circuit: Circuit, batch: int, direction: str) -> Work:
    """As the work of `DIRECTIONS`, of a circuit whose nodes are all under the root."""
    back = direction != "forward"
    into_weights = direction != "posterior_marginals"
    total = Work(special=batch * (2 if back else 1))
    trained: list[bool] = []
    for node in range(circuit.num_nodes):
        below = circuit.operands_of(node).tolist()
        trained.append(bool(circuit.weight[node] >= 0) or any(trained[j] for j in below))
    readers = [0] * circuit.num_nodes
    for operand in circuit.operands.tolist():
        readers[operand] += 1
    for node in range(circuit.num_nodes):
        total += up(circuit, node).times(batch)
        if back and trained[node]:
            total += Work(flops=max(readers[node] - 1, 0) * int(circuit.units[node])).times(batch)
            total += down(circuit, node, trained).times(batch)
            total += add_up(circuit, node).times(batch if into_weights else 0)
    total += weights(circuit, direction in ("gradients", "step"))
    parameters = sum(prod(shape) for shape in parameter_shapes(circuit))
    moved = PASSES[direction] * parameters
    results = 1 if direction in ("step", "em") else batch
    if direction == "step":
        total += Work(flops=12 * parameters, special=2 * parameters)
    if direction == "em":
        total += maximised(circuit)
    if direction == "posterior_marginals":
        results *= len(circuit.variables)
    return total + Work(bytes=4 * (batch * len(circuit.variables) + moved + results))


def widths(circuit: Circuit, node: int) -> list[int]:
    return [int(circuit.units[j]) for j in circuit.operands_of(node).tolist()]


def looks_up(circuit: Circuit, node: int) -> bool:
    below = circuit.operands_of(node).tolist()
    return (
        bool(circuit.kind[node] == Kind.SUM)
        and len(below) == 1
        and bool(circuit.family[below[0]] == Family.INDICATOR)
        and bool(circuit.kind[below[0]] == Kind.INPUT)
    )


def matrix(units: int, fan_in: int, flops: int) -> Work:
    return Work(matrix=flops) if units >= 16 and fan_in >= 16 else Work(flops=flops)


def up(circuit: Circuit, node: int) -> Work:
    kind, units, sizes = Kind(circuit.kind[node]), int(circuit.units[node]), widths(circuit, node)
    if kind == Kind.INPUT:
        flops, special, _ = DENSITY.get(Family(circuit.family[node]), (0, 0, 0))
        return Work(flops=flops * units, special=special * units)
    if kind == Kind.PRODUCT:
        return Work(flops=units * (len(sizes) - 1))
    if kind == Kind.KRONECKER:
        return Work(flops=sum(prod(sizes[: j + 1]) for j in range(1, len(sizes))))
    if kind == Kind.MIXTURE:
        return Work(flops=units * (2 * len(sizes) - 1))
    if looks_up(circuit, node):
        return Work()
    return matrix(units, sum(sizes), units * (2 * sum(sizes) - 1))


def down(circuit: Circuit, node: int, trained: list[bool]) -> Work:
    """Flows, from a node to its operands."""
    kind, units, sizes = Kind(circuit.kind[node]), int(circuit.units[node]), widths(circuit, node)
    wanted = [trained[j] for j in circuit.operands_of(node).tolist()]
    if kind == Kind.INPUT:
        return Work()
    if kind == Kind.PRODUCT:
        number = 2 * sum(wanted) - 1 - all(wanted)
        return Work(flops=units * number)
    if kind == Kind.KRONECKER:
        total = 0
        for j in range(1, len(sizes)):
            left, right = prod(sizes[:j]), sizes[j]
            total += right * (2 * left - 1) if wanted[j] else 0
            total += left * (2 * right - 1) if any(wanted[:j]) else 0
        return Work(flops=total)
    if kind == Kind.MIXTURE:
        return Work(flops=units * sum(wanted))
    if looks_up(circuit, node):
        return Work()
    inputs = sum(size for size, want in zip(sizes, wanted, strict=True) if want)
    return matrix(units, sum(sizes), inputs * (2 * units - 1))


def add_up(circuit: Circuit, node: int) -> Work:
    """Flows into the weights of a node."""
    kind, units, sizes = Kind(circuit.kind[node]), int(circuit.units[node]), widths(circuit, node)
    if kind == Kind.INPUT:
        return Work(flops=units * DENSITY.get(Family(circuit.family[node]), (0, 0, 1))[2])
    if kind == Kind.MIXTURE:
        return Work(flops=units * 2 * len(sizes))
    if kind != Kind.SUM:
        return Work()
    if looks_up(circuit, node):
        return Work(flops=units)
    return matrix(units, sum(sizes), 2 * units * sum(sizes))


def maximised(circuit: Circuit) -> Work:
    """The M-step, row by row."""
    total = Work()
    for weight, node in owners(circuit).items():
        columns = int(circuit.weights.columns[weight])
        family = Family(circuit.family[node]) if circuit.kind[node] == Kind.INPUT else None
        for _ in range(int(circuit.weights.rows[weight])):
            if family in (None, Family.CATEGORICAL, Family.HISTOGRAM):
                total += Work(flops=5 * columns + columns - 1, special=columns + 1)
            else:
                total += Work(flops=3 * columns, special=columns)
    return total


def owners(circuit: Circuit) -> dict[int, int]:
    """Maps each weight id to a node that uses it."""
    return {int(w): node for node, w in enumerate(circuit.weight.tolist()) if w >= 0}


def generated(circuit: Circuit) -> bool:
    return isinstance(circuit.generator, Hypernetwork)


def weights(circuit: Circuit, back: bool) -> Work:
    total = Work()
    for weight, node in owners(circuit).items():
        rows, columns = int(circuit.weights.rows[weight]), int(circuit.weights.columns[weight])
        family = Family(circuit.family[node]) if circuit.kind[node] == Kind.INPUT else None
        for _ in range(rows):
            if family in (None, Family.CATEGORICAL, Family.HISTOGRAM):
                total += Work(flops=2 * columns - 1, special=columns + 1)
                total += Work(flops=4 * columns - 1) if back else Work()
            else:
                own = {Family.BERNOULLI: (2, 2), Family.BINOMIAL: (2, 2), Family.POISSON: (0, 1)}
                flops, special = own.get(family, (0, 2))
                total += Work(flops=flops + (2 * columns if back else 0), special=special)
    if generated(circuit):
        total += network(circuit, back)
    return total


def network(circuit: Circuit, back: bool) -> Work:
    generator, sectors = circuit.generator, circuit.sectors
    assert isinstance(generator, Hypernetwork)
    assert sectors is not None
    total = Work()
    for rows, columns in zip(sectors.rows.tolist(), sectors.columns.tolist(), strict=True):
        layers = [generator.embedding, *generator.hidden, rows * columns]
        for a, b in pairwise(layers):
            total += Work(flops=2 * a * b * (3 if back else 1) + (b if back else 0))
    return total


def parameter_shapes(circuit: Circuit) -> list[tuple[int, ...]]:
    """One table per weight; or embeddings, layers and heads, and tables for all other weights."""
    table, sectors, generator = circuit.weights, circuit.sectors, circuit.generator
    taken = (
        {int(w) for w in sectors.weight}
        if generated(circuit) and sectors is not None
        else set[int]()
    )
    shapes = [
        (int(table.rows[w]), int(table.columns[w])) for w in owners(circuit) if w not in taken
    ]
    if isinstance(generator, Direct) or generator is None or sectors is None:
        return list(shapes)
    assert isinstance(generator, Hypernetwork)
    layers = [generator.embedding, *generator.hidden]
    found: list[tuple[int, ...]] = [*shapes, (len(sectors), layers[0])]
    found += [(a + 1, b) for a, b in pairwise(layers)]
    heads = {(r, c) for r, c in zip(sectors.rows.tolist(), sectors.columns.tolist(), strict=True)}
    return found + [(layers[-1] + 1, r * c) for r, c in heads]


FAMILIES = (*DISCRETE, Family.GAUSSIAN, Family.POISSON, Family.LAPLACE)


@given(circuits(families=FAMILIES, values=False), st.sampled_from([1, 2, 7]))
def test_work_of_a_plan_is_that_of_its_nodes(circuit: Circuit, batch: int) -> None:
    for made in (circuit.replace(generator=Direct()), hyper(circuit)):
        for direction, kind in DIRECTIONS.items():
            assert kind.work(plan(made), batch) == slow_work(made, batch, direction)


def hyper(circuit: Circuit) -> Circuit:
    """With a hypernetwork, if it has weights to generate."""
    parted = partition(circuit, pc.Sectors())
    if parted.sectors is None or len(parted.sectors) == 0:
        return circuit.replace(generator=Direct())
    return parted.replace(generator=Hypernetwork(hidden=(3, 4)))


@pytest.mark.parametrize("hypernetwork", [False, True])
def test_work_of_the_papers_model(hypernetwork: bool) -> None:
    circuit = pc.rat_spn(13, 3, 5, seed=0)
    made = hyper(circuit) if hypernetwork else circuit.replace(generator=Direct())
    for direction, kind in DIRECTIONS.items():
        assert kind.work(plan(made), 500) == slow_work(made, 500, direction)


@given(circuits(families=FAMILIES, values=False), st.sampled_from([1, 2, 7]))
def test_work_of_em_and_posteriors_is_that_of_nodes(circuit: Circuit, batch: int) -> None:
    made = circuit.replace(generator=Direct())
    for name in ("em", "posterior_marginals"):
        assert KINDS[name].work(plan(made), batch) == slow_work(made, batch, name)


def test_two_passes_up_are_twice_one() -> None:
    lowered = plan(pc.rat_spn(13, 3, 5, seed=0).replace(generator=Direct()))
    one, two = (KINDS[name].work(lowered, 9) for name in ("forward", "log_conditional"))
    assert one is not None
    assert two is not None
    assert two == one + ascent(lowered, 9)


def test_wide_sums_are_for_matrix_units() -> None:
    wide = pc.hmm(5, 16).replace(generator=Direct())
    assert DIRECTIONS["forward"].work(plan(wide), 4).matrix == 4 * 4 * 16 * 31
    narrow = pc.hmm(5, 15).replace(generator=Direct())
    assert DIRECTIONS["gradients"].work(plan(narrow), 4).matrix == 0
