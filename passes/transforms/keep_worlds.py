"""The product of a circuit and a set of worlds, as a circuit."""

from __future__ import annotations

from collections.abc import Sequence

from pccompiler.ir import Circuit
from pccompiler.passes.check.wellformed import verify
from pccompiler.passes.rewriting.pairwise import ABSENT, MOST_NODES, product
from pccompiler.passes.rewriting.worlds import Bool, Worlds


def keep_worlds(
    circuit: Circuit, columns: Sequence[int], allowed: Bool, *, most_nodes: int = MOST_NODES
) -> Circuit:
    """The circuit where some discrete variables take allowed states together, elsewhere 0.

    A factor over the states is split as the products of ``circuit`` are, so that any decomposable
    circuit can be multiplied by it, and stays deterministic if it was. The number of nodes is at
    most that of ``circuit`` times that of the different factors, which may be exponential.

    Args:
        circuit: Smooth and decomposable, with given values.
        columns: Indices of the variables.
        allowed: Which of their joint states are kept: an axis for each variable.
        most_nodes: As in `multiply`.

    Raises:
        CircuitError: As `multiply`.

    Source:
        Darwiche (2011), "SDD: A New Canonical Representation of Propositional Knowledge Bases",
        for the decompositions.
    """
    verify(circuit)
    worlds = Worlds(columns, allowed)
    root = worlds.root if worlds.scopes[worlds.root] else ABSENT
    return product(circuit, worlds, root, circuit.variables, most_nodes)
