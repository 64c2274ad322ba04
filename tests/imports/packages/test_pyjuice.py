"""Circuits of PyJuice 2.6.3 against their definition; skipped if it is not installed.

PyJuice only evaluates on a GPU. Here its node graph is evaluated as documented: each product takes
the units of its children given by ``edge_ids``, and each sum weights the blocks connected by
``edge_ids``. Run in its environment:

    PYTHONPATH=. pyjuice-env/bin/python -m pytest tests/imports/packages/test_pyjuice.py
"""

# pyright: reportMissingImports=false, reportUnknownVariableType=false

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from pccompiler.errors import ImportFormatError
from pccompiler.imports import from_pyjuice
from pccompiler.ir import Circuit, Family, Kind
from pccompiler.passes import verify
from pccompiler.testing import density, total_mass, worlds

pytest.importorskip("triton")
torch: Any = pytest.importorskip("torch")
try:
    juice: Any = pytest.importorskip("pyjuice")
except ImportError:
    pytest.skip("pyjuice lacks what it needs", allow_module_level=True)
leaf: Any = juice.distributions

pytestmark = pytest.mark.filterwarnings("ignore:::torch", "ignore:::pyjuice", "ignore:Sparse inv")
Float = np.ndarray[Any, np.dtype[np.float64]]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def by_definition(root: Any, x: Float) -> float:
    """The value of a node graph at one world, in float64, unit by unit and edge by edge."""
    values: dict[Any, list[float]] = {}
    for nodes in root:
        units = [0.0] * nodes.num_nodes
        if nodes.is_input():
            (variable,) = list(nodes.scope)
            units = [leaf_value(nodes, k, float(x[variable])) for k in range(nodes.num_nodes)]
        elif nodes.is_prod():
            for k in range(nodes.num_nodes):
                units[k] = 1.0
                for c, child in enumerate(nodes.chs):
                    if nodes.is_sparse():
                        taken = int(nodes.edge_ids[k, c])
                    else:
                        block, within = divmod(k, nodes.block_size)
                        taken = int(nodes.edge_ids[block, c]) * nodes.block_size + within
                    units[k] *= values[child][taken]
        else:
            below = [value for child in nodes.chs for value in values[child]]
            parameters = nodes.get_source_ns().get_params().double()
            for e, (to, at) in enumerate(nodes.edge_ids.T.tolist()):
                for i in range(nodes.block_size):
                    for j in range(nodes.ch_block_size):
                        weight = float(parameters[e, i, j])
                        units[to * nodes.block_size + i] += (
                            weight * below[at * nodes.ch_block_size + j]
                        )
        values[nodes] = units
    return values[root][0]


def leaf_value(nodes: Any, k: int, x: float) -> float:
    kind = type(nodes.dist).__name__
    if kind == "Literal":
        return float(int(x) == nodes.dist.lit)
    if kind == "Indicator":
        return float(int(x) == k)
    row = nodes.get_source_ns().get_params().double().reshape(nodes.num_nodes, -1)[k].tolist()
    if kind == "Bernoulli":
        return float(row[0] if x > 0 else 1.0 - row[0])
    if kind == "Gaussian":
        mean, deviation = (float(value) for value in row)
        scaled = (x - mean) / deviation
        return math.exp(-0.5 * scaled * scaled) / (deviation * math.sqrt(2.0 * math.pi))
    return float(row[int(x)])


def same(root: Any, rows: Float | None = None) -> Circuit:
    """Convert, and compare with the definition; float32 sums are 1 only approximately."""
    circuit = from_pyjuice(root)
    verify(circuit)
    x = worlds(circuit) if rows is None else rows
    wanted = np.array([by_definition(root, row) for row in x])
    found = np.array([density(circuit, row) for row in x])
    np.testing.assert_allclose(found, wanted, rtol=3e-6, atol=0.0)
    assert circuit.log_scale == 0.0
    if rows is None:
        assert total_mass(circuit) == pytest.approx(1.0, abs=1e-12)
    return circuit


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("latents", [2, 6])
def test_hidden_chow_liu_trees(latents: int, tied: bool) -> None:
    data = torch.randint(0, 3, (300, 6)).float()
    root = juice.structures.HCLT(
        data, num_latents=latents, input_node_params={"num_cats": 3}, tie_input_params=tied
    )
    root.init_parameters()
    circuit = same(root)
    assert int(circuit.units.max()) == latents
    assert circuit.num_nodes <= len(list(root))
    inputs = circuit.weight[circuit.kind == Kind.INPUT]
    assert len(np.unique(inputs)) == (1 if tied else 6)


def test_a_hidden_markov_model_shares_its_weights() -> None:
    root = juice.structures.HMM(seq_length=5, num_latents=4, num_emits=3, homogeneous=True)
    root.init_parameters()
    circuit = same(root)
    sums = circuit.weight[(circuit.kind == Kind.SUM)]
    assert len(np.unique(sums)) < len(sums)


