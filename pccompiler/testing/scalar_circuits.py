"""Large random scalar circuits, like those from knowledge compilers and structure learners."""

from __future__ import annotations

import numpy as np

from pccompiler.ir import Builder, Circuit, Family
from pccompiler.ir.arrays import Int, segments
from pccompiler.testing.random_weights import with_values


def scalar_circuit(edges: int, variables: int = 64, seed: int = 0) -> Circuit:
    """About ``edges`` edges between nodes of one unit, with given weights.

    A balanced tree of regions; each has many sums, of 2 to 24 products of one node of each part.
    Leaves are Bernoulli. Smooth, decomposable, structured as a PSDD is.
    """
    rng = np.random.default_rng(seed)
    b = Builder()
    for index in range(variables):
        b.binary(f"x{index}")
    sums = max(2, round(edges / (3 * 13 * max(variables - 2, 1))))
    leaves = max(2, sums // 4)
    regions = [b.inputs(np.full(leaves, v), Family.BERNOULLI) for v in range(variables)]
    while len(regions) > 1:
        top = len(regions) == 2
        joined = [
            _join(b, rng, x, y, 1 if top else sums)
            for x, y in zip(regions[::2], regions[1::2], strict=False)
        ]
        regions = joined + ([regions[-1]] if len(regions) % 2 else [])
    circuit = b.build(int(regions[0][0]))
    return _pruned(circuit, rng)


def tree_circuit(edges: int, variables: int = 64, seed: int = 0) -> Circuit:
    """About ``edges`` edges; every node above the leaves is used once, as in learned circuits."""
    rng = np.random.default_rng(seed)
    depth = int(np.log2(variables))
    fan_in = max(2.0, (edges / 4.0) ** (1.0 / depth) / 2.0)  # a leaf takes four edges
    needed = [[1]]  # for each depth, the fan-ins of the sums of each region there
    sums: list[list[Int]] = []
    for _ in range(depth):
        sums.append([rng.integers(1, round(2.0 * fan_in), number) for number in needed[-1]])
        needed.append([int(mine.sum()) for mine in sums[-1] for _ in range(2)])
    b = Builder()
    for index in range(variables):
        b.binary(f"x{index}")
    regions = [b.inputs(np.full(n, v), Family.BERNOULLI) for v, n in enumerate(needed[-1])]
    for fan_ins in reversed(sums):
        pairs = zip(regions[::2], regions[1::2], strict=True)
        regions = [
            _sums(b, b.products(np.stack([x, rng.permutation(y)], axis=1)), mine)
            for (x, y), mine in zip(pairs, fan_ins, strict=True)
        ]
    return _pruned(b.build(int(regions[0][0])), rng)


def chain_circuit(edges: int, variables: int = 64, seed: int = 0) -> Circuit:
    """About ``edges`` edges: decisions on one variable after another, as in PSDDs."""
    rng = np.random.default_rng(seed)
    b = Builder()
    for index in range(variables):
        b.binary(f"x{index}")
    nodes = max(2, round(edges / (7.5 * variables)))
    leaves = [b.inputs(np.full(8, v), Family.BERNOULLI) for v in range(variables)]
    below = leaves[-1]
    for variable in reversed(range(variables - 1)):
        fan_ins = rng.integers(1, 5, nodes if variable else 1)
        number = int(fan_ins.sum())
        pairs = [rng.choice(leaves[variable], number), rng.choice(below, number)]
        below = _sums(b, b.products(np.stack(pairs, axis=1)), fan_ins)
    return _pruned(b.build(int(below[0])), rng)


def _sums(b: Builder, products: Int, fan_in: Int) -> Int:
    """A sum for each entry of ``fan_in``, over that many of ``products``."""
    made = np.empty(len(fan_in), np.int64)
    start = segments(fan_in)[:-1]
    for size in np.unique(fan_in).tolist():
        mine = np.flatnonzero(fan_in == size)
        made[mine] = b.sums(products[start[mine][:, None] + np.arange(size)], 1)
    return made


def _join(b: Builder, rng: np.random.Generator, left: Int, right: Int, sums: int) -> Int:
    """Sums over products of random pairs, bulk by fan-in."""
    fan_in = rng.integers(2, 25, sums)
    made = np.empty(sums, np.int64)
    for size in np.unique(fan_in).tolist():
        mine = np.flatnonzero(fan_in == size)
        number = len(mine) * size
        pairs = np.stack([rng.choice(left, number), rng.choice(right, number)], axis=1)
        made[mine] = b.sums(b.products(pairs).reshape(len(mine), size), 1)
    return made


def _pruned(circuit: Circuit, rng: np.random.Generator) -> Circuit:
    """Remove dead nodes and add values."""
    from pccompiler.ir.circuit import select
    from pccompiler.ir.topology import reachable

    live = select(circuit, reachable(circuit))
    table = live.weights
    flat = rng.gamma(1.0, size=int(table.sizes.sum())) + 1e-3
    pointer = segments(table.sizes)
    leaves = set(live.weight[live.family >= 0].tolist())
    values = {}
    for weight in range(len(table)):
        row = flat[pointer[weight] : pointer[weight + 1]]
        row = row / (1.0 + row) if weight in leaves else row / row.sum()
        values[weight] = row.reshape(1, -1)
    return with_values(live, values)
