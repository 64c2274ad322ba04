"""Hidden Markov models as circuits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pccompiler.errors import OptionError
from pccompiler.ir import Builder, Circuit, Variable
from pccompiler.ir.arrays import Int
from pccompiler.structures.common import as_variables, at_least, distribution_family


def hmm(
    length: int | Sequence[Variable], states: int, *, homogeneous: bool = True, leaf: str = "auto"
) -> Circuit:
    """A hidden Markov model over ``length`` observations.

    Built from the last step back: unit i of a step is the density of the rest of the sequence
    given hidden state i.

    Args:
        length: Number of binary observations, or a sequence of `Variable`, one a step.
        states: Number of hidden states.
        homogeneous: Whether all steps share one transition matrix and one set of emissions.
        leaf: Emission family: ``"bernoulli"``, ``"categorical"``, ``"gaussian"``, or ``"auto"``.

    Raises:
        OptionError: If a homogeneous model has variables of different domains, or the emissions do
            not fit the variables.
    """
    variables = as_variables(length)
    at_least("states", states, 1)
    if homogeneous and len({(v.domain, v.cardinality) for v in variables}) > 1:
        raise OptionError.of(
            "PC302",
            "a homogeneous hidden Markov model has observations of different domains",
            help="give all variables one domain, or pass homogeneous=False",
        )
    builder = Builder(variables)
    emissions = [_emission(builder, i, variables[i], states, leaf) for i in range(1)]
    for i in range(1, len(variables)):
        shared = builder.weight_of(emissions[0]) if homogeneous else None
        emissions.append(_emission(builder, i, variables[i], states, leaf, shared))
    rest = emissions[-1]
    transition: Int | None = None
    for emission in reversed(emissions[:-1]):
        step = builder.sums(rest, states, weights=transition)
        transition = builder.weight_of(step) if homogeneous else None
        rest = builder.products(np.stack([emission, step], axis=1))
    return builder.build(int(builder.sums(rest, 1)[0]))


def _emission(
    builder: Builder,
    index: int,
    variable: Variable,
    states: int,
    leaf: str,
    weights: Int | None = None,
) -> Int:
    family = distribution_family(variable, leaf)
    return builder.inputs([index], family, states, weights=weights)
