"""How many threads work gets, and that this affects nothing but time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator

import numpy as np
import pytest
import torch
from torch import Tensor

import pccompiler as pc
from pccompiler.torch_backend.engines.trees.cpu import TreesOnCPU
from pccompiler.torch_backend.runtime import threads

pytestmark = pytest.mark.cpu


@pytest.fixture(autouse=True)
def three_threads() -> Generator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def in_thread(work: Callable[[], object]) -> list[object]:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found


def data(rows: int, variables: int) -> Tensor:
    return torch.randint(
        0, 2, (rows, variables), generator=torch.Generator().manual_seed(0)
    ).float()


def test_torch_goes_back_to_its_threads() -> None:
    def fail() -> None:
        with threads.one_thread():
            assert torch.get_num_threads() == 1
            with threads.one_thread():
                assert torch.get_num_threads() == 1
            assert torch.get_num_threads() == 1
            assert threads.threads_for(threads.ALONE) == 3
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert torch.get_num_threads() == 3


def test_little_work_gets_one_thread() -> None:
    assert threads.threads_for(threads.ALONE - 1) == 1
    assert threads.threads_for(threads.ALONE) == 3


def test_python_threads_do_not_disturb_one_another() -> None:
    entered, done = threading.Event(), threading.Event()

    def stay() -> None:
        with threads.one_thread():
            entered.set()
            done.wait(60)

    other = threading.Thread(target=stay)
    other.start()
    entered.wait(60)
    with threads.one_thread():
        pass
    assert torch.get_num_threads() == 3

    def newcomer() -> int:
        with threads.one_thread():
            pass
        return torch.get_num_threads()

    assert in_thread(newcomer) == [3]  # torch starts it with 1, since another thread is inside
    done.set()
    other.join()
    assert in_thread(torch.get_num_threads) == [3]


def test_models_in_many_python_threads() -> None:
    model = pc.compile(pc.rat_spn(12, 2, 3, seed=0))
    row = np.full((1, 12), np.nan)
    want = model.posterior_marginals(row).states

    def ask() -> None:
        for _ in range(20):
            assert torch.equal(model.posterior_marginals(row).states, want)
            assert torch.get_num_threads() == 3

    asking = [threading.Thread(target=ask) for _ in range(4)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert torch.get_num_threads() == 3


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Torch's number of threads, each time weights are made."""
    from pccompiler.torch_backend.weights.weights import Weights

    found: list[int] = []
    constrained = Weights.constrained

    def watched(self: Weights, *args: object) -> object:
        found.append(torch.get_num_threads())
        return constrained(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Weights, "constrained", watched)
    return found


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_small_circuits_run_in_one_thread(dtype: pc.api.Dtype, seen: list[int]) -> None:
    model = pc.compile(pc.rat_spn(5, 2, 2, seed=0), dtype=dtype)
    model.without_kernels()
    x = data(20, 5)
    model.log_likelihood(x)
    model(x.to(model.dtype)).sum().backward()
    model.posterior_marginals(x)
    model.mpe({"x0": 1.0})
    model.sample(3)
    model.sample_conditional(x, number=2)
    model.upper_bound(x[:1])
    model.map(x[:1])
    model.expectation({"x0": torch.square}, x)
    pc.fit(model, x, steps=2, batch_size=10, progress=False)
    pc.fit_em(model, x, iterations=1, progress=False)
    assert len(seen) > 8
    assert set(seen) == {1}
    assert torch.get_num_threads() == 3


def test_large_work_keeps_its_threads(seen: list[int]) -> None:
    model = pc.compile(pc.rat_spn(20, 10, 20, seed=0))
    model.without_kernels()
    model.log_likelihood(data(500, 20))
    model.posterior_marginals(data(500, 20))
    assert set(seen) == {3}


def test_trees_in_c_keep_their_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    model = pc.compile(pc.rat_spn(16, 50, 5, seed=0))
    if not isinstance(model.kernels, TreesOnCPU):
        pytest.skip("no C compiler")
    found: list[tuple[int, int]] = []
    own = threads.threads_for

    def watched(numbers: int) -> int:
        found.append((torch.get_num_threads(), own(numbers)))
        return found[-1][1]

    monkeypatch.setattr("pccompiler.torch_backend.engines.trees.blocks.threads_for", watched)
    with torch.no_grad():
        model(data(500, 16))
        model(data(1, 16))
    assert found == [(1, 3), (1, 1)]  # torch has little to do; trees choose their own threads


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_threads_that_are_gone() -> None:
    model = pc.compile(pc.rat_spn(16, 50, 5, seed=0))
    if model.kernels is None:
        pytest.skip("no C compiler")
    x = data(500, 16)
    with torch.no_grad():
        want = model(x)
        child = os.fork()
        if child == 0:
            os._exit(0 if torch.equal(model(x), want) else 1)
    deadline = time.monotonic() + 30
    while (status := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > deadline:
            os.kill(child, 9)
            os.waitpid(child, 0)
            pytest.fail("the child hangs")
        time.sleep(0.05)
    assert os.waitstatus_to_exitcode(status[1]) == 0
