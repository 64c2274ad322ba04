"""Training that fails leaves sound parameters, frozen ones stay, and the report is right."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pccompiler as pc
from pccompiler.errors import DataError, OptionError
from pccompiler.ir import Builder, Circuit, Family, Hypernetwork, binary, count, real
from pccompiler.torch_backend import CompiledCircuit, mean_log_likelihood
from pccompiler.torch_backend.training.soundness import unsound

Golden = Callable[[str], None]
GPU = pytest.param("cuda", marks=pytest.mark.gpu)
devices = pytest.mark.parametrize("device", ["cpu", GPU])


def table(rows: int = 200, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, (rows, 6))


def copies(model: CompiledCircuit) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.weights.values.items()}


def same(model: CompiledCircuit, before: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(p, before[name]) for name, p in model.weights.values.items())


@devices
@pytest.mark.parametrize("net", [None, Hypernetwork()], ids=["direct", "hypernetwork"])
@pytest.mark.parametrize("with_valid", [True, False])
def test_a_fit_that_fails_leaves_the_start(
    net: Hypernetwork | None, with_valid: bool, device: str
) -> None:
    model = pc.compile(pc.rat_spn(6, 3, 3), net, device=device)
    before = copies(model)
    valid = table(50, 1) if with_valid else None
    with pytest.raises(DataError, match="PC404"):
        pc.fit(model, table(), valid, steps=40, learning_rate=1e38, evaluate_every=40)
    assert same(model, before)


def test_a_fit_that_fails_later_leaves_the_last_sound_parameters() -> None:
    model = pc.compile(pc.rat_spn(6, 3, 3))
    seen: list[dict[str, torch.Tensor]] = []

    def spoil(evaluation: object) -> None:
        seen.append(copies(model))
        if len(seen) == 3:
            with torch.no_grad():
                next(iter(model.parameters())).fill_(torch.nan)

    with pytest.raises(DataError, match="PC404"):
        pc.fit(model, table(), steps=100, evaluate_every=10, on_evaluation=spoil)
    assert same(model, seen[-1])


@devices
def test_the_start_is_a_candidate(device: str) -> None:
    x, valid = table(), table(60, 1)
    model = pc.compile(pc.rat_spn(6, 3, 3), device=device)
    pc.fit(model, x, valid, steps=200, learning_rate=0.02, evaluate_every=50)
    before, value = copies(model), mean_log_likelihood(model, model.prepare(valid))
    history = pc.fit(model, x, valid, steps=20, learning_rate=30.0, evaluate_every=10)
    assert (history.best_step, history.best_valid) == (0, value)
    assert same(model, before)


def test_the_start_is_no_candidate_where_validation_rows_are_impossible_there() -> None:
    b = Builder()
    x = b.binary("x")
    model = pc.compile(b.build(b.sum([b.indicator(x)], weights=[1.0, 0.0])))
    history = pc.fit(model, np.zeros((9, 1)), np.ones((3, 1)), steps=20, evaluate_every=10)
    assert history.best_valid == -np.inf
    assert history.best_step == 20  # all are equally bad, so the last one counts


@devices
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_impossible_row_is_named(device: str, dtype: pc.api.Dtype) -> None:
    b = Builder()
    x, y = b.binary("x"), b.binary("y")
    product = b.product([b.sum([b.indicator(x)], weights=[1.0, 0.0]), b.bernoulli(y)])
    model = pc.compile(b.build(product), device=device, dtype=dtype)
    before = copies(model)
    rows = np.array([[0, 0], [0, 1], [0, 0], [1, 1], [0, 1], [1, 0]])
    for train in (pc.fit, pc.fit_em):
        with pytest.raises(DataError, match="training row 3 has no finite log-likelihood"):
            train(model, rows)
        assert same(model, before)
    history = pc.fit(model, rows, weights=[1, 1, 1, 0, 1, 0], steps=5)
    assert np.isfinite(history.evaluations[-1].train)


@devices
@pytest.mark.parametrize("train", [pc.fit, pc.fit_em])
def test_training_from_unsound_parameters_is_refused(
    train: Callable[..., Any], device: str
) -> None:
    model = pc.compile(pc.naive_bayes_mixture(3, 2), device=device)
    with torch.no_grad():
        next(iter(model.parameters()))[0] = torch.nan
    with pytest.raises(OptionError, match="PC432"):
        train(model, table()[:, :3])


CIRCUITS: dict[str, Callable[[], CompiledCircuit]] = {
    "rat": lambda: pc.compile(pc.rat_spn(6, 3, 3)),
    "hypernetwork": lambda: pc.compile(pc.rat_spn(6, 3, 3), Hypernetwork()),
    "mixture": lambda: pc.compile(pc.naive_bayes_mixture(6, 3)),
    "hmm": lambda: pc.compile(pc.hmm([binary(f"x{i}") for i in range(6)], 3)),
    "budget": lambda: pc.compile(pc.rat_spn(6, 3, 3), memory_budget="64 KiB"),
    "reals": lambda: pc.compile(pc.naive_bayes_mixture([real(f"x{i}") for i in range(6)], 3)),
}


@devices
@pytest.mark.parametrize("name", CIRCUITS)
def test_frozen_parameters_do_not_move(name: str, device: str) -> None:
    for frozen in CIRCUITS[name]().weights.values:
        model = CIRCUITS[name]().to(device)
        trainers: list[Callable[..., Any]] = [pc.fit]
        if name != "hypernetwork":
            trainers.append(pc.fit_em)
        model.weights.values[frozen].requires_grad_(False)
        for train in trainers:
            before = copies(model)
            options = {"steps": 5, "learning_rate": 0.1} if train is pc.fit else {"iterations": 2}
            if len(before) == 1:
                with pytest.raises(OptionError, match="PC431"):
                    train(model, table(), **options)
                continue
            train(model, table(), progress=False, **options)
            moved = {n for n, p in model.weights.values.items() if not torch.equal(p, before[n])}
            assert frozen not in moved
            assert moved


def test_nothing_to_train(golden: Golden) -> None:
    model = pc.compile(pc.rat_spn(6, 2, 2))
    model.requires_grad_(False)
    messages: list[str] = []
    for train in (pc.fit, pc.fit_em):
        with pytest.raises(OptionError) as caught:
            train(model, table())
        messages.append(str(caught.value))
    golden("\n".join(messages))


def wine(rows: int = 300) -> np.ndarray:
    """Columns with means far from 0 and scales far from 1, and a count."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, rows)
    columns = [rng.normal(1000 + 400 * kind, 90.0), rng.normal(0.1 * kind, 0.001)]
    return np.stack([*columns, rng.poisson(80 + 100 * kind)], axis=1)


