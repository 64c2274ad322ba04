"""Elimination orders for Bayesian networks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

Heuristic = Literal["min-fill", "min-weight"]
HEURISTICS: tuple[Heuristic, ...] = ("min-fill", "min-weight")
RESTARTS = 4
Near = list[set[int]]


@dataclass(frozen=True)
class Order:
    """An elimination order.

    Attributes:
        variables: In the order in which they are eliminated.
        states: Total joint states of all its cliques, including zeros: an upper bound of the cost.
    """

    variables: tuple[int, ...]
    states: int


def orders(
    families: Sequence[tuple[int, ...]],
    sizes: Sequence[int],
    heuristics: Sequence[Heuristic] = HEURISTICS,
    restarts: int = RESTARTS,
) -> list[Order]:
    """Orders by greedy rules, cheapest first.

    Args:
        families: The variables of each table.
        sizes: Number of states of each variable.
        heuristics: ``"min-fill"`` next eliminates the variable whose neighbours lack the fewest
            edges, ``"min-weight"`` the one whose clique has the fewest joint states.
        restarts: Further orders by each rule, with ties broken at random from fixed seeds.
    """
    found: dict[tuple[int, ...], Order] = {}
    for heuristic in heuristics:
        for seed in range(restarts + 1):
            order = _greedy(families, sizes, heuristic, Random(seed) if seed else None)
            found.setdefault(order.variables, order)
    return sorted(found.values(), key=lambda order: order.states)


def cost(
    families: Sequence[tuple[int, ...]], sizes: Sequence[int], variables: Sequence[int]
) -> Order:
    """The given order with its cost."""
    near = _neighbours(families)
    states = 0
    for variable in variables:
        states += _states(near, sizes, variable)
        _remove(near, variable)
    return Order(tuple(variables), states)


def _greedy(
    families: Sequence[tuple[int, ...]],
    sizes: Sequence[int],
    heuristic: Heuristic,
    random: Random | None,
) -> Order:
    near = _neighbours(families)
    score: Callable[[int], tuple[float, ...]] = {
        "min-fill": lambda v: (_missing(near, v), len(near[v])),
        "min-weight": lambda v: (_states(near, sizes, v), _missing(near, v)),
    }[heuristic]

    def scored(v: int) -> tuple[float, ...]:
        return (*score(v), v if random is None else random.random())

    scores = {v: scored(v) for v in range(len(near))}
    order: list[int] = []
    states = 0
    while scores:
        chosen = min(scores, key=scores.__getitem__)
        del scores[chosen]
        states += _states(near, sizes, chosen)
        touched = _remove(near, chosen)
        scores.update({v: scored(v) for v in touched})
        order.append(chosen)
    return Order(tuple(order), states)


def _neighbours(families: Sequence[tuple[int, ...]]) -> Near:
    near: Near = [set() for _ in range(1 + max((v for f in families for v in f), default=-1))]
    for family in families:
        for a, b in itertools.combinations(family, 2):
            near[a].add(b)
            near[b].add(a)
    return near


def _remove(near: Near, variable: int) -> set[int]:
    """Connect the neighbours of ``variable``, remove it, and return whose scores may change."""
    mine = near[variable]
    added = [(a, b) for a, b in itertools.combinations(mine, 2) if b not in near[a]]
    for a, b in added:
        near[a].add(b)
        near[b].add(a)
    touched = set(mine)
    for a, b in added:
        touched |= near[a] & near[b]
    for other in mine:
        near[other].discard(variable)
    near[variable] = set()
    touched.discard(variable)
    return touched


def _missing(near: Near, variable: int) -> int:
    """Number of edges missing between the neighbours of ``variable``."""
    mine = near[variable]
    present = sum(len(near[v] & mine) for v in mine)
    return (len(mine) * (len(mine) - 1) - present) // 2


def _states(near: Near, sizes: Sequence[int], variable: int) -> int:
    return sizes[variable] * math.prod(sizes[v] for v in near[variable])
