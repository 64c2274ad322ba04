"""Circuits by name, for tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pccompiler.errors import OptionError
from pccompiler.ir import Circuit, Variable
from pccompiler.ir.arrays import Float
from pccompiler.options import is_of, shown
from pccompiler.structures import hclt, learn_spn, naive_bayes_mixture, random_tree, rat_spn

REPLICAS = 10
"""Random trees in a circuit."""

Make = Callable[[tuple[Variable, ...], Float, int, int], Circuit]
STRUCTURES: dict[str, Make] = {
    "hclt": lambda variables, rows, units, seed: hclt(rows, units, variables=variables),
    "learn_spn": lambda variables, rows, units, seed: learn_spn(rows, variables, seed=seed),
    "mixture": lambda variables, rows, units, seed: naive_bayes_mixture(variables, units),
    "random_tree": lambda variables, rows, units, seed: random_tree(
        variables, units=units, replicas=REPLICAS, seed=seed
    ),
    "rat_spn": lambda variables, rows, units, seed: rat_spn(variables, REPLICAS, units, seed),
}
"""From variables, rows, width and seed to circuits."""

Structure = str | Callable[[Sequence[Variable]], Circuit]


def make(
    structure: Structure, variables: tuple[Variable, ...], rows: Float, units: int, seed: int
) -> Circuit:
    """A circuit over ``variables``.

    Args:
        structure: A name, or a function of the variables.
        variables: One for each column.
        rows: Shape ``(rows, variables)``, NaN where missing; structures may be learned from it.
        units: Width of the sums.
        seed: Seed of random structures.

    Raises:
        OptionError: If there is no structure of this name, or it does not fit the variables.
    """
    if callable(structure):
        return structure(variables)
    if not is_of(structure, str) or structure not in STRUCTURES:
        raise OptionError.of(
            "PC822",
            f"structure is {shown(structure)}",
            help=f"use one of: {', '.join(map(repr, STRUCTURES))}; or a function of variables",
        )
    return STRUCTURES[structure](variables, rows, units, seed)
