"""Circuits from NetworkX graphs, written by `to_networkx` or by hand.

Edges go from a node to its operands. `from_networkx` reads what `to_networkx` writes:

| attribute | of | meaning |
|---|---|---|
| ``kind`` | node | ``"sum"``, ``"product"`` or ``"input"``; or ``type`` instead |
| ``weight`` | edge of a sum | the weight of the operand; on all edges of a sum or none |
| ``variable`` | leaf | a name, or a column |
| ``family`` | leaf | ``"literal"``, ``"bernoulli"``, ``"categorical"``, ``"gaussian"``, ... |
| ``parameters``, ``p`` | leaf | its parameters; if omitted, they are trained |
| ``value`` | literal | the state where it is 1 |
| ``shares`` | sum or leaf | nodes with the same value share their weight |
| ``name`` | node | its name in the circuit, if it differs from its key; ``None`` for none |
| ``variables`` | graph | the variables in order, `Variable` or names |
| ``root``, ``log_scale`` | graph | the root, if several nodes have no consumer; the scale |
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np

from pccompiler.errors import Diagnostic, OptionError
from pccompiler.ir.build.node_list import Entry, Ledger, mend_names, topological
from pccompiler.ir.circuit import Circuit
from pccompiler.ir.kinds import Kind
from pccompiler.ir.locations import caller
from pccompiler.ir.networks.leaves import Leaves, Use
from pccompiler.ir.networks.nodes import (
    Drawn,
    Network,
    node_findings,
    read_nodes,
    scale_findings,
    total_findings,
)
from pccompiler.ir.networks.write import to_networkx
from pccompiler.ir.variables import Variable

__all__ = ["Network", "from_networkx", "to_networkx"]


def from_networkx(
    graph: Network,
    *,
    root: Hashable = None,
    variables: Sequence[Variable | str] | None = None,
    normalize: bool = False,
    check: bool = True,
) -> Circuit:
    """The circuit described by a directed acyclic graph, with one scalar node per graph node.

    Args:
        graph: A ``networkx.DiGraph``, edges from a node to its operands; attributes as above.
            Nodes may be any hashable objects; names that a circuit cannot hold are changed.
        root: By default the graph attribute ``root``, otherwise the only node without a consumer.
            Nodes that it does not depend on are omitted.
        variables: By default the graph attribute ``variables``, otherwise those of the leaves, in
            order of the nodes.
        normalize: Divide the weights of each sum by their sum.
        check: Whether weights must sum to 1. Without it, `NormalizeWeights` can make the circuit
            well-formed without changing its function.

    Raises:
        OptionError: With all errors found, by the names of the graph's nodes.

    Example:
        >>> import networkx
        >>> graph = networkx.DiGraph()
        >>> graph.add_node("mild", variable="rain", p=0.1)
        >>> graph.add_node("wild", variable="rain", p=0.8)
        >>> graph.add_edge("weather", "mild", weight=0.75)
        >>> graph.add_edge("weather", "wild", weight=0.25)
        >>> print(from_networkx(graph))
        circuit over 1 variables: 3 nodes (2 input, 1 sum), 3 units, 2 edges, depth 1, \
