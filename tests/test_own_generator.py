"""Another package adds a generator of weights: one file, from the text form to ONNX."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pccompiler as pc
from pccompiler.errors import CircuitError, ExportError, OptionError
from pccompiler.ir import Sectors, parse, to_text
from pccompiler.ir.generators.registry import GENERATORS
from pccompiler.ir.plan.materialize import materialize
from pccompiler.torch_backend.engines.base import NoMatch
from pccompiler.torch_backend.engines.trees.cuda_weights import network_of

Golden = Callable[[str], None]
Install = Callable[..., None]

LOW_RANK = '''
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pccompiler.ir import Generator
from pccompiler.onnx_backend.generators.base import OnnxGenerator
from pccompiler.torch_backend.weights.generators.base import TorchGenerator

@dataclass(frozen=True, kw_only=True)
class LowRank(Generator):
    """Logits are a product of two factors, by a scale that all sectors share."""

    keyword: ClassVar[str] = "low_rank"
    table: ClassVar[str] = "factors"
    rank: int = 2
    centred: bool = False
    floor: float = 1e-12

    def shapes(self, heads, codes):
        return {"factors": (codes, self.rank, sum(heads[0].largest)), "scale": (1,)}

    def logits(self, codes, head, parameters):
        left, right = codes[:, :, : head.rows], codes[:, :, -head.columns :]
        return parameters["scale"] * (left.transpose(0, 2, 1) @ right)

    def start(self, name, uniform, shapes):
        return 2.0 * uniform - 1.0 if name == "factors" else np.full_like(uniform, 3.0)

class TorchLowRank(TorchGenerator):
    def logits(self, features, head):
        left, right = features[:, :, : head.rows], features[:, :, -head.columns :]
        return self.values["scale"] * (left.transpose(1, 2) @ right)

class OnnxLowRank(OnnxGenerator):
    def logits(self, features, head):
        graph, total = self.graph, sum(head.largest)
        left = graph.op("Transpose", graph.slice(features, 0, head.rows, axis=2), perm=[0, 2, 1])
        right = graph.slice(features, total - head.columns, total, axis=2)
        scale = self.wide("scale", self.parameters["scale"])
        product = graph.op("Mul", scale, graph.op("MatMul", left, right))
        return graph.reshape(product, -1, head.rows * head.columns)
'''
POLICIES = (Sectors(), Sectors(by="rows", size=2), Sectors(by="size", size=4, mixtures=True))


@pytest.fixture
def low_rank(install: Install) -> Any:
    """The class, as installed, with its torch side; its ONNX side is not declared."""
    install("own_rank", "pccompiler.generators", {"low_rank": "own_rank:LowRank"}, LOW_RANK)
    entry = {"low_rank": "own_rank:TorchLowRank"}
    install("own_rank_torch", "pccompiler.torch_generators", entry)
    return GENERATORS["low_rank"]


def model_of(generator: Any, sectors: Sectors | None = None, **options: Any) -> pc.CompiledCircuit:
    circuit = pc.rat_spn(6, 2, 3, seed=0)
    model: pc.CompiledCircuit = pc.compile(circuit, generator, sectors=sectors, **options)
    return model


def data() -> torch.Tensor:
    return torch.from_numpy((np.random.default_rng(0).random((40, 6)) < 0.3).astype(np.float64))


def test_its_text_form(low_rank: Any) -> None:
    circuit = model_of(low_rank(rank=3, centred=True)).circuit
    text = to_text(circuit)
    assert text.endswith("generator low_rank rank=3 centred=true floor=1e-12\n")
    assert parse(text) == circuit
    short = text.replace("rank=3 centred=true floor=1e-12", "rank=1")
    assert parse(short).generator == low_rank(rank=1)
    with pytest.raises(pc.errors.ParseError, match="options: rank, centred, floor"):
        parse(text.replace("centred=", "center="))
    with pytest.raises(pc.errors.ParseError, match="use 'true' or 'false'"):
        parse(text.replace("centred=true", "centred=yes"))
    with pytest.raises(OptionError, match="weight floor is 1"):
        low_rank(floor=1)


@pytest.mark.parametrize("sectors", POLICIES, ids=str)
def test_torch_agrees_with_its_definition(low_rank: Any, sectors: Sectors) -> None:
    model = model_of(low_rank(), sectors, dtype="float64")
    parameters = model.parameters_as_numpy()
    assert (parameters["scale"] == 3.0).all()
    want = materialize(model.plan, model.weights.layout, parameters)
    for number, table in model.weights.by_group().items():
        users = [use.index for use in model.plan.uses if use.group == number]
        if model.plan.groups[number].is_sum:
            expected = want[number][np.concatenate(users)]
            np.testing.assert_allclose(table.detach().numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("sectors", POLICIES, ids=str)
@pytest.mark.parametrize("budget", [None, "64 KiB"])
def test_gradients_are_finite_differences(
    low_rank: Any, sectors: Sectors, budget: str | None
) -> None:
    x, model = data(), model_of(low_rank(), sectors, dtype="float64", memory_budget=budget)
    model.log_likelihood(x).sum().backward()
    for name in ("factors", "scale"):
        parameter = model.weights.values[name]
        assert parameter.grad is not None
        for place in range(0, parameter.numel(), 7):
            values = []
            for step in (1e-5, -1e-5):
                with torch.no_grad():
                    parameter.view(-1)[place] += step
                    values.append(float(model.log_likelihood(x).sum()))
                    parameter.view(-1)[place] -= step
            found = float(parameter.grad.view(-1)[place])
            assert found == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-5, abs=1e-6)


def test_it_is_trained_saved_and_loaded(low_rank: Any, tmp_path: Path) -> None:
    model, x = model_of(low_rank()), data()
    before = model.log_likelihood(x).mean().item()
    pc.fit(model, x, steps=30, progress=False)
    after = model.log_likelihood(x)
    assert after.mean().item() > before
    loaded = pc.load(pc.save(model, tmp_path / "m"))
    assert loaded.circuit.generator == low_rank()
    assert torch.equal(loaded.log_likelihood(x), after)
    with pytest.raises(OptionError, match="generator: low_rank"):
        pc.fit_em(model, x, iterations=1, progress=False)


@pytest.mark.parametrize("sectors", POLICIES, ids=str)
def test_its_export(low_rank: Any, install: Install, tmp_path: Path, sectors: Sectors) -> None:
    model, path = model_of(low_rank(), sectors), tmp_path / "m.onnx"
    with pytest.raises(ExportError, match=r"PC797.*'low_rank'.*OnnxGenerator.logits"):
        pc.export_onnx(model, path)
    assert not path.exists()
    assert pc.export_onnx(model, path, weights="materialized").max_error_in_bounds <= 1.0
    entry = {"low_rank": "own_rank:OnnxLowRank"}
    install("own_rank_onnx", "pccompiler.onnx_generators", entry)
    assert pc.export_onnx(model, path).max_error_in_bounds <= 1.0


def test_what_is_missing_is_named(install: Install) -> None:
    install("own_rank", "pccompiler.generators", {"low_rank": "own_rank:LowRank"}, LOW_RANK)
    with pytest.raises(CircuitError, match=r"PC797.*'low_rank'.*TorchGenerator.logits"):
        model_of(GENERATORS["low_rank"]())
    with pytest.raises(OptionError, match=r"PC796.*'low_rank'.*'products'"):
        GENERATORS["low_rank"]().products([])


@pytest.mark.parametrize(
    "name", ["logits_mixture_1x2", "logits_sum_3x3", "values", "update", "training", "a.b", ""]
)
def test_parameters_whose_names_are_taken(low_rank: Any, golden: Golden, name: str) -> None:
    class Named(low_rank):  # type: ignore[misc]
        def shapes(self, heads: Any, codes: int) -> dict[str, tuple[int, ...]]:
            return {**super().shapes(heads, codes), name: (1, 1, 2)}

    with pytest.raises(CircuitError) as refused:
        model_of(Named())
    golden(str(refused.value))


def test_fused_kernels_refuse_it(low_rank: Any) -> None:
    with pytest.raises(NoMatch, match="low_rank"):
        network_of(model_of(low_rank()).weights)
    assert network_of(model_of(pc.Direct()).weights) is None
    assert network_of(model_of(pc.Hypernetwork()).weights) == pc.Hypernetwork()
    for generator in (pc.Direct(allocation="reference"), pc.Hypernetwork(heads="slice")):
        with pytest.raises(NoMatch):
            network_of(model_of(generator).weights)
