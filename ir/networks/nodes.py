"""Reads the nodes of a NetworkX graph from its attributes."""

from __future__ import annotations

import math
import numbers
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pccompiler.errors import Diagnostic
from pccompiler.ir.kinds import Kind

WORDS = {
    "sum": Kind.SUM,
    "+": Kind.SUM,
    "product": Kind.PRODUCT,
    "*": Kind.PRODUCT,
    "×": Kind.PRODUCT,  # noqa: RUF001  # the multiplication sign is meant
    "input": Kind.INPUT,
    "leaf": Kind.INPUT,
}
LEAF = frozenset({"variable", "family", "parameters", "p", "value"})
COMMON = frozenset({"kind", "type", "name", "shares"})
DRAWN = frozenset({"label", "pos", "color"})
"""Attributes for drawing; ignored, except a label that is the name or sign of a kind."""
TOLERANCE = 1e-6
"""Same as in the check of weights: rounding to float32 or to six printed digits."""


class Network(Protocol):
    """The interface used of a ``networkx.DiGraph``; networkx itself is imported on first use."""

    graph: dict[str, Any]

    def is_directed(self) -> bool:
        """Whether edges have a direction."""
        ...

    @property
    def nodes(self) -> Any:
        """Nodes; ``nodes(data=True)`` with attributes."""
        ...

    @property
    def edges(self) -> Any:
        """Edges; ``edges(data=True)`` with attributes."""
        ...


@dataclass
class Drawn:
    """A node of the graph: its key, attributes, and edges to operands."""

    key: Hashable
    attributes: Mapping[str, Any]
    kind: Kind | None = None
    operands: list[int] = field(default_factory=list[int])
    edges: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])

    @property
    def weights(self) -> list[float] | None:
        """Weights of the edges that have one."""
        given = [edge.get("weight") for edge in self.edges]
        return None if not given or given[0] is None else [float(w) for w in given if w is not None]


def read_nodes(graph: Network) -> list[Drawn]:
    """The nodes and edges of ``graph``, in its order, with kinds where they can be determined."""
    nodes = [Drawn(key, attributes) for key, attributes in graph.nodes(data=True)]
    place = {node.key: position for position, node in enumerate(nodes)}
    for user, operand, attributes in graph.edges(data=True):
        nodes[place[user]].operands.append(place[operand])
        nodes[place[user]].edges.append(attributes)
    for node in nodes:
        node.kind = _kind(node)
    return nodes


def node_findings(nodes: Iterable[Drawn], location: str) -> Iterator[Diagnostic]:
    """Errors in kinds, attributes, numbers of operands and edges."""
    for node in nodes:
        for code, message, help in _faults(node):
            yield Diagnostic(code=code, message=message, location=location, help=help)


Fault = tuple[str, str, str]


def _kind(node: Drawn) -> Kind | None:
    """The given kind; by default, leaf attributes make a leaf and edge weights a sum."""
    for attribute in ("kind", "type"):
        if attribute in node.attributes:
            return WORDS.get(_word(node.attributes[attribute]))
    label = WORDS.get(_word(node.attributes.get("label")))
    if label is not None:
        return label
    if not LEAF.isdisjoint(node.attributes):
        return Kind.INPUT
    return Kind.SUM if any("weight" in edge for edge in node.edges) else None


def _word(value: object) -> str:
    return value.keyword if isinstance(value, Kind) else str(value).lower()


def _faults(node: Drawn) -> Iterator[Fault]:
    if node.kind is None:
        yield _no_kind(node)
        return
    yield from _unknown_attributes(node)
    if not isinstance(node.attributes.get("shares"), Hashable):
        yield (
            "PC384",
            f"node {node.key!r} has shares={node.attributes['shares']!r}",
            "give the same name or number to all nodes that share a weight",
        )
    if (node.kind == Kind.INPUT) == bool(node.operands):
        yield _operands(node)
    elif node.kind == Kind.SUM:
        yield from _weights(node)
    elif node.kind == Kind.PRODUCT and any("weight" in edge for edge in node.edges):
        yield (
            "PC388",
            f"product {node.key!r} has weights on its edges",
            "only operands of sums have weights: insert a sum, or omit the weights",
        )


