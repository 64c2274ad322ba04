"""Top-down probabilities against the posterior of a row without values, and EM with them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings

import pccompiler as pc
from pccompiler.errors import OptionError
from pccompiler.ir import Circuit
from pccompiler.structures import chow_liu_tree, hclt
from pccompiler.testing.strategies import circuits
from pccompiler.torch_backend.engines.arena.engine import Arena
from pccompiler.torch_backend.engines.questions import Batch, Task, Wanted
from pccompiler.torch_backend.engines.tables_by_group import operands_by_group
from pccompiler.torch_backend.training.em.expectation import Expectation
from pccompiler.torch_backend.training.em.prior import TopDown


@settings(max_examples=60)
@given(circuits(reals=True))
def test_it_is_the_posterior_without_evidence(circuit: Circuit) -> None:
    model = pc.compile(circuit, dtype="float64")
    assume(len(list(model.parameters())) > 0)
    x = model.nothing(1)
    tables = Expectation(model).tables
    with torch.no_grad():
        found = TopDown(model.plan, model.weights)(tables)
        engine = model.engines.ask(Arena, Wanted.POSTERIOR)
        assert isinstance(engine, Arena)
        operands = operands_by_group(model.weights, model.leaf_inputs, x)
        _, ascent = engine.up(Batch(x), operands, Wanted.POSTERIOR)
        flows = engine.down(ascent, Task(x.new_ones(1), Wanted.POSTERIOR)).leaves
        _, counts = model.engines.counts(
            Batch(x),
            [*tables.values(), *model.leaf_inputs.densities(x, model.weights.leaves()).values()],
            x.new_ones(1),
        )
    own = {number: torch.zeros_like(used) for number, used in found.items()}
    for use in model.plan.uses:
        group = model.plan.groups[use.group]
        if not group.is_sum:
            index = torch.from_numpy(np.asarray(use.index)).to(model.device)
            own[use.group].index_add_(0, index, flows[use.layer])
    for number, counted in zip(model.weights.tables, counts, strict=False):
        if model.plan.groups[number].is_sum:
            total = counted.sum(-1, keepdim=True)
            if number in over_states(model):  # which get nothing from a missing value, or all
                assert bool((total <= found[number] + 1e-9).all())
            else:
                torch.testing.assert_close(found[number], total, rtol=1e-9, atol=1e-12)
    for number, group in enumerate(model.plan.groups):
        if not group.is_sum:
            torch.testing.assert_close(found[number], own[number], rtol=1e-9, atol=1e-12)


def over_states(model: pc.CompiledCircuit) -> set[int]:
    layers = model.plan.layers
    return {
        use.group
        for use in model.plan.uses
        for below in layers[use.layer].below
        if layers[below].group < 0 and not layers[below].operands
    }


def tree() -> Circuit:
    x = np.random.default_rng(1).integers(0, 4, (200, 6))
    return hclt(chow_liu_tree(x, [pc.ir.categorical(f"x{i}", 4) for i in range(6)]), 5)


def test_a_step_is_the_published_one() -> None:
    """New weights are in proportion to eta F / N + (1 - eta) P theta + kappa / columns."""
    rows, batch, eta, pseudocount = 40, 8, 0.4, 0.3
    x = np.random.default_rng(0).integers(0, 4, (rows, 6))
    model = pc.compile(tree(), dtype="float64", seed=1)
    order = np.random.default_rng(5).permutation(rows)
    expectation = Expectation(model)
    with torch.no_grad():
        counts = expectation.of(model.prepare(x[order[:batch]]), True).counts
        prior = TopDown(model.plan, model.weights)(expectation.tables)
    seen: list[dict[int, np.ndarray]] = []

    def note(_: object) -> None:
        seen.append(model.weight_values())

    once = pc.compile(tree(), dtype="float64", seed=1)
    pc.fit_em(
        once, x[order[:batch]], iterations=1, step_size=eta, pseudocount=pseudocount,
        method="anemone", progress=False, on_evaluation=note,
    )  # fmt: skip
    values = once.weight_values()
    for number, table in expectation.tables.items():
        new = eta * (counts[number] / batch + pseudocount / batch / table.shape[-1])
        new = new + (1.0 - eta) * prior[number] * table
        new = new / new.sum(-1, keepdim=True)
        for place, weight in enumerate(model.plan.groups[number].weights.tolist()):
            np.testing.assert_allclose(values[weight], new[place].detach().cpu().numpy(), rtol=1e-9)


def test_with_whole_steps_methods_are_the_same() -> None:
    x = np.random.default_rng(0).integers(0, 4, (60, 6))
    models = [pc.compile(tree(), dtype="float64", seed=1) for _ in range(2)]
    for model, method in zip(models, ("running", "anemone"), strict=True):
        pc.fit_em(model, x, iterations=3, method=method, progress=False)  # type: ignore[arg-type]
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_unknown_methods_are_refused() -> None:
    model = pc.compile(tree())
    with pytest.raises(OptionError, match="anemone"):
        pc.fit_em(model, np.zeros((3, 6)), method="newton")  # type: ignore[arg-type]
