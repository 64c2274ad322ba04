"""Compiles Bayesian networks to circuits, exactly, by recording variable elimination.

Eliminating X from a clique with separator S gives a message: for each state s of S, the sum over x
of ``phi(s, x) [X = x] m_1(s, x) m_2(s, x) ...``, with phi the product of the tables of the clique
and m the messages from below. Recorded as nodes, with an indicator for ``[X = x]``, this is a
smooth, decomposable and deterministic circuit.

Source:
    Darwiche (2003), "A Differential Approach to Inference in Bayesian Networks".
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pccompiler.errors import ImportFormatError
from pccompiler.imports.bayesian.orders import HEURISTICS, RESTARTS, Heuristic, Order, cost, orders
from pccompiler.imports.bayesian.relations import Relation, TooManyRowsError, join_all, keys
from pccompiler.imports.written_down import WrittenDown
from pccompiler.ir import Circuit, Variable, binary, categorical
from pccompiler.ir.arrays import Float, Int
from pccompiler.limits import current

_ROUNDING = 1e-12
"""A total mass within this of one counts as one."""
MOST_NODES = 5_000_000
"""The most nodes of the circuit by default."""
_ROWS_A_NODE = 4
"""The most joint states of a clique at once, per node that may be made."""
_NUMBERS_A_NODE = 20


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


def compile_network(
    network: BayesianNetwork,
    order: Sequence[str] | Heuristic | None = None,
    *,
    restarts: int = RESTARTS,
    most_nodes: int | None = MOST_NODES,
) -> Circuit:
    """A circuit whose value is the network's probability; missing values are summed out exactly.

    Only joint states of positive probability become nodes, so that zeros in the tables keep the
    circuit small even if cliques are large.

    Args:
        network: Every variable becomes a column of the data, in the order of declaration.
        order: The order in which variables are eliminated, or ``"min-fill"`` or ``"min-weight"``;
            by default the cheapest of several orders by both.
        restarts: Further orders by each rule, with ties broken at random.
        most_nodes: The most nodes; a clique may have four joint states at once for each of them.
            ``None``: no limit.

    Raises:
        ImportFormatError: If parents form a cycle, the order does not have each variable once, or
            the circuit would be too large with every order.
    """
    names = list(network.states)
    place = {name: i for i, name in enumerate(names)}
    families = [tuple(place[v] for v in (*network.parents[name], name)) for name in names]
    _check_cycles(network)
    sizes = [len(network.states[name]) for name in names]
    failed: list[_TooLargeError] = []
    for chosen in _orders(names, families, sizes, order, restarts):
        try:
            work = _Work(
                network, families, sizes, sys.maxsize if most_nodes is None else most_nodes
            )
            return work.run(chosen.variables)
        except _TooLargeError as error:
            failed.append(error)
    raise _too_large(failed, names, most_nodes or 0)


class _TooLargeError(Exception):
    """Raised if the circuit, or a clique during elimination, is too large."""

    def __init__(self, what: str, count: int, clique: tuple[int, ...]) -> None:
        super().__init__(what)
        self.what, self.count, self.clique = what, count, clique


def _orders(
    names: Sequence[str],
    families: Sequence[tuple[int, ...]],
    sizes: Sequence[int],
    order: Sequence[str] | Heuristic | None,
    restarts: int,
) -> list[Order]:
    if order is None or (isinstance(order, str) and order in HEURISTICS):
        rules = HEURISTICS if order is None else (order,)
        return orders(families, sizes, rules, restarts)
    bare = [name.strip('"') for name in names]
    wanted = [order] if isinstance(order, str) else [str(name).strip('"') for name in order]
    if sorted(wanted) != sorted(bare):
        raise ImportFormatError.of(
            "PC748",
            f"{order!r} is not an elimination order",
            help="give every variable once, or 'min-fill' or 'min-weight'",
        )
    place = {name: i for i, name in enumerate(bare)}
    return [cost(families, sizes, [place[name] for name in wanted])]


def _too_large(
    failed: Sequence[_TooLargeError], names: Sequence[str], most: int
) -> ImportFormatError:
    best = min(failed, key=lambda error: error.count)
    shown = ", ".join(names[v] for v in best.clique[:20])
    more = f", and {len(best.clique) - 20} more" if len(best.clique) > 20 else ""
    tried = f"{len(failed)} orders were" if len(failed) > 1 else "1 order was"
    return ImportFormatError.of(
        "PC739",
        f"the circuit of the network is too large: {best.what.format(best.count)}; the limit is "
        f"{most:,} nodes",
        notes=[f"clique: {shown}{more}", f"{tried} tried"],
        help="raise the limit with most_nodes=, or give an elimination order with order=",
    )


class _Work:
    """One elimination, recorded as a circuit."""

    def __init__(
        self,
        network: BayesianNetwork,
        families: Sequence[tuple[int, ...]],
        sizes: Sequence[int],
        most: int,
    ) -> None:
        self.sizes, self.most = sizes, most
        self.circuit = WrittenDown(_variables(network))
        self.left = [
            Relation.of_table(family, np.asarray(network.tables[name], np.float64))
            for name, family in zip(network.states, families, strict=True)
        ]
        self.log_scale = 0.0

    def run(self, order: Sequence[int]) -> Circuit:
        """Eliminate the variables in this order."""
        for variable in order:
            mine = [r for r in self.left if variable in r.scope]
            self.left = [r for r in self.left if variable not in r.scope]
            self.left.append(self.eliminate(variable, mine))
        if not all(len(r) for r in self.left):
            raise ImportFormatError.of(
                "PC736",
                "every joint state of the network has probability 0",
                help="give tables whose rows sum to 1",
            )
        self.log_scale += math.fsum(math.log(float(r.weights[0])) for r in self.left)
        root = self.circuit.products([nodes for r in self.left for nodes in r.nodes])
        exact = abs(self.log_scale) < _ROUNDING
        return self.circuit.circuit(int(root[0]), 0.0 if exact else self.log_scale)

    def eliminate(self, variable: int, mine: Sequence[Relation]) -> Relation:
        """The message that sums ``variable`` out of its clique, with weights that sum to one."""
        clique = tuple(sorted({v for r in mine for v in r.scope}))
        try:
            joint = join_all(mine, variable, self.sizes, _ROWS_A_NODE * self.most)
        except TooManyRowsError as error:
            raise _TooLargeError(
                "a clique has {:,} possible joint states", error.rows, clique
            ) from None
        separator = tuple(v for v in clique if v != variable)
        columns = [joint.column(v) for v in separator]
        (key,) = keys([columns], separator, self.sizes) if columns else (np.zeros(len(joint)),)
        order = np.lexsort([joint.column(variable), key])
        first = np.flatnonzero(np.concatenate([[True], np.diff(key[order]) != 0])[: len(order)])
        fan_in = np.diff(np.append(first, len(order)))
        products = self.products(variable, joint, clique)[order]
        weights = joint.weights[order]
        total = np.add.reduceat(weights, first) if len(first) else weights
        nodes = self.circuit.sums(products, weights / np.repeat(total, fan_in), fan_in)
        self.check(clique)
        states = joint.states[order[first]][:, [joint.scope.index(v) for v in separator]]
        scale = float(total.max(initial=0.0)) or 1.0
        self.log_scale += math.log(scale)
        return Relation(separator, states, total / scale, (nodes,))

    def products(self, variable: int, joint: Relation, clique: tuple[int, ...]) -> Int:
        """The leaf of each row's state, times the messages from below."""
        states, place = np.unique(joint.column(variable), return_inverse=True)
        size = self.sizes[variable]
        if self.circuit.numbers + len(states) * size > _NUMBERS_A_NODE * self.most:
            raise _TooLargeError(
                "the leaves of a variable need {:,} probabilities", len(states) * size, (variable,)
            )
        leaves = self.circuit.leaves(variable, states.astype(np.int64))
        products = self.circuit.products([leaves[place.ravel()], *joint.nodes])
        self.check(clique)
        return products

    def check(self, clique: tuple[int, ...]) -> None:
        """Refuse more nodes than may be made."""
        if self.circuit.size > self.most:
            raise _TooLargeError("it already has {:,} nodes", self.circuit.size, clique)


def _variables(network: BayesianNetwork) -> list[Variable]:
    """Variables with distinct names that are valid in the text form."""
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
                help="remove an edge; Bayesian networks are acyclic",
            )
        for name in free:
            del left[name]
