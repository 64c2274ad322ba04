# mypy: ignore-errors
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
# pyright: reportAssignmentType=false
# ruff: noqa: N803
"""Triton kernels for regions; `pccompiler.torch_backend.engines.dense.launch` launches them.

Layouts, units (or states) innermost: values (region, batch, unit), terms and their flows (term,
batch, unit), logarithms of tables (place, state, unit), weights (place, unit, fan-in). Values and
terms are logarithms less a scale for each region and row of data; scales are float64, so that no
digits are lost as circuits grow. Flows are linear: dL / d log v. Types are left to Triton, whose
language differs from Python; upper-case arguments are known when a kernel is compiled.

Sums keep the running maximum of the terms seen so far (as in Milakov and Gimelshein (2018),
"Online normalizer calculation for softmax"), which saves a pass over the operands.
"""

import importlib.util

if importlib.util.find_spec("triton") is not None:
    import triton
    import triton.language as tl
else:  # so that tools can import the module; nothing here can run

    class triton:  # noqa: N801
        """A stand-in."""

        @staticmethod
        def jit(function=None, **_options):
            """The function itself."""
            return function if function is not None else triton.jit

    class tl:  # noqa: N801
        """A stand-in."""

        constexpr = int


@triton.jit
def rounded(x, PRECISION: tl.constexpr):
    """``x`` rounded to nearest as tensor cores take it; they would truncate, which is biased."""
    if PRECISION == "bf16":
        out = x.to(tl.bfloat16)
    elif PRECISION == "tf32":
        bits = x.to(tl.int32, bitcast=True)
        out = ((bits + 0x1000) & -8192).to(tl.float32, bitcast=True)
    else:
        out = x
    return out


@triton.jit
def multiplied(a, b, acc, PRECISION: tl.constexpr):
    """``acc + a @ b``."""
    a, b = rounded(a, PRECISION), rounded(b, PRECISION)
    if PRECISION == "ieee":
        acc = tl.dot(a, b, acc, input_precision="ieee")
    elif PRECISION == "split":  # each operand in two parts, three products of parts
        acc = tl.dot(a, b, acc, input_precision="tf32x3")
    else:
        acc = tl.dot(a, b, acc, input_precision="tf32")
    return acc


@triton.jit(do_not_specialize=["offset"])
def log_tables(out, table, offset, states, units, TILE: tl.constexpr):
    """Logarithms of tables (rows, units, states), as (rows, states, units)."""
    row = tl.program_id(0).to(tl.int64)
    s = tl.program_id(1) * TILE + tl.arange(0, TILE)
    k = tl.program_id(2) * TILE + tl.arange(0, TILE)
    base = row * units * states
    inside = (k < units)[:, None] & (s < states)[None, :]
    x = tl.load((table + base) + (k[:, None] * states + s[None, :]), mask=inside, other=1.0)
    to = (out + (offset + base)) + (s[:, None] * units + k[None, :])
    tl.store(to, tl.log(tl.trans(x)), mask=(s < states)[:, None] & (k < units)[None, :])


@triton.jit
def scale_of(scales, lists, items, term, b, batch):
    """The scale of a term, shape (b,)."""
    scale = tl.zeros([b.shape[0]], tl.float64)
    for j in range(tl.load(lists + term), tl.load(lists + term + 1)):
        scale += tl.load((scales + tl.load(items + j) * batch) + b, mask=b < batch, other=0.0)
    return scale


@triton.jit
def added(x, lost, more):
    """``x + more``, and ``lost`` plus the rounding error of the sum (Knuth's two-sum)."""
    total = x + more
    part = total - x
    error = (x - (total - part)) + (more - part)
    return total, tl.where(total == float("-inf"), 0.0, lost + error)


