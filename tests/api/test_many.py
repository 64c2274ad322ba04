"""Models that are trained at once end as their own trainings would leave them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import pccompiler as pc
from pccompiler.errors import DataError, OptionError
from pccompiler.ir import Builder, Hypernetwork

OPTIONS: dict[str, Any] = {"batch_size": 40, "evaluate_every": 10, "progress": False}


def rows(number: int, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    half = rng.integers(0, 2, (number, 4))
    flips = rng.random((number, 4)) < 0.1
    return torch.from_numpy(np.concatenate([half, half ^ flips], axis=1)).float()


def same(model: pc.CompiledCircuit, own: pc.CompiledCircuit) -> None:
    for found, want in zip(model.parameters(), own.parameters(), strict=True):
        torch.testing.assert_close(found, want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("net", [None, Hypernetwork()], ids=["direct", "hypernetwork"])
def test_each_is_its_own_training(net: Hypernetwork | None) -> None:
    circuit, train, valid = pc.rat_spn(8, 3, 3, seed=0), rows(200), rows(50, 1)
    rates, decays = [0.01, 0.05, 0.2], [0.0, 0.1, 0.0]
    found = pc.fit_many(
        circuit,
        train,
        valid,
        net,
        seeds=[3, 1, 4],
        learning_rate=rates,
        weight_decay=decays,
        steps=45,
        **OPTIONS,
    )
    for number, seed in enumerate((3, 1, 4)):
        own = pc.compile(circuit, net, seed=seed)
        history = pc.fit(
            own,
            train,
            valid,
            seed=seed,
            steps=45,
            learning_rate=rates[number],
            weight_decay=decays[number],
            **OPTIONS,
        )
        same(found.models[number], own)
        mine = found.histories[number]
        assert [e.step for e in mine.evaluations] == [10, 20, 30, 40, 45]
        assert mine.best_step == history.best_step
        assert mine.best_valid == pytest.approx(history.best_valid, rel=1e-6)
    best = max(found.histories, key=lambda history: history.best_valid or -np.inf)
    assert found.best is found.models[found.histories.index(best)]


def test_some_lose_patience() -> None:
    circuit, train, valid = pc.rat_spn(8, 2, 2, seed=0), rows(40), rows(100, 1)
    rates = [0.001, 3.0, 0.3]
    options: dict[str, Any] = {**OPTIONS, "steps": 120, "patience": 2}
    found = pc.fit_many(circuit, train, valid, seeds=3, learning_rate=rates, **options)
    stopped = [history.stopped_early for history in found.histories]
    assert stopped[1]
    assert not stopped[0]
    for seed, rate in enumerate(rates):
        own = pc.compile(circuit, seed=seed)
        history = pc.fit(own, train, valid, seed=seed, learning_rate=rate, **options)
        same(found.models[seed], own)
        assert found.histories[seed].best_step == history.best_step
        assert found.histories[seed].stopped_early == history.stopped_early


def test_folds_cover_all_rows() -> None:
    circuit, train = pc.rat_spn(8, 2, 2, seed=0), rows(103)
    options: dict[str, Any] = {**OPTIONS, "steps": 20, "batch_size": 1000}
    found = pc.fit_many(circuit, train, seeds=5, folds=5, **options)
    order = np.random.default_rng(0).permutation(103)
    for seed, part in enumerate(np.array_split(order, 5)):
        held, rest = np.sort(part), np.setdiff1d(order, part)
        own = pc.compile(circuit, seed=seed)
        each: dict[str, Any] = {**options, "batch_size": 82}  # the smallest rest
        history = pc.fit(own, train[rest], train[held], seed=seed, **each)
        same(found.models[seed], own)
        assert found.histories[seed].best_valid == pytest.approx(history.best_valid, rel=1e-6)


def test_the_mixture_is_the_mean() -> None:
    circuit, train = pc.rat_spn(8, 2, 2, seed=0), rows(60)
    found = pc.fit_many(circuit, train, seeds=3, steps=20, dtype="float64", **OPTIONS)
    mixed = pc.compile(found.mixture([0.5, 0.25, 0.25]), dtype="float64")
    values = torch.stack([model.log_likelihood(train).exp() for model in found.models])
    want = (torch.tensor([[0.5], [0.25], [0.25]], dtype=torch.float64) * values).sum(0).log()
    torch.testing.assert_close(mixed.log_likelihood(train), want, rtol=1e-9, atol=1e-9)
    assert found.mixture().num_nodes == found.mixture([1 / 3] * 3).num_nodes


def test_real_leaves_start_from_the_data() -> None:
    b = Builder()
    x = b.real("x")
    circuit = b.build(b.sum([b.gaussian(x, units=3)], 1))
    noise = np.random.default_rng(0).normal(size=(80, 1))
    train = torch.from_numpy(50 + noise).float()
    found = pc.fit_many(circuit, train, seeds=2, steps=20, **OPTIONS)
    for seed in range(2):
        own = pc.compile(circuit, seed=seed)
        pc.fit(own, train, seed=seed, steps=20, **OPTIONS)
        same(found.models[seed], own)
        assert found.histories[seed].initialised


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "seeds"),
        ({"seeds": []}, "there are no seeds"),
        ({"seeds": 2, "learning_rate": [0.1]}, "learning_rate is"),
        ({"seeds": 2, "learning_rate": -0.1}, "learning_rate is"),
        ({"seeds": 2, "weight_decay": "much"}, "weight_decay is"),
        ({"seeds": 2, "folds": 61}, "folds is 61"),
        ({"seeds": 2, "folds": 1}, "folds"),
        ({"seeds": 2, "folds": 2, "valid": rows(5)}, "and validation data"),
        ({"seeds": 2, "steps": 0}, "steps"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        pc.fit_many(pc.rat_spn(8, 2, 2), rows(60), progress=False, **options)


def test_without_validation_no_model_is_best() -> None:
    found = pc.fit_many(pc.rat_spn(8, 2, 2), rows(60), seeds=2, steps=5, **OPTIONS)
    with pytest.raises(OptionError, match="no model is the best one"):
        _ = found.best


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError):
        pc.fit_many(pc.rat_spn(8, 2, 2), rows(60)[:, :7], seeds=2, progress=False)
