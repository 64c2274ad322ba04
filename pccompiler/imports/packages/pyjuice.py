"""Reads circuits of PyJuice, which are made of node vectors, without importing it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pccompiler.imports.packages.domains import Leaf, rounded
from pccompiler.imports.packages.vector_nodes import (
    Objects,
    children_first,
    class_of,
    stranger,
    unsupported,
)
from pccompiler.imports.packages.versions import reading
from pccompiler.ir import Circuit, Family
from pccompiler.ir.arrays import Float, Int

PACKAGE = "pyjuice"
_NODES = ("InputNodes", "ProdNodes", "SumNodes")


@reading(PACKAGE)
def from_pyjuice(root: Any) -> Circuit:
    """The vector circuit of a PyJuice circuit, with its parameters as they are now.

    Each vector of nodes becomes one vector node; tied ones share their weight. If unit i of a
    product does not take unit i of each child, its operands are selected first: leaves are copied,
    other nodes get a sum with a single weight of 1 in each row. Block-sparse sums become dense,
    with zeros. Inputs: Bernoulli, Categorical, Gaussian, Indicator, Literal. Variable v becomes
    ``x{v+1}``. Rows that miss 1 by float32 rounding (within 1e-5) are divided by their sum; if
    others do not sum to one, the rest is in ``log_scale``.

    Args:
        root: The root node vector, with one node; or a ``TensorCircuit``, whose
            ``update_parameters()`` is called first to copy its parameters to its nodes (an untyped
            object).

    Raises:
        ImportFormatError: Names the nodes that have no counterpart or no parameters yet.

    Source:
        Liu, Ahmed and Van den Broeck (2024), "Scaling Tractable Probabilistic Circuits: A Systems
        Perspective".
    """
    if class_of(root, PACKAGE) == "TensorCircuit":
        root.update_parameters()
        root = root.root_ns
    if not (class_of(root, PACKAGE) and hasattr(root, "is_sum") and hasattr(root, "chs")):
        raise stranger(root, PACKAGE, "the root nodes (juice.summate ...), or a TensorCircuit")
    return _Reader().read(root)


class _Reader:
    def __init__(self) -> None:
        self.objects = Objects(PACKAGE)
        self.made: dict[int, int] = {}

    def read(self, root: Any) -> Circuit:
        order = children_first(root, lambda nodes: list(nodes.chs), PACKAGE)
        for number, nodes in enumerate(order):
            kind = class_of(nodes, PACKAGE)
            label = f"{kind} {number} of {len(order)}"
            if kind == "InputNodes":
                made = self.input(nodes, label)
            elif kind == "ProdNodes":
                made = self.product(nodes, label)
            elif kind == "SumNodes":
                made = self.sum(nodes, label)
            else:
                raise unsupported("nodes", kind, PACKAGE, _NODES)
            self.made[id(nodes)] = made
        return self.objects.circuit(self.made[id(root)])

    def product(self, nodes: Any, label: str) -> int:
        """Column c of ``edge_ids`` has the block (or unit) of child c that each block reads."""
        edges = _array(nodes.edge_ids)
        if len(edges) != nodes.num_nodes:  # by block
            within = np.arange(nodes.block_size)
            edges = (edges[:, None, :] * nodes.block_size + within[None, :, None]).reshape(
                -1, edges.shape[1]
            )
        columns = [np.ascontiguousarray(column) for column in edges.T]
        operands = [
            self.objects.select(self.made[id(child)], units)
            for child, units in zip(nodes.chs, columns, strict=True)
        ]
        return self.objects.product(operands, label)

    def sum(self, nodes: Any, label: str) -> int:
        """Edge e connects block ``edge_ids[0, e]`` of sums to block ``edge_ids[1, e]`` below."""
        source = nodes.get_source_ns()
        values = self.parameters(source, label)
        rows, columns = _array(nodes.edge_ids)
        blocks = (nodes.num_node_blocks, sum(child.num_node_blocks for child in nodes.chs))
        table = np.zeros((*blocks, nodes.block_size, nodes.ch_block_size))
        table[rows, columns] = values.reshape(-1, nodes.block_size, nodes.ch_block_size)
        table = table.transpose(0, 2, 1, 3).reshape(nodes.num_nodes, -1)
        operands = [self.made[id(child)] for child in nodes.chs]
        return self.objects.sum(operands, rounded(table), label, tie=id(source))

    def input(self, nodes: Any, label: str) -> int:
        kind = class_of(nodes.dist, PACKAGE)
        if kind not in _INPUTS:
            raise unsupported("inputs", kind or type(nodes.dist).__qualname__, PACKAGE, _INPUTS)
        scope = list(nodes.scope)
        if len(scope) != 1:
            raise self.objects.fail(
                "PC741", f"{label} is over {len(scope)} variables", "give inputs over one"
            )
        leaf = _INPUTS[kind](self, nodes, int(scope[0]), label)
        return self.objects.input(leaf, label, tie=id(nodes.get_source_ns()))

    def parameters(self, source: Any, label: str, least: float = 0.0) -> Float:
        """The parameters that ``source`` owns."""
        found = source.get_params()
        if found is None:
            raise self.objects.fail(
                "PC742",
                f"{label} has no parameters",
                "first call init_parameters() of the root, or compile and train it",
            )
        return self.objects.numbers(found, f"the parameters of {label}", least=least)


def _array(tensor: Any) -> Int:
    return np.asarray(tensor.detach().cpu().numpy(), np.int64)


def _categorical(reader: _Reader, nodes: Any, variable: int, label: str) -> Leaf:
    table = reader.parameters(nodes.get_source_ns(), label).reshape(nodes.num_nodes, -1)
    return Leaf(Family.CATEGORICAL, variable, rounded(table))


def _bernoulli(reader: _Reader, nodes: Any, variable: int, label: str) -> Leaf:
    """The parameter is the probability of state 1."""
    chances = reader.parameters(nodes.get_source_ns(), label).reshape(-1, 1)
    return Leaf(Family.BERNOULLI, variable, chances)


def _gaussian(reader: _Reader, nodes: Any, variable: int, label: str) -> Leaf:
    """Mean and standard deviation, node by node."""
    table = reader.parameters(nodes.get_source_ns(), label, -np.inf).reshape(-1, 2)
    return Leaf(Family.GAUSSIAN, variable, table)


def _indicator(_reader: _Reader, nodes: Any, variable: int, _label: str) -> Leaf:
    """Node k is 1 where the variable has state k."""
    states = max(int(nodes.dist.num_states), nodes.num_nodes)
    return Leaf(Family.CATEGORICAL, variable, np.eye(states)[: nodes.num_nodes])


def _literal(_reader: _Reader, nodes: Any, variable: int, _label: str) -> Leaf:
    """All nodes are 1 where the variable has one given state."""
    state = int(nodes.dist.lit)
    row = np.eye(max(state + 1, 2))[state]
    return Leaf(Family.CATEGORICAL, variable, np.tile(row, (nodes.num_nodes, 1)))


_INPUTS: dict[str, Callable[[_Reader, Any, int, str], Leaf]] = {
    "Bernoulli": _bernoulli,
    "Categorical": _categorical,
    "Gaussian": _gaussian,
    "Indicator": _indicator,
    "Literal": _literal,
}
