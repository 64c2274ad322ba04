"""Calls that replay CUDA graphs answer like calls that do not."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import pccompiler as pc
from pccompiler.errors import DataError
from pccompiler.torch_backend.runtime.replays import Replays, bucket


@given(st.integers(1, 10**6))
def test_few_buckets_are_little_larger(batch: int) -> None:
    size = bucket(batch)
    assert batch <= size <= batch + max(0, batch // 8)
    assert bucket(size) == size


def test_a_thousand_sizes_need_few_graphs() -> None:
    assert len({bucket(batch) for batch in range(1, 1001)}) < 70


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def gaussians() -> pc.ir.Circuit:
    b = pc.ir.Builder()
    variables = [b.real(f"x{i}") for i in range(12)]
    parts = [b.product([b.gaussian(v, units=4) for v in variables]) for _ in range(3)]
    return b.build(b.sum(parts, 1))


def made(name: str) -> tuple[pc.CompiledCircuit, pc.CompiledCircuit]:
    """A model, and one that never replays."""
    circuit = {
        "trees": lambda: pc.rat_spn(12, 3, 4, seed=0),
        "dense": lambda: pc.hmm(12, 8),
        "general": lambda: pc.hmm(12, 3),
        "gaussians": gaussians,
    }[name]()
    model, eager = (pc.compile(circuit, device="cuda", seed=2) for _ in range(2))
    names = "log_likelihood", f"posterior of {tuple(range(12))}", "mpe", "draws"
    eager.replays = {name: Replays(most=0) for name in names}
    return model, eager


def rows(batch: int, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, (batch, 12)).astype(np.float32)
    x[rng.random(x.shape) < 0.2] = np.nan
    return torch.from_numpy(x).cuda()


def replayed(model: pc.CompiledCircuit) -> int:
    known = (model.replays or {}).values()
    return sum(graph is not None for each in known for graph in each.graphs.values())


@needs_cuda
@pytest.mark.gpu
@pytest.mark.parametrize("name", ["trees", "dense", "general"])
@pytest.mark.parametrize("check", [True, False])
@torch.no_grad()
def test_answers_are_the_same(name: str, check: bool) -> None:
    model, eager = made(name)
    for turn in range(4):
        for batch in (1, 7, 8, 100, 103, 500):
            x = rows(batch, turn)
            found = model.log_likelihood(x, check=check)
            torch.testing.assert_close(found, eager.log_likelihood(x), rtol=1e-6, atol=1e-6)
            cpu = model.log_likelihood(x.cpu().numpy(), check=check)
            assert torch.equal(cpu, found) or turn == 0
    assert replayed(model) >= 5
    kept = model.log_likelihood(rows(7, 1))
    before = kept.clone()
    model.log_likelihood(rows(7, 2))
    assert torch.equal(kept, before)  # not a buffer of the graph


@needs_cuda
@pytest.mark.gpu
@torch.no_grad()
def test_large_complete_rows_have_graphs_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pccompiler.torch_backend.evaluator._LARGE", 500)
    model, eager = made("trees")
    eager.replays = {"log_likelihood, complete": Replays(most=0), **(eager.replays or {})}
    for turn in range(4):
        for x in (rows(100, turn), rows(103, turn).nan_to_num(1.0), rows(3, turn)):
            torch.testing.assert_close(model.log_likelihood(x), eager.log_likelihood(x))
    assert model.replays is not None
    assert set(model.replays) == {"log_likelihood", "log_likelihood, complete"}
    wrong = rows(103).nan_to_num(1.0)
    wrong[8, 3] = 5.0
    for _ in range(2):
        with pytest.raises(DataError, match="row 8, column 3"):
            model.log_likelihood(wrong)


@needs_cuda
@pytest.mark.gpu
@pytest.mark.parametrize("name", ["trees", "dense", "general", "gaussians"])
def test_queries_are_the_same(name: str) -> None:
    model, eager = made(name)
    for turn in range(4):
        for batch in (1, 7, 100):
            x = rows(batch, turn)
            found, want = (each.posterior_marginals(x) for each in (model, eager))
            for mine, true in zip(found, want, strict=True):
                torch.testing.assert_close(mine, true, rtol=1e-5, atol=1e-5)
            best, other = model.mpe(x), eager.mpe(x)
            torch.testing.assert_close(best.rows, other.rows)
            torch.testing.assert_close(best.log_value, other.log_value, rtol=1e-5, atol=1e-5)
    assert replayed(model) >= (
        3 if name == "gaussians" else 6
    )  # modes of some leaves need the host
    wrong = rows(7)
    if name != "gaussians":
        wrong[6, 3] = 5.0
        with pytest.raises(DataError, match="row 6, column 3"):
            model.posterior_marginals(wrong)


@needs_cuda
@pytest.mark.gpu
@pytest.mark.parametrize("name", ["trees", "dense", "general", "gaussians"])
def test_draws_are_the_same(name: str) -> None:
    model, eager = made(name)
    for turn in range(4):
        for batch in (1, 7, 100):
            pairs = [(each.sample(batch, seed=turn), each) for each in (model, eager)]
            torch.testing.assert_close(pairs[0][0], pairs[1][0])
            given = [each.sample_conditional(rows(batch, turn), 2, seed=turn) for _, each in pairs]
            torch.testing.assert_close(*given)
            torch.manual_seed(turn)  # without a seed, torch's own numbers go on
            mine = torch.cat([model.sample(batch), model.sample(batch)])
            after = torch.rand(3, device="cuda")
            torch.manual_seed(turn)
            torch.testing.assert_close(mine, torch.cat([eager.sample(batch), eager.sample(batch)]))
            assert torch.equal(after, torch.rand(3, device="cuda"))
    assert replayed(model) >= 3
    assert len(torch.unique(model.sample(100), dim=0)) > 50


@needs_cuda
@pytest.mark.gpu
@torch.no_grad()
def test_parameters_may_change_and_move() -> None:
    model, eager = made("trees")
    x = rows(50)
    for _ in range(3):
        model.log_likelihood(x)
    assert replayed(model) == 1
    for each in (model, eager):
        for parameter in each.parameters():
            parameter.mul_(0.5)
    torch.testing.assert_close(model.log_likelihood(x), eager.log_likelihood(x))
    for each in (model, eager):
        for parameter in each.parameters():
            parameter.data = parameter.data * 0.5  # at another address
    for _ in range(3):
        torch.testing.assert_close(model.log_likelihood(x), eager.log_likelihood(x))
    copies = [deepcopy(model), pickle.loads(pickle.dumps(model)), model.double()]
    for copy in copies:
        for _ in range(3):
            found = copy.log_likelihood(x).float()
            torch.testing.assert_close(found, eager.log_likelihood(x), rtol=1e-5, atol=1e-5)


@needs_cuda
@pytest.mark.gpu
@torch.no_grad()
def test_invalid_rows_are_refused_and_forgotten() -> None:
    model, eager = made("trees")
    for _ in range(3):
        model.log_likelihood(rows(9))
    wrong = rows(9)
    wrong[8, 3] = 5.0
    with pytest.raises(DataError, match="row 8, column 3"):
        model.log_likelihood(wrong)
    for batch in (9, 8):
        x = rows(batch, 4)
        torch.testing.assert_close(model.log_likelihood(x), eager.log_likelihood(x))


@needs_cuda
@pytest.mark.gpu
def test_threads_and_streams_do_not_mix() -> None:
    model, eager = made("trees")
    with torch.no_grad():
        batches = [rows(64, seed) for seed in range(40)]
        want = [eager.log_likelihood(x) for x in batches]
        for x in batches[:3]:
            model.log_likelihood(x)

    @torch.no_grad()
    def ask(x: Tensor) -> Tensor:
        with torch.cuda.stream(torch.cuda.Stream()):
            found = model.log_likelihood(x)
            torch.cuda.current_stream().synchronize()
            return found

    with ThreadPoolExecutor(8) as pool:
        for found, true in zip(pool.map(ask, batches), want, strict=True):
            torch.testing.assert_close(found, true)


@needs_cuda
@pytest.mark.gpu
def test_inference_mode_and_gradients_come_in_any_order() -> None:
    model, eager = made("dense")
    x = rows(20)
    with torch.inference_mode():
        for _ in range(3):
            model.log_likelihood(x)
    with torch.no_grad():
        torch.testing.assert_close(model.log_likelihood(x), eager.log_likelihood(x))
    model.log_likelihood(x).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
