"""A list of nodes with their source lines, which expressions and networks are converted to.

`Builder` is for programs that add nodes as they go. Here the whole circuit is known in advance, and
each node has its name, weight and source line.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from heapq import heapify, heappop, heappush
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pccompiler.errors import CircuitError, OptionError
from pccompiler.ir.arrays import Float, segments
from pccompiler.ir.circuit import Circuit
from pccompiler.ir.families import Family
from pccompiler.ir.kinds import SUMS, Kind
from pccompiler.ir.names import is_name
from pccompiler.ir.node_table import WeightTable
from pccompiler.ir.sizes import CODE, MOST_UNITS, check_entries, wide
from pccompiler.ir.variables import Variable


class Entry(NamedTuple):
    """One node. ``share`` is the same for all nodes that share a weight; a name if it is one."""

    kind: Kind
    units: int
    operands: Sequence[int] = ()
    family: int = -1
    variable: int = -1
    values: Float | None = None
    share: Hashable = None
    name: str | None = None
    location: str = ""


class Ledger:
    """The entries added so far. Operands are numbers that `add` returned."""

    def __init__(self, variables: Sequence[Variable]) -> None:
        self.variables = tuple(variables)
        self.entries: list[Entry] = []
        self._weight: list[int] = []
        self._shapes: list[tuple[int, int]] = []
        self._names: dict[int, str] = {}
        self._values: dict[int, Float] = {}
        self._shared: dict[Hashable, int] = {}

    def add(self, entry: Entry) -> int:
        """Add one node; returns its id.

        Raises:
            OptionError: If it shares a weight with a different shape or different values.
            CircuitError: If it has too many units or weights.
        """
        if entry.units > MOST_UNITS:
            raise CircuitError.of(
                CODE,
                f"{entry.name or 'a node'} {wide(entry.units)}",
                location=entry.location or None,
                help="give it fewer units",
            )
        self._weight.append(self._find_weight(entry) if _parametric(entry) else -1)
        self.entries.append(entry)
        return len(self.entries) - 1

    def circuit(self, root: int, log_scale: float = 0.0) -> Circuit:
        """The circuit whose value is ``root``."""
        entries = self.entries
        lines = list(dict.fromkeys(entry.location for entry in entries))
        line = {text: number for number, text in enumerate(lines)}
        shapes = np.array(self._shapes, np.int64).reshape(-1, 2)
        return Circuit(
            variables=self.variables,
            kind=np.array([entry.kind for entry in entries]),
            units=np.array([entry.units for entry in entries]),
            pointer=segments(np.array([len(entry.operands) for entry in entries])),
            operands=np.array([o for entry in entries for o in entry.operands], np.int64),
            family=np.array([entry.family for entry in entries]),
            variable=np.array([entry.variable for entry in entries]),
            weight=np.array(self._weight),
            root=root,
            weights=WeightTable(shapes[:, 0], shapes[:, 1], self._names, self._values),
            names={i: entry.name for i, entry in enumerate(entries) if entry.name is not None},
            location=np.array([line[entry.location] for entry in entries]),
            locations=tuple(lines),
            log_scale=log_scale,
        )

    def _find_weight(self, entry: Entry) -> int:
        weight = -1 if entry.share is None else self._shared.get(entry.share, -1)
        shape = (entry.units, self._columns(entry))
        if weight < 0:
            check_entries(*shape, entry.name or "a node", entry.location or None)
            weight = len(self._shapes)
            self._shapes.append(shape)
            if entry.share is not None:
                self._shared[entry.share] = weight
            if isinstance(entry.share, str) and is_name(entry.share) and not entry.share.isdigit():
                self._names[weight] = entry.share
        self._agree(weight, shape, entry)
        if entry.values is not None:
            self._values[weight] = entry.values
        return weight

    def _columns(self, entry: Entry) -> int:
        if entry.kind == Kind.INPUT:
            return Family(entry.family).columns(self.variables[entry.variable])
        if entry.kind == Kind.MIXTURE:
            return len(entry.operands)
        return sum(self.entries[operand].units for operand in entry.operands)

    def _agree(self, weight: int, shape: tuple[int, int], entry: Entry) -> None:
        known = self._values.get(weight, entry.values)
        same = known is None or entry.values is None or np.array_equal(known, entry.values)
        if same and self._shapes[weight] == shape:
            return
        wanted = " x ".join(map(str, self._shapes[weight]))
        found = "different values"
        if self._shapes[weight] != shape:
            found = f"shape {shape[0]} x {shape[1]}"
        raise OptionError.of(
            "PC380",
            f"{'a node' if entry.name is None else entry.name} shares weight {entry.share!r}, "
            f"which has shape {wanted}, and gives it {found}",
            location=entry.location or None,
            help="share a weight between nodes of the same shape, and give its values once",
        )


def _parametric(entry: Entry) -> bool:
    return entry.kind in SUMS or (entry.kind == Kind.INPUT and entry.family != Family.INDICATOR)


def literal(variable: Variable, state: int) -> tuple[Family, Float]:
    """The distribution that is 1 where ``variable`` has ``state``: a family and its parameters."""
    if variable.cardinality == 2:
        return Family.BERNOULLI, np.array([[float(state)]])
    table = np.zeros((1, variable.cardinality))
    table[0, state] = 1.0
    return Family.CATEGORICAL, table


def mend_names(keys: Iterable[Hashable]) -> list[str]:
    """A distinct, valid name for each of ``keys``, as close to the key as possible."""
    found: list[str] = []
    taken: set[str] = set()
    again: dict[str, int] = {}
    for key in keys:
        base = str(key)
        if not is_name(base):
            base = re.sub(r"[^A-Za-z0-9_.\-\[\]]+", "_", base).strip("_") or "node"
        name = base = f"n{base}" if base.isdigit() else base
        while name in taken:
            again[base] = again.get(base, 1) + 1
            name = f"{base}_{again[base]}"
        taken.add(name)
        found.append(name)
    return found


def topological(operands: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Node numbers, operands first, otherwise in the given order; omits nodes above a cycle."""
    users: list[list[int]] = [[] for _ in operands]
    waiting = [len(row) for row in operands]
    for node, row in enumerate(operands):
        for operand in row:
            users[operand].append(node)
    ready = [node for node, number in enumerate(waiting) if number == 0]
    heapify(ready)
    order: list[int] = []
    while ready:
        node = heappop(ready)
        order.append(node)
        for user in users[node]:
            waiting[user] -= 1
            if waiting[user] == 0:
                heappush(ready, user)
    return np.array(order, np.int64)
