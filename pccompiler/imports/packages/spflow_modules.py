"""Reads the modules of SPFlow 1 (`spflow`), without importing it.

The output of a module has features, channels and repetitions. Here each feature and repetition is a
vector node with one unit per channel, or several such nodes side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pccompiler.imports.packages.domains import Leaf
from pccompiler.imports.packages.vector_nodes import Objects, children_first, class_of, unsupported
from pccompiler.ir import Circuit, Family
from pccompiler.ir.circuit import Float

PACKAGE = "spflow"
_NAME = "SPFlow"
Cell = tuple[int, ...]
"""Nodes whose units, side by side, are the channels."""
Grid = list[list[Cell]]
"""Cells by feature and repetition; all features have equally many repetitions."""


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
            f"{_label(module)}, the root, has {shape}",
            "give a module with one output: multiply features and mix repetitions",
        )
    return objects.circuit(_joined(objects, found[0][0][0], _label(module)))


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
    if kind in _LEAVES:
        return [_leaf(objects, module, kind)]
    if kind not in _INNER:
        raise unsupported("modules", kind or type(module).__qualname__, _NAME, (*_INNER, *_LEAVES))
    return _INNER[kind](objects, module, below)


def _label(module: Any) -> str:
    return type(module).__name__


def _numbers(objects: Objects, values: Any, label: str, shape: tuple[int, ...] = ()) -> Float:
    table = objects.numbers(values, f"the parameters of {label}", least=-np.inf)
    if shape and table.shape[: len(shape)] != shape:
        raise objects.fail(
            "PC743",
            f"{label} has parameters of shape {table.shape}, not {shape}",
            "give one for each feature, channel and repetition",
        )
    return table


def _softmax(logits: Float, axis: int) -> Float:
    shifted = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=axis, keepdims=True))


def _sigmoid(logits: Float) -> Float:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)))


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


def _leaf(objects: Objects, module: Any, kind: str) -> Grid:
    label = _label(module)
    if getattr(module, "parameter_fn", None) is not None:
        raise objects.fail(
            "PC741", f"{label} is conditional on a network", "give it parameters of its own"
        )
    scope = [int(variable) for variable in module.scope.query]
    family, table = _LEAVES[kind](objects, module, label)
    while table.ndim < 4:  # channels and repetitions may be left out
        table = np.expand_dims(table, -2)
    if len(table) != len(scope):
        raise objects.fail(
            "PC743",
            f"{label} has {len(table)} features for {len(scope)} variables",
            "give one feature for each variable",
        )
    trials = _trials(objects, module, label) if family == Family.BINOMIAL else 0
    return [
        [
            (objects.input(Leaf(family, variable, table[f, :, r], trials=trials), label),)
            for r in range(table.shape[2])
        ]
        for f, variable in enumerate(scope)
    ]


def _trials(objects: Objects, module: Any, label: str) -> int:
    counts = np.unique(_numbers(objects, module.total_count, label))
    if len(counts) != 1:
        raise objects.fail("PC741", f"{label} has unequal total counts", "give all the same")
    return int(counts[0])


def _bernoulli(objects: Objects, module: Any, label: str) -> tuple[Family, Float]:
    return Family.BERNOULLI, _sigmoid(_numbers(objects, module.logits, label))[..., None]


def _binomial(objects: Objects, module: Any, label: str) -> tuple[Family, Float]:
    return Family.BINOMIAL, _sigmoid(_numbers(objects, module.logits, label))[..., None]


def _categorical(objects: Objects, module: Any, label: str) -> tuple[Family, Float]:
    return Family.CATEGORICAL, _softmax(_numbers(objects, module.logits, label), -1)


def _normal(objects: Objects, module: Any, label: str) -> tuple[Family, Float]:
    mean = _numbers(objects, module.loc, label)
    deviation = np.exp(_numbers(objects, module.log_scale, label, mean.shape))
    return Family.GAUSSIAN, np.stack([mean, deviation], axis=-1)


def _poisson(objects: Objects, module: Any, label: str) -> tuple[Family, Float]:
    return Family.POISSON, np.exp(_numbers(objects, module.log_rate, label))[..., None]


def _sum(objects: Objects, module: Any, below: list[Grid]) -> list[Grid]:
    """Weights by feature, channel below, channel and repetition."""
    label, (grid,) = _label(module), below
    weights = _softmax(_numbers(objects, module.logits, label, (len(grid),)), 1)
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
    label = _label(module)
    weights = _softmax(_numbers(objects, module.logits, label, (len(below[0]),)), 3)
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
    label, (grid,) = _label(module), below
    weights = _softmax(_numbers(objects, module.logits, label, (len(grid),)), 2)
    result: Grid = []
    for f in range(len(grid)):
        cells = [_at(grid, f, r) for r in range(weights.shape[2])]
        table = np.concatenate([np.diag(weights[f, :, r]) for r in range(weights.shape[2])], axis=1)
        operands = [node for cell in cells for node in cell]
        result.append([(objects.sum(operands, table, label),)])
    return [result]


def _product(objects: Objects, module: Any, below: list[Grid]) -> list[Grid]:
    """Multiplies all features."""
    label, (grid,) = _label(module), below
    row: list[Cell] = []
    for r in range(_repetitions(below)):
        nodes = [_joined(objects, _at(grid, f, r), label) for f in range(len(grid))]
        row.append((objects.product(nodes, label),))
    return [[row]]


def _elementwise_product(objects: Objects, module: Any, below: list[Grid]) -> list[Grid]:
    """Multiplies feature by feature and channel by channel; a single channel is broadcast."""
    label = _label(module)

    def multiply(nodes: list[int]) -> int:
        width = max(objects.units[node] for node in nodes)
        same = np.zeros(width, np.int64)
        wide = [n if objects.units[n] == width else objects.select(n, same) for n in nodes]
        return objects.product(wide, label)

    return [_combined(objects, below, label, multiply)]


def _outer_product(objects: Objects, module: Any, below: list[Grid]) -> list[Grid]:
    """Multiplies all pairs of channels, feature by feature; the last input varies fastest."""
    label = _label(module)
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
    label, (grid,) = _label(module), below
    chosen = _numbers(objects, module.indices, label, (len(grid),)) > 0.0
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


_LEAVES: dict[str, Callable[[Objects, Any, str], tuple[Family, Float]]] = {
    "Bernoulli": _bernoulli,
    "Binomial": _binomial,
    "Categorical": _categorical,
    "Normal": _normal,
    "Poisson": _poisson,
}
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
