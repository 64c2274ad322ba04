"""Mixtures of fully factorized distributions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pccompiler.ir import Builder, Circuit, Variable
from pccompiler.options import whole
from pccompiler.structures.tools.common import (
    Leaf,
    as_variables,
    distribution_families,
    input_nodes,
)


def naive_bayes_mixture(
    num_variables: int | Sequence[Variable], components: int, *, leaf: Leaf = "auto"
) -> Circuit:
    """A mixture of ``components`` products of one distribution for each variable.

    Three kinds of node: an input of ``components`` units for each variable, their elementwise
    product, and a sum of one unit.

    Args:
        num_variables: Number of binary variables, or a sequence of `Variable`.
        components: Number of mixture components.
        leaf: A leaf family, for example ``"bernoulli"``; ``"auto"``: categorical, and the usual
            family of other variables. Or one name per variable, as a sequence or a mapping by name.

    Raises:
        OptionError: If a number is too small, or the leaves do not fit the variables.
    """
    variables = as_variables(num_variables)
    components = whole("components", components)
    families = distribution_families(variables, leaf)
    builder = Builder(variables)
    nodes = input_nodes(builder, families, np.arange(len(variables)), components)
    product = builder.products(nodes[None, :])
    return builder.build(int(builder.sums(product, 1)[0]))
