"""Circuits of cirkit 0.3.1 against its own evaluation; skipped if it is not installed.

Run in its environment:

    PYTHONPATH=. cirkit-env/bin/python -m pytest tests/imports/packages/test_cirkit.py
"""

# pyright: reportMissingImports=false, reportUnknownVariableType=false

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from pccompiler.errors import ImportFormatError
from pccompiler.imports import from_cirkit
from pccompiler.ir import Circuit, Kind
from pccompiler.passes import verify
from pccompiler.testing import density, total_mass, worlds

pytest.importorskip("cirkit")
torch: Any = pytest.importorskip("torch")
pipeline: Any = pytest.importorskip("cirkit.pipeline")
layers: Any = pytest.importorskip("cirkit.symbolic.layers")
symbolic: Any = pytest.importorskip("cirkit.symbolic.circuit")
functional: Any = pytest.importorskip("cirkit.symbolic.functional")
regions: Any = pytest.importorskip("cirkit.templates.region_graph")
utils: Any = pytest.importorskip("cirkit.templates.utils")
scopes: Any = pytest.importorskip("cirkit.utils.scope")

pytestmark = pytest.mark.filterwarnings("ignore:::torch", "ignore:::cirkit")
Float = np.ndarray[Any, np.dtype[np.float64]]
SOFTMAX = {"activation": "softmax", "initialization": "normal"}
POSITIVE = {"activation": "softplus", "initialization": "normal"}


