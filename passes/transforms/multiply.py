"""The product of two circuits, as a circuit."""

from __future__ import annotations

import numpy as np

from pccompiler.errors import CircuitError, OptionError
from pccompiler.ir import Circuit, Variable
from pccompiler.ir.arrays import Int
from pccompiler.options import shown
from pccompiler.passes.check.wellformed import verify
from pccompiler.passes.rewriting.factor import Side
from pccompiler.passes.rewriting.pairwise import MOST_NODES, product


def multiply(left: Circuit, right: Circuit, *, most_nodes: int = MOST_NODES) -> Circuit:
    """The circuit of ``left(x) * right(y)``; variables with the same name are the same variable.

    The result's weights sum to one; its ``log_scale`` is the logarithm of the sum (or integral) of
    the product over all worlds. Both circuits need given values.

    Args:
        left: Smooth and decomposable.
        right: Likewise, and compatible with ``left``: where both have a product over the same
            variables, they split them alike, or one splits a part of the other.
        most_nodes: The most nodes of the result. More than 2^29 weights are refused, too.

    Raises:
        CircuitError: If two products cannot be multiplied, values are not given, the product of two
            leaves has no closed form, or the product is 0 everywhere or too large.
        OptionError: If a factor is not a circuit.

    Source:
        Vergari et al. (2021), "A Compositional Atlas of Tractable Circuit Operations", section 3.1.
    """
    for factor in (left, right):
        _check_kind(factor)
        verify(factor)
    variables, places = _union(left, right)
    found = product(left, Side(right, places), right.root, variables, most_nodes)
    return found.replace(log_scale=found.log_scale + right.log_scale)


def _check_kind(factor: object) -> None:
    if not isinstance(factor, Circuit):
        raise OptionError.of(
            "PC316",
            f"{shown(factor)} is not a circuit",
            help="multiply circuits; that of a trained model is model.trained_circuit()",
        )


def _union(left: Circuit, right: Circuit) -> tuple[tuple[Variable, ...], Int]:
    """The variables of the product, and the index of each variable of ``right`` among them."""
    variables = list(left.variables)
    known = {variable.name: i for i, variable in enumerate(variables)}
    places: list[int] = []
    for variable in right.variables:
        if variable.name not in known:
            known[variable.name] = len(variables)
            variables.append(variable)
        mine = variables[known[variable.name]]
        if mine != variable:
            raise CircuitError.of(
                "PC149",
                f"variable {variable.name!r} is {mine} in one circuit and {variable} in the other",
                help="rename one of them, or give both one domain",
            )
        places.append(known[variable.name])
    return tuple(variables), np.array(places, np.int64)
