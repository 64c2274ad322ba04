"""Circuits as NetworkX graphs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from pccompiler.errors import OptionError
from pccompiler.ir.arrays import ranges, segments
from pccompiler.ir.circuit import Circuit
from pccompiler.ir.families import Family
from pccompiler.ir.kinds import PRODUCTS, Kind
from pccompiler.ir.networks.nodes import Network

Key = str | int


def to_networkx(circuit: Circuit, *, scalar: bool = False) -> Network:
    """The circuit as a ``networkx.DiGraph``; `from_networkx` reads it back.

    A node's key is its name, or its id if it has none. A graph has at most one edge between two
    nodes, so an operand that occurs twice is repeated through a product of that one operand.
    Sectors and generator are omitted.

    Args:
        circuit: Any circuit.
        scalar: Write a vector node as one scalar node per unit, ``name[0]``, ``name[1]``, ...

    Raises:
        OptionError: If there are vector nodes and ``scalar`` is false.
    """
    wide = np.flatnonzero(circuit.units != 1)
    if len(wide) and not scalar:
        node = int(wide[0])
        raise OptionError.of(
            "PC392",
            f"{len(wide):,} of {circuit.num_nodes:,} nodes are vectors, such as "
            f"{circuit.label(node)} with {circuit.units[node]} units; a graph has scalar nodes",
            location=circuit.where(node),
            help="write each unit as a node: scalar=True",
        )
    writer = _Writer(circuit)
    for node in range(circuit.num_nodes):
        writer.write(node)
    drawn: Network = writer.graph
    return drawn


class _Unit(NamedTuple):
    """One unit of a node: its operands as unit numbers, and their weights if given."""

    operands: list[int]
    weights: list[float] | None


class _Writer:
    """Writes the graph node by node."""

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self.offset = segments(circuit.units)
        self.keys = _keys(circuit)
        root = self.keys[int(self.offset[circuit.root])]
        # networkx has no types, and loads slowly
        self.graph: Any = import_module("networkx").DiGraph(
            variables=circuit.variables, root=root, log_scale=circuit.log_scale
        )
        uses = np.bincount(circuit.weight[circuit.weight >= 0], minlength=len(circuit.weights))
        self.shared = uses > 1

    def write(self, node: int) -> None:
        """One graph node for each unit of ``node``, with its edges."""
        circuit = self.circuit
        leaf = circuit.kind[node] == Kind.INPUT
        for unit, (operands, weights) in enumerate(self._units(node)):
            key = self.keys[int(self.offset[node]) + unit]
            attributes: dict[str, Any] = {} if isinstance(key, str) else {"name": None}
            if leaf:
                attributes |= self._leaf(node, unit)
            else:
                product = circuit.kind[node] in PRODUCTS
                attributes["kind"] = "product" if product else "sum"
            shares = self._shares(node, unit)
            if shares is not None:
                attributes["shares"] = shares
            self.graph.add_node(key, **attributes)
            self._edges(key, operands, weights)

    def _edges(self, key: Key, operands: Sequence[int], weights: Sequence[float] | None) -> None:
        seen: set[int] = set()
        for position, operand in enumerate(operands):
            below = self.keys[operand]
            if operand in seen:
                again = f"{key}.again{position}"
                while again in self.graph:
                    again += "_"
                self.graph.add_node(again, kind="product")
                self.graph.add_edge(again, below)
                below = again
            seen.add(operand)
            attributes = {} if weights is None else {"weight": weights[position]}
            self.graph.add_edge(key, below, **attributes)

    def _shares(self, node: int, unit: int) -> Key | None:
        """A label for weights that have a name or several owners."""
        weight = int(self.circuit.weight[node])
        table = self.circuit.weights
        if weight < 0 or not (self.shared[weight] or weight in table.names):
            return None
        name = table.names.get(weight, weight)
        return name if table.rows[weight] == 1 else f"{name}[{unit}]"

    def _leaf(self, node: int, unit: int) -> dict[str, Any]:
        circuit = self.circuit
        family = circuit.family_of(node)
        said: dict[str, Any] = {
            "kind": "input",
            "variable": circuit.variables[int(circuit.variable[node])].name,
        }
        if family == Family.INDICATOR:
            return {**said, "family": "literal", "value": unit}
        said["family"] = family.keyword
        table = circuit.weights.values.get(int(circuit.weight[node]))
        return said if table is None else {**said, "parameters": table[unit].tolist()}

    def _units(self, node: int) -> Iterator[_Unit]:
        circuit = self.circuit
        operands = circuit.operands_of(node)
        kind, units = int(circuit.kind[node]), int(circuit.units[node])
        if kind == Kind.INPUT:
            yield from [_Unit([], None)] * units
        elif kind in PRODUCTS:
            for places in PRODUCTS[kind].places(circuit.units[operands].tolist()):
                yield _Unit((self.offset[operands] + places).tolist(), None)
        else:
            table = circuit.weights.values.get(int(circuit.weight[node]))
            below = ranges(self.offset[operands], circuit.units[operands])
            for unit in range(units):
                row = None if table is None else table[unit].tolist()
                one = below if kind == Kind.SUM else self.offset[operands] + unit
                yield _Unit(one.tolist(), row)


def _keys(circuit: Circuit) -> list[Key]:
    """A key for each unit: the node's name or id, and the unit if there are several."""
    keys: list[Key] = []
    taken: set[Key] = set(circuit.names.values())
    for node, units in enumerate(circuit.units.tolist()):
        base = circuit.names.get(node, node)
        if units == 1:
            keys.append(base)
            continue
        for unit in range(units):
            key = f"{base}[{unit}]"
            while key in taken:
                key += "_"
            taken.add(key)
            keys.append(key)
    return keys
