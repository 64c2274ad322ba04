"""Builds a circuit of one-unit nodes with given weights, many nodes at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pccompiler.imports.bayesian.relations import distinct
from pccompiler.ir import Circuit, Family, Kind, Variable, WeightTable
from pccompiler.ir.arrays import Float, Int, hash_rows, mix64, ranges, segments
from pccompiler.ir.circuit import select
from pccompiler.ir.topology import reachable

EMPTY = np.zeros(0, np.int64)


class WrittenDown:
    """Nodes so far; each method adds many and returns their ids, merging equal ones in a call.

    Attributes:
        size: Nodes so far.
        edges: Operands so far.
        numbers: Weights so far, of sums and leaves.
    """

    def __init__(self, variables: Sequence[Variable]) -> None:
        self.variables = tuple(variables)
        self.size = self.edges = self.numbers = 0
        self._kind: list[Int] = [EMPTY]
        self._variable: list[Int] = [EMPTY]
        self._fan_in: list[Int] = [EMPTY]
        self._operands: list[Int] = [EMPTY]
        self._tables: dict[int, Float] = {}

    def leaves(self, variable: int, states: Int) -> Int:
        """Inputs that are 1 in one state of ``variable``."""
        ids = self._add(Kind.INPUT, np.zeros(len(states), np.int64), EMPTY, variable)
        size = self.variables[variable].cardinality
        for node, state in zip(ids.tolist(), states.tolist(), strict=True):
            row = np.zeros(size)
            row[state] = 1.0
            self._tables[node] = row[None, 1:] if size == 2 else row[None]
        self.numbers += size * len(states)
        return ids

    def products(self, operands: Sequence[Int]) -> Int:
        """The product of each row of operands, given by column; a single one stays itself."""
        if len(operands) == 1:
            return operands[0]
        first, kind = distinct(operands)
        table = np.stack([column[first] for column in operands], axis=1)
        arity = np.full(len(first), len(operands))
        return self._add(Kind.PRODUCT, arity, table.ravel())[kind]

    def sums(self, operands: Int, weights: Float, fan_in: Int) -> Int:
        """The weighted sum of each run of operands; a single one of weight 1 stays itself."""
        pointer = segments(fan_in)
        result = operands[pointer[:-1]].copy()
        many = np.flatnonzero(~((fan_in == 1) & (weights[pointer[:-1]] == 1.0)))
        first, kind = _distinct_runs(operands, weights, pointer[many], fan_in[many])
        kept = many[first]
        places = ranges(pointer[kept], fan_in[kept])
        ids = self._add(Kind.SUM, fan_in[kept], operands[places])
        self._weigh(ids, weights[places], fan_in[kept])
        self.numbers += len(places)
        result[many] = ids[kind]
        return result

    def _weigh(self, ids: Int, weights: Float, fan_in: Int) -> None:
        pointer = segments(fan_in)
        for width in np.unique(fan_in).tolist():
            mine = np.flatnonzero(fan_in == width)
            rows = weights[pointer[mine][:, None] + np.arange(width)]
            self._tables.update(zip(ids[mine].tolist(), rows[:, None, :], strict=True))

    def _add(self, kind: Kind, fan_in: Int, operands: Int, variable: int = -1) -> Int:
        number = len(fan_in)
        self._kind.append(np.full(number, kind))
        self._variable.append(np.full(number, variable))
        self._fan_in.append(fan_in)
        self._operands.append(operands)
        self.size += number
        self.edges += len(operands)
        return np.arange(self.size - number, self.size)

    def circuit(self, root: int, log_scale: float) -> Circuit:
        """The circuit below ``root``."""
        kind, variable = np.concatenate(self._kind), np.concatenate(self._variable)
        states = np.array([v.cardinality for v in self.variables], np.int64)
        family = np.where(states[variable] == 2, Family.BERNOULLI, Family.CATEGORICAL)
        owners = np.sort(np.array(list(self._tables), np.int64))
        weight = np.full(self.size, -1)
        weight[owners] = np.arange(len(owners))
        tables = [self._tables[node] for node in owners.tolist()]
        widths = np.array([table.shape[1] for table in tables], np.int64)
        whole = Circuit(
            variables=self.variables,
            kind=kind,
            units=np.ones(self.size, np.int64),
            pointer=segments(np.concatenate(self._fan_in)),
            operands=np.concatenate(self._operands),
            family=np.where(kind == Kind.INPUT, family, -1),
            variable=variable,
            weight=weight,
            root=root,
            weights=WeightTable(np.ones_like(widths), widths, {}, dict(enumerate(tables))),
            log_scale=log_scale,
        )
        return select(whole, reachable(whole))


def _distinct_runs(operands: Int, weights: Float, start: Int, fan_in: Int) -> tuple[Int, Int]:
    """The first of each set of equal runs (operands and weights), and the set of each run."""
    if not len(start):
        return EMPTY, EMPTY
    places = ranges(start, fan_in)
    position = ranges(np.zeros_like(fan_in), fan_in)
    columns = [operands[places], weights[places].view(np.int64), position]
    hashes = hash_rows(np.stack(columns, axis=1).astype(np.uint64))
    begin = segments(fan_in)[:-1]
    with np.errstate(over="ignore"):
        run = mix64(np.add.reduceat(hashes, begin))
    _, first, kind = np.unique(run, return_index=True, return_inverse=True)
    kind = kind.ravel()
    like = first[kind]
    same = np.array_equal(fan_in[like], fan_in)
    twin = ranges(begin[like], fan_in) if same else places
    if not same or any(not np.array_equal(column[twin], column) for column in columns[:2]):
        raise AssertionError("64-bit hash collision between sums")  # pragma: no cover
    return first, kind