@pytest.fixture(autouse=True)
def in_double_precision() -> Any:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def built(
    graph: str, inputs: str, kind: str, parameters: dict[str, str], variables: int = 4
) -> Any:
    """A symbolic circuit over a region graph."""
    region = {
        "tree": lambda: regions.RandomBinaryTree(variables, depth=None, num_repetitions=2),
        "quad": lambda: regions.QuadGraph((1, 2, variables // 2)),
        "linear": lambda: regions.LinearTree(variables),
    }[graph]()
    given: dict[str, Any] = (
        {} if inputs == "gaussian" else {"probs": utils.Parameterization(**SOFTMAX)}
    )
    if inputs == "embedding":
        given = {"weight": utils.Parameterization(**POSITIVE)}
    options = {"categorical": {"num_categories": 3}, "embedding": {"num_states": 3}}
    if inputs == "binomial":
        given = {"probs": utils.Parameterization(activation="sigmoid", initialization="normal")}
        options["binomial"] = {"total_count": 2}
    factory = utils.name_to_input_layer_factory(
        inputs,
        **{f"{n}_factory": utils.parameterization_to_factory(p) for n, p in given.items()},
        **options.get(inputs, {}),
    )
    weights = utils.parameterization_to_factory(utils.Parameterization(**parameters))
    return region.build_circuit(
        input_factory=factory,
        sum_product=kind,
        sum_weight_factory=weights,
        num_input_units=2,
        num_sum_units=2 if kind == "tucker" else 3 if kind == "cp" else 2,
    )


def compiled(
    circuit: Any, *, fold: bool = True, optimize: bool = True, semiring: str = "lse-sum"
) -> Any:
    context = pipeline.PipelineContext(
        backend="torch", semiring=semiring, fold=fold, optimize=optimize
    )
    return context.compile(circuit)


def theirs(model: Any, x: Float) -> Float:
    with torch.no_grad():
        return np.asarray(model(torch.from_numpy(x))[:, 0, 0].numpy())


def ours(circuit: Circuit, x: Float) -> Float:
    return np.array([math.log(density(circuit, row)) for row in x])


def same(model: Any, x: Float | None = None) -> Circuit:
    """Convert, and compare with the package's own values."""
    circuit = from_cirkit(model)
    verify(circuit)
    rows = worlds(circuit) if x is None else x
    assert np.abs(ours(circuit, rows) - theirs(model, rows)).max() < 1e-11
    return circuit


@pytest.mark.parametrize(("fold", "optimize"), [(True, True), (True, False), (False, False)])
@pytest.mark.parametrize("inputs", ["categorical", "binomial", "embedding"])
@pytest.mark.parametrize(
    ("graph", "kind"), [("tree", "cp"), ("tree", "tucker"), ("quad", "cp-t"), ("linear", "cp")]
)
def test_discrete_circuits_on_all_worlds(
    graph: str, kind: str, inputs: str, fold: bool, optimize: bool
) -> None:
    circuit = same(compiled(built(graph, inputs, kind, SOFTMAX), fold=fold, optimize=optimize))
    if inputs != "embedding":
        assert total_mass(circuit) == pytest.approx(1.0, abs=1e-11)
    assert int(circuit.units.max()) > 1  # vectors stay vectors


def test_gaussian_circuits_on_random_rows() -> None:
    x = np.random.default_rng(0).normal(0, 2, (200, 4))
    same(compiled(built("tree", "gaussian", "cp", SOFTMAX)), x)


def test_weights_that_do_not_sum_to_one_go_to_the_scale() -> None:
    circuit = same(compiled(built("tree", "categorical", "cp", POSITIVE)))
    assert abs(circuit.log_scale) > 0.1
    assert total_mass(circuit) == pytest.approx(math.exp(circuit.log_scale))


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("kind", ["cp", "cp-t", "tucker"])
@pytest.mark.parametrize("inputs", ["categorical", "gaussian"])
def test_squares_of_positive_circuits(inputs: str, kind: str, optimize: bool) -> None:
    """Products of categorical and Gaussian inputs have logits and log-partitions."""
    one = built("linear", inputs, kind, SOFTMAX)
    model = compiled(functional.multiply(one, one), optimize=optimize)
    rows = np.random.default_rng(0).normal(0, 2, (100, 4))
    circuit = same(model, rows if inputs == "gaussian" else None)
    assert circuit.log_scale < 0.0
    found = {type(layer).__name__ for layer in model.layers}
    assert ("TorchTensorDotLayer" in found) == optimize


def test_symbolic_circuits_have_the_parameters_of_the_current_context() -> None:
    one = built("tree", "categorical", "cp", SOFTMAX)
    with pipeline.PipelineContext(backend="torch", semiring="lse-sum", fold=True, optimize=True):
        model = pipeline.compile(one)
        assert from_cirkit(one) == from_cirkit(model)


def test_float32_circuits() -> None:
    torch.set_default_dtype(torch.float32)
    model = compiled(built("quad", "categorical", "cp", SOFTMAX))
    circuit = from_cirkit(model)
    verify(circuit)
    x = worlds(circuit)
    assert np.abs(ours(circuit, x) - theirs(model, x)).max() < 1e-5
    assert circuit.log_scale == 0.0
    assert int((circuit.kind == Kind.SUM).sum()) > 1


def test_negative_and_complex_parameters_are_refused() -> None:
    plain = {"activation": "none", "initialization": "normal"}
    model = compiled(built("tree", "embedding", "cp", plain), semiring="sum-product")
    with pytest.raises(ImportFormatError, match=r"PC743.*have -"):
        from_cirkit(model)
    model = compiled(
        built("tree", "embedding", "cp", {**plain, "dtype": "complex"}), semiring="complex-lse-sum"
    )
    with pytest.raises(ImportFormatError, match=r"PC743.*are complex"):
        from_cirkit(model)


def test_several_outputs_and_strange_layers_are_refused() -> None:
    one = built("tree", "categorical", "cp", SOFTMAX)
    other = built("tree", "categorical", "cp", SOFTMAX)
    with pytest.raises(ImportFormatError, match=r"PC746.*2 outputs"):
        from_cirkit(compiled(functional.concatenate([one, other])))
    part = functional.integrate(one, scope=scopes.Scope([0]))
    with pytest.raises(ImportFormatError, match=r"PC741.*TorchConstantValueLayer"):
        from_cirkit(compiled(part))
    with pytest.raises(ImportFormatError, match="PC740"):
        from_cirkit(torch.nn.Linear(2, 2))


def test_values_of_the_total_by_enumeration() -> None:
    """The binomials' sum by definition, over all states."""
    model = compiled(built("tree", "binomial", "cp", POSITIVE, variables=3))
    circuit = from_cirkit(model)
    rows = np.array(list(itertools.product(range(3), repeat=3)), np.float64)
    assert np.exp(theirs(model, rows)).sum() == pytest.approx(total_mass(circuit), rel=1e-12)
