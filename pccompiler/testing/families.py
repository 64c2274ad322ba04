"""One variable for each parametric leaf family, and a mixture over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pccompiler.ir import Builder, Circuit, Family, Variable, binary, categorical, count, real
from pccompiler.ir.families.base import registered

_VARIABLES = (
    categorical("c", 6),
    binary("b"),
    real("r"),
    real("h", [-2, -0.5, 0.1, 1.5]),
    count("k"),
)
FAMILIES: dict[Family, Variable] = {
    family: replace(next(v for v in _VARIABLES if family.fits(v)), name=family.keyword)
    for family in registered()
    if family.parameters
}
"""The registered parametric families, and a variable for each."""
PARAMETRIC = tuple(FAMILIES)


def family_mixture(components: int = 3, families: Sequence[Family] = PARAMETRIC) -> Circuit:
    """A mixture of products of one leaf for each of ``families``; no values given."""
    b = Builder([FAMILIES[f] for f in families])
    nodes = [int(b.inputs([v], f, components)[0]) for v, f in enumerate(families)]
    return b.build(b.sum([b.product(nodes)], 1))
