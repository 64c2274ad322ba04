"""Large random scalar circuits, such as compilers of knowledge bases and learners make."""

from __future__ import annotations

import numpy as np

from pccompiler.ir import Builder, Circuit, Family
from pccompiler.ir.arrays import Int, segments
from pccompiler.testing import with_values


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
    """Without dead nodes, with values."""
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
