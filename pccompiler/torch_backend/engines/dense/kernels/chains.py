# mypy: ignore-errors
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
# pyright: reportAssignmentType=false
# ruff: noqa: N803
"""Triton kernels for chains of regions: a program runs a whole chain for its rows of data.

Layouts are documented in `pccompiler.torch_backend.engines.dense.kernels.levels`, chains in
`pccompiler.torch_backend.engines.dense.chains`. Values passed between regions stay on chip; other
other operands of a step are prefetched one step ahead. Weights: (place, units, units).
"""

from pccompiler.torch_backend.engines.dense.kernels.levels import (
    multiplied,
    region_flow,
    scale_of,
    times,
    tl,
    triton,
)


@triton.jit
def other_factors(
    values, scales, tables, codes, leaf_lists, leaf_items, leaf_tables, leaf_states, other_lists,
    other_items, region_values, term, b, k, batch, units,
    LONG: tl.constexpr, BB: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """The factors of a term other than the region of the previous step, as logarithms.

    Shape (b, k), and its scale, shape (b,).
    """
    x = times(
        tl.zeros([BB, BK], tl.float32), tables, codes, values, leaf_items, leaf_tables, leaf_states,
        tl.load(leaf_lists + term), tl.load(leaf_lists + term + 1),
        other_items, region_values, tl.load(other_lists + term), tl.load(other_lists + term + 1),
        b, k, batch, units, LONG, False,
    )  # fmt: skip
    return x, scale_of(scales, other_lists, other_items, term, b, batch)


@triton.jit(do_not_specialize=["first", "rows", "steps"])
def forward_chain(
    values, scales, terms, tops, weights, tables, codes,
    leaf_lists, leaf_items, leaf_tables, leaf_states, other_lists, other_items,
    region_values, region_terms, region_weights, term_spots, first, rows, steps, batch, units,
    LONG: tl.constexpr, KEEP: tl.constexpr, BB: tl.constexpr, BK: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Values of the regions ``first, first + rows, ...``, from the region ``first - rows`` up."""
    local = tl.program_id(0).to(tl.int64)
    row = first + local
    b = tl.program_id(1) * BB + tl.arange(0, BB)
    k = tl.arange(0, BK)
    here = b < batch
    cell = b[:, None] * units + k[None, :]
    inside = here[:, None] & (k < units)[None, :]
    both = (k < units)[:, None] & (k < units)[None, :]
    weights += k[None, :] * units + k[:, None]
    below = row - rows
    base = values + tl.load(region_values + below) * batch
    value = tl.load(base + cell, mask=inside, other=0.0)
    scale = tl.load((scales + below * batch) + b, mask=here, other=0.0)
    term = tl.load(region_terms + row)
    rest, rest_scale = other_factors(
        values, scales, tables, codes, leaf_lists, leaf_items, leaf_tables, leaf_states,
        other_lists, other_items, region_values, term, b, k, batch, units, LONG, BB, BK,
    )  # fmt: skip
    own = tl.load(region_weights + row) * units * units
    w = tl.load(weights + own, mask=both, other=0.0)
    for step in range(steps):
        ahead = tl.where(step + 1 < steps, rows, 0)
        next_term = tl.load(region_terms + row + ahead)
        next_rest, next_scale = other_factors(
            values, scales, tables, codes, leaf_lists, leaf_items, leaf_tables, leaf_states,
            other_lists, other_items, region_values, next_term, b, k, batch, units, LONG, BB, BK,
        )  # fmt: skip
        own = tl.load(region_weights + row + ahead) * units * units
        next_w = tl.load(weights + own, mask=both, other=0.0)
        x = value + rest
        if KEEP:
            tl.store((terms + tl.load(term_spots + term) * batch) + cell, x, mask=inside)
        x = tl.where((k < units)[None, :], x, float("-inf"))
        top = tl.max(x, 1)
        top = tl.where(top == float("-inf"), 0.0, top)
        acc = tl.zeros([BB, BK], tl.float32)
        value = tl.log(multiplied(tl.exp(x - top[:, None]), w, acc, PRECISION))
        scale += rest_scale + top.to(tl.float64)
        tl.store((values + tl.load(region_values + row) * batch) + cell, value, mask=inside)
        tl.store((scales + row * batch) + b, scale, mask=here)
        if KEEP:
            tl.store((tops + row * batch) + b, top, mask=here)
        rest, rest_scale, w, term = next_rest, next_scale, next_w, next_term
        row += ahead


@triton.jit(do_not_specialize=["last", "root", "rows", "steps"])
def flow_chain(
    flows, values, terms, tops, weights, grad, reader_lists, reader_spots, region_values,
    region_terms, region_weights, term_spots, last, root, rows, steps, batch, units,
    BB: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Flows into the terms of the regions ``last, last - rows, ...``."""
    local = tl.program_id(0).to(tl.int64)
    row = last + local
    b = tl.program_id(1) * BB + tl.arange(0, BB)
    k = tl.arange(0, BK)
    here = b < batch
    cell = b[:, None] * units + k[None, :]
    inside = here[:, None] & (k < units)[None, :]
    both = (k < units)[:, None] & (k < units)[None, :]
    weights += k[:, None] * units + k[None, :]
    g = region_flow(
        flows, values, grad, row, root, reader_lists, reader_spots, region_values, b, k, batch,
        units,
    )  # fmt: skip
    spot = tl.load(term_spots + tl.load(region_terms + row)) * batch
    x = tl.load((terms + spot) + cell, mask=inside, other=0.0)
    top = tl.load((tops + row * batch) + b, mask=here, other=0.0)
    own = tl.load(region_weights + row) * units * units
    w = tl.load(weights + own, mask=both, other=0.0)
    for step in range(steps):
        ahead = tl.where(step + 1 < steps, rows, 0)
        row -= ahead
        below = (values + tl.load(region_values + row) * batch) + cell
        next_value = tl.load(below, mask=inside, other=0.0)
        next_spot = tl.load(term_spots + tl.load(region_terms + row)) * batch
        next_x = tl.load((terms + next_spot) + cell, mask=inside, other=0.0)
        next_top = tl.load((tops + row * batch) + b, mask=here, other=0.0)
        own = tl.load(region_weights + row) * units * units
        next_w = tl.load(weights + own, mask=both, other=0.0)
        acc = tl.zeros([BB, BK], tl.float32)
        flow = tl.exp(x - top[:, None]) * multiplied(g, w, acc, PRECISION)
        tl.store((flows + spot) + cell, flow, mask=inside)
        flow = tl.where(inside & (flow != 0.0), flow, 0.0)
        g = tl.where(flow == 0.0, 0.0, flow * tl.exp(-tl.maximum(next_value, -87.0)))
        spot, x, top, w = next_spot, next_x, next_top, next_w