@triton.jit
def times(
    x, tables, codes, values, leaf_items, leaf_tables, leaf_states, leaf_start, leaf_stop,
    child_items, region_values, child_start, child_stop, b, k, batch, width, LONG: tl.constexpr,
    RAW: tl.constexpr,
):  # fmt: skip
    """``x`` times leaf rows and regions, all as logarithms, shape (b, k).

    With ``LONG`` there are many factors, so the rounding errors are summed too. With ``RAW``,
    ``tables`` is one table of leaves as it is, (place, unit, state), instead of logarithms.
    """
    here = b < batch
    inside = here[:, None] & (k < width)[None, :]
    lost = tl.zeros([b.shape[0], k.shape[0]], tl.float32)
    for j in range(leaf_start, leaf_stop):
        leaf = tl.load(leaf_items + j)
        code = tl.load((codes + leaf * batch) + b, mask=here, other=-1)
        states = tl.load(leaf_states + leaf)
        known = (code >= 0) & (code < states)
        read = inside & known[:, None]
        base_table = tables + tl.load(leaf_tables + leaf)
        if RAW:
            at = code[:, None] + k[None, :] * states
            entry = tl.log(tl.load(base_table + at, mask=read, other=1.0))
        else:
            entry = tl.load(base_table + (code[:, None] * width + k[None, :]), mask=read, other=0.0)
        if LONG:
            x, lost = added(x, lost, entry)
        else:
            x += entry
        x = tl.where((code >= 0)[:, None] & (known == 0)[:, None], float("-inf"), x)
    cell = b[:, None] * width + k[None, :]
    for j in range(child_start, child_stop):
        base = values + tl.load(region_values + tl.load(child_items + j)) * batch
        value = tl.load(base + cell, mask=inside, other=0.0)
        if LONG:
            x, lost = added(x, lost, value)
        else:
            x += value
    if LONG:
        x += lost
    return x


@triton.jit
def incoming(flows, grad, row, root, lists, spots, b, m, batch, units):
    """DL / d log value, shape (b, m): flows from all readers."""
    inside = (b < batch)[:, None] & (m < units)[None, :]
    flow = tl.zeros([b.shape[0], m.shape[0]], tl.float32)
    if row == root:
        flow += tl.load(grad + b, mask=b < batch, other=0.0)[:, None]
    cell = b[:, None] * units + m[None, :]
    for j in range(tl.load(lists + row), tl.load(lists + row + 1)):
        base = tl.load(spots + j) * batch
        flow += tl.load((flows + base) + cell, mask=inside, other=0.0)
    return flow


@triton.jit
def region_flow(flows, values, grad, row, root, lists, spots, region_values, b, m, batch, units):
    """DL / d value, shape (b, m): flows from all readers, divided by the value."""
    flow = incoming(flows, grad, row, root, lists, spots, b, m, batch, units)
    base = tl.load(region_values + row) * batch
    value = tl.load(
        (values + base) + (b[:, None] * units + m[None, :]),
        mask=(b < batch)[:, None] & (m < units)[None, :],
        other=0.0,
    )
    return tl.where(flow == 0.0, 0.0, flow * tl.exp(-tl.maximum(value, -87.0)))


