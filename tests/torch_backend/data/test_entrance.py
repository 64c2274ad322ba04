"""Input of rows: what is checked, converted and refused, and which calls skip the checks."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import pccompiler as pc
from pccompiler.errors import DataError, OptionError
from pccompiler.ir import Variable, binary, categorical, count, real
from pccompiler.structures import chow_liu
from pccompiler.torch_backend import mean_log_likelihood
from pccompiler.torch_backend.data.validation import StateCheck

CPU = torch.device("cpu")


def mixed(**options: Any) -> pc.CompiledCircuit:
    """A model over one variable of each domain."""
    variables = [binary("wet"), categorical("sky", 3), count("drops"), real("heat")]
    model: pc.CompiledCircuit = pc.compile(pc.naive_bayes_mixture(variables, 2), **options)
    return model


def binaries(**options: Any) -> pc.CompiledCircuit:
    model: pc.CompiledCircuit = pc.compile(pc.rat_spn(6, 2, 3), **options)
    return model


ROWS = [[1, 2, 7, -0.5], [0, 0, 0, 3.25], [math.nan, 1, math.nan, math.nan]]


def test_a_call_takes_what_log_likelihood_takes() -> None:
    model = mixed(dtype="float64")
    want = model.log_likelihood(ROWS)
    frame = [dict(zip(model.names, row, strict=True)) for row in ROWS]
    for x in (ROWS, np.array(ROWS), torch.tensor(ROWS), torch.tensor(ROWS).double(), frame):
        torch.testing.assert_close(model(x), want, rtol=1e-12, atol=0.0)
    x = torch.tensor(ROWS[:2], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(model(x).sum(), x)
    assert bool((slope[:, 3] != 0.0).all())


@pytest.mark.parametrize(
    ("row", "column", "value"),
    [(1, 0, 7.0), (2, 1, 3.0), (0, 1, 0.5), (1, 2, -1.0), (0, 3, math.inf), (2, 0, -math.inf)],
)
def test_a_call_refuses_what_is_no_state(row: int, column: int, value: float) -> None:
    model = mixed()
    x = torch.tensor(ROWS)
    x[row, column] = value
    place = rf"PC401.*row {row}, column {column} .*{model.names[column]!r}"
    for ask in (model, model.log_likelihood, model.log_marginal, model.posterior_marginals):
        with pytest.raises(DataError, match=place):
            ask(x)


def test_a_promise_that_nothing_is_missing_is_kept() -> None:
    model = mixed()
    torch.testing.assert_close(model(ROWS[:2], complete=True), model(ROWS[:2]))
    with pytest.raises(DataError, match=r"PC454.*row 2, column 0 \(variable 'wet'\)"):
        model(ROWS, complete=True)


def test_a_call_refuses_other_shapes() -> None:
    model = binaries()
    for x in (torch.zeros(6), torch.zeros(2, 5), torch.zeros(1, 2, 6), torch.tensor(0.0)):
        with pytest.raises(DataError, match="PC400"):
            model(x)
    for odd in (torch.zeros(2, 6).to_sparse(), torch.zeros(2, 6, dtype=torch.complex64)):
        with pytest.raises(DataError, match="PC452"):
            model(odd)


def allowed(value: float, variable: Variable) -> bool:
    """The definition."""
    if math.isnan(value):
        return True
    if variable.domain == "real" or math.isinf(value):
        return math.isfinite(value)
    states = variable.cardinality if variable.discrete else math.inf
    return value == math.floor(value) and 0 <= value < states


DOMAINS = {
    "binary": [binary("a"), binary("b"), binary("c")],
    "real": [real("a"), real("b"), real("c")],
    "mixed": [binary("a"), real("b"), count("c"), categorical("d", 5)],
    "whole": [binary("a"), categorical("b", 4), count("c")],
}
VALUES = st.sampled_from([0.0, -0.0, 1.0, 2.0, 4.0, 5.0, 0.5, -1.0, 1e30, math.nan, math.inf])


@given(st.sampled_from(sorted(DOMAINS)), st.data())
def test_checks_agree_with_their_definition(name: str, data: st.DataObject) -> None:
    variables = tuple(DOMAINS[name])
    row = st.lists(VALUES, min_size=len(variables), max_size=len(variables))
    rows = data.draw(st.lists(row, min_size=1, max_size=4))
    wrong = [
        (i, j)
        for i, row in enumerate(rows)
        for j, v in enumerate(row)
        if not allowed(v, variables[j])
    ]
    for dtype in (torch.float32, torch.float64):
        check, x = StateCheck(variables, CPU, dtype), torch.tensor(rows, dtype=dtype, device=CPU)
        before = x.clone()
        if wrong:
            with pytest.raises(DataError, match="row {}, column {} ".format(*wrong[0])):
                check(x)
        else:
            check(x)
        assert torch.equal(before.nan_to_num(9.0), x.nan_to_num(9.0))


def test_large_tables_are_checked_to_the_end() -> None:
    x = torch.zeros(300_000, 3, device="cpu")
    check = StateCheck((binary("a"), binary("b"), binary("c")), CPU, torch.float32)
    check(x)
    x[-1, -1] = 2.0
    with pytest.raises(DataError, match="row 299999, column 2"):
        check(x)


def test_fit_em_and_queries_do_not_check_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    usual = StateCheck.__call__

    def counted(self: StateCheck, x: Tensor, *, complete: bool = False) -> None:
        calls.append(len(x))
        usual(self, x, complete=complete)

    monkeypatch.setattr(StateCheck, "__call__", counted)
    x = np.random.default_rng(0).integers(0, 2, (60, 6))
    asked: list[tuple[Callable[[pc.CompiledCircuit], object], int]] = [
        (lambda m: pc.fit(m, x, x[:20], steps=7, evaluate_every=2, progress=False), 2),
        (lambda m: pc.fit_em(m, x, x[:20], iterations=3, progress=False), 2),
        (lambda m: m(x), 1),
        (lambda m: m.log_likelihood(x), 1),
        (lambda m: m.log_likelihood(x, check=False), 0),
        (lambda m: m.mpe(x), 1),
        (lambda m: m.map({"x0": 1}), 1),
        (lambda m: m.upper_bound(x), 1),
        (lambda m: m.sample_conditional(x, 3), 1),
        (lambda m: m.classify(x, 0), 1),
        (lambda m: mean_log_likelihood(m, x), 1),
    ]
    for ask, number in asked:
        model = binaries()
        calls.clear()
        ask(model)
        assert len(calls) == number


EMPTY = np.zeros((0, 6))


def _models() -> dict[str, pc.CompiledCircuit]:
    states = np.random.default_rng(0).integers(0, 2, (50, 6))
    return {
        "layers": binaries(dtype="float64"),
        "kernels": binaries(),
        "generated": pc.compile(pc.rat_spn(6, 2, 3), pc.Hypernetwork()),
        "budget": binaries(memory_budget="1 MiB"),
        "packed": pc.compile(chow_liu(states)),
        "chain": pc.compile(pc.hmm(6, 3)),
    }


ANSWERS: dict[str, tuple[Callable[[pc.CompiledCircuit], Tensor], tuple[int, ...]]] = {
    "call": (lambda m: m(EMPTY), (0,)),
    "log_likelihood": (lambda m: m.log_likelihood(EMPTY), (0,)),
    "empty list": (lambda m: m.log_likelihood([]), (0,)),
    "log_marginal": (lambda m: m.log_marginal(EMPTY, ["x0"]), (0,)),
    "log_conditional": (lambda m: m.log_conditional({"x0": 1}, EMPTY), (0,)),
    "posterior mean": (lambda m: m.posterior_marginals(EMPTY).mean, (0, 6)),
    "posterior states": (lambda m: m.posterior_marginals(EMPTY).states, (0, 6, 2)),
    "mpe": (lambda m: m.mpe(EMPTY).rows, (0, 6)),
    "mpe value": (lambda m: m.mpe(EMPTY).log_value, (0,)),
    "map": (lambda m: m.map(EMPTY, k=2).rows, (0, 2, 6)),
    "upper_bound": (lambda m: m.upper_bound(EMPTY), (0,)),
    "sample": (lambda m: m.sample(0), (0, 6)),
    "sample_conditional": (lambda m: m.sample_conditional(EMPTY, 3), (0, 3, 6)),
    "classify": (lambda m: m.classify(EMPTY, "x1").log_probability, (0, 2)),
    "labels": (lambda m: m.classify(EMPTY, "x1").label, (0,)),
    "expectation": (lambda m: m.expectation({"x0": [1.0, 2.0]}, EMPTY), (0,)),
    "variance": (lambda m: m.variance({"x0": [1.0, 2.0]}, EMPTY), (0,)),
    "covariance": (lambda m: m.covariance(EMPTY), (0, 6, 6)),
}


@pytest.mark.parametrize("name", ["layers", "kernels", "generated", "budget", "packed", "chain"])
def test_no_rows_have_no_answers(name: str) -> None:
    model = _models()[name]
    for query, (ask, shape) in ANSWERS.items():
        assert tuple(ask(model).shape) == shape, query
    assert list(model.log_likelihood_stream(EMPTY)) == []
    if name == "packed":
        assert tuple(model.entropy(EMPTY).shape) == (0,)
    for slope in torch.autograd.grad(model(EMPTY).sum(), list(model.parameters())):
        assert not slope.any()
    with torch.no_grad():
        assert tuple(model(EMPTY).shape) == (0,)
    for train in (lambda: pc.fit(model, EMPTY), lambda: mean_log_likelihood(model, EMPTY)):
        with pytest.raises(DataError, match="PC403"):
            train()


def test_evidence_by_name_everywhere() -> None:
    model = binaries(dtype="float64")
    rows = np.full((2, 6), np.nan)
    rows[0, 1], rows[1, 4] = 1.0, 0.0
    dicts = [{"x1": 1}, {"x4": 0}]
    asked: list[Callable[[Any], Tensor]] = [
        model,
        model.log_likelihood,
        model.log_marginal,
        lambda x: model.log_conditional({"x0": 1}, x),
        lambda x: model.posterior_marginals(x).mean,
        lambda x: model.mpe(x).log_value,
        lambda x: model.map(x).log_value,
        model.upper_bound,
        lambda x: model.classify(x, "x0").log_probability,
        lambda x: model.sample_conditional(x, 2, seed=0),
        lambda x: model.expectation({"x0": [0.0, 1.0]}, x),
        lambda x: model.variance({"x0": [0.0, 1.0]}, x),
        model.covariance,
        lambda x: torch.from_numpy(np.concatenate(list(model.log_likelihood_stream(x)))),
    ]
    for ask in asked:
        torch.testing.assert_close(ask(dicts), ask(rows), rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(ask(dicts[0]), ask(rows[:1]), rtol=1e-12, atol=1e-14)


def test_frames_are_taken_by_name() -> None:
    pd = pytest.importorskip("pandas")
    model = mixed(dtype="float64")
    x = np.array(ROWS)
    frame = pd.DataFrame({name: x[:, i] for i, name in enumerate(model.names)})
    turned = frame[["heat", "sky", "drops", "wet"]]
    assert torch.equal(model.log_likelihood(turned), model.log_likelihood(x))
    mask = pd.DataFrame({name: x[:, i] > 1.0 for i, name in enumerate(model.names)})
    masked = model.log_likelihood(turned, mask=mask[turned.columns])
    assert torch.equal(masked, model.log_likelihood(x, mask=x > 1.0))
    part = frame.drop(columns="heat")
    x[:, 3] = np.nan
    assert torch.equal(model.log_marginal(part), model.log_likelihood(x))
    for ask in (model, model.log_likelihood, lambda t: pc.fit(model, t, steps=1)):
        with pytest.raises(DataError, match=r"PC450.*'heat'"):
            ask(part)
    one, other = mixed(), mixed()
    for trained, table in ((one, turned[:2]), (other, x[:2])):
        x[:, 3] = frame["heat"]
        pc.fit(trained, table, steps=3, progress=False)
    assert torch.equal(one(ROWS), other(ROWS))


def test_read_only_arrays_are_taken_as_they_are(tmp_path: Path) -> None:
    model = binaries()
    x = np.random.default_rng(0).integers(0, 2, (50, 6)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    fixed = x.copy()
    fixed.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for table in (
            mapped,
            fixed,
            mapped[::-1][::-1],
            mapped[::2],
            np.broadcast_to(x[:1], (3, 6)),
        ):
            rows = model.prepare(table)
            assert rows.is_cuda or np.shares_memory(rows.numpy(), table)
            assert torch.equal(model(table), model(np.array(table)))
        for table in (mapped[::-1], mapped[:, ::-1], mapped.astype(">f4")):
            assert torch.equal(model(table), model(np.array(table)))
        pc.fit(model, mapped, mapped, steps=2, progress=False)


def test_masks_and_missing_values() -> None:
    model = binaries()
    x = np.array([[0, 1, 2, 0, 1, 1]], np.uint8)
    want = model.log_likelihood([[0, 1, None, 0, 1, 1]])
    assert torch.equal(model.log_likelihood(x, missing=2), want)
    assert torch.equal(model.log_likelihood(x, mask=[[0, 0, 1, 0, 0, 0]]), want)
    assert torch.equal(model.log_likelihood(x.astype(np.uint16), missing=2.0), want)
    with pytest.raises(DataError, match="neither true nor false"):
        model.log_likelihood(x, mask=[[0, 0, 0.5, 0, 0, 0]])
    with pytest.raises(OptionError, match="missing is 'none'"):
        model.log_likelihood(x, missing="none")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_models_and_circuits_are_distinguished_from_other_things() -> None:
    model = pc.compile(chow_liu(np.eye(3)))
    with pytest.raises(OptionError, match=r"PC315.*\[1\] is not a compiled circuit"):
        model.kl([1])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(OptionError, match=r"PC316.*'x' is not a circuit"):
        pc.compile("x")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def waits(ask: Callable[[], object]) -> int:
    """Number of synchronizations with the device."""
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")  # this warns that it is a prototype
        try:
            ask()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("called a synchronizing" in str(one.message) for one in caught)


@pytest.mark.gpu
@pytest.mark.parametrize("net", [None, pc.Hypernetwork()])
def test_a_check_on_cuda_waits_once(net: pc.Hypernetwork | None) -> None:
    model = pc.compile(pc.rat_spn(16, 4, 5), net, device="cuda")
    x = torch.randint(0, 2, (100, 16)).float()
    there = x.cuda()
    model(there)  # compiles kernels
    assert waits(lambda: model.evaluate_unchecked(there)) == 0
    assert waits(lambda: model(there)) == 1
    assert waits(lambda: model(there, complete=True)) == 1
    assert waits(lambda: model.log_likelihood(there)) == 1
    assert waits(lambda: model(x)) <= 2  # copying pageable memory also waits
    torch.testing.assert_close(model(x), model(there))


@pytest.mark.gpu
def test_rows_on_the_cpu_are_moved_to_cuda() -> None:
    model, x = pc.compile(pc.rat_spn(16, 4, 5), device="cuda"), torch.zeros(3, 16)
    assert model(x).is_cuda
    assert torch.equal(model(x), model(x.cuda()))
    assert torch.equal(model(x.cpu().numpy()), model(x.cuda()))
    assert torch.equal(
        pc.compile(pc.rat_spn(16, 4, 5))(x.cuda()), pc.compile(pc.rat_spn(16, 4, 5))(x)
    )
    x[2, 5] = 7.0
    with pytest.raises(DataError, match="row 2, column 5"):
        model(x)


@pytest.mark.gpu
def test_a_capture_refuses_the_check_and_takes_the_road_without() -> None:
    model = pc.compile(pc.rat_spn(16, 4, 5), device="cuda")
    x = torch.zeros(3, 16, device="cuda")
    with torch.no_grad():
        want = model(x)
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            model.evaluate_unchecked(x)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            with pytest.raises(OptionError, match="PC314"):
                model(x)
            found = model.evaluate_unchecked(x)
        graph.replay()
    torch.testing.assert_close(found, want)
