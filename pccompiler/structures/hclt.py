"""Hidden Chow-Liu trees: latent variables in the shape of a tree learned from data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from pccompiler.errors import OptionError
from pccompiler.ir import Builder, Circuit, Variable
from pccompiler.ir.arrays import Int
from pccompiler.options import is_of, shown, whole
from pccompiler.structures.chow_liu import ChowLiuTree, chow_liu_tree
from pccompiler.structures.tools.columns import read_columns
from pccompiler.structures.tools.common import Leaf, distribution_families, input_nodes
from pccompiler.structures.tools.trees import rooted, tree_circuit


@runtime_checkable
class Graph(Protocol):
    """The part of ``networkx.Graph`` that is used here."""

    @property
    def nodes(self) -> Any:
        """Names of variables."""
        ...

    @property
    def edges(self) -> Any:
        """Pairs of names."""
        ...


def hclt(
    data: ArrayLike | ChowLiuTree | Graph,
    states: int,
    *,
    variables: Sequence[Variable] | None = None,
    root: str | None = None,
    leaf: Leaf = "auto",
    pseudocount: float = 1.0,
    mi_bins: int = 8,
    mi_rows: int | None = 10_000,
) -> Circuit:
    """A tree of latent variables, one for each variable, in the shape of the Chow-Liu tree.

    Each latent variable has ``states`` states and emits its variable; a dense sum of ``states``
    units mixes its states for each state of its parent. Weights are left to training.

    Args:
        data: Rows by variables, see `chow_liu_tree`; or a tree: a `ChowLiuTree` or a
            ``networkx.Graph`` of variable names.
        states: Number of states of each latent variable.
        variables: One for each column; by default those of the tree, or inferred from the data.
        root: The variable at the top; ``None``: a centre of the tree, for the least depth.
        leaf: A leaf family, for example ``"bernoulli"``; ``"auto"``: categorical, and the usual
            family of other variables. Or one name per variable, as a sequence or a mapping by name.
        pseudocount: For the tree, see `chow_liu_tree`.
        mi_bins: For the tree, see `chow_liu_tree`.
        mi_rows: For the tree, count only this many rows, evenly spaced; ``None``: all.

    Raises:
        DataError: If the data are not a table or do not fit the variables.
        OptionError: If an option cannot be used, or a graph is not a tree over the variables.

    Source:
        Liu and Van den Broeck (2021), "Tractable Regularization of Probabilistic Circuits".
    """
    states = whole("states", states)
    chosen, edges = _tree(data, variables, pseudocount, mi_bins, mi_rows)
    families = distribution_families(chosen, leaf)
    top = None if root is None else _index(chosen, root)
    tree = rooted(edges, len(chosen), top)
    builder = Builder(chosen)
    inputs = input_nodes(builder, families, np.arange(len(chosen)), states)
    node, _ = tree_circuit(builder, tree, inputs, np.full(len(chosen), states))
    return builder.build(node)


def _tree(
    data: ArrayLike | ChowLiuTree | Graph,
    variables: Sequence[Variable] | None,
    pseudocount: float,
    mi_bins: int,
    mi_rows: int | None,
) -> tuple[tuple[Variable, ...], Int]:
    """The variables, and the edges between their indices."""
    if isinstance(data, ChowLiuTree):
        return data.variables if variables is None else tuple(variables), data.edges
    if isinstance(data, Graph):
        return _of_graph(data, variables)
    table, chosen = read_columns(data, variables)
    tree = chow_liu_tree(table, chosen, pseudocount=pseudocount, mi_bins=mi_bins, mi_rows=mi_rows)
    return chosen, tree.edges


def _of_graph(
    graph: Graph, variables: Sequence[Variable] | None
) -> tuple[tuple[Variable, ...], Int]:
    if variables is None:
        raise OptionError.of(
            "PC347",
            "a graph does not give the domains of its variables",
            help="pass variables, one for each node of the graph",
        )
    index = {variable.name: i for i, variable in enumerate(variables)}
    strangers = [node for node in graph.nodes if node not in index]
    if strangers:
        raise OptionError.of(
            "PC347",
            f"node {strangers[0]!r} of the graph is not a variable",
            help="use the names of the variables as nodes",
        )
    edges = [(index[a], index[b]) for a, b in graph.edges]
    return tuple(variables), np.array(edges, np.int64).reshape(-1, 2)


def _index(variables: Sequence[Variable], name: str) -> int:
    names = [variable.name for variable in variables]
    if is_of(name, str) and name in names:
        return names.index(name)
    raise OptionError.of(
        "PC347",
        f"root is {shown(name)}, which is not a variable",
        help=f"use the name of a variable, for example {variables[0].name!r}",
    )
