# mypy: ignore-errors
# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
# pyright: reportAssignmentType=false
# ruff: noqa: N803
"""Triton kernels for gradients of weights and of tables, from the flows into all terms.

Layouts are documented in `pccompiler.torch_backend.engines.dense.kernels.levels`.
"""

from pccompiler.torch_backend.engines.dense.kernels.levels import (
    multiplied,
    region_flow,
    tl,
    triton,
)


@triton.jit(do_not_specialize=["root"])
def weight_gradients(
    out, weights, flows, values, terms, tops, grad, member_lists, members, reader_lists,
    reader_spots, region_values, region_terms, term_spots, root, batch, units, width, arity, places,
    parts, BB: tl.constexpr, BM: tl.constexpr, BK: tl.constexpr, ALONE: tl.constexpr,
    COUNTS: tl.constexpr, ADD: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Gradients of the weights at each place of a table, by regions of one shape.

    A program sums over the batch and over the regions that share the weights, or over one of
    ``parts`` of these: ``out`` is (parts, places, units, fan-in). It is one loop, since Triton is
    several times slower on nested ones. ``ALONE`` means that no two regions share weights. With
    ``COUNTS``, gradients are multiplied by the weights; with ``ADD``, added to ``out``.
    """
    place = tl.program_id(0).to(tl.int64) % places
    part = tl.program_id(0).to(tl.int64) // places
    first, stop = tl.load(member_lists + place), tl.load(member_lists + place + 1)
    each = tl.cdiv(stop - first, parts)
    first += part * each
    stop = tl.minimum(stop, first + each)
    m = tl.program_id(1) * BM + tl.arange(0, BM)
    tiles = tl.cdiv(width, BK)
    a = tl.program_id(2) // tiles
    k = (tl.program_id(2) % tiles) * BK + tl.arange(0, BK)
    acc = tl.zeros([BM, BK], tl.float32)
    blocks = tl.cdiv(batch, BB)
    row = tl.load(members + first, mask=first < stop, other=0)
    spot = tl.load(term_spots + tl.load(region_terms + row) + a) * batch
    steps = (tl.maximum(stop - first, 0) * blocks).to(tl.int32)
    for step in range(0, steps):
        b = step * BB + tl.arange(0, BB)
        if not ALONE:
            row = tl.load(members + first + step // blocks)
            spot = tl.load(term_spots + tl.load(region_terms + row) + a) * batch
            b = (step % blocks) * BB + tl.arange(0, BB)
        g = region_flow(
            flows, values, grad, row, root, reader_lists, reader_spots, region_values, b, m,
            batch, units,
        )  # fmt: skip
        inside = (b < batch)[:, None] & (k < width)[None, :]
        cell = b[:, None] * width + k[None, :]
        top = tl.load((tops + row * batch) + b, mask=b < batch, other=0.0)
        x = tl.exp(tl.load((terms + spot) + cell, mask=inside, other=float("-inf")) - top[:, None])
        acc = multiplied(tl.trans(g), x, acc, PRECISION)
    size = units * width * arity
    cell = m[:, None] * (width * arity) + (a * width + k[None, :])
    both = (m < units)[:, None] & (k < width)[None, :]
    if COUNTS:
        acc *= tl.load((weights + place * size) + cell, mask=both, other=0.0)
    to = (out + (part * places + place) * size) + cell
    if ADD:
        acc += tl.load(to, mask=both, other=0.0)
    tl.store(to, acc, mask=both)


@triton.jit
def by_state(acc, code, s, flow, BS: tl.constexpr, PRECISION: tl.constexpr):
    """``acc``, shape (s, k), plus the flows (b, k) of the rows of data that have each state."""
    if BS < 16:  # too few states for a matrix product
        for state in tl.static_range(BS):
            some = tl.sum(tl.where((code == state)[:, None], flow, 0.0), 0)
            acc += tl.where((s == state)[:, None], some[None, :], 0.0)
    else:
        hot = (s[:, None] == code[None, :]).to(tl.float32)
        acc = multiplied(hot, flow, acc, PRECISION)
    return acc


@triton.jit
def write_states(
    out, table, acc, s, k, units, states, COUNTS: tl.constexpr, ADD: tl.constexpr
):  # fmt: skip
    """Gradients (or counts) of a place, (unit, state), from sums of flows, shape (s, k)."""
    cell = k[:, None] * states + s[None, :]
    inside = (k < units)[:, None] & (s < states)[None, :]
    found = tl.trans(acc)
    if not COUNTS:
        p = tl.load(table + cell, mask=inside, other=0.0)
        found = tl.where(p > 0.0, found / p, 0.0)
    if ADD:
        found += tl.load(out + cell, mask=inside, other=0.0)
    tl.store(out + cell, found, mask=inside)


@triton.jit
def table_gradients(
    out, table, flows, order, codes, bounds, member_lists, members, reader_lists, reader_spots,
    batch, units, states, places, parts, BLOCKS: tl.constexpr, BS: tl.constexpr, BK: tl.constexpr,
    BB: tl.constexpr, COUNTS: tl.constexpr, ADD: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Gradients of a table (places, units, states): flows summed by state, over probabilities.

    With ``COUNTS``, they are not divided; the rest is as in `weight_gradients`.
    Rows of data are sorted by state: a program reads only those of its ``BS`` states.
    """
    place = tl.program_id(0).to(tl.int64) % places
    part = tl.program_id(0).to(tl.int64) // places
    m0, m1 = tl.load(member_lists + place), tl.load(member_lists + place + 1)
    each = tl.cdiv(m1 - m0, parts)
    m0 += part * each
    m1 = tl.minimum(m1, m0 + each)
    s = tl.program_id(1) * BS + tl.arange(0, BS)
    k = tl.program_id(2) * BK + tl.arange(0, BK)
    acc = tl.zeros([BS, BK], tl.float32)
    for member in range(m0, m1):
        row = tl.load(members + member)
        at = bounds + row * (BLOCKS + 1) + tl.program_id(1)
        stop = tl.load(at + 1)
        r0, r1 = tl.load(reader_lists + row), tl.load(reader_lists + row + 1)
        for start in range(tl.load(at), stop, BB):
            i = start + tl.arange(0, BB)
            b = tl.load((order + row * batch) + i, mask=i < stop, other=0)
            code = tl.load((codes + row * batch) + i, mask=i < stop, other=-1)
            inside = (i < stop)[:, None] & (k < units)[None, :]
            cell = b.to(tl.int32)[:, None] * units + k[None, :]
            flow = tl.zeros([BB, BK], tl.float32)
            for j in range(r0, r1):
                base = flows + tl.load(reader_spots + j) * batch
                flow += tl.load(base + cell, mask=inside, other=0.0)
            acc = by_state(acc, code, s, flow, BS, PRECISION)
    to = out + (part * places + place) * units * states
    write_states(to, table + place * units * states, acc, s, k, units, states, COUNTS, ADD)


@triton.jit
def joined_table_gradients(
    out, parts, table, flows, order, codes, bounds, blocks, ends, chunks, before, spots, members,
    batch, units, states, items, BLOCKS: tl.constexpr, CHUNK: tl.constexpr, BS: tl.constexpr,
    BK: tl.constexpr, BB: tl.constexpr, COUNTS: tl.constexpr, ADD: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """The same as `table_gradients` if each leaf row has one reader, whose term is at ``spots``.

    The rows of data of all ``members`` of a place are sorted together, (place, members * batch).
    A program takes ``CHUNK`` of those of one block of states, or fewer. ``blocks`` has the block of
    each of ``items`` programs, or ``BLOCKS`` if there are no more. For each block, ``ends`` has the
    number of chunks up to it, ``chunks`` its own, and ``before`` where its parts start: sums of a
    block of several chunks go to ``parts``, (place, part, BS, unit).
    """
    place = tl.program_id(0).to(tl.int64)
    k = tl.program_id(2) * BK + tl.arange(0, BK)
    item = tl.program_id(1)
    block = tl.load(blocks + place * items + item)
    if block < BLOCKS:
        own = place * BLOCKS + block
        number = tl.load(chunks + own)
        chunk = item - (tl.load(ends + own) - number)
        at = bounds + place * (BLOCKS + 1) + block
        first = tl.load(at) + chunk * CHUNK
        stop = tl.minimum(tl.load(at + 1), first + CHUNK)
        s = (block * BS + tl.arange(0, BS)).to(tl.int32)
        acc = tl.zeros([BS, BK], tl.float32)
        order += place * members * batch
        codes += place * members * batch
        for start in range(first, stop, BB):
            i = start + tl.arange(0, BB)
            row = tl.load(order + i, mask=i < stop, other=0)
            code = tl.load(codes + i, mask=i < stop, other=-1)
            spot = tl.load(spots + place * members + row // batch, mask=i < stop, other=0)
            cell = (spot * batch + (row % batch) * units)[:, None] + k[None, :]
            inside = (i < stop)[:, None] & (k < units)[None, :]
            flow = tl.load(flows + cell, mask=inside, other=0.0)
            acc = by_state(acc, code, s, flow, BS, PRECISION)
        if number > 1:
            part = tl.load(before + own) + chunk
            to = (part * BS + tl.arange(0, BS))[:, None] * units + k[None, :]
            tl.store(parts + to, acc, mask=(k < units)[None, :])
        else:
            cell = place * units * states
            write_states(out + cell, table + cell, acc, s, k, units, states, COUNTS, ADD)


@triton.jit
def add_chunks(
    out, parts, table, chunks, before, units, states, BLOCKS: tl.constexpr, BS: tl.constexpr,
    BK: tl.constexpr, COUNTS: tl.constexpr, ADD: tl.constexpr,
):  # fmt: skip
    """Adds up the parts of blocks of several chunks; see `joined_table_gradients`."""
    place = tl.program_id(0).to(tl.int64)
    block = tl.program_id(1)
    k = tl.program_id(2) * BK + tl.arange(0, BK)
    own = place * BLOCKS + block
    number = tl.load(chunks + own)
    if number > 1:
        s = block * BS + tl.arange(0, BS)
        acc = tl.zeros([BS, BK], tl.float32)
        first = tl.load(before + own)
        for part in range(first, first + number):
            at = (part * BS + tl.arange(0, BS))[:, None] * units + k[None, :]
            acc += tl.load(parts + at, mask=(k < units)[None, :], other=0.0)
        cell = place * units * states
        write_states(out + cell, table + cell, acc, s, k, units, states, COUNTS, ADD)