def _no_kind(node: Drawn) -> Fault:
    said = [node.attributes[a] for a in ("kind", "type") if a in node.attributes]
    if said:
        return "PC383", f"node {node.key!r} is of unknown kind {said[0]!r}", _KINDS
    return "PC383", f"node {node.key!r} has no kind", _KINDS


_KINDS = "give it kind='sum' or kind='product', or make it a leaf with variable= and family="


def _unknown_attributes(node: Drawn) -> Iterator[Fault]:
    known = COMMON | (LEAF if node.kind == Kind.INPUT else frozenset())
    for attribute in sorted(map(str, set(node.attributes) - known - DRAWN)):
        yield (
            "PC384",
            f"node {node.key!r} has an attribute {attribute!r}, which is not used by "
            f"{_an(node.kind)}",
            f"use {', '.join(sorted(known))}; for drawing: {', '.join(sorted(DRAWN))}",
        )
    for attribute in sorted({str(a) for edge in node.edges for a in edge} - {"weight"} - DRAWN):
        yield (
            "PC384",
            f"an edge of node {node.key!r} has an unknown attribute {attribute!r}",
            "edges of sums may have a weight, other edges have no attributes",
        )


def _an(kind: Kind | None) -> str:
    return {Kind.SUM: "a sum", Kind.PRODUCT: "a product"}.get(kind or Kind.INPUT, "a leaf")


def _operands(node: Drawn) -> Fault:
    if node.operands:
        return (
            "PC385",
            f"leaf {node.key!r} has operands",
            "edges go from a node to its operands: reverse them, or make it a sum or product",
        )
    return (
        "PC385",
        f"{_an(node.kind)[2:]} {node.key!r} has no operands",
        "add edges from it to its operands",
    )


def _weights(node: Drawn) -> Iterator[Fault]:
    given = [edge.get("weight") for edge in node.edges]
    lacking = sum(weight is None for weight in given)
    if lacking == len(given):
        return
    if lacking:
        yield (
            "PC386",
            f"{lacking} of {len(given)} edges of sum {node.key!r} have no weight",
            "give all of them a weight, or none (to train them)",
        )
        return
    for weight in given:
        if not _is_weight(weight):
            yield (
                "PC387",
                f"sum {node.key!r} has a weight {weight!r}",
                "give finite numbers that are not negative",
            )
            return


def _is_weight(weight: object) -> bool:
    return _is_finite(weight) and float(weight) >= 0.0  # type: ignore[arg-type]  # it is a number


def _is_finite(value: object) -> bool:
    """Whether ``value`` is a finite floating-point number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond it
        return False


def scale_findings(scale: object, location: str) -> Iterator[Diagnostic]:
    """An error if the scale is not a finite number."""
    if not _is_finite(scale):
        yield Diagnostic(
            code="PC384",
            message=f"the graph has log_scale {scale!r}",
            location=location,
            help="give a finite number, in nats, or leave it out",
        )


def total_findings(nodes: Iterable[Drawn], location: str) -> Iterator[Diagnostic]:
    """Errors for sums whose weights do not sum to one."""
    for node in nodes:
        weights = node.weights if node.kind == Kind.SUM else None
        if weights is not None and abs(math.fsum(weights) - 1.0) > TOLERANCE:
            yield Diagnostic(
                code="PC387",
                message=f"the weights of sum {node.key!r} sum to {math.fsum(weights):.9g}",
                location=location,
                help="give weights that sum to 1; or normalize=True, which divides them by their "
                "sum; or check=False and then the pass NormalizeWeights, which keeps the function",
            )
