"""Bayesian networks compiled to circuits, exactly, by variable elimination written down.

Eliminating X from a clique with separator S gives a message: for each state s of S, the sum over x
of ``phi(s, x) [X = x] m_1(s, x) m_2(s, x) ...``, with phi the product of the tables of the clique
and m the messages from below. Written down, with the indicator of X = x where the number 1 stands
in plain elimination, this is a smooth, decomposable and deterministic circuit.

Source:
    Darwiche (2003), "A Differential Approach to Inference in Bayesian Networks".
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pccompiler.errors import ImportFormatError
from pccompiler.imports.scalars import Scalars
from pccompiler.ir import Circuit, Variable, binary, categorical
from pccompiler.ir.circuit import Float
from pccompiler.limits import current
from pccompiler.passes import NormalizeWeights, Prune, ShareEqual

MOST_STATES = 1_000_000
"""Joint states of a clique that are written down at most."""
ZERO = -1
"""The function that is 0; it is never a node."""


@dataclass(frozen=True)
class BayesianNetwork:
    """A Bayesian network over discrete variables.

    Attributes:
        states: Variable to the names of its states; the i-th is state i of the data.
        parents: Variable to its parents.
        tables: Variable to its conditional probabilities, shape (parents' states ..., states).
    """

    states: Mapping[str, tuple[str, ...]]
    parents: Mapping[str, tuple[str, ...]]
    tables: Mapping[str, Float]


@dataclass(frozen=True)
class _Message:
    """A function of some variables' states: a node for each joint state."""

    scope: tuple[int, ...]
    nodes: np.ndarray[tuple[int, ...], np.dtype[np.int64]]


def compile_network(network: BayesianNetwork, order: Sequence[str] | None = None) -> Circuit:
    """A circuit whose value is the network's probability; missing values are summed out exactly.

    Args:
        network: Every variable becomes a column of the data, in the order of declaration.
        order: In which variables are eliminated; by default by fewest edges filled in.

    Raises:
        ImportFormatError: If parents form a cycle, or a clique has more than a million states.
    """
    names = list(network.states)
    place = {name: i for i, name in enumerate(names)}
    families = [tuple(place[v] for v in (*network.parents[name], name)) for name in names]
    _check_cycles(network)
    sizes = [len(network.states[name]) for name in names]
    chosen = _min_fill(families) if order is None else [place[name] for name in order]
    scalars = Scalars(_variables(network))
    tables = [(families[i], np.asarray(network.tables[name])) for i, name in enumerate(names)]
    messages: list[_Message] = []
    for variable in chosen:
        mine = [t for t in tables if variable in t[0]]
        below = [m for m in messages if variable in m.scope]
        tables = [t for t in tables if variable not in t[0]]
        messages = [m for m in messages if variable not in m.scope]
        messages.append(_eliminate(scalars, variable, sizes, mine, below, names))
    root = scalars.product([int(message.nodes[()]) for message in messages])
    circuit = scalars.circuit(root)
    return Prune()(ShareEqual()(NormalizeWeights()(circuit)))


def _variables(network: BayesianNetwork) -> list[Variable]:
    """Variables with names that the text form can hold, each its own."""
    result: list[Variable] = []
    taken: set[str] = set()
    for name, states in network.states.items():
        mended = re.sub(r"[^A-Za-z0-9_.\-\[\]]", "_", name.strip('"')) or "_"
        mended = f"x{mended}" if mended.isdigit() else mended
        while mended in taken:
            mended += "_"
        taken.add(mended)
        size = len(states)
        current().check("states", size, f"variable {name!r}")
        result.append(binary(mended) if size == 2 else categorical(mended, size))
    return result


def _check_cycles(network: BayesianNetwork) -> None:
    left = {name: set(parents) for name, parents in network.parents.items()}
    while left:
        free = [name for name, parents in left.items() if not parents & left.keys()]
        if not free:
            raise ImportFormatError.of(
                "PC738",
                f"the parents of {', '.join(map(repr, sorted(left)[:5]))} form a cycle",
                help="a Bayesian network has none; remove an edge",
            )
        for name in free:
            del left[name]


def _min_fill(families: Sequence[tuple[int, ...]]) -> list[int]:
    """Eliminate next the variable whose neighbours lack the fewest edges."""
    near: dict[int, set[int]] = {i: set() for i in range(len(families))}
    for family in families:
        for a, b in itertools.combinations(family, 2):
            near[a].add(b)
            near[b].add(a)
    order: list[int] = []
    while near:

        def fill(v: int) -> tuple[int, int]:
            pairs = itertools.combinations(near[v], 2)
            return sum(b not in near[a] for a, b in pairs), len(near[v])

        chosen = min(near, key=fill)
        for a, b in itertools.combinations(near[chosen], 2):
            near[a].add(b)
            near[b].add(a)
        for other in near.pop(chosen):
            near[other].discard(chosen)
        order.append(chosen)
    return order


def _eliminate(
    scalars: Scalars,
    variable: int,
    sizes: Sequence[int],
    tables: Sequence[tuple[tuple[int, ...], Float]],
    below: Sequence[_Message],
    names: Sequence[str],
) -> _Message:
    """The message that sums ``variable`` out of its clique."""
    scopes = [scope for scope, _ in tables] + [m.scope for m in below]
    separator = tuple(sorted({v for scope in scopes for v in scope} - {variable}))
    clique = (*separator, variable)
    total = math.prod(sizes[v] for v in clique)
    if total > MOST_STATES:
        raise ImportFormatError.of(
            "PC739",
            f"a clique of {len(clique)} variables has {total:,} joint states",
            notes=[", ".join(names[v] for v in clique)],
            help="the network is too dense for an exact circuit; give another elimination order",
        )
    shape = [sizes[v] for v in clique]
    weights = np.ones(shape)
    for scope, table in tables:
        weights = weights * _spread(table, scope, clique)
    inputs = [np.broadcast_to(_spread(m.nodes, m.scope, clique), shape) for m in below]
    leaves = [scalars.leaf(variable, row) for row in np.eye(sizes[variable]).tolist()]
    nodes = np.full(shape[:-1], ZERO, np.int64)
    for state in np.ndindex(*shape[:-1]):
        operands: list[int] = []
        given: list[float] = []
        for value, weight in enumerate(weights[state].tolist()):
            parts = [int(x[(*state, value)]) for x in inputs]
            if weight > 0.0 and ZERO not in parts:
                operands.append(scalars.product([leaves[value], *parts]))
                given.append(weight)
        if operands:
            nodes[state] = scalars.sum(operands, given)
    return _Message(separator, nodes)


def _spread(
    table: np.ndarray[tuple[int, ...], np.dtype[Any]],
    scope: tuple[int, ...],
    clique: tuple[int, ...],
) -> np.ndarray[tuple[int, ...], np.dtype[Any]]:
    """``table`` with an axis for each variable of the clique, of length 1 where it has none."""
    order = sorted(range(len(scope)), key=lambda axis: clique.index(scope[axis]))
    present = iter(np.transpose(table, order).shape)
    shape = [next(present) if v in scope else 1 for v in clique]
    return np.transpose(table, order).reshape(shape)
