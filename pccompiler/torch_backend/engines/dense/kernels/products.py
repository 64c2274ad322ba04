# mypy: ignore-errors
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
# pyright: reportAssignmentType=false
# ruff: noqa: N803
"""Triton kernels around matrix products of whole levels, which cuBLAS does.

Layouts are documented in `pccompiler.torch_backend.engines.dense.kernels.levels`, except that the
terms of such a level are not logarithms but divided by the largest term of their region.
"""

from pccompiler.torch_backend.engines.dense.kernels.levels import (
    region_flow,
    rounded,
    scale_of,
    times,
    tl,
    triton,
)


@triton.jit(do_not_specialize=["first"])
def level_terms(
    values, scales, terms, tables, codes,
    leaf_lists, leaf_items, leaf_tables, leaf_states, child_lists, child_items,
    region_values, region_terms, first, batch, width, arity,
    WHOLE: tl.constexpr, LONG: tl.constexpr, RAW: tl.constexpr, BB: tl.constexpr, BK: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Terms of the regions of a level over each region's largest one, rounded, and scales.

    ``terms`` starts at the level. ``WHOLE`` means that a region has one term of at most ``BK``
    units, so that nothing is stored in between.
    """
    local = tl.program_id(0).to(tl.int64)
    row = first + local
    b = tl.program_id(1) * BB + tl.arange(0, BB)
    here = b < batch
    first_term = tl.load(region_terms + row)
    base_scale = scale_of(scales, child_lists, child_items, first_term, b, batch)
    terms += local * arity * batch * width
    if WHOLE:
        k = tl.arange(0, BK)
        x = times(
            tl.zeros([BB, BK], tl.float32), tables, codes, values, leaf_items, leaf_tables,
            leaf_states, tl.load(leaf_lists + first_term), tl.load(leaf_lists + first_term + 1),
            child_items, region_values, tl.load(child_lists + first_term),
            tl.load(child_lists + first_term + 1), b, k, batch, width, LONG, RAW,
        )  # fmt: skip
        top = tl.max(tl.where((k < width)[None, :], x, float("-inf")), 1)
        safe = tl.where(top == float("-inf"), 0.0, top)
        inside = here[:, None] & (k < width)[None, :]
        cell = b[:, None] * width + k[None, :]
        tl.store(terms + cell, rounded(tl.exp(x - safe[:, None]), PRECISION), mask=inside)
    else:
        top = tl.full([BB], float("-inf"), tl.float32)
        for a in range(arity):
            term = first_term + a
            l0, l1 = tl.load(leaf_lists + term), tl.load(leaf_lists + term + 1)
            c0, c1 = tl.load(child_lists + term), tl.load(child_lists + term + 1)
            scale = scale_of(scales, child_lists, child_items, term, b, batch)
            shift = (scale - base_scale).to(tl.float32)
            for start in range(0, width, BK):
                k = start + tl.arange(0, BK)
                x = times(
                    tl.zeros([BB, BK], tl.float32) + shift[:, None], tables, codes, values,
                    leaf_items, leaf_tables, leaf_states, l0, l1, child_items, region_values,
                    c0, c1, b, k, batch, width, LONG, RAW,
                )  # fmt: skip
                inside = here[:, None] & (k < width)[None, :]
                cell = (a * batch + b)[:, None] * width + k[None, :]
                tl.store(terms + cell, x, mask=inside)
                top = tl.maximum(top, tl.max(tl.where((k < width)[None, :], x, float("-inf")), 1))
        safe = tl.where(top == float("-inf"), 0.0, top)
        tl.debug_barrier()
        for a in range(arity):
            for start in range(0, width, BK):
                k = start + tl.arange(0, BK)
                inside = here[:, None] & (k < width)[None, :]
                cell = (a * batch + b)[:, None] * width + k[None, :]
                x = tl.load(terms + cell, mask=inside, other=0.0)
                tl.store(terms + cell, rounded(tl.exp(x - safe[:, None]), PRECISION), mask=inside)
    tl.store((scales + row * batch) + b, base_scale + safe.to(tl.float64), mask=here)


@triton.jit(do_not_specialize=["first", "root"])
def level_flows(
    values, flows, grad, reader_lists, reader_spots, region_values, first, root, batch, units,
    BB: tl.constexpr, BM: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """DL / d value of the regions of a level, rounded, in place of their logarithms."""
    local = tl.program_id(0).to(tl.int64)
    row = first + local
    b = tl.program_id(1) * BB + tl.arange(0, BB)
    m = tl.program_id(2) * BM + tl.arange(0, BM)
    g = region_flow(
        flows, values, grad, row, root, reader_lists, reader_spots, region_values, b, m, batch,
        units,
    )  # fmt: skip
    to = (values + tl.load(region_values + row) * batch) + (b[:, None] * units + m[None, :])
    tl.store(to, rounded(g, PRECISION), mask=(b < batch)[:, None] & (m < units)[None, :])


@triton.jit
def round_rows(out, table, places, size, TILE: tl.constexpr, PRECISION: tl.constexpr):
    """Rows of a table, (place, size), rounded: (number of places, size)."""
    row = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * TILE + tl.arange(0, TILE)
    x = tl.load(table + tl.load(places + row) * size + at, mask=at < size, other=0.0)
    tl.store(out + row * size + at, rounded(x, PRECISION), mask=at < size)
