"""ONNX files against the oracle, and what happens when they disagree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pccompiler as pc
from pccompiler.errors import PCCompilerError
from pccompiler.ir import Circuit, Direct, Hypernetwork, Sectors, categorical, real
from pccompiler.ir.plan.materialize import by_group, materialize, unconstrain
from pccompiler.ir.plan.oracle import log_likelihood
from pccompiler.ir.plan.parameters import lay_out, parameter_name
from pccompiler.ir.plan.plan import Plan
from pccompiler.ir.plan.rounding import bounded_log_likelihood
from pccompiler.ir.sectors import partition
from pccompiler.onnx_backend import OnnxModel, export
from pccompiler.onnx_backend.queries import LOG_LIKELIHOOD, QUERIES
from pccompiler.passes import plan
from pccompiler.testing.refusals import refusals
from pccompiler.testing.strategies import circuits, rows

Golden = Callable[[str], None]
Kind = Literal["compact", "materialized"]

STRUCTURES: dict[str, Callable[[], Circuit]] = {
    "tree": lambda: pc.rat_spn(16, 4, 4),
    "odd": lambda: pc.rat_spn(13, 3, 3),
    "shallow": lambda: pc.rat_spn(12, 3, 3, depth=1),
    "leaves": lambda: pc.rat_spn(9, 3, 3, leaf="bernoulli"),
    "hmm": lambda: pc.hmm(8, 3),
    "reals": lambda: pc.rat_spn([real("a"), categorical("b", 4), real("c")], 3, 2),
}
GENERATORS = {
    "direct": Direct(),
    "sliced-direct": Direct(allocation="reference"),
    "net": Hypernetwork(),
    "slice": Hypernetwork(heads="slice"),
    "reference": Hypernetwork(allocation="reference"),
}


def random_parameters(lowered: Plan, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = lay_out(lowered).shapes
    return {n: rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}


@pytest.mark.parametrize("weights", ["compact", "materialized"])
@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize("name", STRUCTURES)
def test_parity(name: str, generator: str, weights: Kind, tmp_path: Path) -> None:
    circuit = partition(STRUCTURES[name](), Sectors()).replace(generator=GENERATORS[generator])
    lowered = plan(circuit)
    parameters = random_parameters(lowered)
    report = export(lowered, parameters, tmp_path / "m.onnx", weights=weights)
    assert report.max_relative_error < 1e-5
    x = rows(circuit, seed=1, number=50)
    x = x.astype(np.float32).astype(np.float64)
    want = log_likelihood(lowered, materialize(lowered, lay_out(lowered), parameters), x)
    model = OnnxModel(report.path)
    for batch in (1, 7, 100):
        np.testing.assert_allclose(
            model.log_likelihood(x, batch_size=batch), want, rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("by", ["rows", "size"])
@pytest.mark.parametrize("size", [1, 3])
def test_other_partitions(by: str, size: int, tmp_path: Path) -> None:
    policy = Sectors(by=by, size=size, mixtures=True)  # type: ignore[arg-type]  # parametrized text
    lowered = plan(partition(pc.rat_spn(7, 3, 4), policy).replace(generator=Hypernetwork()))
    report = export(lowered, random_parameters(lowered), tmp_path / "m.onnx")
    assert report.max_relative_error < 1e-5


@settings(max_examples=25)
@given(circuits(reals=True), st.integers(0, 100))
def test_given_weights_with_zeros(
    tmp_path_factory: pytest.TempPathFactory, circuit: Circuit, seed: int
) -> None:
    lowered = plan(circuit.replace(generator=Direct(floor=0.0)))
    values = by_group(lowered, circuit.weights.values)
    parameters = {
        parameter_name(lowered, number): unconstrain(values[number], group)
        for number, group in enumerate(lowered.groups)
    }
    path = tmp_path_factory.mktemp("onnx") / "m.onnx"
    export(lowered, parameters, path, weights="materialized", seed=seed)
    x = rows(circuit, seed).astype(np.float32).astype(np.float64)
    want = log_likelihood(lowered, values, x)
    got = OnnxModel(path).log_likelihood(x)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_a_compact_file_is_about_as_small_as_its_parameters(tmp_path: Path) -> None:
    circuit = partition(pc.rat_spn(69, 50, 5), Sectors()).replace(generator=Hypernetwork())
    lowered = plan(circuit)
    parameters = random_parameters(lowered)
    compact = export(lowered, parameters, tmp_path / "c.onnx")
    whole = export(lowered, parameters, tmp_path / "w.onnx", weights="materialized")
    numbers = 4 * sum(p.size for p in parameters.values())
    assert compact.bytes < 1.4 * numbers  # the rest: nodes, and the leaves' variable numbers
    assert whole.bytes > 2 * compact.bytes


def test_the_public_way_and_its_metadata(tmp_path: Path) -> None:
    model = pc.compile(pc.rat_spn(6, 2, 3), Hypernetwork())
    report = pc.export_onnx(model, tmp_path / "deep" / "m.onnx", metadata={"owner": "me"})
    metadata = OnnxModel(report.path).metadata
    assert metadata["pccompiler.fingerprint"] == model.circuit.fingerprint
    assert metadata["pccompiler.version"] == pc.__version__
    assert metadata["owner"] == "me"
    proto = onnx.load(report.path)
    assert proto.opset_import[0].version == 18
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["m.onnx"]


def test_nothing_is_written_when_answers_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*arguments: object) -> tuple[np.ndarray, np.ndarray]:
        values, bounds = bounded_log_likelihood(*arguments)  # type: ignore[arg-type]
        return 1.001 * values, bounds

    query = replace(LOG_LIKELIHOOD, define=wrong)
    monkeypatch.setitem(QUERIES._own, "log_likelihood", query)
    model = pc.compile(pc.rat_spn(6, 2, 3))
    with pytest.raises(PCCompilerError, match="PC601"):
        pc.export_onnx(model, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_errors(tmp_path: Path, golden: Golden) -> None:
    model = pc.compile(pc.rat_spn(4, 1, 2))
    path = pc.export_onnx(model, tmp_path / "m.onnx").path
    (tmp_path / "cut.onnx").write_bytes(path.read_bytes()[:100])
    other = onnx.helper.make_model(
        onnx.helper.make_graph(
            [onnx.helper.make_node("Identity", ["a"], ["b"])],
            "other",
            [onnx.helper.make_tensor_value_info("a", 1, [1])],
            [onnx.helper.make_tensor_value_info("b", 1, [1])],
        ),
        ir_version=9,
        opset_imports=[onnx.helper.make_opsetid("", 18)],
    )
    (tmp_path / "other.onnx").write_bytes(other.SerializeToString())
    loaded = OnnxModel(path)
    attempts: list[Callable[[], object]] = [
        lambda: OnnxModel(tmp_path / "none.onnx"),
        lambda: OnnxModel(tmp_path / "other.onnx"),
        lambda: loaded.log_likelihood([[0, 1, 0]]),
        lambda: loaded.log_likelihood([[0, 1, 0, 1], [0, 1, 2, 1]]),
        lambda: loaded.log_likelihood([[0, 1, 0.5, np.nan]]),
        lambda: pc.export_onnx(model, path, weights="small"),  # type: ignore[arg-type]
    ]
    golden(refusals(attempts).replace(str(tmp_path), "DIR"))
    with pytest.raises(PCCompilerError, match="PC605"):
        OnnxModel(tmp_path / "cut.onnx")
