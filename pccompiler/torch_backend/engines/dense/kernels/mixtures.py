# mypy: ignore-errors
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
# pyright: reportAssignmentType=false
# ruff: noqa: N803
"""Triton kernels for regions that mix unit by unit, and for given regions.

Layouts are documented in `pccompiler.torch_backend.engines.dense.kernels.levels`. Here each unit
has its own maximum, since in a mixture one unit may be far below the others.
"""

from pccompiler.torch_backend.engines.dense.kernels.levels import (
    incoming,
    scale_of,
    times,
    tl,
    triton,
)


@triton.jit(do_not_specialize=["first"])
def forward_mixture(
    values, scales, terms, tops, weights, tables, codes,
    leaf_lists, leaf_items, leaf_tables, leaf_states, child_lists, child_items,
    region_values, region_terms, region_weights, term_spots, first, batch, units, arity,
    LONG: tl.constexpr, RAW: tl.constexpr, KEEP: tl.constexpr, BB: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Values of the mixtures of a level, all units of a row in one program."""
    local = tl.program_id(0).to(tl.int64)
    row = first + local
    b = tl.program_id(1) * BB + tl.arange(0, BB)
    k = tl.arange(0, BK)
    here = b < batch
    inside = here[:, None] & (k < units)[None, :]
    cell = b[:, None] * units + k[None, :]
    first_term = tl.load(region_terms + row)
    base_scale = scale_of(scales, child_lists, child_items, first_term, b, batch)
    top = tl.full([BB, BK], float("-inf"), tl.float32)
    acc = tl.zeros([BB, BK], tl.float32)
    weights += tl.load(region_weights + row) * units * arity
    for a in range(arity):
        term = first_term + a
        l0, l1 = tl.load(leaf_lists + term), tl.load(leaf_lists + term + 1)
        c0, c1 = tl.load(child_lists + term), tl.load(child_lists + term + 1)
        scale = scale_of(scales, child_lists, child_items, term, b, batch)
        shift = (scale - base_scale).to(tl.float32)
        x = tl.zeros([BB, BK], tl.float32) + shift[:, None]
        x = times(
            x, tables, codes, values, leaf_items, leaf_tables, leaf_states, l0, l1,
            child_items, region_values, c0, c1, b, k, batch, units, LONG, RAW,
        )  # fmt: skip
        if KEEP:
            tl.store((terms + tl.load(term_spots + term) * batch) + cell, x, mask=inside)
        w = tl.load(weights + (k * arity + a), mask=k < units, other=0.0)
        x += tl.log(w)[None, :]
        peak = tl.maximum(top, x)
        safe = tl.where(peak == float("-inf"), 0.0, peak)
        acc = acc * tl.exp(top - safe) + tl.exp(x - safe)
        top = peak
    value = tl.where(top == float("-inf"), top, top + tl.log(acc))
    highest = tl.max(value, 1)
    safe_row = tl.where(highest == float("-inf"), 0.0, highest)
    to = (values + tl.load(region_values + row) * batch) + cell
    tl.store(to, value - safe_row[:, None], mask=inside)
    tl.store((scales + row * batch) + b, base_scale + safe_row.to(tl.float64), mask=here)
    if KEEP:
        tl.store((tops + row * batch) + b, safe_row, mask=here)


@triton.jit
def reached(
    flows, values, tops, grad, row, root, lists, spots, region_values, b, k, batch, units
):  # fmt: skip
    """Flows from all readers, and values over the scale of the first term, both of shape (b, k)."""
    flow = incoming(flows, grad, row, root, lists, spots, b, k, batch, units)
    own = (values + tl.load(region_values + row) * batch) + (b[:, None] * units + k[None, :])
    value = tl.load(own, mask=(b < batch)[:, None] & (k < units)[None, :], other=0.0)
    top = tl.load((tops + row * batch) + b, mask=b < batch, other=0.0)
    return flow, value + top[:, None]


@triton.jit
def share(flow, value, x):
    """The part of ``flow`` that goes to a summand of exp(value) with a factor exp(x)."""
    none = (flow == 0.0) | (value == float("-inf"))
    return tl.where(none, 0.0, flow * tl.exp(x - value))


@triton.jit(do_not_specialize=["first", "root"])
def flow_mixture(
    flows, values, terms, tops, weights, grad, reader_lists, reader_spots, region_values,
    region_terms, region_weights, term_spots, first, root, batch, units, arity,
    BB: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Flows into the terms of the mixtures of a level."""
    local = tl.program_id(0).to(tl.int64)
    row = first + local
    b = tl.program_id(1) * BB + tl.arange(0, BB)
    k = tl.program_id(2) * BK + tl.arange(0, BK)
    inside = (b < batch)[:, None] & (k < units)[None, :]
    cell = b[:, None] * units + k[None, :]
    flow, value = reached(
        flows, values, tops, grad, row, root, reader_lists, reader_spots, region_values, b, k,
        batch, units,
    )  # fmt: skip
    first_term = tl.load(region_terms + row)
    weights += tl.load(region_weights + row) * units * arity
    for a in range(arity):
        spot = tl.load(term_spots + first_term + a) * batch
        x = tl.load((terms + spot) + cell, mask=inside, other=0.0)
        w = tl.load(weights + (k * arity + a), mask=k < units, other=0.0)
        tl.store((flows + spot) + cell, share(flow, value, x) * w[None, :], mask=inside)


@triton.jit(do_not_specialize=["root"])
def mixture_gradients(
    out, weights, flows, values, terms, tops, grad, member_lists, members, reader_lists,
    reader_spots, region_values, region_terms, term_spots, root, batch, units, arity,
    BB: tl.constexpr, BK: tl.constexpr, COUNTS: tl.constexpr, ADD: tl.constexpr,
):  # fmt: skip
    """Gradients of the weights of mixtures; see `gradients.weight_gradients`."""
    place = tl.program_id(0).to(tl.int64)
    a = tl.program_id(1)
    k = tl.program_id(2) * BK + tl.arange(0, BK)
    acc = tl.zeros([BB, BK], tl.float32)
    for j in range(tl.load(member_lists + place), tl.load(member_lists + place + 1)):
        row = tl.load(members + j)
        spot = tl.load(term_spots + tl.load(region_terms + row) + a) * batch
        for start in range(0, batch, BB):
            b = start + tl.arange(0, BB)
            inside = (b < batch)[:, None] & (k < units)[None, :]
            cell = b[:, None] * units + k[None, :]
            flow, value = reached(
                flows, values, tops, grad, row, root, reader_lists, reader_spots, region_values, b,
                k, batch, units,
            )  # fmt: skip
            x = tl.load((terms + spot) + cell, mask=inside, other=float("-inf"))
            acc += share(flow, value, x)
    found = tl.sum(acc, 0)
    at = place * units * arity + (k * arity + a)
    if COUNTS:
        found *= tl.load(weights + at, mask=k < units, other=0.0)
    if ADD:
        found += tl.load(out + at, mask=k < units, other=0.0)
    tl.store(out + at, found, mask=k < units)


@triton.jit(do_not_specialize=["first", "root"])
def given_gradients(
    out, flows, grad, reader_lists, reader_spots, first, root, batch, units,
    BB: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Gradients of given log-densities (rows, batch, units): flows from all readers."""
    local = tl.program_id(0).to(tl.int64)
    b = tl.program_id(1) * BB + tl.arange(0, BB)
    k = tl.program_id(2) * BK + tl.arange(0, BK)
    flow = incoming(
        flows, grad, first + local, root, reader_lists, reader_spots, b, k, batch, units
    )  # fmt: skip
    to = (out + local * units * batch) + (b[:, None] * units + k[None, :])
    tl.store(to, flow, mask=(b < batch)[:, None] & (k < units)[None, :])
