"""Training on datasets and loaders equals training on their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

import pccompiler as pc
from pccompiler.errors import DataError, OptionError
from pccompiler.ir import real
from pccompiler.testing.refusals import refusals
from pccompiler.torch_backend import CompiledCircuit

Golden = Callable[[str], None]
OPTIONS: dict[str, Any] = {"steps": 12, "batch_size": 20, "evaluate_every": 5, "progress": False}


def table(rows: int = 90, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, (rows, 4)).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    return torch.as_tensor(x)


def model() -> CompiledCircuit:
    return pc.compile(pc.rat_spn(4, 2, 2))


class Labelled(Dataset[tuple[np.ndarray, int]]):
    """Rows with a label, as arrays."""

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return self.rows[index].cpu().numpy(), index % 2


class Stream(IterableDataset[Tensor]):
    """Rows without numbers."""

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.rows)


class Dicts(Labelled):
    def __getitem__(self, index: int) -> Any:  # another type on purpose
        return {"x": self.rows[index]}


def trained(data: object, **options: Any) -> tuple[CompiledCircuit, pc.History]:
    found = model()
    return found, pc.fit(found, data, **{**OPTIONS, **options})  # type: ignore[arg-type]  # any data


def equal(one: CompiledCircuit, other: CompiledCircuit) -> bool:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    "make", [TensorDataset, Labelled, lambda x: Subset(TensorDataset(x), range(90))]
)
@pytest.mark.parametrize("epochs", [None, 2])
def test_a_dataset_gives_the_result_of_its_rows(
    make: Callable[[Tensor], object], epochs: int | None
) -> None:
    x, weights = table(), np.random.default_rng(1).integers(0, 3, 90)
    steps = None if epochs else 12
    options = {"weights": weights, "steps": steps, "epochs": epochs, "valid": table(30, 1)}
    want, history = trained(x, **options)
    got, same = trained(make(x), **options)
    assert equal(want, got)
    assert [e.train for e in same.evaluations] == [e.train for e in history.evaluations]


def test_epochs_over_a_mapped_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pccompiler.torch_backend.training.batches.opening.stays_mapped", is_map)
    x = table()
    np.save(tmp_path / "x.npy", x.cpu().numpy())
    options: dict[str, Any] = {"steps": None, "epochs": 2, "weights": np.arange(90) % 3}
    want, _ = trained(x, **options)
    got, _ = trained(np.load(tmp_path / "x.npy", mmap_mode="r"), **options)
    assert equal(want, got)


def is_map(x: object) -> bool:
    return isinstance(x, np.memmap)


def test_a_dataset_of_validation_rows_gives_their_mean() -> None:
    x, valid = table(), table(30, 1)
    want = trained(x, valid=valid)[1].best_valid
    for given in (TensorDataset(valid), Labelled(valid), DataLoader(TensorDataset(valid), 7)):
        assert trained(x, valid=given)[1].best_valid == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("size", [20, 90])
def test_a_loader_keeps_its_order_and_its_short_batches(size: int) -> None:
    """Against Adam in a plain torch loop."""
    x, rounds = table(), 3
    loader = DataLoader(TensorDataset(x), size)
    got, history = trained(loader, steps=None, batch_size=None, evaluate_every=None, epochs=rounds)
    want = model()
    adam = torch.optim.Adam(want.parameters(), lr=5e-3)
    means = []
    for _ in range(rounds):
        total = 0.0
        for rows in x.split(size):
            adam.zero_grad()
            value = want(rows)
            (-value.sum()).backward()
            adam.step()
            total += float(value.detach().sum())
        means.append(total / len(x))
    for one, other in zip(got.parameters(), want.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert [e.train for e in history.evaluations] == pytest.approx(means, rel=1e-5)
    assert history.evaluations[-1].step == rounds * len(loader)


def test_a_loader_goes_round_until_the_steps_are_taken() -> None:
    _, history = trained(DataLoader(TensorDataset(table(30)), 20), batch_size=None, steps=7)
    assert history.evaluations[-1].step == 7


def test_a_stream_of_rows() -> None:
    _, history = trained(Stream(table(30)), steps=7)
    assert history.evaluations[-1].step == 7


def test_leaves_are_initialised_from_the_first_batches_which_are_then_trained_on() -> None:
    x = (
        torch.randn(60, 2, generator=torch.Generator(torch.get_default_device()).manual_seed(0))
        + 50.0
    )
    circuit = pc.naive_bayes_mixture([real("a"), real("b")], 3)
    seen: list[int] = []

    class Counted(TensorDataset):
        def __getitem__(self, index: int) -> tuple[Tensor, ...]:
            seen.append(index)
            return (x[index],)

    found = pc.compile(circuit)
    history = pc.fit(found, DataLoader(Counted(x), 20), epochs=1, progress=False)
    assert history.initialised
    assert seen == list(range(60))
    assert history.evaluations[0].train > -10


def test_epochs_take_each_row_once() -> None:
    rows: list[Tensor] = []

    def loss(model: CompiledCircuit, x: Tensor) -> Tensor:
        rows.append(x)
        return -model.log_likelihood(x)

    x = torch.stack([torch.tensor([i >> k & 1 for k in range(4)]) for i in range(16)]).float()
    trained(x, steps=None, epochs=2, batch_size=6, evaluate_every=None, loss=loss)
    assert [len(part) for part in rows] == [6, 6, 4, 6, 6, 4]
    for epoch in (rows[:3], rows[3:]):
        assert sorted(torch.cat(epoch).tolist()) == sorted(x.tolist())


def test_refusals(golden: Golden) -> None:
    x, loader = table(), DataLoader(TensorDataset(table()), 20)
    fit: Callable[..., object] = lambda data, **more: pc.fit(model(), data, progress=False, **more)  # noqa: E731
    attempts: list[Callable[[], object]] = [
        lambda: fit(loader, batch_size=10),
        lambda: fit(loader, weights=np.ones(90)),
        lambda: fit(Stream(x), batch_size=0),
        lambda: fit(x, steps=3, epochs=3),
        lambda: fit(DataLoader(Stream(x), 5), epochs=2),
        lambda: fit(x, epochs=0),
        lambda: fit(Dicts(x), steps=2),
        lambda: fit(DataLoader(Dicts(x), 5), steps=2),
        lambda: fit(DataLoader(TensorDataset(table(0)), 5), steps=2),
        lambda: fit(TensorDataset(table(0)), steps=2),
        lambda: fit(Labelled(table(0)), steps=2),
        lambda: fit(DataLoader(TensorDataset(x + 7.0), 5), steps=2),
        lambda: fit(DataLoader(TensorDataset(x[:, :2]), 5), steps=2),
        lambda: fit(Stream(x), weights=np.ones(90)),
        lambda: pc.fit(torch.nn.Linear(4, 1), x),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        lambda: pc.fit_em(pc.rat_spn(4), x),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ]
    golden(refusals(attempts))


def test_a_loader_has_no_checkpoint(tmp_path: Any) -> None:
    with pytest.raises(OptionError, match="PC837"):
        trained(DataLoader(TensorDataset(table()), 20), batch_size=None, checkpoint=tmp_path / "c")


def test_a_row_that_is_impossible_is_reported() -> None:
    b = pc.ir.Builder()
    v = b.binary("x")
    forbids = pc.compile(b.build(b.sum([b.indicator(v)], weights=[1.0, 0.0])))
    with pytest.raises(DataError, match="PC404"):
        pc.fit(forbids, DataLoader(TensorDataset(torch.ones(6, 1)), 2), steps=3, progress=False)
