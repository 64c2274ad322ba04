"""Builds circuits of vector nodes from objects of other packages.

Weights may be any non-negative numbers, and leaves may carry constants; ``log_scale`` makes up for
circuits that do not sum to one (`pccompiler.passes.rewriting.constants`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from pccompiler.errors import ImportFormatError
from pccompiler.imports.packages.domains import Leaf, fit, variable
from pccompiler.ir import Circuit, Kind, Variable, WeightTable
from pccompiler.ir.arrays import Float, Int, segments
from pccompiler.ir.circuit import select
from pccompiler.ir.kinds import PRODUCTS
from pccompiler.ir.topology import reachable
from pccompiler.passes import findings
from pccompiler.passes.rewriting.constants import Units, normalize

_MOST = 3
"""The most findings that are reported."""
T = TypeVar("T")


class Objects:
    """Vector nodes with given weights. Operands come before their nodes.

    Args:
        package: The package that the objects come from, for errors.
    """

    def __init__(self, package: str) -> None:
        self.package = package
        self.units: list[int] = []
        self._kinds: list[Kind] = []
        self._operands: list[Sequence[int]] = []
        self._labels: list[str] = []
        self._leaves: dict[int, Leaf] = {}
        self._tables: dict[int, Float] = {}
        self._ties: dict[int, int] = {}
        self._selected: dict[tuple[int, bytes], int] = {}

    def input(self, leaf: Leaf, label: str, tie: int | None = None) -> int:
        """Add a vector of leaves. Those with equal ``tie`` share one weight if possible."""
        node = self._add(Kind.INPUT, (), len(leaf.table), label, tie)
        self._leaves[node] = leaf
        return node

    def product(self, operands: Sequence[int], label: str) -> int:
        """Add an elementwise product; a single operand is returned itself."""
        if len(operands) == 1:
            return operands[0]
        self._equal_widths(operands, label)
        return self._add(Kind.PRODUCT, operands, self.units[operands[0]], label)

    def kronecker(self, operands: Sequence[int], label: str) -> int:
        """Add a Kronecker product, last operand fastest; a single operand is returned itself."""
        if len(operands) == 1:
            return operands[0]
        units = PRODUCTS[Kind.KRONECKER].units([self.units[j] for j in operands], label, None)
        return self._add(Kind.KRONECKER, operands, units, label)

    def sum(self, operands: Sequence[int], table: Float, label: str, tie: int | None = None) -> int:
        """Add a dense sum; ``table`` has shape (units, all units of operands)."""
        fan_in = sum(self.units[j] for j in operands)
        if table.ndim != 2 or table.shape[1] != fan_in or not table.size:
            shape = " x ".join(map(str, table.shape))
            raise self.fail(
                "PC743",
                f"{label} has weights of shape {shape}, but its operands have {fan_in} units",
                "give one row for each unit, with one weight for each unit of the operands",
            )
        node = self._add(Kind.SUM, operands, len(table), label, tie)
        self._tables[node] = table
        return node

    def select(self, node: int, units: Int) -> int:
        """A vector of some of a node's units, in any order and possibly repeated.

        Leaves are copied; other nodes get a sum with a single weight of 1 in each row.
        """
        if np.array_equal(units, np.arange(self.units[node])):
            return node
        key = (node, units.tobytes())
        if key not in self._selected:
            label = self._labels[node]
            if node in self._leaves:
                made = self.input(self._leaves[node].rows(units), label)
            else:
                made = self.sum([node], np.eye(self.units[node])[units], label)
            self._selected[key] = made
        return self._selected[key]

    def fail(self, code: str, message: str, way_out: str, notes: Iterable[str] = ()) -> Exception:
        """An error about these objects, for the caller to raise."""
        return ImportFormatError.of(code, f"{self.package}: {message}", notes=notes, help=way_out)

    def numbers(self, values: Any, what: str, *, least: float = 0.0) -> Float:
        """Values of another package (an array or a tensor) in float64.

        Raises:
            ImportFormatError: If one is complex, not finite, or below ``least``.
        """
        if hasattr(values, "detach"):  # a torch tensor
            values = values.detach().cpu().resolve_conj().numpy()
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise self.fail(
                "PC743",
                f"{what} are {'complex' if array.dtype.kind == 'c' else 'not numbers'}",
                "give a circuit whose parameters are real numbers",
            )
        table = array.astype(np.float64)
        bad = ~np.isfinite(table) | (table < least)
        if bad.any():
            raise self.fail(
                "PC743",
                f"{what} have {table[bad].flat[0]:g}",
                f"give finite{'' if least == -np.inf else ', non-negative'} numbers",
            )
        return table

    def circuit(self, root: int) -> Circuit:
        """The circuit below ``root``, normalized; variable v is named ``x{v+1}``.

        Raises:
            ImportFormatError: If the nodes do not form a valid circuit.
            CircuitError: If the function is 0 everywhere.
        """
        if self.units[root] != 1:
            raise self.fail(
                "PC746",
                f"{self._labels[root]}, the root, has {self.units[root]} units",
                "give a circuit with one output; make one circuit for each class",
            )
        whole, scales = self._assembled(root)
        keep = reachable(whole)
        leaves = scales[np.repeat(keep, whole.units)]
        made = select(whole, keep)
        self._check(made, apart_from="PC106")  # weights are normalized next
        result = normalize(made, leaves)
        self._check(result)
        return result

    def _assembled(self, root: int) -> tuple[Circuit, Float]:
        """All nodes, and the log-constants of all units."""
        found, place = self._variables()
        family, about = np.full((2, len(self.units)), -1)
        tables = dict(self._tables)
        offset, total = Units(segments(np.array(self.units))[:-1], sum(self.units))
        scales = np.zeros(total)
        for node, leaf in self._leaves.items():
            about[node] = place[leaf.variable]
            chosen, tables[node], log_scale = fit(leaf, found[about[node]])
            family[node] = chosen
            scales[offset[node] : offset[node] + len(log_scale)] = log_scale
        weight, values = self._weights(tables, family)
        labels, locations = np.unique(np.array(self._labels), return_inverse=True)
        whole = Circuit(
            variables=found,
            kind=np.array(self._kinds, np.int64),
            units=np.array(self.units, np.int64),
            pointer=segments(np.array([len(row) for row in self._operands], np.int64)),
            operands=np.array([j for row in self._operands for j in row], np.int64),
            family=family,
            variable=about,
            weight=weight,
            root=root,
            weights=WeightTable(
                np.array([len(table) for table in values], np.int64),
                np.array([table.shape[1] for table in values], np.int64),
                {},
                dict(enumerate(values)),
            ),
            location=locations,
            locations=tuple(f"{self.package} {label}" for label in labels.tolist()),
        )
        return whole, scales

    def _variables(self) -> tuple[tuple[Variable, ...], dict[int, int]]:
        """Variables in the order of their numbers, and the place of each number."""
        leaves: dict[int, list[Leaf]] = {}
        for leaf in self._leaves.values():
            leaves.setdefault(leaf.variable, []).append(leaf)
        numbers = sorted(leaves)
        found = tuple(variable(f"x{number + 1}", leaves[number]) for number in numbers)
        return found, {number: place for place, number in enumerate(numbers)}

    def _weights(self, tables: dict[int, Float], family: Int) -> tuple[Int, list[Float]]:
        """The weight of each node, and all weights; tied nodes with equal tables share a weight."""
        weight = np.full(len(self.units), -1)
        values: list[Float] = []
        known: dict[tuple[int, int, tuple[int, ...]], int] = {}
        for node, table in tables.items():
            key = (self._ties.get(node, -1 - node), int(family[node]), table.shape)
            if key not in known or not np.array_equal(values[known[key]], table):
                known[key] = len(values)
                values.append(table)
            weight[node] = known[key]
        return weight, values

    def _check(self, circuit: Circuit, apart_from: str = "") -> None:
        found = [f for f in findings(circuit) if f.code != apart_from]
        if found:
            raise ImportFormatError(
                replace(finding, code="PC745", help=finding.help) for finding in found[:_MOST]
            )

    def _equal_widths(self, operands: Sequence[int], label: str) -> None:
        widths = [self.units[j] for j in operands]
        if len(set(widths)) != 1:
            raise self.fail(
                "PC745",
                f"{label} multiplies vectors of {', '.join(map(str, widths[:5]))} units",
                "give an elementwise product operands of equal width",
            )

    def _add(
        self, kind: Kind, operands: Sequence[int], units: int, label: str, tie: int | None = None
    ) -> int:
        if kind != Kind.INPUT and not len(operands):
            raise self.fail("PC745", f"{label} has no children", "give it a child, or remove it")
        node = len(self.units)
        self.units.append(units)
        self._kinds.append(kind)
        self._operands.append(operands)
        self._labels.append(label)
        if tie is not None:
            self._ties[node] = tie
        return node


def children_first(root: T, children: Callable[[T], Sequence[T]], package: str) -> list[T]:
    """All objects under ``root``, each once, children before parents.

    Raises:
        ImportFormatError: If an object depends on itself.
    """
    order: list[T] = []
    done: set[int] = set()
    path = {id(root)}
    stack = [(root, iter(children(root)))]
    while stack:
        node, rest = stack[-1]
        child = next((child for child in rest if id(child) not in done), None)
        if child is None:
            stack.pop()
            order.append(node)
            done.add(id(node))
            path.discard(id(node))
        elif id(child) in path:
            raise ImportFormatError.of(
                "PC745",
                f"{package}: {child!r} depends on itself",
                help="break the cycle; circuits are acyclic",
            )
        else:
            path.add(id(child))
            stack.append((child, iter(children(child))))
    return order


def class_of(thing: object, package: str) -> str:
    """The name of an object's most specific class from ``package``; empty if there is none.

    Looks at module names only, so that the package need not be imported.
    """
    for kind in type(thing).__mro__:
        if kind.__module__ == package or kind.__module__.startswith(f"{package}."):
            return kind.__name__
    return ""


def stranger(thing: object, package: str, wanted: str) -> ImportFormatError:
    """The error about an object that is not from the package."""
    kind = type(thing)
    return ImportFormatError.of(
        "PC740",
        f"{kind.__module__}.{kind.__qualname__} is not a circuit of {package}",
        help=f"give {wanted}",
    )


def unsupported(what: str, name: str, package: str, supported: Iterable[str]) -> ImportFormatError:
    """The error about a type that has no counterpart here."""
    return ImportFormatError.of(
        "PC741",
        f"{package}: {what} of type {name} are not supported",
        notes=(f"supported are {', '.join(supported)}",),
        help="replace them, or see the list in docs/howto/imports.md",
    )
