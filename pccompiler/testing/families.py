"""One variable for each parametric leaf family, and a mixture over them."""

from __future__ import annotations

from collections.abc import Sequence

from pccompiler.ir import Builder, Circuit, Family, Variable, binary, categorical, count, real

FAMILIES: dict[Family, Variable] = {
    Family.BERNOULLI: binary("b"),
    Family.CATEGORICAL: categorical("c", 4),
    Family.GAUSSIAN: real("g"),
    Family.BINOMIAL: categorical("n", 6),
    Family.POISSON: count("k"),
    Family.LAPLACE: real("l"),
    Family.HISTOGRAM: real("h", [-2, -0.5, 0.1, 1.5]),
}
PARAMETRIC = tuple(FAMILIES)


def family_mixture(components: int = 3, families: Sequence[Family] = PARAMETRIC) -> Circuit:
    """A mixture of products of one leaf for each of ``families``; no values given."""
    b = Builder([FAMILIES[f] for f in families])
    nodes = [int(b.inputs([v], f, components)[0]) for v, f in enumerate(families)]
    return b.build(b.sum([b.product(nodes)], 1))
