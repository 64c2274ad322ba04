"""A compiled circuit is at home among the modules of torch."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import pccompiler as pc
from pccompiler.ir import Hypernetwork
from pccompiler.testing.refusals import refusals
from pccompiler.torch_backend import CompiledCircuit

Golden = Callable[[str], None]
ROWS = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (9, 6))).float()
NETS = pytest.mark.parametrize("net", [None, Hypernetwork()], ids=["direct", "hypernetwork"])


def model(net: Hypernetwork | None = None, seed: int = 0) -> CompiledCircuit:
    return pc.compile(pc.rat_spn(6, 3, 3), net, seed=seed)


class Larger(nn.Module):
    """A circuit beside a layer of another kind."""

    def __init__(self, circuit: CompiledCircuit) -> None:
        super().__init__()
        self.scale = nn.Linear(6, 1)
        self.circuit = circuit

    def forward(self, x: Tensor) -> Tensor:
        value: Tensor = self.circuit(x) + self.scale(x)[:, 0]
        return value


@NETS
def test_state_dict_round_trip(net: Hypernetwork | None) -> None:
    one, other = model(net), model(net, seed=1)
    before = other(ROWS)
    file = io.BytesIO()
    torch.save(one.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert not torch.equal(before, one(ROWS))
    assert torch.equal(other(ROWS), one(ROWS))
    assert set(one.state_dict()) == {name for name, _ in one.named_parameters()}
    assert all(name.startswith("weights.values.") for name in one.state_dict())


def test_a_state_dict_by_assignment() -> None:
    one, other = model(), model(seed=1)
    other.load_state_dict(one.state_dict(), assign=True)
    assert torch.equal(other(ROWS), one(ROWS))


@NETS
def test_a_deep_copy_has_parameters_of_its_own(net: Hypernetwork | None) -> None:
    one = model(net)
    before = one(ROWS)
    other = copy.deepcopy(one)
    pc.fit(other, ROWS, steps=3, progress=False)
    assert torch.equal(one(ROWS), before)
    assert not torch.equal(other(ROWS), before)


@pytest.mark.cpu
@NETS
def test_a_submodule_trains_with_its_parent(net: Hypernetwork | None) -> None:
    parent = Larger(model(net))
    names = [name for name, _ in parent.named_parameters()]
    assert any(name.startswith("circuit.weights.values.") for name in names)
    groups: list[dict[str, Any]] = [
        {"params": parent.scale.parameters()},
        {"params": parent.circuit.parameters(), "lr": 0.01},
    ]
    optimizer = torch.optim.AdamW(groups)
    before, kept = parent(ROWS), {n: p.detach().clone() for n, p in parent.named_parameters()}
    (-before.mean()).backward()
    norm = nn.utils.clip_grad_norm_(parent.parameters(), 1e-3)
    assert float(norm) > 1e-3
    optimizer.step()
    assert all(not torch.equal(p, kept[n]) for n, p in parent.named_parameters())
    assert float(parent(ROWS).mean().detach()) > float(before.mean().detach())
    other = Larger(model(net, seed=3))
    other.load_state_dict(parent.state_dict())
    assert torch.equal(other(ROWS), parent(ROWS))


def test_train_and_eval_change_nothing_but_the_flag() -> None:
    found = model()
    before = found(ROWS)
    assert not found.eval().training
    assert torch.equal(found(ROWS), before)
    assert found.train().training
    assert torch.equal(found(ROWS), before)


def test_precision_moves_with_the_parent() -> None:
    parent = Larger(model()).double()
    assert parent.circuit(ROWS).dtype == torch.float64
    back = parent.float().circuit(ROWS)
    torch.testing.assert_close(back, model()(ROWS))


def test_average_models_and_hooks() -> None:
    found = model()
    average = torch.optim.swa_utils.AveragedModel(found)
    average.update_parameters(found)
    assert torch.equal(average(ROWS), found(ROWS))
    seen: list[Any] = []
    found.register_forward_hook(lambda module, x, out: seen.append(out))
    assert torch.equal(found(ROWS), seen[0])


@pytest.mark.cpu
@NETS
@pytest.mark.parametrize("kernels", [True, False])
def test_autocast_does_not_lower_the_precision(net: Hypernetwork | None, kernels: bool) -> None:
    found = model(net)
    if not kernels:
        found.without_kernels()
    ask: list[Callable[[], Tensor]] = [
        lambda: found(ROWS),
        lambda: found.posterior_marginals(ROWS[:, :1].expand(9, 6) * torch.nan).mean,
        lambda: found.sample(5, seed=0),
    ]
    want = [question() for question in ask]
    with torch.autocast("cpu", torch.bfloat16):
        got = [question() for question in ask]
    for one, other in zip(want, got, strict=True):
        assert torch.equal(one, other)


def test_refusals(golden: Golden) -> None:
    attempts: list[Callable[[], object]] = [
        lambda: model().half(),
        lambda: Larger(model()).to(torch.bfloat16),
        lambda: model().to("meta"),
    ]
    golden(refusals(attempts))


def test_a_refused_move_changes_nothing() -> None:
    found = model()
    before = found(ROWS)
    with pytest.raises(pc.PCCompilerError, match="PC840"):
        found.half()
    assert torch.equal(found(ROWS), before)
