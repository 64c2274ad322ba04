"""Chow-Liu trees: the tree-structured distribution closest to the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pccompiler.errors import DataError, OptionError
from pccompiler.ir import Builder, Circuit, Family, Variable
from pccompiler.ir.arrays import Float, Int
from pccompiler.options import as_float, shown, whole
from pccompiler.structures.tools.columns import Table, check_columns, coded, read_columns
from pccompiler.structures.tools.information import mutual_information_of
from pccompiler.structures.tools.trees import Rooted, rooted, spanning_edges, tree_circuit


@dataclass(frozen=True, eq=False)
class ChowLiuTree:
    """A tree over variables.

    Attributes:
        variables: The columns of the data.
        edges: Shape ``(n - 1, 2)``, pairs of variable indices.
        mutual_information: Shape ``(n, n)``, in nats; the entropies on the diagonal.
    """

    variables: tuple[Variable, ...]
    edges: Int
    mutual_information: Float

    @property
    def weight(self) -> float:
        """Total mutual information along the edges, in nats: the gain over a factorized model."""
        return float(self.mutual_information[self.edges[:, 0], self.edges[:, 1]].sum())

    def to_networkx(self) -> Any:  # networkx has no types
        """The tree as a ``networkx.Graph`` of names; ``weight`` is an edge's mutual information."""
        graph: Any = import_module("networkx").Graph()
        graph.add_nodes_from(variable.name for variable in self.variables)
        for a, b in self.edges.tolist():
            names = self.variables[a].name, self.variables[b].name
            graph.add_edge(*names, weight=float(self.mutual_information[a, b]))
        return graph


def chow_liu_tree(
    data: ArrayLike,
    variables: Sequence[Variable] | None = None,
    *,
    pseudocount: float = 1.0,
    mi_bins: int | None = None,
    mi_rows: int | None = None,
) -> ChowLiuTree:
    """The tree with the largest mutual information between neighbours.

    Args:
        data: Shape ``(rows, n)``; states are 0, 1, ... Missing values are NaN: a pair of variables
            is counted over the rows that have both.
        variables: One for each column; by default inferred from the data.
        pseudocount: Rows spread evenly over the cells of each pair's table.
        mi_bins: Put the states of discrete variables into at most this many bins. Real variables
            and counts are always binned, by default into 8 bins of about equally many rows.
        mi_rows: Count only this many rows, evenly spaced.

    Raises:
        DataError: If the data are not a table or do not fit the variables.
        OptionError: If an option cannot be used.

    Source:
        Chow and Liu (1968), "Approximating Discrete Probability Distributions with Dependence
        Trees".
    """
    table, chosen = read_columns(data, variables)
    check_columns(table, chosen)
    pseudocount = check_pseudocount(pseudocount)
    mi_bins = None if mi_bins is None else whole("mi_bins", mi_bins, 2)
    mi_rows = None if mi_rows is None else whole("mi_rows", mi_rows)
    if mi_rows is not None and mi_rows < len(table):
        table = table[np.arange(mi_rows) * len(table) // mi_rows]
    codes, sizes = coded(table, chosen, mi_bins)
    information = mutual_information_of(codes, sizes, pseudocount)
    return ChowLiuTree(chosen, spanning_edges(information), information)


def chow_liu(
    data: ArrayLike,
    variables: Sequence[Variable] | None = None,
    *,
    pseudocount: float = 1.0,
    mi_bins: int | None = None,
    mi_rows: int | None = None,
) -> Circuit:
    """The Chow-Liu tree distribution of discrete data, with given values.

    The tree is rooted at a centre. Each variable has a product of its indicators and the messages
    of its children, under a sum whose row j is its distribution given state j of its parent. The
    circuit is deterministic: in any complete row, each sum has one operand unit that is not 0.

    Args:
        data: See `chow_liu_tree`.
        variables: One for each column, all discrete; by default inferred from the data.
        pseudocount: Rows spread evenly over the cells of each pair's table, for both the tree and
            the values. The row of a state that never occurs is uniform.
        mi_bins: See `chow_liu_tree`; affects the tree only, not the values.
        mi_rows: See `chow_liu_tree`; the values are counted over all rows.

    Raises:
        DataError: If the data are not a table, do not fit the variables, or are not discrete.
        OptionError: If an option cannot be used.

    Source:
        Chow and Liu (1968), see `chow_liu_tree`.
    """
    table, chosen = read_columns(data, variables)
    check_discrete(chosen, "a Chow-Liu distribution", ", or use hclt(), which takes any variables")
    pseudocount = check_pseudocount(pseudocount)
    found = chow_liu_tree(table, chosen, pseudocount=pseudocount, mi_bins=mi_bins, mi_rows=mi_rows)
    tree = rooted(found.edges, len(chosen))
    builder = Builder(chosen)
    inputs = builder.inputs(np.arange(len(chosen)), Family.INDICATOR)
    root, sums = tree_circuit(builder, tree, inputs, builder.units_of(inputs))
    weights = builder.weight_of(sums).tolist()
    rows = _conditionals(table, chosen, tree, pseudocount)
    return builder.build(root).with_values(dict(zip(weights, rows, strict=True)))


def _conditionals(
    table: Table, variables: Sequence[Variable], tree: Rooted, pseudocount: float
) -> list[Float]:
    """Each variable's distribution given its parent's states, shape (parent's states, states)."""
    codes, sizes = coded(table, variables, None)
    result: list[Float] = []
    for node, parent in enumerate(tree.parent.tolist()):
        above = 1 if parent < 0 else int(sizes[parent])
        given = np.zeros(len(codes), np.int64) if parent < 0 else codes[:, parent]
        both = (given >= 0) & (codes[:, node] >= 0)
        cells = above * int(sizes[node])
        pairs = given[both] * sizes[node] + codes[both, node]
        counts = np.bincount(pairs, minlength=cells).reshape(above, -1) + pseudocount / cells
        counts[counts.sum(axis=1) == 0.0] = 1.0
        result.append(counts / counts.sum(axis=1, keepdims=True))
    return result


def check_pseudocount(pseudocount: object) -> float:
    """``pseudocount`` as a number; anything else and negative numbers are refused."""
    number = as_float(pseudocount)
    if number is None or not 0.0 <= number < np.inf:
        raise OptionError.of(
            "PC302",
            f"pseudocount is {shown(pseudocount)}",
            help="use a non-negative number",
        )
    return number


def check_discrete(variables: Sequence[Variable], what: str, otherwise: str = "") -> None:
    """Refuse variables that ``what`` does not take.

    Raises:
        DataError: If one is not discrete; ``otherwise`` is another way out than bins.
    """
    for variable in variables:
        if not variable.discrete:
            raise DataError.of(
                "PC348",
                f"{variable.name!r} is {variable}, but {what} needs discrete data",
                help=f"put its values into bins{otherwise}",
            )