4 entries in 3 weights
    """
    location = caller()
    if not graph.is_directed():
        raise OptionError.of(
            "PC398",
            "the edges of the graph have no direction",
            location=location,
            help="give a networkx.DiGraph, with edges from a node to its operands",
        )
    nodes = read_nodes(graph)
    declared = graph.graph.get("variables") if variables is None else variables
    leaves = Leaves(declared, location)
    uses = leaves.read(nodes)
    scale = graph.graph.get("log_scale", 0.0)
    findings = [*node_findings(nodes, location), *leaves.findings, *scale_findings(scale, location)]
    if check and not normalize and not findings:
        findings += total_findings(nodes, location)
    _refuse(findings)
    order, top = _order(nodes, graph.graph.get("root") if root is None else root, location)
    return _write(nodes, uses, leaves, order, top, normalize, float(scale))


def _refuse(findings: Sequence[Diagnostic], most: int = 20) -> None:
    if not findings:
        return
    shown = list(findings[:most])
    if len(findings) > most:
        last = shown[-1]
        more = f"and {len(findings) - most} more findings"
        shown[-1] = Diagnostic(
            code=last.code,
            message=last.message,
            location=last.location,
            notes=(*last.notes, more),
            help=last.help,
        )
    raise OptionError(shown)


def _order(nodes: Sequence[Drawn], root: Hashable, location: str) -> tuple[list[int], int]:
    """The nodes under the root, operands first, and the root."""
    order = topological([node.operands for node in nodes])
    if len(order) < len(nodes):
        raise _cycle(nodes, set(order.tolist()), location)
    top = _root(nodes, root, location)
    seen = np.zeros(len(nodes), np.bool_)
    seen[top] = True
    for node in order[::-1].tolist():
        if seen[node]:
            seen[nodes[node].operands] = True
    return order[seen[order]].tolist(), top


def _root(nodes: Sequence[Drawn], root: Hashable, location: str) -> int:
    if root is not None:
        found = [i for i, node in enumerate(nodes) if _is(node.key, root)]
        what = f"the root {root!r} is not a node of the graph"
        way_out = "name one of its nodes"
    else:
        used = {operand for node in nodes for operand in node.operands}
        found = [i for i in range(len(nodes)) if i not in used]
        keys = ", ".join(repr(nodes[i].key) for i in found[:5]) + ", ..." * (len(found) > 5)
        what = f"{len(found)} nodes could be the root: {keys}" if found else "the graph is empty"
        way_out = "name one: root=...; or add a node above them" if found else "add nodes"
    if len(found) != 1:
        raise OptionError.of("PC382", what, location=location, help=way_out)
    return found[0]


def _is(key: Hashable, root: Hashable) -> bool:
    try:
        return hash(key) == hash(root) and key == root
    except TypeError:  # an unhashable object cannot be a node
        return False


def _cycle(nodes: Sequence[Drawn], done: set[int], location: str) -> OptionError:
    """Walk down among nodes that cannot be ordered until one repeats."""
    path: list[int] = []
    node = next(i for i in range(len(nodes)) if i not in done)
    while node not in path:
        path.append(node)
        node = next(operand for operand in nodes[node].operands if operand not in done)
    cycle = [repr(nodes[i].key) for i in [*path[path.index(node) :], node]]
    shown = cycle if len(cycle) < 12 else [*cycle[:6], "...", *cycle[-5:]]
    return OptionError.of(
        "PC381",
        "the graph has a cycle: " + " -> ".join(shown),
        location=location,
        help="a node cannot depend on itself: remove one of these edges",
    )


def _write(
    nodes: Sequence[Drawn],
    uses: Sequence[Use],
    leaves: Leaves,
    order: Sequence[int],
    root: int,
    normalize: bool,
    log_scale: float,
) -> Circuit:
    use_of = {id(use.node): use for use in uses}
    keys = [nodes[i].attributes.get("name", nodes[i].key) for i in order]
    named = [key for key in keys if key is not None]
    names = iter(mend_names(named))
    ledger = Ledger(leaves.variables)
    new_id: dict[int, int] = {}
    for i, key in zip(order, keys, strict=True):
        node, name = nodes[i], None if key is None else next(names)
        below = [new_id[operand] for operand in node.operands]
        if id(node) in use_of:
            entry = _leaf(use_of[id(node)], leaves, name)
        else:
            entry = _inner(node, below, name, leaves.location, normalize)
        new_id[i] = ledger.add(entry)
    return ledger.circuit(new_id[root], log_scale)


def _leaf(use: Use, leaves: Leaves, name: str | None) -> Entry:
    family, values = leaves.parameters(use)
    return Entry(
        Kind.INPUT,
        1,
        family=family,
        variable=leaves.place(use.variable),
        values=values,
        share=use.node.attributes.get("shares"),
        name=name,
        location=leaves.location,
    )


def _inner(
    node: Drawn, below: Sequence[int], name: str | None, location: str, normalize: bool
) -> Entry:
    weights = node.weights
    if weights is not None and normalize:
        total = math.fsum(weights)
        weights = [weight / total for weight in weights] if total > 0 else weights
    return Entry(
        Kind.SUM if node.kind is None else node.kind,
        1,
        below,
        values=None if weights is None else np.array([weights]),
        share=node.attributes.get("shares"),
        name=name,
        location=location,
    )
