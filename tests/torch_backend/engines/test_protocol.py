"""Every engine against the definition, for every question that it claims to answer."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Self
from unittest.mock import Mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import pccompiler as pc
from pccompiler import log
from pccompiler.ir import Circuit
from pccompiler.ir.kinds import Kind
from pccompiler.ir.plan.layers import Layer
from pccompiler.ir.plan.plan import Plan
from pccompiler.testing.strategies import circuits, rows
from pccompiler.torch_backend import CompiledCircuit
from pccompiler.torch_backend.engines import select
from pccompiler.torch_backend.engines.arena.engine import Arena
from pccompiler.torch_backend.engines.base import Engine, Evaluate, NoMatch, Target
from pccompiler.torch_backend.engines.differentiable import evaluate, run
from pccompiler.torch_backend.engines.general.cuda import GeneralOnCUDA
from pccompiler.torch_backend.engines.layered.engine import Layered
from pccompiler.torch_backend.engines.plain import Plain
from pccompiler.torch_backend.engines.questions import Ascent, Batch, Task, Wanted
from pccompiler.torch_backend.engines.tables_by_group import operands_by_group
from pccompiler.torch_backend.values import safe_log
from pccompiler.torch_backend.weights.weights import Weights

DRAWS = 3000


class Probed(Plain):
    """The definition, with a probe of zeros added to the log-density of every leaf."""

    def __init__(self, model: CompiledCircuit) -> None:
        super().__init__(model.plan, model.device, torch.float64)
        self.model = model
        self.probes: dict[int, Tensor] = {}

    def _input(self, leaf, columns, table, densities):  # type: ignore[no-untyped-def]
        value = super()._input(leaf, columns, table, densities)
        probe = self.probes[leaf.number] = torch.zeros_like(value, requires_grad=True)
        return value + probe

    def values(self, x: Tensor) -> Tensor:
        """Log-values without the scale."""
        named = dict(self.model.weights.values.items())
        return self(x, self.model.weights, named) - self.model.plan.log_scale

    def flows(self, x: Tensor) -> dict[int, Tensor]:
        """Derivatives of the root's logarithm by those of the leaves."""
        value = self.values(x)
        found = torch.autograd.grad(value[value.isfinite()].sum(), list(self.probes.values()))
        return dict(zip(self.probes, found, strict=True))


class Tropical(Probed):
    """The same with maxima instead of sums."""

    @staticmethod
    def inner(layer: Layer, parts: list[Tensor], weights: list[Tensor]) -> Tensor:
        if layer.ragged:
            tables = [part.squeeze(2).transpose(0, 1) for part in parts]
            pairs = zip(tables, weights, strict=True)
            return torch.cat([_best(table, weight) for table, weight in pairs])
        if layer.kind == Kind.MIXTURE:
            return (parts[0] + safe_log(weights[0]).permute(2, 0, 1).unsqueeze(-1)).amax(0)
        if layer.kind != Kind.SUM:
            return Plain.inner(layer, parts, weights)
        return _best(torch.cat([o for part in parts for o in part], dim=1), weights[0])


def _best(logs: Tensor, weight: Tensor) -> Tensor:
    return (logs.unsqueeze(1) + safe_log(weight).unsqueeze(-1)).amax(2)


def close(found: Tensor, want: Tensor) -> None:
    """In the precision of the engine."""
    limit = 2e-4 if found.dtype == torch.float32 else 1e-8
    torch.testing.assert_close(found.double(), want.double(), rtol=limit, atol=limit)


def by_value(model: CompiledCircuit, engine: Engine, x: Tensor) -> None:
    with torch.no_grad():
        close(
            evaluate(engine, Batch(x), model.weights, Wanted.VALUE),
            Probed(model).values(x.double()),
        )


def by_gradient(model: CompiledCircuit, engine: Engine, x: Tensor) -> None:
    compare_gradients(model, evaluate(engine, Batch(x), model.weights, Wanted.GRADIENT), x)


def by_counts(model: CompiledCircuit, engine: Engine, x: Tensor) -> None:
    x = possible(model, x)
    whole = x[~x.isnan().any(1)]
    groups = model.weights.tables
    for some in (each for each in (x, whole) if len(each)):
        share = torch.linspace(0.5, 1.5, len(some), dtype=x.dtype)
        value, found = counts(model, engine, some, share)
        close(value, Probed(model).values(some.double()).detach())
        flows = [flow * share for flow in Probed(model).flows(some.double()).values()]
        wanted = [*true_counts(model, some, share, flows)]
        others = [n for n, leaf in enumerate(model.leaf_inputs.layers) if leaf.states == 0]
        for number, mine, true in zip(groups, found, wanted, strict=False):
            if some is whole or number not in over_indicators(model):
                close(mine, true)
        for mine, place in zip(found[len(groups) :], others, strict=True):
            close(mine, flows[place])