def test_products_of_any_units_of_their_children() -> None:
    """Block-sparse and sparse edges and repeated units, over leaves and over sums."""
    with juice.set_block_size(2):
        a, b, c = (
            juice.inputs(v, num_node_blocks=2, dist=leaf.Categorical(num_cats=3)) for v in range(3)
        )
        edges = torch.tensor([[0, 1], [1, 1], [1, 0]])
        pair = juice.multiply(a, b, edge_ids=edges)
        mixed = juice.summate(pair, num_node_blocks=2)
        units = torch.tensor([[3, 0], [3, 1], [0, 2], [1, 2]])
        triple = juice.multiply(mixed, c, edge_ids=units, sparse_edges=True)
    root = juice.summate(triple, num_node_blocks=1, block_size=1)
    root.init_parameters()
    circuit = same(root)
    assert int((circuit.kind == Kind.PRODUCT).sum()) == 2


def test_block_sparse_sums_over_several_children() -> None:
    with juice.set_block_size(2):
        a, b = (juice.inputs(v, num_node_blocks=2, dist=leaf.Bernoulli()) for v in range(2))
        one, two = (
            juice.multiply(a, b),
            juice.multiply(a, b, edge_ids=torch.tensor([[0, 1], [1, 0]])),
        )
        edges = torch.tensor([[0, 0, 1, 1, 1], [0, 3, 1, 2, 3]])
        mixed = juice.summate(one, two, edge_ids=edges, num_node_blocks=2)
        c = juice.inputs(2, num_node_blocks=2, dist=leaf.Bernoulli())
        top = juice.multiply(mixed, c)
    root = juice.summate(top, num_node_blocks=1, block_size=1)
    root.init_parameters()
    same(root)


def test_gaussians_indicators_and_literals() -> None:
    a = juice.inputs(0, num_node_blocks=2, dist=leaf.Gaussian(mu=0.0, sigma=1.0))
    b = juice.inputs(1, num_node_blocks=2, dist=leaf.Indicator(num_states=2))
    c = juice.inputs(2, num_node_blocks=2, dist=leaf.Literal(True))
    b._params = torch.arange(2.0)  # set by compilation
    root = juice.summate(juice.multiply(a, b, c), num_node_blocks=1)
    for nodes in (a, root):
        nodes.init_parameters(recursive=False)
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.normal(0, 2, 100), *rng.integers(0, 2, (2, 100))])
    circuit = same(root, rows)
    assert Family.GAUSSIAN in circuit.family.tolist()


def test_other_weights_are_kept_to_the_last_digit() -> None:
    """They are not normalized, so they are kept exactly, and the scale has the rest."""
    a, b = (juice.inputs(v, num_node_blocks=3, dist=leaf.Bernoulli()) for v in range(2))
    root = juice.summate(juice.multiply(a, b), num_node_blocks=1)
    root.init_parameters()
    root.set_params(torch.tensor([[0.5, 2.0, 0.25]]), normalize=False)
    circuit = from_pyjuice(root)
    verify(circuit)
    for row in worlds(circuit):
        assert density(circuit, row) == pytest.approx(by_definition(root, row), rel=1e-14)
    assert math.exp(circuit.log_scale) == pytest.approx(2.75)


def test_a_compiled_circuit_gives_its_parameters_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Building a `TensorCircuit` needs a GPU, so the methods that are called are mocked."""
    root = juice.structures.HMM(seq_length=3, num_latents=2, num_emits=2, homogeneous=True)
    compiled = object.__new__(juice.TensorCircuit)
    torch.nn.Module.__init__(compiled)
    compiled.root_ns = root
    called: list[Any] = []

    def update(_self: Any, clone: bool = True) -> None:
        called.append(clone)
        root.init_parameters()

    monkeypatch.setattr(juice.TensorCircuit, "update_parameters", update)
    circuit = from_pyjuice(compiled)
    assert called == [True]
    assert circuit == from_pyjuice(root)


def test_what_has_no_counterpart_or_no_parameters_is_refused() -> None:
    a = juice.inputs(0, num_node_blocks=2, dist=leaf.Categorical(num_cats=2))
    root = juice.summate(a, num_node_blocks=1)
    with pytest.raises(ImportFormatError, match="PC742"):
        from_pyjuice(root)
    strange = juice.inputs(0, num_node_blocks=2, dist=leaf.DiscreteLogistic([0.0, 1.0], 4))
    with pytest.raises(ImportFormatError, match=r"PC741.*DiscreteLogistic(.|\n)*Bernoulli"):
        from_pyjuice(juice.summate(strange, num_node_blocks=1))
    several = juice.summate(a, num_node_blocks=2)
    several.init_parameters()
    with pytest.raises(ImportFormatError, match=r"PC746.*2 units"):
        from_pyjuice(several)
    with pytest.raises(ImportFormatError, match="PC740"):
        from_pyjuice(leaf.Bernoulli())