def wine_circuit() -> Circuit:
    b = Builder([real("a"), real("b"), count("c")])
    families = [Family.GAUSSIAN, Family.LAPLACE, Family.POISSON]
    leaves = [int(b.inputs([v], family, 4)[0]) for v, family in enumerate(families)]
    return b.build(b.sum([b.product(leaves)], 1))


@devices
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("train", "options"), [(pc.fit, {"steps": 50}), (pc.fit_em, {"iterations": 9})]
)
def test_random_leaves_start_from_the_data(
    train: Callable[..., pc.History], options: dict[str, int], dtype: pc.api.Dtype, device: str
) -> None:
    x = wine()
    model = pc.compile(wine_circuit(), dtype=dtype, device=device, seed=4)
    other = pc.compile(wine_circuit(), dtype=dtype, device=device, seed=4)
    pc.initialise(other, x)
    first, second = train(model, x, **options), train(other, x, **options)
    assert (first.initialised, second.initialised) == (True, False)
    assert same(model, copies(other))
    assert first.evaluations[-1].train > -14.0
    assert not train(model, x, **options).initialised


def test_random_leaves_of_a_saved_model_are_still_known_as_such(tmp_path: Path) -> None:
    model = pc.load(pc.save(pc.compile(wine_circuit(), seed=4), tmp_path / "m"))
    assert pc.fit(model, wine(), steps=2).initialised
    again = pc.load(pc.save(model, tmp_path / "m"))
    assert not pc.fit(again, wine(), steps=2).initialised


def test_given_leaves_and_frozen_ones_are_not_initialised() -> None:
    b = Builder([real("a"), real("b")])
    given = b.gaussian(0, [[1000.0, 90.0], [1400.0, 90.0]])
    drawn = int(b.inputs([1], Family.GAUSSIAN, 2)[0])
    circuit = b.build(b.sum([b.product([given, drawn])], 1))
    model = pc.compile(circuit)
    assert pc.fit(model, wine()[:, :2], steps=1, learning_rate=1e-6).initialised
    (name,) = [n for n in model.weights.values if n.startswith("leaf_gaussian")]
    places = model.weights.values[name]
    means = sorted(places[..., 0].flatten().tolist())
    assert means[2:] == pytest.approx([1000.0, 1400.0], abs=1e-3)
    assert max(abs(mean) for mean in means[:2]) < 1.0
    frozen = pc.compile(wine_circuit())
    for key, parameter in frozen.weights.values.items():
        parameter.requires_grad_(not key.startswith("leaf"))
    before = copies(frozen)
    assert not pc.fit(frozen, wine(), steps=1).initialised
    assert all(torch.equal(frozen.weights.values[n], p) for n, p in before.items() if "leaf" in n)


def test_binary_circuits_start_as_they_were_drawn() -> None:
    model = pc.compile(pc.naive_bayes_mixture(6, 3))
    assert not pc.fit(model, table(), steps=1).initialised


def test_rows_of_a_mapped_file_initialise_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pccompiler.torch_backend.training.batches.mapped_rows.MAPPED_FROM", 1)
    module = sys.modules[
        "pccompiler.torch_backend.training.initialise"
    ]  # the package has the function
    monkeypatch.setattr(module, "_SAMPLE", 100)
    np.save(tmp_path / "x.npy", wine())
    model = pc.compile(wine_circuit())
    history = pc.fit(model, np.load(tmp_path / "x.npy", mmap_mode="r"), steps=200)
    assert history.initialised
    assert history.evaluations[-1].train > -13.0


@torch.no_grad()
def test_what_is_unsound() -> None:
    model = pc.compile(wine_circuit())
    assert unsound(model, copies(model)) == {}
    for value in (torch.nan, torch.inf, -torch.inf):
        for name in model.weights.values:
            changed = copies(model)
            changed[name][0, 0, 0] = value
            zero_rate = name.startswith(("leaf_poisson", "logits")) and value == -torch.inf
            assert list(unsound(model, changed)) == ([] if zero_rate else [name])