def over_indicators(model: CompiledCircuit) -> set[int]:
    """Groups of sums over indicators, to which a missing value may give counts or not."""
    layers = model.plan.layers
    return {
        layer.group
        for layer in layers
        for operands in layer.operands
        for source in operands.sources
        if layers[source.layer].kind == Kind.INPUT and layers[source.layer].group < 0
    }


def counts(
    model: CompiledCircuit, engine: Engine, x: Tensor, share: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """What an engine answers."""
    with torch.no_grad():
        operands = operands_by_group(model.weights, model.leaf_inputs, x)
        value, ascent = engine.up(Batch(x), operands, Wanted.COUNTS)
        found = engine.down(ascent, Task(share, Wanted.COUNTS)).operands
        return value, [each for each in found if each is not None]


def true_counts(
    model: CompiledCircuit, x: Tensor, share: Tensor, flows: list[Tensor]
) -> Iterator[Tensor]:
    """Tables times their gradients, in float64; for leaves, flows by state."""
    double = deepcopy(model).double()
    tables, leaves = double.weights()
    tables = [table.detach().requires_grad_() for table in tables]
    engine = double.engines.ask(Arena, Wanted.GRADIENT)
    assert isinstance(engine, Arena)
    given = [*double.leaf_inputs(x.double(), leaves), *tables]
    value = run(engine, Batch(x.double()), given, Wanted.GRADIENT)
    total = (value * share.double()).sum()
    grads = torch.autograd.grad(total, tables, materialize_grads=True) if tables else ()
    by_use = [table.detach() * grad for table, grad in zip(tables, grads, strict=True)]
    numbered = dict(zip((leaf.number for leaf in model.leaf_inputs.layers), flows, strict=True))
    with_tables = [use for use in model.plan.uses if model.plan.groups[use.group].tabular]
    for place, use in enumerate(with_tables):
        if not model.plan.groups[use.group].is_sum:
            (leaf,) = [each for each in model.leaf_inputs.layers if each.number == use.layer]
            column = leaf.column(x.double().t())
            seen = leaf.one_hot(column).masked_fill(column.isnan(), 0.0)
            by_use[place] = torch.bmm(numbered[use.layer], seen.transpose(1, 2))
    yield from double.weights.by_table(by_use)


def compare_gradients(model: CompiledCircuit, value: Tensor, x: Tensor) -> None:
    parameters = list(model.parameters())
    want = Probed(model).values(x.double())
    finite = want.isfinite()
    if not parameters or not bool(finite.any()):
        return
    share = torch.linspace(0.5, 1.5, len(x), dtype=torch.float64)[finite]
    sums = ((value[finite].double() * share).sum(), (want[finite] * share).sum())
    pairs = [torch.autograd.grad(s, parameters, allow_unused=True) for s in sums]
    for parameter, found, true in zip(parameters, *pairs, strict=True):
        nothing = torch.zeros_like(parameter)
        close(nothing if found is None else found, nothing if true is None else true)


def leaves(
    model: CompiledCircuit, engine: Engine, x: Tensor, wanted: Wanted, draws: int = 0
) -> tuple[Tensor, dict[int, Tensor]]:
    """The root, and what reaches the leaves of possible rows."""
    with torch.no_grad():
        operands = operands_by_group(model.weights, model.leaf_inputs, x)
        root, ascent = engine.up(Batch(x), operands, wanted)
        generator = torch.Generator(x.device).manual_seed(0)
        ones = root.new_ones(draws or len(x))
        found = engine.down(ascent, Task(ones, wanted, generator))
        return root, dict(found.leaves) if found.chosen is None else one_hot(model, found.chosen)


def one_hot(model: CompiledCircuit, chosen: Tensor) -> dict[int, Tensor]:
    """For each input layer and unit, 1 in the rows in which it is chosen, and 0 elsewhere."""
    found: dict[int, Tensor] = {}
    before = 0
    for leaf in model.leaf_inputs.layers:
        layer = model.plan.layers[leaf.number]
        assert layer.variables is not None
        units = before + torch.arange(layer.rows * layer.units).view(layer.rows, layer.units, 1)
        mine = chosen[torch.from_numpy(layer.variables.copy())].unsqueeze(1)
        found[leaf.number] = (mine == units.to(chosen.device)).to(model.dtype)
        before += layer.rows * layer.units
    return found


def by_posterior(model: CompiledCircuit, engine: Engine, x: Tensor) -> None:
    x = possible(model, x)
    root, found = leaves(model, engine, x, Wanted.POSTERIOR)
    definition = Probed(model)
    close(root, definition.values(x).detach())
    for number, want in definition.flows(x).items():
        close(found[number], want)


def by_draws(model: CompiledCircuit, engine: Engine, x: Tensor) -> None:
    x = possible(model, x)[:1]
    if not len(x):
        return
    _, found = leaves(model, engine, x, Wanted.DRAWS, DRAWS)
    for number, want in Probed(model).flows(x).items():
        assert bool(((found[number] == 0) | (found[number] == 1)).all())
        share = found[number].mean(-1, keepdim=True)
        deviation = (want * (1 - want) / DRAWS).clamp_min(0.0).sqrt()
        assert bool(((share - want).abs() <= 6 * deviation + 1e-9).all())


def by_best(model: CompiledCircuit, engine: Engine, x: Tensor) -> None:
    x = possible(model, x)
    x = x[~x.isnan().any(1)]
    root, found = leaves(model, engine, x, Wanted.BEST)
    definition = Tropical(model)
    close(root, definition.values(x).detach())
    wanted = definition.flows(x)
    ties = torch.zeros(len(x), dtype=torch.bool)
    for want in wanted.values():
        ties |= ((want != 0) & (want != 1)).flatten(0, 1).any(0)
    for number, want in wanted.items():
        close(found[number][..., ~ties], want[..., ~ties])


def possible(model: CompiledCircuit, x: Tensor) -> Tensor:
    return x[Probed(model).values(x).isfinite()]


CHECKS: dict[Wanted, Callable[[CompiledCircuit, Engine, Tensor], None]] = {
    Wanted.VALUE: by_value,
    Wanted.GRADIENT: by_gradient,
    Wanted.COUNTS: by_counts,
    Wanted.POSTERIOR: by_posterior,
    Wanted.DRAWS: by_draws,
    Wanted.BEST: by_best,
}


def check_all(circuit: Circuit, wanted: Wanted, seed: int, dtype: pc.api.Dtype) -> set[str]:
    """Run every engine that fits; their names."""
    model = pc.compile(circuit, dtype=dtype)
    if not model.plan.packed:
        model.keep_within("16 MiB")
    x = model.prepare(rows(circuit, seed, 7, missing=0.3))
    names: set[str] = set()
    for kind in select.engines():
        engine = model.engines.ask(kind, wanted)
        if not isinstance(engine, NoMatch):
            CHECKS[wanted](model, engine, x)
            names.add(kind.name)
    assert model.engines.choose(wanted).name in names
    return names


@pytest.mark.parametrize("wanted", Wanted)
@settings(max_examples=15)
@given(circuits(reals=True, zeros=False), st.integers(0, 100))
def test_random_circuits(wanted: Wanted, circuit: Circuit, seed: int) -> None:
    assert "arena" in check_all(circuit, wanted, seed, "float64")


def trees() -> str:
    """The engine for trees on the device that tests run on."""
    return f"trees-{torch.get_default_device().type}"


def general() -> str:
    """The engine for any circuit on the device that tests run on."""
    return f"general-{torch.get_default_device().type}"


@pytest.mark.usefixtures("needs_a_compiler")
@pytest.mark.parametrize("wanted", Wanted)
@pytest.mark.parametrize("sizes", [(9, 3, 4), (13, 1, 2), (45, 2, 5), (3, 4, 8)])
def test_trees(wanted: Wanted, sizes: tuple[int, int, int]) -> None:
    names = check_all(pc.rat_spn(*sizes, seed=0), wanted, 0, "float32")
    kernels = {
        Wanted.VALUE: {"budgeted", "layered"},
        Wanted.GRADIENT: {"budgeted", "layered"},
        Wanted.COUNTS: {"layered"},
    }
    assert {"arena", trees(), general(), *kernels.get(wanted, set())} <= names


def test_every_engine_says_no_to_what_it_lacks() -> None:
    plan = pc.compile(pc.rat_spn(4, 2, 2)).plan
    target = Target(torch.device("cpu"), torch.float32)
    for kind in select.engines():
        for wanted in set(Wanted) - kind.answers:
            found = kind.match(plan, target, wanted)
            assert isinstance(found, NoMatch)
            assert found.reason == f"it does not compute {wanted.value}"


FOREIGN = """
from pccompiler.torch_backend.engines.arena.engine import Arena
from pccompiler.torch_backend.engines.base import Engine, NoMatch
from pccompiler.torch_backend.engines.plain import Plain
from pccompiler.torch_backend.engines.questions import Ascent, Wanted


class ByDefinition(Engine):
    name = "by-definition"
    answers = frozenset({Wanted.VALUE})

    @classmethod
    def fit(cls, plan, target):
        if len(plan.layers) > 6:
            raise NoMatch(f"the plan has {len(plan.layers)} layers, more than 6")
        return cls(plan, target)

    def load(self, weights, rest):
        self.plain = Plain(self.plan, self.target.device, self.target.dtype)
        self.weights = weights

    def operands(self, batch, weights):
        return []

    def up(self, batch, operands, wanted):
        value = self.plain(batch.x, self.weights, dict(self.weights.values.items()))
        return (value - self.plan.log_scale).to(batch.x.dtype), Ascent()
"""


def chosen_for(circuit: Circuit) -> dict[Wanted, str]:
    model = pc.compile(circuit)
    x = torch.zeros(5, len(circuit.variables))
    with torch.no_grad():
        close(model.log_likelihood(x), Probed(model).values(x.double()))
    compare_gradients(model, model(x), x)
    return {wanted: model.engines.choose(wanted).name for wanted in Wanted}


@pytest.mark.usefixtures("needs_a_compiler")
def test_an_engine_of_another_package_is_chosen(install: Callable[..., None]) -> None:
    entry = {"by-definition": "own_engine:ByDefinition"}
    install("own_engine", "pccompiler.engines", entry, FOREIGN)
    small, large = pc.rat_spn(2, 2, 3), pc.rat_spn(16, 2, 3)
    assert chosen_for(small)[Wanted.VALUE] == "by-definition"
    assert chosen_for(small)[Wanted.GRADIENT] == chosen_for(large)[Wanted.VALUE] == trees()


@pytest.mark.usefixtures("needs_a_compiler")
def test_an_engine_can_be_registered() -> None:
    made: dict[str, type[Engine]] = {}
    exec(FOREIGN, made)
    select.register(made["ByDefinition"])
    try:
        assert chosen_for(pc.rat_spn(2, 2, 3))[Wanted.VALUE] == "by-definition"
    finally:
        select.unregister("by-definition")
    assert chosen_for(pc.rat_spn(2, 2, 3))[Wanted.VALUE] == trees()


@pytest.mark.usefixtures("needs_a_compiler")
def test_a_broken_engine_of_another_package_is_left_out(
    install: Callable[..., None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(log, "_SAID", set())
    install("broken", "pccompiler.engines", {"bad": "broken:Bad"}, "raise ImportError('no lib')")
    install("vain", "pccompiler.engines", {"arena": "vain:Arena"}, "raise ImportError('no lib')")
    circuit = pc.rat_spn(2, 2, 3)
    assert chosen_for(circuit)[Wanted.VALUE] == trees()
    assert pc.explain(circuit).choices[0].engine == trees()
    ours = [kind.name for kind in select.OURS]
    assert [kind.name for kind in select.engines()] == ours
    assert [
        word for text in caplog.messages for word in ("bad", "arena") if f"'{word}'" in text
    ] == [
        "arena",
        "bad",
    ]


class Picky(Engine):
    """Refuses one of the questions that it answers otherwise, and hands on the rest."""

    name = "picky"
    answers = frozenset({Wanted.VALUE, Wanted.GRADIENT})
    matched = 0

    @classmethod
    def match(cls, plan: Plan, target: Target, wanted: Wanted) -> Self | NoMatch:
        """No gradients."""
        cls.matched += 1
        return NoMatch("no") if wanted is Wanted.GRADIENT else super().match(plan, target, wanted)

    def load(self, weights: Weights, rest: Evaluate) -> None:
        """Keep what the others answer."""
        self.rest = rest

    def operands(self, batch: Batch, weights: Weights) -> list[Tensor]:
        """Nothing that torch differentiates."""
        return [batch.x]

    def up(self, batch: Batch, operands: Sequence[Tensor], wanted: Wanted) -> tuple[Tensor, Ascent]:
        """Hand on."""
        return self.rest(batch.x, batch.complete), Ascent()


@pytest.fixture
def picky() -> Iterator[None]:
    select.register(Picky)
    yield
    if "picky" in select.ENGINES:
        select.unregister("picky")


@pytest.mark.usefixtures("picky")
@pytest.mark.parametrize("order", [1, -1])
def test_the_choice_does_not_depend_on_the_order_of_questions(order: int) -> None:
    model = pc.compile(pc.rat_spn(4, 1, 2, seed=0))
    before = Picky.matched
    chosen = {w: model.engines.choose(w).name for w in list(Wanted)[::order] for _ in range(2)}
    assert [w for w in Wanted if chosen[w] == "picky"] == [Wanted.VALUE]
    assert Picky.matched - before == len(Wanted)


@pytest.mark.usefixtures("picky")
def test_a_model_keeps_an_engine_that_is_removed() -> None:
    model = pc.compile(pc.rat_spn(4, 1, 2, seed=0))
    want = model.log_likelihood(torch.zeros(1, 4)).detach()
    assert model.engines.choose(Wanted.VALUE).name == "picky"
    select.unregister("picky")
    with torch.no_grad():
        close(model.log_likelihood(torch.zeros(1, 4)), want)
    assert "picky" in {other.engine for other in pc.explain(model).choices[1].others}
    assert pc.explain(model).choices[0].engine == "picky"


def test_a_plan_is_matched_once_for_all_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = Mock(side_effect=Layered)
    monkeypatch.setattr(Layered, "fit", fit)
    model = pc.compile(pc.rat_spn(4, 1, 2, seed=0))
    assert len({id(model.engines.ask(Layered, wanted)) for wanted in Layered.answers}) == 1
    assert fit.call_count == 1


def test_going_down_must_be_written() -> None:
    made: dict[str, type[Engine]] = {}
    exec(FOREIGN, made)
    model = pc.compile(pc.rat_spn(2, 2, 3))
    engine = made["ByDefinition"].match(model.plan, model.engines.target, Wanted.VALUE)
    assert isinstance(engine, Engine)
    with pytest.raises(NotImplementedError, match="by-definition does not run top-down"):
        engine.down(Ascent(), Task(torch.ones(1), Wanted.GRADIENT))


def test_refusals_keep_nothing_alive() -> None:
    """A traceback would keep the callers' frames, and so their autograd graphs."""
    model = pc.compile(pc.rat_spn(6, 3, 3), memory_budget="1 MiB", device="cpu", dtype="float64")
    model(torch.zeros(2, 6))
    for kind in select.engines():
        model.engines.ask(kind, Wanted.GRADIENT)
    refused = [made for made in model.engines.verdicts.values() if isinstance(made, NoMatch)]
    assert refused
    assert all(why.__traceback__ is None and why.__context__ is None for why in refused)


def test_one_warning_says_why_no_kernel_fits_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(log, "_SAID", set())
    monkeypatch.setattr(Layered, "load", lambda *_: None)  # nothing is put on the device
    monkeypatch.setattr(GeneralOnCUDA, "fit", Mock(side_effect=NoMatch("it is too large")))
    model = pc.compile(pc.hmm(4, 2))
    with caplog.at_level(logging.WARNING, logger="pccompiler"):
        for dtype in (torch.float64, torch.float32, torch.float32):
            target = Target(torch.device("cuda"), dtype)
            made = select.Engines(model.plan, target, model.weights, kernels=True)
            assert made.choose(Wanted.VALUE).name == "layered"
    said = "no fused kernels fit the circuit, so it runs layer by layer"
    assert [record.getMessage() for record in caplog.records] == [
        f"{said} (general-cuda: it is too large)",  # the others compute in float32 only
        f"{said} (trees-cuda: leaves are not binary; dense: its widest sum has 2 units, fewer than "
        "4; general-cuda: it is too large)",
    ]


def test_copies_stay_without_kernels() -> None:
    model = pc.compile(pc.rat_spn(6, 2, 3, seed=0))
    model.without_kernels()
    again = pickle.loads(pickle.dumps(deepcopy(model)))
    assert again.kernels is None
    assert again.engines.choose(Wanted.GRADIENT).name == "layered"
