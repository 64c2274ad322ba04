"""Mixtures of fully factorized distributions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pccompiler.ir import Builder, Circuit, Variable
from pccompiler.structures.common import as_variables, at_least, distribution_family


def naive_bayes_mixture(
    num_variables: int | Sequence[Variable], components: int, *, leaf: str = "auto"
) -> Circuit:
    """A mixture of ``components`` products of one distribution for each variable.

    Three kinds of node: an input of ``components`` units for each variable, their elementwise
    product, and a sum of one unit.

    Args:
        num_variables: Number of binary variables, or a sequence of `Variable`.
        components: Number of mixture components.
        leaf: ``"bernoulli"``, ``"categorical"`` or ``"gaussian"``; ``"auto"``: categorical, or
            Gaussian over real variables.

    Raises:
        OptionError: If a number is too small, or the leaves do not fit the variables.
    """
    variables = as_variables(num_variables)
    at_least("components", components, 1)
    families = [distribution_family(variable, leaf) for variable in variables]
    builder = Builder(variables)
    nodes = np.zeros(len(variables), np.int64)
    for family in sorted(set(families)):
        mine = np.array([f == family for f in families])
        nodes[mine] = builder.inputs(np.flatnonzero(mine), family, components)
    product = builder.products(nodes[None, :])
    return builder.build(int(builder.sums(product, 1)[0]))
