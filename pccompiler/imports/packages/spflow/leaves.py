"""Leaves of SPFlow 1: families and their parameters, by feature, channel and repetition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pccompiler.imports.packages.domains import Leaf
from pccompiler.imports.packages.vector_nodes import Objects
from pccompiler.ir import Family
from pccompiler.ir.arrays import Float

Cell = tuple[int, ...]
"""Nodes whose units, side by side, are the channels."""
Grid = list[list[Cell]]
"""Cells by feature and repetition; all features have equally many repetitions."""


def name_of(module: Any) -> str:
    """The module's name in messages."""
    return type(module).__name__


def numbers(objects: Objects, values: Any, label: str, shape: tuple[int, ...] = ()) -> Float:
    """Parameters as an array, whose shape begins with ``shape``."""
    table = objects.numbers(values, f"the parameters of {label}", least=-np.inf)
    if shape and table.shape[: len(shape)] != shape:
        raise objects.fail(
            "PC743",
            f"{label} has parameters of shape {table.shape}, not {shape}",
            "give one for each feature, channel and repetition",
        )
    return table


def softmax(logits: Float, axis: int) -> Float:
    """Positive numbers that sum to one along ``axis``."""
    shifted = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=axis, keepdims=True))


def _sigmoid(logits: Float) -> Float:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)))


def leaf(objects: Objects, module: Any, kind: str) -> Grid:
    """The inputs of a module of leaves."""
    label = name_of(module)
    if getattr(module, "parameter_fn", None) is not None:
        raise objects.fail(
            "PC741", f"{label} is conditional on a network", "give it parameters of its own"
        )
    scope = [int(variable) for variable in module.scope.query]
    family, table = LEAVES[kind](objects, module, label)
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
    counts = np.unique(numbers(objects, module.total_count, label))
    if len(counts) != 1:
        raise objects.fail("PC741", f"{label} has unequal total counts", "give all the same")
    return int(counts[0])


def _bernoulli(objects: Objects, module: Any, label: str) -> tuple[Family, Float]:
    return Family.BERNOULLI, _sigmoid(numbers(objects, module.logits, label))[..., None]


def _binomial(objects: Objects, module: Any, label: str) -> tuple[Family, Float]:
    return Family.BINOMIAL, _sigmoid(numbers(objects, module.logits, label))[..., None]


def _categorical(objects: Objects, module: Any, label: str) -> tuple[Family, Float]:
    return Family.CATEGORICAL, softmax(numbers(objects, module.logits, label), -1)


def _normal(objects: Objects, module: Any, label: str) -> tuple[Family, Float]:
    mean = numbers(objects, module.loc, label)
    deviation = np.exp(numbers(objects, module.log_scale, label, mean.shape))
    return Family.GAUSSIAN, np.stack([mean, deviation], axis=-1)


def _poisson(objects: Objects, module: Any, label: str) -> tuple[Family, Float]:
    return Family.POISSON, np.exp(numbers(objects, module.log_rate, label))[..., None]


LEAVES: dict[str, Callable[[Objects, Any, str], tuple[Family, Float]]] = {
    "Bernoulli": _bernoulli,
    "Binomial": _binomial,
    "Categorical": _categorical,
    "Normal": _normal,
    "Poisson": _poisson,
}
