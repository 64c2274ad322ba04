"""Nodes of formulas such as ``0.3 * a + 0.7 * b`` and ``a * b``, before they become a circuit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike

from pccompiler.ir.arrays import Float
from pccompiler.ir.build.declarations import check_name
from pccompiler.ir.circuit import Circuit
from pccompiler.ir.expressions.checks import (
    dense_table,
    equal_widths,
    mix_table,
    unit_weights,
    weight_name,
)
from pccompiler.ir.expressions.formula import Declared, Formula
from pccompiler.ir.expressions.messages import fail, number, show
from pccompiler.ir.expressions.write import write
from pccompiler.ir.kinds import PRODUCTS, Kind
from pccompiler.ir.locations import caller


@dataclass(frozen=True, eq=False, kw_only=True)
class Node(Formula):
    """A node of a future circuit, with the nodes below it. Immutable; ``circuit()`` builds it.

    ``a * b`` is a product, ``a + b`` a sum whose weights are to be trained, ``0.3 * a + 0.7 * b``
    one with given weights, and ``W @ a`` a dense sum with the rows of ``W`` as weights. Vectors are
    multiplied and added unit by unit. ``a * b * c`` is one product, ``a + b + c`` one sum.
    """

    operands: tuple[Node, ...] = ()

    __array_ufunc__ = None  # NumPy numbers and arrays defer ``w * node`` and ``w @ node`` to us

    def named(self, name: str) -> Node:
        """The same node with a name; further ``*`` and ``+`` make new nodes over it."""
        check_name(name, "node")
        return replace(self, name=name, pending=False, location=caller())

    def sum(
        self,
        units: int | None = None,
        *,
        weights: ArrayLike | None = None,
        weight: str | None = None,
    ) -> Node:
        """A dense sum of ``units`` units over all units; ``(a + b).sum(5)`` is over those of both.

        Args:
            units: Width; by default the number of rows of ``weights``, or 1.
            weights: Shape ``(units, fan-in)`` or ``(fan-in,)``; if omitted, they are trained.
            weight: Name of the weight, to share it.
        """
        added = self.pending and self.values is None and self.kind in (Kind.SUM, Kind.MIXTURE)
        nodes = self.operands if added else (self,)
        return dense(*nodes, units=units, weights=weights, weight=weight)

    def circuit(self, variables: Sequence[Declared] | None = None) -> Circuit:
        """The circuit whose value is this node.

        Args:
            variables: The columns of the data, in order; by default the variables that occur, in
                the order in which they were declared.

        Raises:
            OptionError: If a name is used twice, or ``variables`` omits one that occurs.
        """
        return write(self, variables)

    @overload
    def __mul__(self, other: Node) -> Node: ...
    @overload
    def __mul__(self, other: Weighted | ArrayLike) -> Weighted: ...
    def __mul__(self, other: Any) -> Node | Weighted:
        if isinstance(other, Weighted):
            return Weighted(other.weights, _multiply(self, other.node))
        if isinstance(other, Node):
            return _multiply(self, other)
        return Weighted(unit_weights(other, self), self)

    def __rmul__(self, other: Any) -> Weighted:
        return Weighted(unit_weights(other, self), self)

    def __add__(self, other: Any) -> Node:
        return _add(self, other)

    def __radd__(self, other: Any) -> Node:
        return _add(other, self)

    def __rmatmul__(self, weights: ArrayLike) -> Node:
        return dense(self, weights=weights)

    def __bool__(self) -> bool:
        fail(f"{self} has no truth value", "expressions are built, not tested: use == for literals")

    def __str__(self) -> str:
        return show(self, 2)

    __repr__ = __str__


@dataclass(frozen=True, eq=False)
class Weighted:
    """``0.3 * a``: a term of a future sum. ``weights`` has shape ``()`` or ``(units,)``."""

    weights: Float
    node: Node

    __array_ufunc__ = None

    def __mul__(self, other: Any) -> Weighted:
        if isinstance(other, Weighted):
            return Weighted(self.weights * other.weights, _multiply(self.node, other.node))
        if isinstance(other, Node):
            return Weighted(self.weights, _multiply(self.node, other))
        return Weighted(self.weights * unit_weights(other, self.node), self.node)

    def __rmul__(self, other: Any) -> Weighted:
        return Weighted(unit_weights(other, self.node) * self.weights, self.node)

    def __add__(self, other: Any) -> Node:
        return _add(self, other)

    def __radd__(self, other: Any) -> Node:
        return _add(other, self)

    def circuit(self, variables: Sequence[Declared] | None = None) -> Circuit:
        """Like `Node.circuit`; the weight must be 1."""
        return as_node(self).circuit(variables)

    def __str__(self) -> str:
        return f"{number(self.weights)} * {show(self.node, 1, inner=True)}"

    __repr__ = __str__


def product(*nodes: Node | Weighted) -> Node:
    """The elementwise product of ``nodes``, which have the same width."""
    below = _operands("product", nodes)
    equal_widths(below, "*")
    return Node(kind=Kind.PRODUCT, units=below[0].units, operands=below, location=caller())


def kron(*nodes: Node | Weighted) -> Node:
    """Every product of one unit of each of ``nodes``; the last one's unit varies fastest."""
    below = _operands("kron", nodes)
    units = PRODUCTS[Kind.KRONECKER].units([n.units for n in below], "kron(...)", caller())
    return Node(kind=Kind.KRONECKER, units=units, operands=below, location=caller())


