"""Hidden Markov models as circuits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pccompiler.errors import OptionError
from pccompiler.ir import Builder, Circuit, Family, Variable
from pccompiler.ir.arrays import Int
from pccompiler.options import whole
from pccompiler.structures.tools.common import (
    Leaf,
    as_variables,
    distribution_families,
    input_nodes,
)


def hmm(
    length: int | Sequence[Variable], states: int, *, homogeneous: bool = True, leaf: Leaf = "auto"
) -> Circuit:
    """A hidden Markov model over ``length`` observations.

    Built backwards from the last step: unit i of a step is the density of the rest of the sequence
    given hidden state i.

    Args:
        length: Number of binary observations, or a sequence of `Variable`, one per step.
        states: Number of hidden states.
        homogeneous: Whether all steps share one transition matrix and one set of emissions.
        leaf: Emission family, for example ``"bernoulli"`` or ``"laplace"``; ``"auto"``:
            categorical, and the usual family of other variables. Or one name per step, as a
            sequence or a mapping by name.

    Raises:
        OptionError: If a homogeneous model has variables of different domains, or the emissions do
            not fit the variables.
    """
    variables = as_variables(length)
    states = whole("states", states)
    families = distribution_families(variables, leaf)
    if homogeneous and len({(v.domain, v.cardinality, v.edges) for v in variables}) > 1:
        raise OptionError.of(
            "PC302",
            "a homogeneous hidden Markov model has observations of different domains",
            help="give all variables the same domain, or pass homogeneous=False",
        )
    if homogeneous and len(set(families)) > 1:
        raise OptionError.of(
            "PC302",
            "a homogeneous hidden Markov model has emissions of different families",
            help="give all variables the same leaf family, or pass homogeneous=False",
        )
    builder = Builder(variables)
    emissions = _emissions(builder, families, states, homogeneous=homogeneous)
    rest = emissions[-1:]
    transition: Int | None = None
    for emission in emissions[-2::-1]:
        step = builder.sums(rest, states, weights=transition)
        if homogeneous and transition is None:
            transition = builder.weight_of(step)
        rest = builder.products([[emission, step[0]]])
    return builder.build(int(builder.sums(rest, 1)[0]))


def _emissions(
    builder: Builder, families: Sequence[Family], states: int, *, homogeneous: bool
) -> Int:
    """The input node of each step; all share one weight if homogeneous."""
    steps = np.arange(len(families))
    if not homogeneous:
        return input_nodes(builder, families, steps, states)
    first = builder.inputs([0], families[0], states)
    weights = np.repeat(builder.weight_of(first), len(families) - 1)
    others = builder.inputs(steps[1:], families[0], states, weights=weights)
    return np.concatenate([first, others])
