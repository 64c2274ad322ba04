"""Reads the modules of SPFlow 1 (`spflow`), without importing it.

The output of a module has features, channels and repetitions. Here each feature and repetition is a
vector node with one unit per channel, or several such nodes side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pccompiler.imports.packages.spflow.leaves import (
    LEAVES,
    Cell,
    Grid,
    leaf,
    name_of,
    numbers,
    softmax,
)
from pccompiler.imports.packages.vector_nodes import Objects, children_first, class_of, unsupported
from pccompiler.ir import Circuit
from pccompiler.ir.arrays import Float

PACKAGE = "spflow"
_NAME = "SPFlow"


def from_modules(module: Any) -> Circuit:
    """The circuit of a module of SPFlow 1 and all below it; see `from_spflow`."""
    objects = Objects(_NAME)
    made: dict[int, list[Grid]] = {}
    for each in children_first(module, _children, _NAME):
        made[id(each)] = _make(
            objects, each, [grid for c in _children(each) for grid in made[id(c)]]
        )
    found = made[id(module)]
    if len(found) != 1 or len(found[0]) != 1 or len(found[0][0]) != 1:
        shape = f"{len(found[0])} features and {len(found[0][0])} repetitions"
        raise objects.fail(
            "PC746",
            f"{name_of(module)}, the root, has {shape}",
            "give a module with one output: multiply features and mix repetitions",
        )
    return objects.circuit(_joined(objects, found[0][0][0], name_of(module)))


def _children(module: Any) -> list[Any]:
    if hasattr(module, "root_node"):  # a model like RatSPN
        return [module.root_node]
    inputs = getattr(module, "inputs", None)
    if inputs is None:
        return []
    return [inputs] if class_of(inputs, PACKAGE) else list(inputs)


def _make(objects: Objects, module: Any, below: list[Grid]) -> list[Grid]:
    kind = class_of(module, PACKAGE)
    if hasattr(module, "root_node"):
        return below
    if kind in LEAVES:
        return [leaf(objects, module, kind)]
    if kind not in _INNER:
        raise unsupported("modules", kind or type(module).__qualname__, _NAME, (*_INNER, *LEAVES))
    return _INNER[kind](objects, module, below)


def _at(grid: Grid, feature: int, repetition: int) -> Cell:
    """A cell; a single repetition is broadcast."""
    row = grid[feature]
    return row[repetition] if len(row) > 1 else row[0]


def _joined(objects: Objects, cell: Cell, label: str) -> int:
    """One node with all channels."""
    if len(cell) == 1:
        return cell[0]
    return objects.sum(cell, np.eye(sum(objects.units[node] for node in cell)), label)


def _repetitions(grids: Sequence[Grid]) -> int:
    return max(len(grid[0]) for grid in grids)


def _sum(objects: Objects, module: Any, below: list[Grid]) -> list[Grid]:
    """Weights by feature, channel below, channel and repetition."""
    label, (grid,) = name_of(module), below
    weights = softmax(numbers(objects, module.logits, label, (len(grid),)), 1)
    return [
        [
            [
                (objects.sum(_at(grid, f, r), weights[f, :, :, r].T, label),)
                for r in range(weights.shape[3])
            ]
            for f in range(len(grid))
        ]
    ]


def _elementwise_sum(objects: Objects, module: Any, below: list[Grid]) -> list[Grid]:
    """Weights by feature, channel below, sum, input and repetition."""
    label = name_of(module)
    weights = softmax(numbers(objects, module.logits, label, (len(below[0]),)), 3)
    _, channels, sums, inputs, repetitions = weights.shape
    if inputs != len(below):
        raise objects.fail(
            "PC743", f"{label} has weights for {inputs} inputs, not {len(below)}", "give one each"
        )
    result: Grid = []
    for f in range(len(below[0])):
        row: list[Cell] = []
        for r in range(repetitions):
            cells = [_at(grid, f, r) for grid in below]
            blocks: list[Float] = []
            for i, cell in enumerate(cells):
                width = sum(objects.units[node] for node in cell)
                block = np.zeros((channels, sums, width))
                column = np.zeros(channels, np.int64) if width == 1 else np.arange(channels)
                block[np.arange(channels), :, column] = weights[f, :, :, i, r]
                blocks.append(block.reshape(channels * sums, width))
            operands = [node for cell in cells for node in cell]
            row.append((objects.sum(operands, np.concatenate(blocks, axis=1), label),))
        result.append(row)
    return [result]


def _mixing(objects: Objects, module: Any, below: list[Grid]) -> list[Grid]:
    """Mixes repetitions, with weights by feature, channel and repetition."""
    label, (grid,) = name_of(module), below
    weights = softmax(numbers(objects, module.logits, label, (len(grid),)), 2)
    result: Grid = []
    for f in range(len(grid)):
        cells = [_at(grid, f, r) for r in range(weights.shape[2])]
        table = np.concatenate([np.diag(weights[f, :, r]) for r in range(weights.shape[2])], axis=1)
        operands = [node for cell in cells for node in cell]
        result.append([(objects.sum(operands, table, label),)])
    return [result]


def _product(objects: Objects, module: Any, below: list[Grid]) -> list[Grid]:
    """Multiplies all features."""
    label, (grid,) = name_of(module), below
    row: list[Cell] = []
    for r in range(_repetitions(below)):
        nodes = [_joined(objects, _at(grid, f, r), label) for f in range(len(grid))]
        row.append((objects.product(nodes, label),))
    return [[row]]


def _elementwise_product(objects: Objects, module: Any, below: list[Grid]) -> list[Grid]:
    """Multiplies feature by feature and channel by channel; a single channel is broadcast."""
    label = name_of(module)

    def multiply(nodes: list[int]) -> int:
        width = max(objects.units[node] for node in nodes)
        same = np.zeros(width, np.int64)
        wide = [n if objects.units[n] == width else objects.select(n, same) for n in nodes]
        return objects.product(wide, label)

    return [_combined(objects, below, label, multiply)]


def _outer_product(objects: Objects, module: Any, below: list[Grid]) -> list[Grid]:
    """Multiplies all pairs of channels, feature by feature; the last input varies fastest."""
    label = name_of(module)
    return [_combined(objects, below, label, lambda nodes: objects.kronecker(nodes, label))]


def _combined(
    objects: Objects, below: list[Grid], label: str, multiply: Callable[[list[int]], int]
) -> Grid:
    if len({len(grid) for grid in below}) != 1:
        raise objects.fail(
            "PC745", f"{label} multiplies unequal numbers of features", "give equal numbers"
        )
    return [
        [
            (multiply([_joined(objects, _at(grid, f, r), label) for grid in below]),)
            for r in range(_repetitions(below))
        ]
        for f in range(len(below[0]))
    ]


def _concatenated(objects: Objects, module: Any, below: list[Grid]) -> list[Grid]:
    """Concatenates features, or channels."""
    repetitions = range(_repetitions(below))
    if module.dim == 1:
        return [[[_at(g, f, r) for r in repetitions] for g in below for f in range(len(g))]]
    if module.dim != 2 or len({len(grid) for grid in below}) != 1:
        raise objects.fail(
            "PC741", f"Cat along dimension {module.dim} is not supported", "use dimension 1 or 2"
        )
    features = range(len(below[0]))
    return [
        [[tuple(n for g in below for n in _at(g, f, r)) for r in repetitions] for f in features]
    ]


def _factorized(objects: Objects, module: Any, below: list[Grid]) -> list[Grid]:
    """Multiplies groups of features; ``indices`` go by feature below, feature and repetition."""
    label, (grid,) = name_of(module), below
    chosen = numbers(objects, module.indices, label, (len(grid),)) > 0.0
    if not chosen.any(axis=0).all():
        raise objects.fail("PC741", f"{label} has a feature without variables", "use less depth")
    result: Grid = []
    for f in range(chosen.shape[1]):
        row: list[Cell] = []
        for r in range(chosen.shape[2]):
            parts = np.flatnonzero(chosen[:, f, r]).tolist()
            nodes = [_joined(objects, _at(grid, part, r), label) for part in parts]
            row.append((objects.product(nodes, label),))
        result.append(row)
    return [result]


def _consecutive(_objects: Objects, module: Any, below: list[Grid]) -> list[Grid]:
    (grid,) = below
    size = max(len(grid) // int(module.num_splits), 1)
    return [grid[start : start + size] for start in range(0, len(grid), size)]


def _interleaved(_objects: Objects, module: Any, below: list[Grid]) -> list[Grid]:
    (grid,) = below
    return [grid[start :: int(module.num_splits)] for start in range(int(module.num_splits))]


_INNER: dict[str, Callable[[Objects, Any, list[Grid]], list[Grid]]] = {
    "Sum": _sum,
    "ElementwiseSum": _elementwise_sum,
    "RepetitionMixingLayer": _mixing,
    "Product": _product,
    "ElementwiseProduct": _elementwise_product,
    "OuterProduct": _outer_product,
    "Cat": _concatenated,
    "Factorize": _factorized,
    "SplitConsecutive": _consecutive,
    "SplitInterleaved": _interleaved,
}