@triton.jit(do_not_specialize=["first"])
def forward_level(
    values, scales, terms, tops, weights, tables, codes,
    leaf_lists, leaf_items, leaf_tables, leaf_states, child_lists, child_items,
    region_values, region_terms, region_weights, term_spots, first, batch, units, width, arity,
    ONE: tl.constexpr, LONG: tl.constexpr, RAW: tl.constexpr, KEEP: tl.constexpr,
    BB: tl.constexpr, BM: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Values of the regions of a level; the first program of a row also writes terms and scales.

    ``ONE`` means that ``arity`` is 1, ``LONG`` that some term is a product of many factors.
    """
    local = tl.program_id(0).to(tl.int64)
    row = first + local
    b = tl.program_id(1) * BB + tl.arange(0, BB)
    m = tl.program_id(2) * BM + tl.arange(0, BM)
    mine = b < tl.where(tl.program_id(2) == 0, batch, 0)  # the first program writes for all
    first_term = tl.load(region_terms + row)
    top = tl.full([BB], float("-inf"), tl.float32)
    acc = tl.zeros([BB, BM], tl.float32)
    base_scale = scale_of(scales, child_lists, child_items, first_term, b, batch)
    weights += tl.load(region_weights + row) * units * width * arity
    for a in range(arity):
        term = first_term + a
        l0, l1 = tl.load(leaf_lists + term), tl.load(leaf_lists + term + 1)
        c0, c1 = tl.load(child_lists + term), tl.load(child_lists + term + 1)
        spot = tl.load(term_spots + term) * batch
        shift = tl.zeros([BB], tl.float32)
        if not ONE:
            scale = scale_of(scales, child_lists, child_items, term, b, batch)
            shift = (scale - base_scale).to(tl.float32)
        for start in range(0, width, BK):
            k = start + tl.arange(0, BK)
            x = tl.zeros([BB, BK], tl.float32) + shift[:, None]
            x = times(
                x, tables, codes, values, leaf_items, leaf_tables, leaf_states, l0, l1,
                child_items, region_values, c0, c1, b, k, batch, width, LONG, RAW,
            )  # fmt: skip
            if KEEP:
                cell = b[:, None] * width + k[None, :]
                tl.store((terms + spot) + cell, x, mask=mine[:, None] & (k < width)[None, :])
            x = tl.where((k < width)[None, :], x, float("-inf"))
            peak = tl.maximum(top, tl.max(x, 1))
            safe = tl.where(peak == float("-inf"), 0.0, peak)
            acc *= tl.exp(top - safe)[:, None]
            top = peak
            both = (k < width)[:, None] & (m < units)[None, :]
            column = m[None, :] * (width * arity) + a * width + k[:, None]
            w = tl.load(weights + column, mask=both, other=0.0)
            acc = multiplied(tl.exp(x - safe[:, None]), w, acc, PRECISION)
    to = (values + tl.load(region_values + row) * batch) + (b[:, None] * units + m[None, :])
    tl.store(to, tl.log(acc), mask=(b < batch)[:, None] & (m < units)[None, :])
    safe = tl.where(top == float("-inf"), 0.0, top)
    tl.store((scales + row * batch) + b, base_scale + safe.to(tl.float64), mask=mine)
    if KEEP:
        tl.store((tops + row * batch) + b, safe, mask=mine)


@triton.jit(do_not_specialize=["first", "root"])
def flow_level(
    flows, values, terms, tops, weights, grad, reader_lists, reader_spots, region_values,
    region_terms, region_weights, term_spots, first, root, batch, units, width, arity,
    BB: tl.constexpr, BM: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Flows into the terms of a level."""
    local = tl.program_id(0).to(tl.int64)
    row = first + local
    b = tl.program_id(1) * BB + tl.arange(0, BB)
    tiles = tl.cdiv(width, BK)
    a = tl.program_id(2) // tiles
    k = (tl.program_id(2) % tiles) * BK + tl.arange(0, BK)
    weights += tl.load(region_weights + row) * units * width * arity + a * width
    acc = tl.zeros([BB, BK], tl.float32)
    for start in range(0, units, BM):
        m = start + tl.arange(0, BM)
        g = region_flow(
            flows, values, grad, row, root, reader_lists, reader_spots, region_values, b, m,
            batch, units,
        )  # fmt: skip
        both = (m < units)[:, None] & (k < width)[None, :]
        at = m[:, None] * (width * arity) + k[None, :]
        w = tl.load(weights + at, mask=both, other=0.0)
        acc = multiplied(g, w, acc, PRECISION)
    inside = (b < batch)[:, None] & (k < width)[None, :]
    spot = tl.load(term_spots + tl.load(region_terms + row) + a) * batch
    terms, flows = terms + spot, flows + spot
    cell = b[:, None] * width + k[None, :]
    top = tl.load((tops + row * batch) + b, mask=b < batch, other=0.0)
    x = tl.exp(tl.load(terms + cell, mask=inside, other=0.0) - top[:, None])
    tl.store(flows + cell, x * acc, mask=inside)
