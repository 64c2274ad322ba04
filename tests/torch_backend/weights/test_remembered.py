"""What is kept between calls on a CPU is as good as new, however parameters change."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import pccompiler as pc
from pccompiler.ir import Circuit
from pccompiler.torch_backend.weights.remembered import Remembered

pytestmark = pytest.mark.cpu


def by_data(model: pc.CompiledCircuit) -> None:
    for parameter in model.parameters():
        parameter.data.mul_(0.5)  # leaves no trace in the version of a tensor


def by_memory(model: pc.CompiledCircuit) -> None:
    for parameter in model.parameters():
        parameter.detach().numpy()[...] *= 1.5


def by_training(model: pc.CompiledCircuit) -> None:
    pc.fit(model, rows(), steps=3, progress=False)


def by_loading(model: pc.CompiledCircuit) -> None:
    model.load_state_dict(pc.compile(model.circuit, seed=5).state_dict())


def in_place_of_it(model: pc.CompiledCircuit) -> None:
    for name, value in list(model.weights.values.items()):
        model.weights.values[name] = torch.nn.Parameter(torch.zeros_like(value))


def rows() -> Tensor:
    x = torch.randint(0, 2, (6, 8), generator=torch.Generator().manual_seed(0)).float()
    x[:, ::3] = torch.nan
    return x


CIRCUITS: dict[str, Callable[[], Circuit]] = {
    "trees": lambda: pc.rat_spn(8, 2, 3, seed=0),
    "general": lambda: pc.hmm(8, 3),
}


@pytest.mark.parametrize("change", [by_data, by_memory, by_training, by_loading, in_place_of_it])
@pytest.mark.parametrize("name", CIRCUITS)
def test_changes_are_noticed(name: str, change: Callable[[pc.CompiledCircuit], None]) -> None:
    model, x = pc.compile(CIRCUITS[name](), seed=1), rows()
    with torch.no_grad():
        before = answers(model, x)
        for one, other in zip(before, answers(model, x), strict=True):
            assert torch.equal(one, other)
    change(model)
    fresh = pc.compile(CIRCUITS[name](), seed=2)
    fresh.load_state_dict(model.state_dict())
    with torch.no_grad():
        after = answers(model, x)
        for one, other in zip(after, answers(fresh, x), strict=True):
            assert torch.equal(one, other)
    assert not torch.equal(before[0], after[0])


def answers(model: pc.CompiledCircuit, x: Tensor) -> list[Tensor]:
    posterior, best = model.posterior_marginals(x), model.mpe(x)
    return [
        model.log_likelihood(x),
        posterior.states,
        best.rows,
        model.sample(5, seed=0),
        model.sample_conditional(x, seed=0),
    ]


def test_gradients_are_computed_anew() -> None:
    model, x = pc.compile(CIRCUITS["trees"]()), rows()
    with torch.no_grad():
        model.log_likelihood(x)
    model.log_likelihood(x).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_inference_mode_keeps_its_own() -> None:
    model, x = pc.compile(CIRCUITS["general"]()), rows()
    with torch.inference_mode():
        want = model.posterior_marginals(x).states
    with torch.no_grad():
        assert torch.equal(model.posterior_marginals(x).states, want)


def test_calls_that_make_nothing() -> None:
    made, given = list[int](), [torch.ones(3)]
    keep = Remembered()

    def make() -> int:
        made.append(0)
        return len(made)

    with torch.no_grad():
        assert [keep("a", given, make), keep("a", given, make), keep("b", given, make)] == [1, 1, 2]
        given[0][1] = torch.nan
        assert [keep("a", given, make), keep("a", given, make)] == [3, 4]  # NaN is never the same
        large = [torch.zeros(2**20 + 1)]
        assert [keep("a", large, make), keep("a", large, make)] == [5, 6]
    given = [torch.ones(3)]
    assert [keep("a", given, make), keep("a", given, make)] == [7, 8]  # with gradients


def test_copies_do_not_take_it_along() -> None:
    model, x = pc.compile(CIRCUITS["general"]()), rows()
    with torch.no_grad():
        want = model.posterior_marginals(x).states
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert not other.weights.remembered._known
            assert torch.equal(other.posterior_marginals(x).states, want)
