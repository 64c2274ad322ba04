"""Bayesian networks: the circuit is the product of the tables, and its marginals are exact."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.structures.bayesian_networks import copies, window
from pccompiler.errors import ImportFormatError, PCCompilerError
from pccompiler.imports import BayesianNetwork, compile_network, read, read_bif, read_network
from pccompiler.imports.bayesian.orders import Heuristic, cost, orders
from pccompiler.ir.arrays import Float, Int
from pccompiler.limits import allow
from pccompiler.passes import verify
from pccompiler.passes.analysis.equivalence import _masses

Golden = Callable[[str], None]
NETWORK = """network "garden" { property author me; }
// two variables
variable rain { type discrete [ 2 ] { no, yes }; }
variable "wet" { type discrete [3] { dry, damp, wet }; }
probability ( rain ) { table 0.75, 0.25; }
/* given rain */
probability ( "wet" | rain ) {
  (no) 0.5, 0.5, 0;
  (yes) 0, 0.25, 0.75;
}
"""


def value(network: BayesianNetwork, rows: Int) -> Float:
    """The definition: the product of one entry of each table."""
    names = list(network.states)
    out = np.ones(len(rows))
    for name in names:
        columns = [names.index(v) for v in (*network.parents[name], name)]
        out *= network.tables[name][tuple(rows[:, columns].T)]
    return out


def test_a_small_network(tmp_path: Path) -> None:
    path = tmp_path / "garden.bif"
    path.write_text(NETWORK)
    circuit = read_bif(path)
    verify(circuit)
    assert [v.name for v in circuit.variables] == ["rain", "wet"]
    rows = np.array([[r, w] for r in range(2) for w in range(3)])
    want = [0.375, 0.375, 0.0, 0.0, 0.0625, 0.1875]
    np.testing.assert_allclose(_masses(circuit, rows.astype(np.float64)), want, rtol=1e-12)
    marginal = _masses(circuit, np.array([[np.nan, 1.0]]))
    np.testing.assert_allclose(marginal, [0.4375], rtol=1e-12)


@pytest.mark.parametrize(
    "name", ["alarm", "asia", "cancer", "child", "earthquake", "sachs", "survey"]
)
def test_real_networks(name: str, sample: Callable[[str], Path]) -> None:
    network = read_network(sample(f"{name}.bif.gz"))
    circuit = compile_network(network)
    verify(circuit)
    rng = np.random.default_rng(0)
    sizes = [v.cardinality for v in circuit.variables]
    rows = np.stack([rng.integers(0, size, 300) for size in sizes], axis=1)
    np.testing.assert_allclose(_masses(circuit, rows.astype(np.float64)), value(network, rows),
                               rtol=1e-11, atol=1e-300)  # fmt: skip
    missing = np.full((1, len(sizes)), np.nan)
    np.testing.assert_allclose(_masses(circuit, missing), 1.0, rtol=1e-12)
    if np.prod(sizes) > 300_000:
        return
    worlds = np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), axis=1)
    joint = value(network, worlds).reshape(sizes)
    for column in range(len(sizes)):
        row = missing.copy()
        row[0, column] = 1.0
        want = joint.take(1, axis=column).sum()
        np.testing.assert_allclose(_masses(circuit, row), want, rtol=1e-12)


@given(st.integers(0, 10_000))
def test_random_networks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    number = int(rng.integers(1, 6))
    names = [f"v{i}" for i in range(number)]
    sizes = rng.integers(2, 4, number).tolist()
    states = {n: tuple(f"s{j}" for j in range(k)) for n, k in zip(names, sizes, strict=True)}
    parents = {n: tuple(names[j] for j in range(i) if rng.random() < 0.5) for i, n in
               enumerate(names)}  # fmt: skip
    tables = {}
    for i, n in enumerate(names):
        shape = [sizes[names.index(p)] for p in parents[n]] + [sizes[i]]
        table = rng.gamma(1.0, size=shape) * (rng.random(shape) < 0.7)
        table[..., 0] += 0.1
        tables[n] = table / table.sum(axis=-1, keepdims=True)
    network = BayesianNetwork(states, parents, tables)
    order = rng.permutation(names).tolist() if rng.random() < 0.5 else None
    circuit = compile_network(network, order)
    verify(circuit)
    rows = np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), axis=1)
    got = _masses(circuit, rows.astype(np.float64))
    np.testing.assert_allclose(got, value(network, rows), rtol=1e-11, atol=1e-300)


BAD = {
    "cut-short": NETWORK[:150],
    "section": NETWORK.replace("probability ( rain )", "potential ( rain )"),
    "unknown": NETWORK.replace("| rain", "| snow"),
    "state": NETWORK.replace("(yes)", "(maybe)"),
    "sum": NETWORK.replace("0.75, 0.25", "0.75, 0.75"),
    "numbers": NETWORK.replace("0.75, 0.25", "0.75"),
    "not-a-number": NETWORK.replace("0.75, 0.25", "0.75, x"),
    "missing-row": NETWORK.replace("  (yes) 0, 0.25, 0.75;\n", ""),
    "no-table": NETWORK.replace("probability ( rain ) { table 0.75, 0.25; }\n", ""),
    "twice": NETWORK + "variable rain { type discrete [ 2 ] { no, yes }; }\n",
    "states": NETWORK.replace("[ 2 ]", "[ 3 ]"),
}


@pytest.mark.parametrize("name", BAD)
def test_errors(tmp_path: Path, name: str, golden: Golden) -> None:
    path = tmp_path / "garden.bif"
    path.write_text(BAD[name])
    with pytest.raises(ImportFormatError) as caught:
        read_bif(path)
    golden(str(caught.value).replace(str(tmp_path), "FOLDER"))


def test_cycles_and_dense_networks(golden: Golden) -> None:
    half = np.full((2, 2), 0.5)
    states = {"a": ("0", "1"), "b": ("0", "1")}
    with pytest.raises(ImportFormatError) as caught:
        compile_network(BayesianNetwork(states, {"a": ("b",), "b": ("a",)}, {"a": half, "b": half}))
    messages = [str(caught.value)]
    names = [f"v{i}" for i in range(17)]
    rng = np.random.default_rng(0)
    tables = {n: rng.dirichlet(np.ones(2), (2,) * i) for i, n in enumerate(names)}
    parents = {n: tuple(names[:i]) for i, n in enumerate(names)}
    with pytest.raises(ImportFormatError) as caught:
        compile_network(
            BayesianNetwork(dict.fromkeys(names, ("0", "1")), parents, tables), most_nodes=10_000
        )
    messages.append(str(caught.value))
    wide = BayesianNetwork(
        {"a": tuple(map(str, range(20_000)))}, {"a": ()}, {"a": np.full(20_000, 1 / 20_000)}
    )
    for order in (None, ["b"], "min-cut"):
        with pytest.raises(ImportFormatError) as caught, allow(states=20_000):
            compile_network(wide, order)
        messages.append(str(caught.value))
    golden("\n".join(messages))


def test_a_large_clique_of_few_states() -> None:
    """Ten million joint states, of which ten are possible."""
    network = copies(6, 10)
    circuit = compile_network(network)
    assert circuit.num_nodes < 1000
    verify(circuit)
    rng = np.random.default_rng(0)
    rows = np.stack([rng.integers(0, v.cardinality, 200) for v in circuit.variables], axis=1)
    root = rng.integers(0, 10, 200)
    for column, name in enumerate(list(network.states)[:7]):  # possible worlds
        table = network.tables[name]
        rows[:, column] = root if column == 0 else table[root].argmax(axis=1)
    np.testing.assert_allclose(
        _masses(circuit, rows.astype(np.float64)), value(network, rows), rtol=1e-11
    )
    np.testing.assert_allclose(_masses(circuit, np.full((1, len(network.states)), np.nan)), 1.0)


@pytest.mark.parametrize("order", [None, "min-fill", "min-weight"])
def test_orders(order: Heuristic | None) -> None:
    network = window(7, 3, (1, 3))
    circuit = compile_network(network, order, restarts=2)
    rows = np.stack(np.unravel_index(np.arange(3**7), [3] * 7), axis=1)
    np.testing.assert_allclose(
        _masses(circuit, rows.astype(np.float64)), value(network, rows), rtol=1e-11, atol=1e-300
    )


@given(st.integers(0, 10_000))
def test_the_cheapest_order_is_kept(seed: int) -> None:
    """Costs against the definition: the sizes of cliques, eliminated one by one."""
    rng = np.random.default_rng(seed)
    number = int(rng.integers(1, 9))
    sizes = rng.integers(2, 5, number).tolist()
    families = [(*(j for j in range(i) if rng.random() < 0.4), i) for i in range(number)]
    found = orders(families, sizes)
    assert [order.states for order in found] == sorted(order.states for order in found)
    for order in found:
        assert sorted(order.variables) == list(range(number))
        scopes = [set(family) for family in families]
        states = 0
        for variable in order.variables:
            clique = set().union(*(s for s in scopes if variable in s))
            states += int(np.prod([sizes[v] for v in clique]))
            scopes = [s for s in scopes if variable not in s] + [clique - {variable}]
        assert order.states == states == cost(families, sizes, order.variables).states


def test_options_of_read(tmp_path: Path) -> None:
    path = tmp_path / "garden.bif"
    path.write_text(NETWORK)
    assert read(path, order=["wet", "rain"], restarts=0, most_nodes=None) == read_bif(
        path, order=["wet", "rain"]
    )
    with pytest.raises(ImportFormatError, match="PC739"):
        read(path, most_nodes=3)
    other = tmp_path / "a.nnf"
    other.write_text("nnf 1 0 1\nL 1\n")
    with pytest.raises(ImportFormatError, match="PC747"):
        read(other, order="min-fill")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bif")


@given(st.lists(st.tuples(st.integers(0, 500), st.sampled_from(["", " ", "{", "}", ";", ",", "|",
       "(", ")", '"', "0", "9", "nan", "rain", "//", "/*"])), min_size=1, max_size=3))  # fmt: skip
def test_mutated_files(folder: Path, changes: list[tuple[int, str]]) -> None:
    text = NETWORK
    for place, piece in changes:
        at = place % (len(text) + 1)
        text = text[:at] + piece + text[at + 1 :]
    path = folder / "mutated.bif"
    path.write_text(text)
    try:
        circuit = read_bif(path)
    except PCCompilerError:
        return
    verify(circuit)
