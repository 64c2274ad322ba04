"""Products of two leaves over one variable, in closed form."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pccompiler.errors import CircuitError
from pccompiler.ir import Circuit, Family, Variable
from pccompiler.ir.arrays import Float
from pccompiler.ir.families.registry import log_density
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
    families = Family(int(left.family[a])), Family(int(right.family[b]))
    if variable.discrete:
        rows = _outer(states(left, a, variable), states(right, b, variable))
        return LeafProduct(Family.CATEGORICAL, *_normalized(rows))  # 1 - p loses digits
    x, y = given(left, a), given(right, b)
    if families == (Family.GAUSSIAN, Family.GAUSSIAN):
        return _gaussians(x, y)
    if families == (Family.HISTOGRAM, Family.HISTOGRAM):
        return LeafProduct(
            Family.HISTOGRAM, *_normalized(_outer(x, y) / np.diff(np.array(variable.edges)))
        )
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
    """The given values of a node's weight.

    Raises:
        CircuitError: If there are none.
    """
    weight = int(circuit.weight[node])
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
    family = Family(int(circuit.family[node]))
    if family == Family.INDICATOR:
        return np.eye(variable.cardinality)
    points = np.arange(float(variable.cardinality)).reshape(1, 1, -1)
    return np.asarray(
        np.exp(log_density(family, given(circuit, node)[None], points, [variable])[0])
    )


def _outer(x: Float, y: Float) -> Float:
    return np.asarray((x[:, None] * y[None]).reshape(len(x) * len(y), -1))


def _normalized(rows: Float) -> tuple[Float, Float]:
    total = rows.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        table = np.where(total > 0.0, rows / total, 1.0 / rows.shape[1])
        return table, np.log(total[:, 0])


def _gaussians(x: Float, y: Float) -> LeafProduct:
    """The product of two normal densities is a normal density times a constant."""
    mean_x, mean_y = (m.ravel() for m in np.meshgrid(x[:, 0], y[:, 0], indexing="ij"))
    var_x, var_y = (v.ravel() for v in np.meshgrid(x[:, 1] ** 2, y[:, 1] ** 2, indexing="ij"))
    total = var_x + var_y
    variance = var_x * var_y / total
    mean = (mean_x * var_y + mean_y * var_x) / total
    constants = -0.5 * ((mean_x - mean_y) ** 2 / total + np.log(2.0 * np.pi * total))
    return LeafProduct(Family.GAUSSIAN, np.stack([mean, np.sqrt(variance)], axis=1), constants)
