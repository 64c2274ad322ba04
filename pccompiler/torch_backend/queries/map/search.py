"""Best-first search for the k best completions of one row of evidence."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pccompiler.torch_backend.engines.questions import Wanted
from pccompiler.torch_backend.queries.map.bounds import Bounds
from pccompiler.torch_backend.queries.map.incumbents import Incumbents, States

_WIDTH = 64
"""Nodes expanded at once, so that hundreds or thousands of children are bounded in one batch."""
_SWEEPS = 50
"""The most improving steps of the local search."""
_LARGEST = 2**16
"""The most children bounded at once."""


@dataclass(frozen=True)
class Limits:
    """When to stop: after so many expanded nodes, or at a time of `time.monotonic`."""

    nodes: int
    deadline: float


class Search:
    """The search for one row.

    A node is a partial assignment; its children, *of all open variables*, are bounded in one batch
    with those of other nodes. States whose bound is below the k-th best are ruled out (forward
    checking); the search branches on the remaining variable with the smallest mass of bounds.

    Args:
        bounds: Bounds for the model and the query.
        evidence: Shape (variables,), NaN for open variables.
        free: The columns to complete: open variables of the query.
        best: Collects completions.
        limits: When to stop.
    """

    def __init__(
        self, bounds: Bounds, evidence: Tensor, free: list[int], best: Incumbents, limits: Limits
    ) -> None:
        self.bounds, self.model = bounds, bounds.model
        self.evidence, self.free, self.best, self.limits = evidence, free, best, limits
        sizes = [self.model.circuit.variables[v].cardinality for v in free]
        self.slot = np.repeat(np.arange(len(free)), sizes)
        self.state = np.concatenate([np.arange(size) for size in sizes])
        self.starts = np.cumsum([0, *sizes[:-1]])
        self.columns = torch.tensor(free, device=evidence.device)
        self.state_t = torch.from_numpy(self.state).to(evidence)
        self.slot_t = torch.from_numpy(self.slot).to(evidence.device)
        self.heap: list[tuple[float, States]] = []
        self.expanded = 0

    def run(self) -> float:
        """Search; returns the largest bound of the remaining nodes, -inf if there are none."""
        blank = (-1,) * len(self.free)
        root = float(self.bounds(self.evidence.unsqueeze(0))[0])
        self._start()
        self._push(root, blank)
        width = max(1, min(_WIDTH, _LARGEST // len(self.slot)))
        while self.heap:
            if self.expanded >= self.limits.nodes or time.monotonic() > self.limits.deadline:
                break
            nodes = self._pop(min(width, self.limits.nodes - self.expanded))
            if nodes:
                self._expand(nodes)
        left = [-bound for bound, node in self.heap if not self._settled(-bound, node)]
        return max([self.best.missed, *left])

    def _pop(self, number: int) -> list[tuple[float, States]]:
        nodes: list[tuple[float, States]] = []
        while self.heap and len(nodes) < number:
            negative, node = heapq.heappop(self.heap)
            if not self._settled(-negative, node):
                nodes.append((-negative, node))
        return nodes

    def _push(self, bound: float, node: States) -> None:
        if not self._settled(bound, node):
            heapq.heappush(self.heap, (-bound, node))

    def _settled(self, bound: float, node: States) -> bool:
        return self.best.settled(bound, tuple(max(0, s) for s in node))

    def _start(self) -> None:
        """Find first completions: max-product decoding, then improving changes of one variable."""
        row = self._decode(self.evidence.unsqueeze(0))
        value = self._offer(row)[0]
        for _ in range(_SWEEPS):
            near = row.repeat(len(self.slot), 1)
            near[torch.arange(len(near), device=near.device), self.columns[self.slot_t]] = (
                self.state_t
            )
            values = self._offer(near)
            top = int(values.argmax())
            if not bool(values[top] > value + self.best.grain):
                return
            row, value = near[top].unsqueeze(0), values[top]

    def _decode(self, rows: Tensor) -> Tensor:
        """Rows whose free columns are completed by the best induced trees."""
        parts: list[Tensor] = []
        for part in rows.split(self.bounds.chunk):
            run = self.bounds.known.evaluation(part, Wanted.BEST)
            found = part.clone()
            found[:, self.columns] = run.complete(run.chosen(), draw=False)[:, self.columns]
            parts.append(found)
        return torch.cat(parts)

    def _offer(self, rows: Tensor) -> Tensor:
        values: Tensor = self.model.log_likelihood(rows, check=False)
        self.best.offer(rows, values)
        return values

    def _rows(self, nodes: list[States]) -> Tensor:
        rows = self.evidence.repeat(len(nodes), 1)
        states = torch.tensor(nodes).to(rows)
        rows[:, self.columns] = states.masked_fill(states < 0, torch.nan)
        return rows

    def _expand(self, nodes: list[tuple[float, States]]) -> None:
        """Bound the children of some nodes, and push those that may be among the best."""
        self.expanded += len(nodes)
        rows = self._rows([node for _, node in nodes])
        self._offer(self._decode(rows))
        bounds = self._children(rows)
        complete: list[States] = []
        for (bound, node), children in zip(nodes, bounds, strict=True):
            for value, child in self._branches(bound, node, children):
                if min(child) < 0:
                    self._push(value, child)
                else:
                    complete.append(child)
        if complete:
            self._offer(self._rows(complete))

    def _children(self, rows: Tensor) -> NDArray[np.float64]:
        """Bounds of each node with each state of each open variable; NaN for other variables."""
        if self.bounds.linear:
            return self._from_flows(rows)
        every = rows.repeat_interleave(len(self.slot), 0)
        place = torch.arange(len(every), device=rows.device)
        column = self.columns[self.slot_t].repeat(len(rows))
        is_open = every[place, column].isnan()
        every[place, column] = self.state_t.repeat(len(rows))
        out = rows.new_full((len(every),), torch.nan)
        out[is_open] = self.bounds(every[is_open])
        found: NDArray[np.float64] = out.view(len(rows), -1).double().cpu().numpy()
        return found

    def _from_flows(self, rows: Tensor) -> NDArray[np.float64]:
        """Like `_children`, but by one upward and one downward pass."""
        roots, masses = self.bounds.children(rows)
        columns = self.columns[self.slot_t]
        out = masses[:, columns, self.state_t.long()]
        out[roots == -torch.inf] = -torch.inf
        out[~rows[:, columns].isnan()] = torch.nan
        found: NDArray[np.float64] = out.double().cpu().numpy()
        return found

    def _branches(
        self, bound: float, node: States, children: NDArray[np.float64]
    ) -> Iterator[tuple[float, States]]:
        """The children of one node that are not ruled out, with their bounds."""
        is_open = np.array(node) < 0
        live = np.array([not (b != b or self.best.hopeless(float(b))) for b in children])
        count = np.add.reduceat(live, self.starts, dtype=np.int64)
        if bool((count[is_open] == 0).any()):
            return
        kept = np.where(live, children, -np.inf)
        least = min(bound, float(np.maximum.reduceat(kept, self.starts)[is_open].min()))
        fixed = list(node)
        for index in np.flatnonzero(live & (count == 1)[self.slot] & is_open[self.slot]):
            fixed[self.slot[index]] = int(self.state[index])
        if min(fixed) >= 0:
            yield least, tuple(fixed)
            return
        mass = np.add.reduceat(np.exp(kept - kept.max()), self.starts)
        chosen = int(np.argmin(np.where(is_open & (count > 1), mass, np.inf)))
        for index in np.flatnonzero(live & (self.slot == chosen)):
            fixed[chosen] = int(self.state[index])
            yield min(least, float(children[index])), tuple(fixed)
