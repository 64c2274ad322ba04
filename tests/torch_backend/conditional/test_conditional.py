"""Conditional circuits: rows with weights of their own equal as many ordinary circuits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import pccompiler as pc
from pccompiler.errors import DataError, OptionError
from pccompiler.ir import Circuit, Family, Variable
from pccompiler.testing import random_circuit
from pccompiler.testing.families import PARAMETRIC, family_mixture
from pccompiler.testing.strategies import circuits

WIDTH, ROWS = 3, 4
Make = Callable[[int], nn.Module]


def dense(size: int) -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, 5), nn.Tanh(), nn.Linear(5, size)).double()


def blockwise(size: int) -> nn.Module:
    return pc.Blockwise(nn.Sequential(nn.Linear(WIDTH, 5), nn.Tanh()), 5, size).double()


def conditional(
    circuit: Circuit, make: Make = dense, weights: str = "all", seed: int = 0
) -> tuple[pc.ConditionalCircuit, Tensor]:
    """A model with random weights, and contexts."""
    torch.manual_seed(seed)
    bare = circuit.replace(weights=replace(circuit.weights, values={}))
    model = pc.compile(bare, pc.External(make, weights), dtype="float64")
    return model, 2.0 * torch.randn(ROWS, WIDTH, dtype=torch.float64)


def rows_of(model: pc.ConditionalCircuit, seed: int) -> Tensor:
    """Possible rows, a third of whose values are missing."""
    x = model.base.sample(ROWS, seed=seed)
    gone = torch.from_numpy(np.random.default_rng(seed).random(x.shape) < 0.3)
    return x.masked_fill(gone.to(x.device), torch.nan)


def one_by_one(model: pc.ConditionalCircuit, contexts: Tensor) -> list[pc.CompiledCircuit]:
    return [model.given(contexts[i : i + 1]) for i in range(len(contexts))]


def check_all(model: pc.ConditionalCircuit, contexts: Tensor, x: Tensor) -> None:
    """Every query of all rows at once equals the query of each by itself."""
    alone = one_by_one(model, contexts)
    each = list(zip(alone, x.split(1), strict=True))
    with torch.no_grad():
        found = model.log_likelihood(x, context=contexts)
        wanted = torch.cat([m.log_likelihood(row) for m, row in each])
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)
        posterior = model.posterior_marginals(x, context=contexts)
        for number, field in enumerate(posterior):
            wanted = torch.cat([m.posterior_marginals(row)[number] for m, row in each])
            torch.testing.assert_close(field, wanted, rtol=1e-7, atol=1e-7, equal_nan=True)
    best = model.mpe(x, context=contexts)
    wanted = torch.cat([m.mpe(row).log_value for m, row in each])
    torch.testing.assert_close(best.log_value, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("make", [dense, blockwise])
@pytest.mark.parametrize(
    "circuit",
    [
        pc.rat_spn(6, num_replicas=2, units=3, seed=0),
        pc.hmm(5, 3),
        pc.hmm([Variable(f"t{i}", "categorical", 4) for i in range(4)], 4, rank=2),
        pc.hmm(4, 4, blocks=2),
    ],
    ids=["rat", "hmm", "low-rank", "monarch"],
)
def test_rows_have_circuits_of_their_own(circuit: Circuit, make: Make) -> None:
    model, contexts = conditional(circuit, make)
    check_all(model, contexts, rows_of(model, 0))


@settings(max_examples=12)
@given(circuits(), st.integers(0, 2**16))
def test_random_circuits(circuit: Circuit, seed: int) -> None:
    if not (circuit.weight >= 0).any():
        return
    model, contexts = conditional(circuit, seed=seed)
    check_all(model, contexts, rows_of(model, seed))


@pytest.mark.parametrize("family", PARAMETRIC, ids=lambda family: family.keyword)
def test_leaves_of_every_family(family: Family) -> None:
    model, contexts = conditional(family_mixture(families=[family]))
    x = model.sample(ROWS, context=contexts, seed=1)
    missing = torch.full_like(x[:1], torch.nan)
    observed = family.keyword == "gamma"  # its modes need concentrations above 1
    check_all(model, contexts, x if observed else torch.cat([x[:-1], missing]))


@pytest.mark.parametrize("weights", ["sums", "leaves"])
def test_some_weights_keep_parameters_of_their_own(weights: str) -> None:
    model, contexts = conditional(random_circuit(3), weights=weights)
    check_all(model, contexts, rows_of(model, 2))
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    kept = [name for name in trained if name.startswith("base.")]
    assert kept
    assert all(("leaf_" in name) == (weights == "sums") for name in kept)


def test_single_weights_are_chosen_by_name_or_number() -> None:
    circuit = pc.hmm(4, 3, homogeneous=False)
    names = circuit.weights.names
    model, contexts = conditional(circuit)
    some = pc.compile(circuit, pc.External(dense, weights=[0, 2]), dtype="float64")
    assert some.coverage.weights.tolist() == [0, 2]
    check_all(some, contexts, rows_of(some, 3))
    assert some.coverage.size < model.coverage.size
    assert names == circuit.weights.names


@pytest.mark.parametrize("make", [dense, blockwise])
@pytest.mark.parametrize("circuit", [pc.rat_spn(4, num_replicas=1, units=2, seed=0), pc.hmm(4, 2)])
def test_gradients(circuit: Circuit, make: Make) -> None:
    model, contexts = conditional(circuit, make)
    x, names = rows_of(model, 4), [f"module.{name}" for name, _ in model.module.named_parameters()]

    def run(context: Tensor, *parameters: Tensor) -> Tensor:
        named = dict(zip(names, parameters, strict=True))
        found: Tensor = torch.func.functional_call(model, named, (x, context))
        return found

    for context in (contexts, contexts[:1]):
        given = (context.detach().clone().requires_grad_(), *model.module.parameters())
        assert torch.autograd.gradcheck(run, given)


def test_draws_follow_each_row_s_distribution() -> None:
    model, contexts = conditional(pc.hmm(3, 2))
    evidence = torch.tensor([[torch.nan, 1.0, torch.nan]])
    drawn = model.sample_conditional(evidence, 4000, context=contexts, seed=0)
    posterior = model.posterior_marginals(evidence, context=contexts)
    assert drawn.shape == (ROWS, 4000, 3)
    torch.testing.assert_close(drawn.double().mean(1), posterior.mean, atol=0.05, rtol=0.0)
    again = model.sample_conditional(evidence, 4000, context=contexts, seed=0)
    assert torch.equal(drawn, again)
    assert model.sample(ROWS, context=contexts, seed=1).shape == (ROWS, 3)
    assert model.sample(7, context=contexts[:1], seed=1).shape == (7, 3)


def test_derived_queries_take_a_context() -> None:
    model, contexts = conditional(pc.rat_spn(5, num_replicas=2, units=2, seed=0))
    x, alone = rows_of(model, 5), one_by_one(model, contexts)
    with torch.no_grad():
        for name, arguments in {"log_marginal": (["x0", "x1"],), "classify": ("x0",)}.items():
            found = getattr(model, name)(x, *arguments, context=contexts)
            each = [getattr(m, name)(r, *arguments) for m, r in zip(alone, x.split(1), strict=True)]
            if name == "classify":
                found, each = found.log_probability, [one.log_probability for one in each]
            torch.testing.assert_close(found, torch.cat(each))
        query = {"x0": 1}
        found = model.log_conditional(query, {"x1": 0}, context=contexts)
        each = [m.log_conditional(query, {"x1": 0}) for m in alone]
        torch.testing.assert_close(found, torch.cat(each))


def test_a_module_without_a_context_makes_weights_once() -> None:
    class Once(nn.Module):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.logits = nn.Parameter(torch.randn(size, dtype=torch.float64))

        def forward(self) -> Tensor:
            return self.logits

    circuit = pc.rat_spn(4, num_replicas=1, units=2, seed=0)
    model = pc.compile(circuit, pc.External(Once), dtype="float64")
    x = model.sample(5, seed=0)
    model.log_likelihood(x).sum().backward()
    assert model.module.logits.grad is not None
    torch.testing.assert_close(model.log_likelihood(x), model.given().log_likelihood(x))
    with pytest.raises(DataError, match="forward takes none"):
        model.log_likelihood(x, context=torch.zeros(1, 2))


def test_training_learns_what_the_context_says() -> None:
    torch.manual_seed(0)
    circuit = pc.naive_bayes_mixture(6, 3)
    model = pc.compile(circuit, pc.External(lambda size: nn.Linear(2, size)), seed=0)
    contexts = torch.eye(2).repeat(50, 1)
    x = (torch.rand(100, 6) < torch.where(contexts[:, :1] > 0, 0.9, 0.1)).float()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(30):
        optimizer.zero_grad()
        (-model.log_likelihood(x, context=contexts).mean()).backward()
        optimizer.step()
    ones = model.posterior_marginals(context=torch.eye(2)).mean.mean(1)
    assert ones[0] > 0.8
    assert ones[1] < 0.2


def test_chunks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    model, contexts = conditional(pc.hmm(4, 3))
    x = rows_of(model, 6)
    with torch.no_grad():
        whole = model.log_likelihood(x, context=contexts)
        marginals = model.posterior_marginals(x, context=contexts)
        monkeypatch.setattr(type(model.base), "chunk", lambda *_: 3)
        torch.testing.assert_close(model.log_likelihood(x, context=contexts), whole)
        again = model.posterior_marginals(x, context=contexts)
    torch.testing.assert_close(again.mean, marginals.mean)


def test_a_state_dict_goes_round() -> None:
    model, contexts = conditional(pc.hmm(3, 2))
    other, _ = conditional(pc.hmm(3, 2), seed=1)
    x = rows_of(model, 7)
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(
        other.log_likelihood(x, context=contexts), model.log_likelihood(x, context=contexts)
    )


def test_what_needs_one_circuit_names_the_way() -> None:
    model, contexts = conditional(pc.hmm(3, 2))
    with pytest.raises(AttributeError, match=r"model.given\(context\).entropy"):
        _ = model.entropy
    with pytest.raises(OptionError, match="as many circuits"):
        model.given(contexts)


def test_bad_input_is_refused() -> None:
    circuit = pc.hmm(3, 2)
    model, contexts = conditional(circuit)
    x = np.zeros((ROWS, 3))
    for context, why in (
        (None, "depend on a context"),
        (contexts[0], "the context has shape"),
        (contexts[:3], "the context has 3"),
    ):
        with pytest.raises(DataError, match=why):
            model.log_likelihood(x, context=context)
    with pytest.raises(OptionError, match="no weight 'head'"):
        pc.External.size(circuit, ["head"])
    with pytest.raises(OptionError, match="not a torch module"):
        pc.compile(circuit, pc.External(lambda size: size))  # type: ignore[arg-type, return-value]
    with pytest.raises(OptionError, match="memory_budget="):
        pc.compile(circuit, pc.External(dense), memory_budget="1 MiB")  # type: ignore[call-overload]
    wrong = pc.compile(circuit, pc.External(nn.Linear(WIDTH, 2).double()), dtype="float64")
    with pytest.raises(DataError, match=r"External\.size"):
        wrong.log_likelihood(x, context=contexts)
    broken = pc.compile(circuit, pc.External(dense), dtype="float64")
    with torch.no_grad(), pytest.raises(DataError, match="not finite"):
        broken.log_likelihood(x, context=contexts * torch.nan)


def test_weights_that_a_generator_makes_are_not_covered_twice() -> None:
    circuit = pc.rat_spn(4, num_replicas=1, units=2, seed=0)
    made = circuit.replace(generator=pc.Hypernetwork())
    with pytest.raises(OptionError, match="own generator"):
        pc.compile(made, pc.External(dense))


def test_given_values_are_not_overwritten() -> None:
    circuit = pc.compile(pc.hmm(3, 2), seed=0).trained_circuit()
    with pytest.raises(OptionError, match="which has values"):
        pc.compile(circuit, pc.External(dense))


@pytest.mark.parametrize("contexts", [1, ROWS])
def test_frames_are_answered_with_frames(contexts: int) -> None:
    frame = pd.DataFrame({"a": ["u", "v", None, "u"], "b": [1.0, 2.0, 3.0, None]})
    schema = pc.Schema.infer(frame)
    model: Any
    model, context = conditional(pc.naive_bayes_mixture(schema.variables, 2))
    c, x = context[:contexts], torch.from_numpy(schema.encode(frame))
    found = model.log_likelihood(frame, context=c)
    assert isinstance(found, pd.Series)
    assert found.tolist() == model.log_likelihood(x, context=c).tolist()
    done = model.mpe(frame, context=c).rows
    np.testing.assert_array_equal(schema.encode(done), model.mpe(x, context=c).rows)
    assert isinstance(model.sample(ROWS, context=c), pd.DataFrame)
    assert isinstance(model.posterior_marginals(frame, context=c).states["a"], pd.DataFrame)
    assert isinstance(model.classify(frame, "a", context=c).label, pd.Series)
    assert isinstance(model.sample_conditional(frame, 2, context=c), pd.DataFrame)
    assert isinstance(model.given(context[:1]).sample(2), pd.DataFrame)


def test_a_row_is_classified_under_each_context() -> None:
    model, contexts = conditional(pc.rat_spn(4, num_replicas=1, units=2, seed=0))
    for number in (2, 3):  # as many as the class has states, and more
        some = contexts[:number]
        found = model.classify({"x1": 1}, "x0", context=some).log_probability
        each = [m.classify({"x1": 1}, "x0").log_probability for m in one_by_one(model, some)]
        torch.testing.assert_close(found, torch.cat(each))
    with pytest.raises(DataError, match="there are 4 rows"):
        model.classify(np.zeros((4, 4)), "x0", context=contexts[:2])
    with pytest.raises(DataError, match="asked for twice"):
        model.posterior_marginals(variables=["x0", "x0"], context=contexts)


def test_no_rows_of_context_give_no_answers() -> None:
    model, contexts = conditional(pc.hmm(3, 2))
    none = contexts[:0]
    assert model.log_likelihood({"x0": 1}, context=none).shape == (0,)
    assert model.posterior_marginals({"x0": 1}, context=none).mean.shape == (0, 3)
    assert model.sample_conditional({"x0": 1}, 2, context=none).shape == (0, 2, 3)


def test_the_precision_is_the_circuit_s() -> None:
    circuit = pc.hmm(3, 2)
    model = pc.compile(circuit, pc.External(lambda size: nn.Linear(2, size)), dtype="float64")
    for number in (1, 2):
        found = model.log_likelihood([[0, 1, 0]], context=np.ones((number, 2), np.float32))
        assert found.dtype == torch.float64


def test_saving_and_exporting_name_the_way(tmp_path: Path) -> None:
    model, _ = conditional(pc.hmm(3, 2))
    acts: list[Callable[..., object]] = [pc.save, pc.export_onnx]
    for act in acts:
        with pytest.raises(OptionError, match=r"model.given\(context\)"):
            act(model, tmp_path / "m")
