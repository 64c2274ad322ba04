"""Reads circuits of SPFlow 0.0 (`spn`), and dispatches those of SPFlow 1, without importing it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pccompiler.imports.packages.domains import Leaf
from pccompiler.imports.packages.spflow.modules import PACKAGE as MODULES
from pccompiler.imports.packages.spflow.modules import from_modules
from pccompiler.imports.packages.vector_nodes import (
    Objects,
    children_first,
    class_of,
    stranger,
    unsupported,
)
from pccompiler.imports.packages.versions import reading
from pccompiler.ir import Circuit, Family
from pccompiler.ir.arrays import Float
from pccompiler.limits import current

PACKAGE = "spn"
_NAME = "SPFlow"


@reading(_NAME)
def from_spflow(node: Any) -> Circuit:
    """The circuit of an SPFlow node or module and everything below it.

    SPFlow 1: sums, elementwise sums, products of all kinds, concatenations, splits, factorizations,
    mixtures of repetitions, `RatSPN`, and Bernoulli, Binomial, Categorical, Normal and Poisson
    leaves. Channels become units.

    SPFlow 0.0: sums, products, and Bernoulli, Categorical, Gaussian, Poisson and Histogram leaves,
    as a scalar circuit. Variable v of a scope becomes ``x{v+1}``; columns are in this order.
    Weights of sums need not sum to one: ``log_scale`` has the rest. A histogram of a discrete
    variable with integer breaks becomes categorical. SPFlow raises histogram densities to a
    minimum, even if they are 0; here 0 stays 0.

    Args:
        node: An ``spn.structure.Base.Node`` or ``spflow.modules.Module`` (an untyped object).

    Raises:
        ImportFormatError: Names the node that has no counterpart or is wrong.

    Source:
        Molina et al. (2019), "SPFlow: An Easy and Extensible Library for Deep Probabilistic
        Learning using Sum-Product Networks".
    """
    if class_of(node, MODULES) and hasattr(node, "scope"):
        return from_modules(node)
    if not class_of(node, PACKAGE) or not hasattr(node, "scope"):
        raise stranger(node, _NAME, "a node of SPFlow 0.0, or a module of SPFlow 1")
    objects = Objects(_NAME)
    made: dict[int, int] = {}
    for each in children_first(node, _children, _NAME):
        made[id(each)] = _make(objects, each, made)
    return objects.circuit(made[id(node)])


def _children(node: Any) -> list[Any]:
    return list(getattr(node, "children", ()))


def _make(objects: Objects, node: Any, made: dict[int, int]) -> int:
    kind = class_of(node, PACKAGE)
    label = _label(node)
    if kind == "Product":
        return objects.product([made[id(child)] for child in node.children], label)
    if kind == "Sum":
        weights = objects.numbers(node.weights, f"the weights of {label}")
        return objects.sum([made[id(child)] for child in node.children], weights[None], label)
    if kind not in _LEAVES:
        raise unsupported(
            "nodes", kind or type(node).__qualname__, _NAME, ("Sum", "Product", *_LEAVES)
        )
    if len(node.scope) != 1:
        raise objects.fail(
            "PC741",
            f"leaf {label} is over {len(node.scope)} variables",
            "give leaves over one variable",
        )
    return objects.input(_LEAVES[kind](objects, node, label), label)


def _label(node: Any) -> str:
    return str(getattr(node, "name", type(node).__name__))


def _scalars(objects: Objects, values: list[Any], label: str, least: float = 0.0) -> Float:
    """Parameters of one leaf, shape (1, parameters)."""
    if any(value is None for value in values):
        raise objects.fail("PC742", f"{label} has no parameters", "fit it to data first")
    return objects.numbers(values, f"the parameters of {label}", least=least).reshape(1, -1)


def _bernoulli(objects: Objects, node: Any, label: str) -> Leaf:
    table = _scalars(objects, [node.p], label)
    if table.max() > 1.0:
        raise objects.fail(
            "PC743", f"{label} has probability {table.max():g}", "give one from 0 to 1"
        )
    return Leaf(Family.BERNOULLI, int(node.scope[0]), table)


def _categorical(objects: Objects, node: Any, label: str) -> Leaf:
    values = [None] if node.p is None else list(node.p)
    return Leaf(Family.CATEGORICAL, int(node.scope[0]), _scalars(objects, values, label))


def _gaussian(objects: Objects, node: Any, label: str) -> Leaf:
    table = _scalars(objects, [node.mean, node.stdev], label, -np.inf)
    if table[0, 1] <= 0.0:
        raise objects.fail(
            "PC743",
            f"{label} has standard deviation {table[0, 1]:g}",
            "give it a positive one",
        )
    return Leaf(Family.GAUSSIAN, int(node.scope[0]), table)


def _poisson(objects: Objects, node: Any, label: str) -> Leaf:
    return Leaf(Family.POISSON, int(node.scope[0]), _scalars(objects, [node.mean], label))


def _histogram(objects: Objects, node: Any, label: str) -> Leaf:
    """Densities by bin; of a discrete variable, probabilities by state."""
    breaks = _scalars(objects, list(node.breaks), label, -np.inf)[0]
    densities = _scalars(objects, list(node.densities), label)
    widths = np.diff(breaks)
    if len(breaks) < 2 or densities.shape[1] != len(widths) or (widths <= 0.0).any():
        raise objects.fail(
            "PC743",
            f"{label} has {len(breaks)} breaks and {densities.shape[1]} densities",
            "give ascending breaks, one more than densities",
        )
    variable = int(node.scope[0])
    meta = getattr(getattr(node, "meta_type", None), "name", "REAL")
    whole = (breaks == np.floor(breaks)).all() and breaks[0] >= 0.0
    if meta == "REAL" or not whole:
        return Leaf(Family.HISTOGRAM, variable, densities * widths, edges=tuple(breaks.tolist()))
    current().check("states", int(breaks[-1]), f"{_NAME} {label}")
    table = np.zeros((1, int(breaks[-1])))
    table[0, int(breaks[0]) :] = np.repeat(densities[0], widths.astype(np.int64))
    return Leaf(Family.CATEGORICAL, variable, table)


_LEAVES: dict[str, Callable[[Objects, Any, str], Leaf]] = {
    "Bernoulli": _bernoulli,
    "Categorical": _categorical,
    "Gaussian": _gaussian,
    "Poisson": _poisson,
    "Histogram": _histogram,
}
