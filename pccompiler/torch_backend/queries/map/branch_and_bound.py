"""Exact most probable completions, by branch and bound with upper bounds from the circuit.

Source:
    Huang, Chavira and Darwiche (2006), "Solving MAP Exactly by Searching on Compiled Arithmetic
    Circuits"; Mei, Jiang and Tu (2018), "Maximum A Posteriori Inference in Sum-Product Networks".
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from pccompiler.errors import OptionError
from pccompiler.options import at_least, whole
from pccompiler.torch_backend.data.by_name import by_name
from pccompiler.torch_backend.data.validation import check_possible
from pccompiler.torch_backend.queries.answers import Completions
from pccompiler.torch_backend.queries.by_name import completions
from pccompiler.torch_backend.queries.evidence import Evidence
from pccompiler.torch_backend.queries.map.bounds import Bounds
from pccompiler.torch_backend.queries.map.incumbents import Incumbents
from pccompiler.torch_backend.queries.map.search import Limits, Search
from pccompiler.torch_backend.queries.queries import Queries


@by_name(completions)
@torch.no_grad()
def branch_and_bound(
    model: Queries,
    evidence: Evidence | None = None,
    *,
    query: Sequence[str | int] | None = None,
    limit: int = 10_000,
    seconds: float = math.inf,
    k: int = 1,
    tolerance: float = 0.0,
) -> Completions:
    """The most probable completions of discrete variables, proven optimal unless a limit is hit.

    Exact for every smooth and decomposable circuit; time may be exponential in the number of open
    variables of the query. Log-densities that differ by less than 1e-9 nats (1e-4 in float32) count
    as equal; ties are ordered by states, smaller ones first, starting with the first variable.

    Args:
        model: A compiled circuit.
        evidence: Rows, NaN where open; by default a single row without evidence.
        query: Names or columns of the variables to complete; other open variables are summed out
            (marginal MAP). By default all (MAP).
        limit: The most nodes to expand for each row.
        seconds: Time limit for each row, checked between batches of nodes.
        k: Number of different completions, best first.
        tolerance: Completions better than the k-th by at most this, in nats, may be missed.

    Raises:
        DataError: If the evidence does not fit, or has probability 0.
        OptionError: If an open variable of the query is not discrete, or a number is out of range.
    """
    limit, k = whole("limit", limit), whole("k", k)
    tolerance = at_least("tolerance", tolerance, 0.0)
    seconds = at_least("seconds", seconds, 0.0)
    rows = model.evidence(evidence)
    columns = range(rows.shape[1]) if query is None else model.columns(query)
    free = [_free(model, row, sorted(set(columns))) for row in rows]
    check_possible(model.log_likelihood(rows, check=False))
    bounds = Bounds(model, columns)
    found: list[tuple[Tensor, Tensor, bool, float, int]] = []
    for row, open_columns in zip(rows, free, strict=True):
        limits = Limits(limit, time.monotonic() + seconds)
        found.append(_one(bounds, row, open_columns, k, tolerance, limits))
    return _gather(model, found, k)


def _one(
    bounds: Bounds, row: Tensor, free: list[int], k: int, tolerance: float, limits: Limits
) -> tuple[Tensor, Tensor, bool, float, int]:
    """Rows, log-densities, whether optimal, gap and nodes of one row of evidence."""
    best = Incumbents(k, free, row.dtype, tolerance)
    out, values = row.repeat(k, 1), row.new_full((k,), -torch.inf)
    if not free:
        out[1:] = torch.nan
        values[0] = bounds.model.log_likelihood(row.unsqueeze(0), check=False)[0]
        return out, values, True, 0.0, 0
    search = Search(bounds, row, free, best, limits)
    left = search.run()
    number = len(best.found)
    for place, (_, states, value) in enumerate(best.found):
        out[place, search.columns] = torch.tensor(states).to(row)
        values[place] = value
    out[number:] = torch.nan
    gap = 0.0 if left == -math.inf else max(0.0, left - best.last)
    # if only ties are left, the gap is rounding, but their order is not proven
    optimal = left == -math.inf or left == best.missed
    return out, values, optimal, gap, search.expanded


def _gather(
    model: Queries, found: list[tuple[Tensor, Tensor, bool, float, int]], k: int
) -> Completions:
    device, width = model.device, len(model.circuit.variables)
    empty = torch.zeros(0, k, width, dtype=model.dtype, device=device)
    rows = torch.stack([f[0] for f in found]) if found else empty
    values = torch.stack([f[1] for f in found]) if found else empty[..., 0]
    return Completions(
        rows,
        values,
        torch.tensor([f[2] for f in found], dtype=torch.bool, device=device),
        torch.tensor([f[3] for f in found], dtype=model.dtype, device=device),
        torch.tensor([f[4] for f in found], dtype=torch.int64, device=device),
    )


def _free(model: Queries, row: Tensor, columns: list[int]) -> list[int]:
    """Open variables of the query; refuses those that are not discrete."""
    missing = row.isnan().tolist()
    free = [v for v in columns if missing[v]]
    variables = model.circuit.variables
    wrong = [variables[v].name for v in free if not variables[v].discrete]
    if wrong:
        names = ", ".join(wrong[:5]) + (", ..." if len(wrong) > 5 else "")
        raise OptionError.of(
            "PC430",
            f"{len(wrong)} open variables of the query are not discrete: {names}",
            help="give them values, or leave them out of query= to sum them out",
        )
    return free
