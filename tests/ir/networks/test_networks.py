"""Hand-made graphs as circuits, and back."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pccompiler.errors import CircuitError, OptionError
from pccompiler.ir import Circuit, Family, Kind, binary, categorical, count, parse, real, to_text
from pccompiler.ir.networks.read import Network, from_networkx, to_networkx
from pccompiler.passes import NormalizeWeights, verify
from pccompiler.testing import density, worlds
from pccompiler.testing.strategies import circuits

networkx: Any = import_module("networkx")  # it has no type hints
Golden = Callable[[str], None]
EVERY = tuple(Family)


def weather() -> Any:
    """The circuit of the front page: is it a wet day?"""
    graph = networkx.DiGraph()
    for day, weight, rain, wet in (("dry day", 0.7, 0.1, 0.2), ("wet day", 0.3, 0.9, 0.8)):
        graph.add_node(day, kind="product")
        graph.add_edge("root", day, weight=weight)
        for name, p in (("rain", rain), ("wet", wet)):
            graph.add_node((day, name), variable=name, p=p)
            graph.add_edge(day, (day, name))
    return graph


def rendered(error: pytest.ExceptionInfo[OptionError]) -> str:
    return "\n".join(f"{d.code}: {d.message}\n  help: {d.help}" for d in error.value.diagnostics)


def test_by_hand(golden: Golden) -> None:
    circuit = from_networkx(weather())
    verify(circuit)
    assert density(circuit, [1, 1]) == pytest.approx(0.7 * 0.1 * 0.2 + 0.3 * 0.9 * 0.8)
    golden(to_text(circuit))


def test_locations_are_the_callers() -> None:
    circuit = from_networkx(weather())
    assert all("test_networks.py:" in str(circuit.where(i)) for i in range(len(circuit)))


@given(circuits(families=EVERY, reals=True), st.booleans())
def test_units_as_nodes_are_the_same_function(circuit: Circuit, named: bool) -> None:
    if named:
        circuit = circuit.replace(names={i: f"node[{i}]" for i in range(0, len(circuit), 2)})
    scalar = from_networkx(to_networkx(circuit, scalar=True))
    verify(scalar)
    assert (scalar.units == 1).all()
    assert scalar.variables == circuit.variables
    states = [
        np.arange(v.cardinality if v.discrete else 2) if v.domain != "real" else [-0.7, 1.1]
        for v in circuit.variables
    ]
    grid = np.stack([g.ravel() for g in np.meshgrid(*states, indexing="ij")], axis=1)
    for world in grid[:: max(1, len(grid) // 20)]:
        assert density(scalar, world) == pytest.approx(density(circuit, world), rel=1e-12)


@given(circuits(families=EVERY, reals=True), st.booleans())
def test_round_trip_of_scalar_circuits(circuit: Circuit, values: bool) -> None:
    if not values:
        table = circuit.weights
        circuit = circuit.replace(weights=type(table)(table.rows, table.columns, table.names, {}))
    scalar = from_networkx(to_networkx(circuit.replace(log_scale=0.5), scalar=True))
    assert from_networkx(to_networkx(scalar)) == scalar
    unnamed = scalar.replace(names={})
    assert from_networkx(to_networkx(unnamed)) == unnamed


def test_shared_weights_stay_shared() -> None:
    circuit = parse(
        "pcir 1\nvariable x binary\nvariable y binary\n"
        "%a = input x bernoulli 1 @p\n%b = input y bernoulli 1 @p\n%r = product %a %b\nroot %r\n"
    )
    assert from_networkx(to_networkx(circuit)) == circuit


@given(st.data())
def test_any_dag_of_sums(data: st.DataObject) -> None:
    """Hand-made graphs over one variable: the value is the polynomial written out."""
    size = data.draw(st.integers(2, 8))
    graph: Any = networkx.DiGraph(root=size - 1)
    value: list[float] = []
    for node in range(size):
        below = data.draw(st.sets(st.integers(0, node - 1), min_size=1)) if node else set[int]()
        if len(below) < 2:
            p = data.draw(st.sampled_from([0.0, 0.25, 1.0]))
            graph.add_node(node, variable="x", p=p)
            value.append(p)
            continue
        weights = np.array(data.draw(st.lists(st.integers(1, 4), min_size=8, max_size=8)))
        share = weights[: len(below)] / weights[: len(below)].sum()
        graph.add_node(node, kind="sum")
        for operand, weight in zip(sorted(below), share.tolist(), strict=True):
            graph.add_edge(node, operand, weight=weight)
        value.append(sum(w * value[o] for o, w in zip(sorted(below), share, strict=True)))
    assert density(from_networkx(graph), [1]) == pytest.approx(value[-1])


def test_operands_that_occur_twice() -> None:
    circuit = parse(
        "pcir 1\nvariable x binary\n%a = input x bernoulli 1 @a\n%r = sum 1 %a %a @r\nroot %r\n"
        "weight @a 0.25\nweight @r 0.5 0.5\n"
    )
    drawn = from_networkx(to_networkx(circuit))
    assert [density(drawn, w) for w in worlds(drawn)] == [0.75, 0.25]


def test_several_edges_between_two_nodes() -> None:
    graph: Any = networkx.MultiDiGraph()
    graph.add_node("a", variable="x", p=0.25)
    graph.add_edge("r", "a", weight=0.5)
    graph.add_edge("r", "a", weight=0.5)
    assert density(from_networkx(graph), [1]) == 0.25


def test_variables_are_inferred() -> None:
    graph: Any = networkx.DiGraph()
    graph.add_node("all", kind="*")
    leaves: dict[str, dict[str, Any]] = {
        "binary": {"family": "bernoulli"},
        "third": {"value": 2},
        "four": {"family": "categorical", "parameters": [0.25] * 4},
        "heat": {"family": "gaussian", "parameters": [0.0, 1.0]},
        "calls": {"family": "poisson", "parameters": 3.0},
    }
    for name, attributes in leaves.items():
        graph.add_node(f"leaf {name}", variable=name, **attributes)
        graph.add_edge("all", f"leaf {name}")
    circuit = from_networkx(graph)
    assert circuit.variables == (
        binary("binary"),
        categorical("third", 3),
        categorical("four", 4),
        real("heat"),
        count("calls"),
    )
    verify(circuit)
    assert circuit.names[0] == "leaf_binary"


def test_variables_can_be_declared_and_numbered() -> None:
    graph: Any = networkx.DiGraph(variables=[binary("b"), real("r", edges=[0, 1, 2])])
    graph.add_node("b", variable=0, p=0.5)
    graph.add_node("r", variable="r", family="histogram", parameters=[0.5, 0.5])
    graph.add_node(0, type="product")
    graph.add_edges_from([(0, "b"), (0, "r")])
    circuit = from_networkx(graph)
    assert circuit.names[circuit.root] == "n0"
    assert [v.name for v in circuit.variables] == ["b", "r"]
    below = from_networkx(graph, variables=["first", real("r", edges=[0, 1, 2])], root="b")
    assert (below.num_nodes, below.variables[0]) == (1, binary("first"))


def test_names_are_mended_and_stay_apart() -> None:
    graph: Any = networkx.DiGraph()
    graph.add_node("root", kind="sum")
    keys: list[Hashable] = ["a b", "a  b", "", ("t", 1), 3, "n3", "größe"]
    for key in keys:
        graph.add_node(key, variable="x", p=0.5)
        graph.add_edge("root", key)
    circuit = from_networkx(graph)
    assert len(set(circuit.names.values())) == len(keys) + 1
    assert parse(to_text(circuit)) == circuit


def test_a_deep_chain() -> None:
    graph: Any = networkx.DiGraph()
    graph.add_node(0, variable="x", p=0.5)
    graph.add_edges_from((i + 1, i, {"weight": 1}) for i in range(20_000))
    circuit = from_networkx(graph)
    assert circuit.statistics.depth == 20_000
    assert from_networkx(to_networkx(circuit)) == circuit


def test_normalizing() -> None:
    graph = weather()
    for _, _, edge in graph.out_edges("root", data=True):
        edge["weight"] *= 2
    divided = from_networkx(graph, normalize=True)
    assert density(divided, [1, 1]) == pytest.approx(density(from_networkx(weather()), [1, 1]))
    raw = from_networkx(graph, check=False)
    with pytest.raises(CircuitError, match="PC106"):
        verify(raw)
    assert density(NormalizeWeights()(raw), [1, 1]) == pytest.approx(2 * density(divided, [1, 1]))


def test_vectors_are_refused(golden: Golden) -> None:
    circuit = parse(
        "pcir 1\nvariable x binary\n%a = input x indicator 2\n%r = sum 1 %a @r\nroot %r\n"
    )
    with pytest.raises(OptionError) as error:
        to_networkx(circuit)
    golden(rendered(error))


WET = ("dry day", "wet")
Change = Callable[[Any], object]


def _turned(graph: Any) -> None:
    graph.remove_edge("dry day", ("dry day", "rain"))
    graph.add_edge(("dry day", "rain"), "dry day")


def _lacking(graph: Any) -> None:
    del graph.edges["root", "dry day"]["weight"]


def _unsure(graph: Any) -> None:
    graph.nodes["dry day"].pop("kind")
    graph.nodes["wet day"]["kind"] = "max"


def _misspelt(graph: Any) -> None:
    graph.add_edge("dry day", WET, wheight=1, color="r")
    graph.nodes["wet day"]["weight"] = 0.3


def _empty(graph: Any) -> None:
    graph.add_node("nothing", kind="sum")
    graph.add_edge("root", "nothing", weight=0)


def _shape(graph: Any) -> None:
    graph.nodes["root"]["shares"] = graph.nodes[WET]["shares"] = 0


def _values(graph: Any) -> None:
    graph.nodes[WET]["shares"] = graph.nodes["wet day", "wet"]["shares"] = "w"


BROKEN: dict[str, Change] = {
    "cycle": lambda g: g.add_edge("dry day", "root"),
    "two roots": lambda g: g.add_edge("top", "dry day", weight=1),
    "no kind": _unsure,
    "unknown attributes": _misspelt,
    "leaf with operands": _turned,
    "sum without operands": _empty,
    "some weights lacking": _lacking,
    "weights that do not sum to one": lambda g: g.add_edge("root", "dry day", weight=0.5),
    "negative weight": lambda g: g.add_edge("root", "dry day", weight=-0.5),
    "weight of a word": lambda g: g.add_edge("root", "dry day", weight="much"),
    "product with weights": lambda g: g.add_edge("dry day", WET, weight=1),
    "leaf without variable": lambda g: g.nodes[WET].pop("variable"),
    "leaf without family": lambda g: g.nodes[WET].pop("p"),
    "unknown family": lambda g: g.add_node(WET, family="cauchy"),
    "family that does not fit": lambda g: g.add_node(WET, family="gaussian"),
    "no state": lambda g: g.add_node(WET, family="literal", value="on"),
    "too high a state": lambda g: (
        g.add_node(WET, variable="rain", value=2)
        or g.graph.update(variables=[binary("rain"), "wet"])
    ),
    "too many parameters": lambda g: g.nodes[WET].update(parameters=[0.1, 0.2]),
    "parameters that are no numbers": lambda g: g.nodes[WET].update(p="high"),
    "undeclared variable": lambda g: g.graph.update(variables=["rain"]),
    "variables twice": lambda g: g.graph.update(variables=["rain", "wet", "wet"]),
    "names and numbers": lambda g: g.nodes[WET].update(variable=1),
    "no such root": lambda g: g.graph.update(root="roof"),
    "weights of two shapes": _shape,
    "weights of two values": _values,
}


@pytest.mark.parametrize("fault", BROKEN)
def test_refusals(fault: str, golden: Golden) -> None:
    graph = weather()
    BROKEN[fault](graph)
    with pytest.raises(OptionError) as error:
        from_networkx(graph)
    assert all("test_networks.py:" in str(d.location) for d in error.value.diagnostics)
    golden(rendered(error))


def test_other_refusals() -> None:
    with pytest.raises(OptionError, match="PC398"):
        from_networkx(networkx.Graph())
    with pytest.raises(OptionError, match="the graph is empty"):
        from_networkx(networkx.DiGraph())
    many: Any = networkx.DiGraph()
    many.add_nodes_from(range(30))
    with pytest.raises(OptionError, match="and 10 more") as error:
        from_networkx(many)
    assert len(error.value.diagnostics) == 20


def test_types_of_graphs() -> None:
    graph: Network = networkx.DiGraph()
    assert to_networkx(from_networkx(weather())).is_directed() == graph.is_directed()
    assert from_networkx(weather()).kind.tolist().count(Kind.PRODUCT) == 2


keys: st.SearchStrategy[Hashable] = st.one_of(st.integers(0, 3), st.sampled_from(["a", "b c"]))
odd: st.SearchStrategy[object] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 4),
    st.floats(),
    st.sampled_from(["sum", "x", "", "literal", "gaussian", "histogram"]),
    st.lists(st.floats(0, 1), max_size=3),
    st.just({"p": 1}),
)
words = st.sampled_from(
    ["kind", "variable", "family", "parameters", "p", "value", "shares", "name", "weight", "label"]
)
attributes = st.dictionaries(words, odd, max_size=4)


@given(
    st.lists(st.tuples(keys, attributes), max_size=5),
    st.lists(st.tuples(keys, keys, attributes), max_size=5),
    st.dictionaries(st.sampled_from(["variables", "root", "log_scale"]), odd, max_size=1),
)
@settings(max_examples=400)
def test_anything_is_a_circuit_or_an_error_with_a_code(
    nodes: list[tuple[Hashable, dict[str, Any]]],
    edges: list[tuple[Hashable, Hashable, dict[str, Any]]],
    said: dict[str, Any],
) -> None:
    graph = networkx.DiGraph(**said)
    graph.add_nodes_from(nodes)
    graph.add_edges_from(edges)
    try:
        circuit = from_networkx(graph)
    except OptionError:
        return
    assert parse(to_text(circuit)) == circuit
