"""Where nodes and edges are: rows, places within them, and columns of deep drawings."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pccompiler.drawing.layout.folding import columns, fold
from pccompiler.drawing.layout.layering import find_depths, make_layers, order_rows
from pccompiler.drawing.layout.placing import Placed, place
from pccompiler.ir.arrays import Float, Int

graphs = st.integers(1, 14).flatmap(
    lambda n: st.tuples(
        st.just(n),
        st.sets(
            st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(lambda e: e[0] < e[1])
        ),
    )
)


@given(graphs)
def test_layout_of_any_graph(drawn: tuple[int, set[tuple[int, int]]]) -> None:
    nodes, edges = drawn
    table = np.array(sorted(edges), np.int64).reshape(-1, 2)
    upper, lower = table[:, 0], table[:, 1]
    depth = find_depths(nodes, upper, lower)
    for node in range(nodes):
        assert depth[node] == max((depth[a] + 1 for a, b in edges if b == node), default=0)
    layers = make_layers(nodes, upper, lower)
    assert (layers.depth[layers.lower] - layers.depth[layers.upper] == 1).all()
    rows = order_rows(layers, 8)
    members = np.concatenate(rows.members)
    assert sorted(members.tolist()) == list(range(len(layers.depth)))
    placed = place(upper, lower, np.full(nodes, 10.0), 2.0)
    for level in range(int(depth.max()) + 1):
        x = np.sort(placed.x[depth == level])
        assert all(b - a >= 12.0 - 1e-9 for a, b in pairwise(x.tolist()))
    for a, b, route in zip(upper.tolist(), lower.tolist(), placed.routes, strict=True):
        assert len(route) == depth[b] - depth[a] - 1


def chain(length: int, skip: int) -> tuple[Placed, Int, Int, Float]:
    """A chain of nodes 10 wide, with an edge that skips some of them, on rows 20 apart."""
    upper = np.append(np.arange(length - 1), 0)
    lower = np.append(np.arange(1, length), skip)
    placed = place(upper, lower, np.full(length, 10.0), 2.0)
    return placed, upper, lower, 20.0 * np.arange(length, dtype=np.float64)


@given(st.integers(2, 40), st.integers(2, 39), st.floats(30.0, 900.0))
def test_columns_are_consecutive_rows_of_equal_height(
    length: int, skip: int, height: float
) -> None:
    placed, upper, lower, tops = chain(length, min(skip, length - 1))
    column = columns(placed, upper, lower, tops, height)
    assert column[0] == 0
    assert set(np.diff(column).tolist()) <= {0, 1}
    number = max(int(np.ceil(tops[-1] / height)), 1)
    assert column[-1] <= number - 1
    for one in range(int(column[-1]) + 1):
        rows = np.flatnonzero(column == one)
        assert tops[rows[-1]] - tops[rows[0]] <= 1.2 * tops[-1] / number + 20.0


def test_columns_end_where_few_edges_cross() -> None:
    placed, upper, lower, tops = chain(20, 10)
    column = columns(placed, upper, lower, tops, 200.0)
    assert np.flatnonzero(np.diff(column)).tolist() == [10]  # below the skipping edge


def test_columns_are_side_by_side_and_start_at_the_top() -> None:
    placed, upper, lower, tops = chain(20, 10)
    column = columns(placed, upper, lower, tops, 200.0)
    folded = fold(placed, upper, np.full(20, 10.0), tops, column)
    first, second = folded.x[column == 0], folded.x[column == 1]
    assert first.max() + 10.0 < second.min()
    assert folded.tops[column == 1][0] == folded.tops[0] == 0.0
    assert folded.width > placed.width


def test_an_edge_to_the_next_column_goes_through_the_corridor() -> None:
    placed, upper, lower, tops = chain(20, 10)
    column = columns(placed, upper, lower, tops, 200.0)
    folded = fold(placed, upper, np.full(20, 10.0), tops, column)
    foot = int(np.flatnonzero(column == 0)[-1])
    ends = [(float(folded.x[n]), float(folded.tops[n])) for n in (foot, foot + 1)]
    way = folded.route(foot, ends, lane=0)
    assert (way[0], way[-1]) == (ends[0], ends[1])
    assert len(way) == 4
    assert ends[0][0] < way[1][0] == way[2][0] < ends[1][0]
    assert folded.route(0, ends, lane=0) == ends