def dense(
    *nodes: Node | Weighted,
    units: int | None = None,
    weights: ArrayLike | None = None,
    weight: str | None = None,
) -> Node:
    """A sum of ``units`` units, each of which mixes all units of all ``nodes``.

    Args:
        nodes: Nodes of any widths.
        units: Width; by default the number of rows of ``weights``, or 1.
        weights: Shape ``(units, fan-in)`` or ``(fan-in,)``; if omitted, they are trained.
        weight: Name of the weight, to share it.
    """
    below = _operands("dense", nodes)
    width, table = dense_table(below, units, weights)
    return Node(
        kind=Kind.SUM,
        units=width,
        operands=below,
        values=table,
        weight=weight_name(weight),
        location=caller(),
    )


def mix(
    *nodes: Node | Weighted, weights: ArrayLike | None = None, weight: str | None = None
) -> Node:
    """A unit-wise mixture; ``weights`` of shape ``(operands,)`` or ``(units, operands)``."""
    below = _operands("mix", nodes)
    equal_widths(below, "+")
    units, table = mix_table(below, weights)
    kind = Kind.SUM if units == 1 else Kind.MIXTURE
    return Node(
        kind=kind,
        units=units,
        operands=below,
        values=table,
        weight=weight_name(weight),
        location=caller(),
    )


def as_node(value: object) -> Node:
    """A node itself, or the node of a term whose weight is 1."""
    if isinstance(value, Node):
        return value
    if isinstance(value, Weighted):
        if (value.weights == 1.0).all():
            return value.node
        fail(
            f"{value} is a term of a sum, not a node",
            "add the other terms, with weights that sum to 1",
            "PC395",
        )
    fail(
        f"{value!r} is not an expression",
        "use literals such as rain == 1, leaves such as rain.bernoulli(0.3), and combinations of "
        "them",
    )


def _multiply(left: Node, right: Node) -> Node:
    """One flat product; pending products are merged into it."""
    parts = [
        part
        for node in (left, right)
        for part in (node.operands if node.pending and node.kind == Kind.PRODUCT else (node,))
    ]
    return replace(product(*parts), pending=True)


def _add(left: object, right: object) -> Node:
    """One flat sum; pending sums are merged into it."""
    for zero, node in ((left, right), (right, left)):
        if isinstance(zero, int | float) and zero == 0:  # the start value of sum([a, b])
            return as_node(node) if isinstance(node, Node) else _add_terms([node], node, zero)
    return _add_terms([left, right], left, right)


def _add_terms(addends: Sequence[object], left: object, right: object) -> Node:
    terms = [term for addend in addends for term in _terms(addend)]
    weights = [w for w, _ in terms if w is not None]
    if weights and len(weights) < len(terms):
        fail(
            f"{left} + {right} mixes weighted and unweighted terms",
            "weight all terms, or none; to mix a finished sum with others, weight it too",
            "PC393",
        )
    nodes = [node for _, node in terms]
    made = mix(*nodes)
    if weights:
        columns = [np.broadcast_to(w, (made.units,)) for w in weights]
        return replace(made, values=np.stack(columns, axis=1), pending=True)
    return replace(made, pending=True)


def _terms(addend: object) -> list[tuple[Float | None, Node]]:
    if isinstance(addend, Weighted):
        return [(addend.weights, addend.node)]
    node = as_node(addend)
    if not node.pending or node.kind not in (Kind.SUM, Kind.MIXTURE):
        return [(None, node)]
    if node.values is None:
        return [(None, operand) for operand in node.operands]
    return list(zip(node.values.T, node.operands, strict=True))


def _operands(what: str, nodes: Sequence[Node | Weighted]) -> tuple[Node, ...]:
    if not nodes:
        fail(f"{what}() without nodes", "give it at least one node")
    return tuple(as_node(node) for node in nodes)
