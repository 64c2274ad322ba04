"""Evaluation in blocks and within a budget: the same answers, the predicted bytes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pccompiler as pc
from benchmarks.memory.live_bytes import LiveBytes, live_bytes
from pccompiler.errors import OptionError
from pccompiler.ir import Circuit, Family, Hypernetwork, Sectors
from pccompiler.passes import plan
from pccompiler.passes.lowering.peak_memory import peak
from pccompiler.passes.lowering.segments import best_segments
from pccompiler.testing.families import family_mixture
from pccompiler.testing.scalars import to_scalars
from pccompiler.testing.strategies import circuits, rows
from pccompiler.torch_backend.engines.base import Target
from pccompiler.torch_backend.engines.budgeted.engine import Budgeted
from pccompiler.torch_backend.engines.budgeted.schedule import Budget, Schedule, parse_bytes
from pccompiler.torch_backend.engines.questions import Ascent, Batch, Task, Wanted
from pccompiler.torch_backend.engines.select import Engines
from pccompiler.torch_backend.evaluator import Evaluator


def budgeted(
    model: Evaluator, splits: int, at_once: int = 500, training: int = 10, segments: int = 0
) -> Budgeted:
    """An engine for ``model`` with a chosen schedule."""
    dtype = "float64" if model.dtype == torch.float64 else "float32"
    cut = plan(model.circuit, dtype=dtype, numerics=model.numerics, splits=splits)
    schedule = Schedule(0, splits, len(cut.layers), at_once, 0, 1, training, 0, segments)
    segmented = plan(model.circuit, dtype=dtype, numerics=model.numerics, splits=segments)
    budget = Budget(schedule, cut, segmented if segments else None)
    target = Target(model.device, model.dtype, budget=budget)
    engines = Engines(model.plan, target, model.weights, kernels=False)
    engine = engines.ask(Budgeted, Wanted.VALUE)
    assert isinstance(engine, Budgeted)
    return engine


def answer(engine: Budgeted, x: torch.Tensor) -> torch.Tensor:
    """Log-likelihoods of rows."""
    return engine.up(Batch(x), (), Wanted.VALUE)[0] + engine.plan.log_scale


@settings(max_examples=60)
@given(
    circuits(families=tuple(Family)),
    st.integers(0, 100),
    st.sampled_from([0, 1, 2, 5]),
    st.booleans(),
)
def test_blocks_change_no_answer(circuit: Circuit, seed: int, splits: int, logs: bool) -> None:
    model = pc.compile(circuit, dtype="float64", numerics="log" if logs else "auto")
    if model.plan.packed:
        return
    x = model.prepare(rows(circuit, seed, 13, missing=0.3))
    with torch.no_grad():
        want = model(x)
    torch.testing.assert_close(answer(budgeted(model, splits, 5), x), want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("splits", [0, 1, 3, 30])
@pytest.mark.parametrize("leaf", ["indicator", "bernoulli"])
@pytest.mark.parametrize("net", [None, Hypernetwork()])
def test_the_papers_circuit(
    splits: int, leaf: Literal["indicator", "bernoulli"], net: Hypernetwork | None
) -> None:
    model = pc.compile(pc.rat_spn(37, 6, 5, leaf=leaf), net)
    model.without_kernels()
    x = model.prepare(np.random.default_rng(0).integers(0, 2, (50, 37)))
    x[torch.rand(x.shape) < 0.2] = torch.nan
    with torch.no_grad():
        want = model(x)
    got = answer(budgeted(model, splits), x)
    if (
        net is None and leaf == "indicator" and not got.is_cuda
    ):  # bit for bit; small matrix products round differently
        assert torch.equal(got, want)
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)


def test_weights_cut_up_into_sectors_are_generated_too() -> None:
    sectors = Sectors(by="rows", size=2)
    model = pc.compile(pc.rat_spn(20, 3, 4), Hypernetwork(), sectors=sectors)
    x = model.prepare(np.random.default_rng(0).integers(0, 2, (20, 20)))
    with torch.no_grad():
        torch.testing.assert_close(answer(budgeted(model, 2), x), model(x))


@settings(max_examples=25)
@given(circuits(max_variables=6), st.sampled_from([1, 2, 4]))
def test_every_block_comes_after_what_it_reads_and_once(circuit: Circuit, splits: int) -> None:
    cut = plan(circuit, splits=splits)
    nodes = np.concatenate([layer.nodes for layer in cut.layers])
    assert len(nodes) == len(np.unique(nodes))
    assert set(nodes.tolist()) == set(
        np.concatenate([x.nodes for x in plan(circuit).layers]).tolist()
    )
    for number, layer in enumerate(cut.layers):
        assert all(below < number for below in layer.below)


@pytest.mark.parametrize("generated", [False, True])
@pytest.mark.parametrize("numerics", ["auto", "log"])
def test_predicted_bytes_are_measured_ones(generated: bool, numerics: pc.api.Numerics) -> None:
    for circuit, batch in (
        (pc.rat_spn(64, 20, 5), 100),
        (pc.rat_spn(33, 30, 3, leaf="bernoulli"), 150),
    ):
        net = Hypernetwork() if generated else None
        model = pc.compile(circuit, net, numerics=numerics)
        x = torch.from_numpy(
            np.random.default_rng(0).integers(0, 2, (batch, len(circuit.variables)))
        )
        for splits in (0, 2, 30):
            run = budgeted(model, splits)
            measured = live_bytes(partial(answer, run, model.prepare(x)))
            assert peak(run.budget.plan, batch).bytes == pytest.approx(measured, rel=0.2)


def test_live_values_grow_as_the_logarithm() -> None:
    values = [peak(plan(pc.rat_spn(n, 4, 5), splits=64), 1).values for n in (16, 64, 256)]
    assert values[1] - values[0] == values[2] - values[1] == 4 * 5 * 2
    level = [peak(plan(pc.rat_spn(n, 4, 5)), 1).values for n in (16, 64, 256)]
    assert level[2] == 16 * level[0]


@pytest.mark.parametrize("generated", [False, True])
@pytest.mark.parametrize("budget", ["160 KiB", "2 MiB"])
def test_gradients_within_a_budget(generated: bool, budget: str) -> None:
    net = Hypernetwork() if generated else None
    plain = pc.compile(pc.rat_spn(32, 4, 3), net, dtype="float64")
    tight = pc.compile(pc.rat_spn(32, 4, 3), net, dtype="float64", memory_budget=budget)
    assert tight.schedule is not None
    assert tight.schedule.training_rows < 120
    assert (tight.schedule.training_splits > 0) == (budget == "160 KiB")
    x = np.random.default_rng(0).integers(0, 2, (120, 32)).astype(float)
    x[0, :5] = np.nan
    weight = torch.linspace(0.0, 1.0, 120, dtype=torch.float64)
    a, b = (
        torch.autograd.grad((m.log_likelihood(x) * weight).sum(), list(m.parameters()))
        for m in (plain, tight)
    )
    for one, other in zip(a, b, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_training_within_a_budget_is_training() -> None:
    x = np.random.default_rng(0).integers(0, 2, (200, 16))
    curves = []
    for budget in (None, "700 KiB"):
        model = pc.compile(
            pc.rat_spn(16, 4, 3), Hypernetwork(), dtype="float64", memory_budget=budget
        )
        history = pc.fit(model, x, x, steps=30, batch_size=100, evaluate_every=10, progress=False)
        curves.append([e.train for e in history.evaluations])
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-9)


@pytest.mark.cpu  # counts torch's allocations on a CPU
def test_training_takes_what_was_predicted() -> None:
    model = pc.compile(pc.rat_spn(64, 20, 5), Hypernetwork(), memory_budget="24 MiB")
    assert model.schedule is not None
    model.without_kernels()  # kernels need far less
    x = model.prepare(np.random.default_rng(0).integers(0, 2, (400, 64)))
    value = model(x).sum()
    with LiveBytes() as count:
        torch.autograd.grad(value, list(model.parameters()))
    assert model.schedule.training_bytes == pytest.approx(count.peak, rel=0.2)


@settings(max_examples=40)
@given(circuits(families=tuple(Family)), st.integers(0, 400), st.booleans())
def test_segments_change_no_gradient(circuit: Circuit, seed: int, logs: bool) -> None:
    model = pc.compile(circuit, dtype="float64", numerics="log" if logs else "auto")
    x = model.prepare(rows(circuit, seed, 8, missing=0.3))
    with torch.no_grad():
        x = x[model(x).isfinite()]
    if model.plan.packed or not len(x):
        return
    run = budgeted(model, 2, training=3, segments=(1, 2, 5)[seed % 3])
    weight = torch.linspace(0.5, 1.0, len(x), dtype=torch.float64)
    found = run.down(Ascent((x,), False), Task(weight, Wanted.GRADIENT)).operands[1:]
    parameters = list(model.parameters())
    total = (model(x) * weight).sum()
    wanted: list[torch.Tensor | None] = list(
        torch.autograd.grad(total, parameters, allow_unused=True)
    )
    for one, other in zip(found, wanted, strict=True):
        if other is not None:
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("net", [None, Hypernetwork()])
@pytest.mark.parametrize("leaf", ["indicator", "bernoulli"])
def test_training_in_segments_takes_what_was_predicted(
    leaf: Literal["indicator", "bernoulli"], net: Hypernetwork | None
) -> None:
    circuit = pc.rat_spn(64, 20, 5, leaf=leaf)
    whole = pc.compile(circuit, net)
    tight = pc.compile(circuit, net, memory_budget="4 MiB")
    assert tight.schedule is not None
    assert tight.schedule.training_splits > 0
    x = whole.prepare(np.random.default_rng(0).integers(0, 2, (100, 64)))
    value = tight(x).sum()
    with LiveBytes() as count:
        found = torch.autograd.grad(value, list(tight.parameters()))
    assert tight.schedule.training_bytes == pytest.approx(count.peak, rel=0.2)
    wanted = torch.autograd.grad(whole(x).sum(), list(whole.parameters()))
    top = max(float(g.abs().max()) for g in wanted)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * top)


def test_segments_need_a_fraction() -> None:
    cut = best_segments(plan(pc.rat_spn(256, 4, 5), splits=4))
    assert cut.kept + cut.largest < plan(pc.rat_spn(256, 4, 5)).cost(1).all_values / 8
    ends = [n for run in cut.runs for n in run]
    assert ends == sorted(ends)


def test_leaves_of_every_family_within_a_budget() -> None:
    model = pc.compile(family_mixture(4), dtype="float64")
    tight = pc.compile(family_mixture(4), dtype="float64", memory_budget="64 KiB")
    x = model.sample(300, seed=0)
    with torch.no_grad():
        torch.testing.assert_close(tight.log_likelihood(x), model.log_likelihood(x))


@pytest.mark.parametrize("case", ["word", "zero", "small", "gradient"])
def test_refusals(case: str, golden: Callable[[str], None]) -> None:
    def ask() -> None:
        if case in ("word", "zero"):
            parse_bytes("much" if case == "word" else 0)
        model = pc.compile(pc.rat_spn(16, 4, 3), memory_budget={"small": 100}.get(case, "2 KiB"))
        model.log_likelihood(np.zeros((3, 16)))

    with pytest.raises(OptionError) as error:
        ask()
    golden(str(error.value))


def test_packed_plans_take_no_budget() -> None:
    packed = to_scalars(pc.compile(pc.rat_spn(8, 2, 2), dtype="float64").trained_circuit())
    with pytest.raises(OptionError, match="PC373"):
        pc.compile(packed, memory_budget="1 MiB")


def test_room_enough_and_frozen_parameters() -> None:
    plain = pc.compile(pc.rat_spn(16, 4, 3))
    x = plain.sample(20, seed=0)
    for budget in ("1 GiB", "100 KiB"):
        model = pc.compile(pc.rat_spn(16, 4, 3), memory_budget=budget)
        model.requires_grad_(requires_grad=False)
        torch.testing.assert_close(model.log_likelihood(x), plain.log_likelihood(x).detach())


def test_bytes_of_text() -> None:
    assert [parse_bytes(t) for t in ("64 MiB", "1.5KB", 7, "2 GiB")] == [2**26, 1500, 7, 2**31]


def test_the_schedule_as_text() -> None:
    model = pc.compile(pc.rat_spn(64, 10, 5), memory_budget="400 KiB")
    assert "blocks in post-order" in str(model.schedule)
    assert pc.compile(pc.rat_spn(8, 2, 2)).schedule is None


@pytest.mark.gpu
def test_cuda_streams_as_the_cpu() -> None:
    x = np.random.default_rng(0).integers(0, 2, (300, 64)).astype(float)
    x[np.random.default_rng(1).random(x.shape) < 0.2] = np.nan
    found = []
    for device in ("cpu", "cuda"):
        model = pc.compile(
            pc.rat_spn(64, 20, 5),
            Hypernetwork(),
            device=device,
            dtype="float64",
            memory_budget="6 MiB",
        )
        with torch.no_grad():
            value = model.log_likelihood(x)
        grads = torch.autograd.grad(model.log_likelihood(x[:50]).sum(), list(model.parameters()))
        found.append([value.cpu(), *(g.cpu() for g in grads)])
        if device == "cuda":
            rows = model.prepare(x)
            budgeted_run = model.engines.choose(Wanted.VALUE)
            assert isinstance(budgeted_run, Budgeted)
            torch.cuda.synchronize()
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            answer(budgeted_run, rows)
            taken = torch.cuda.max_memory_allocated() - before
            assert taken < 1.2 * budgeted_run.schedule.bytes + 2**20  # cuBLAS keeps a workspace
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.gpu
def test_cuda_trains_within_a_budget_in_a_graph() -> None:
    x = np.random.default_rng(0).integers(0, 2, (400, 64))
    curves = []
    for budget in (None, "200 MiB", "3 MiB"):
        model = pc.compile(
            pc.rat_spn(64, 20, 5), Hypernetwork(), device="cuda", memory_budget=budget
        )
        history = pc.fit(model, x, x, steps=40, batch_size=100, evaluate_every=20, progress=False)
        curves.append([e.train for e in history.evaluations])
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-4)
    np.testing.assert_allclose(curves[0], curves[2], rtol=1e-4)
