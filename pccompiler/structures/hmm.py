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
from pccompiler.structures.tools.structured_sums import Sums, low_rank_sums, monarch_sums


def hmm(
    length: int | Sequence[Variable],
    states: int,
    *,
    homogeneous: bool = True,
    leaf: Leaf = "auto",
    rank: int | None = None,
    blocks: int | None = None,
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
        rank: Makes transition matrices products of two of this rank, see `low_rank_sums`. With k
            states, a step costs 2 k ``rank`` multiplications instead of k².
        blocks: Makes transition matrices Monarch matrices over this many blocks of states, see
            `monarch_sums`. A step costs k (``blocks`` + k / ``blocks``), least with √k blocks.

    Raises:
        OptionError: If a homogeneous model has variables of different domains, the emissions do
            not fit the variables, both ``rank`` and ``blocks`` are given, or the states cannot be
            cut into ``blocks`` equal blocks.
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
    number = _check_factors(states, rank, blocks)
    builder = Builder(variables)
    emissions = _emissions(builder, families, states // number, number, homogeneous=homogeneous)
    rest = emissions[-1]
    weights: tuple[Int, Int] | None = None
    for emission in emissions[-2::-1]:
        if blocks is not None:
            made = monarch_sums(builder, rest, weights=weights)
        elif rank is not None:
            made = low_rank_sums(builder, rest[None], states, rank, weights=weights)
        else:
            made = _dense_sums(builder, rest[None], states, weights)
        weights = made.weights if homogeneous else None
        rest = builder.products(np.stack([emission, made.nodes], axis=1))
    return builder.build(int(builder.sums(rest[None], 1)[0]))


def _check_factors(states: int, rank: int | None, blocks: int | None) -> int:
    """The number of blocks of states, if the factors of transition matrices are possible."""
    if rank is not None:
        whole("rank", rank)
    number = 1 if blocks is None else whole("blocks", blocks)
    if rank is not None and blocks is not None:
        raise OptionError.of(
            "PC302",
            "a transition matrix is either of low rank or a Monarch matrix",
            help="give rank or blocks, not both",
        )
    if states % number:
        raise OptionError.of(
            "PC302",
            f"{states} states cannot be cut into {number} blocks of equal size",
            help="give a number of blocks that divides the number of states",
        )
    return number


def _dense_sums(
    builder: Builder, operands: Int, states: int, weights: tuple[Int, Int] | None
) -> Sums:
    nodes = builder.sums(operands, states, weights=None if weights is None else weights[0])
    return Sums(nodes, (builder.weight_of(nodes), builder.weight_of(nodes)))


def _emissions(
    builder: Builder, families: Sequence[Family], units: int, blocks: int, *, homogeneous: bool
) -> Int:
    """The input nodes of each step, shape (steps, blocks); steps share weights if homogeneous."""
    steps = np.arange(len(families))
    if not homogeneous:
        made = [input_nodes(builder, families, steps, units) for _ in range(blocks)]
        return np.stack(made, axis=1)
    first = builder.inputs(np.zeros(blocks, np.int64), families[0], units)
    weights = np.tile(builder.weight_of(first), len(families) - 1)
    others = builder.inputs(np.repeat(steps[1:], blocks), families[0], units, weights=weights)
    return np.concatenate([first, others]).reshape(len(families), blocks)
