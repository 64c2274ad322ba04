"""Products of two leaves over one variable, in closed form."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pccompiler.errors import CircuitError
from pccompiler.ir import Circuit, Family, Variable
from pccompiler.ir.arrays import Float
from pccompiler.ir.families.builtin.histogram import normalized
from pccompiler.passes.check.rule import title


class LeafProduct(NamedTuple):
    """The product of two leaves: unit (u, v) multiplies unit u of the left by unit v of the right.

    Attributes:
        family: Family of the product.
        table: Parameters, shape (left units * right units, columns).
        constants: Shape (left units * right units,), the logarithm of each product's integral;
            ``-inf`` where the product is 0 everywhere.
    """

    family: Family
    table: Float
    constants: Float


def leaf_product(left: Circuit, a: int, right: Circuit, b: int) -> LeafProduct:
    """Multiply input ``a`` of ``left`` and input ``b`` of ``right``, over one variable.

    Raises:
        CircuitError: If the product belongs to no leaf family.
    """
    variable = left.variables[int(left.variable[a])]
    families = left.family_of(a), right.family_of(b)
    if variable.discrete:
        x, y = states(left, a, variable), states(right, b, variable)
        rows = (x[:, None] * y[None]).reshape(-1, variable.cardinality)
        return LeafProduct(Family.CATEGORICAL, *normalized(rows))  # 1 - p would lose digits
    if families[0] == families[1]:
        found = families[0].times(given(left, a), given(right, b), variable)
        if found is not None:
            return LeafProduct(families[0], *found)
    raise CircuitError.of(
        "PC148",
        f"the product of a {families[0].keyword} and a {families[1].keyword} leaf over "
        f"{variable.name!r} has no closed form among the leaf families",
        notes=[
            f"{title(c, n)}" + (f", {c.where(n)}" if c.where(n) else "")
            for c, n in ((left, a), (right, b))
        ],
        help="multiply circuits with discrete, gaussian or histogram leaves",
    )


def given(circuit: Circuit, node: int) -> Float:
    """The given values of a node's weight; no columns if it has none.

    Raises:
        CircuitError: If there are none.
    """
    weight = int(circuit.weight[node])
    if weight < 0:
        return np.zeros((int(circuit.units[node]), 0))
    table = circuit.weights.values.get(weight)
    if table is None:
        raise CircuitError.of(
            "PC141",
            f"weight {circuit.weights.label(weight)} of {title(circuit, node)} has no given values",
            location=circuit.where(node),
            help="give values, for instance those of a trained model: model.trained_circuit()",
        )
    return table


def states(circuit: Circuit, node: int, variable: Variable) -> Float:
    """The probability of each state of a discrete variable, shape (units, states)."""
    return circuit.family_of(node).probabilities(given(circuit, node), variable)
