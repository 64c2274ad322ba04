"""Streams of rows, weights of rows, and rows with missing values."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike

import pccompiler as pc
from pccompiler.commands.score import write_scores
from pccompiler.datasets.csv_table import numbers_of, read_csv, read_lines
from pccompiler.errors import DataError, OptionError
from pccompiler.ir import Builder, Family, Hypernetwork
from pccompiler.testing import random_weights, with_values
from pccompiler.testing.families import FAMILIES
from pccompiler.testing.families import family_mixture as mixture
from pccompiler.testing.strategies import rows as random_rows
from pccompiler.torch_backend import CompiledCircuit, fit_em, mean_log_likelihood
from pccompiler.torch_backend.data.blocks import Source
from pccompiler.torch_backend.queries.stream import log_likelihood_stream
from pccompiler.torch_backend.training.batches import mapped_rows


def table(number: int = 40, missing: float = 0.2) -> np.ndarray:
    rng = np.random.default_rng(3)
    x = rng.integers(0, 2, (number, 6)).astype(np.float64)
    x[rng.random(x.shape) < missing] = np.nan
    return x


def small(net: Hypernetwork | None = None) -> CompiledCircuit:
    return pc.compile(pc.rat_spn(6, 3, 2), net, dtype="float64", seed=4)


def text(x: np.ndarray, header: bool) -> str:
    lines = [",".join("" if np.isnan(v) else f"{v:g}" for v in row) for row in x]
    return "\n".join([*(["a,b,c,d,e,f"] if header else []), *lines]) + "\n"


@pytest.mark.parametrize("size", [1, 7, 40, 100])
@pytest.mark.parametrize("kind", ["array", "tensor", "npy", "csv", "header", "iterator", "mapped"])
def test_streams_say_what_tables_say(kind: str, size: int, tmp_path: Path) -> None:
    x, model = table(), small()
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "x.csv").write_text(text(x, kind == "header"))
    sources: dict[str, Source] = {
        "array": x,
        "tensor": torch.from_numpy(x),
        "npy": tmp_path / "x.npy",
        "csv": tmp_path / "x.csv",
        "header": str(tmp_path / "x.csv"),
        "iterator": (x[i : i + 9] for i in range(0, 40, 9)),
        "mapped": np.load(tmp_path / "x.npy", mmap_mode="r"),
    }
    done: list[int] = []
    parts = list(log_likelihood_stream(model, sources[kind], batch_size=size, progress=done.append))
    want = model.log_likelihood(x).detach().cpu().numpy()
    np.testing.assert_allclose(np.concatenate(parts), want, rtol=1e-12)
    assert done[-1] == 40
    assert max(len(part) for part in parts) <= size


def test_blocks_of_text_are_the_table(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text(table(), True))
    found = np.concatenate(list(map(numbers_of, read_lines(path, 7))))
    np.testing.assert_array_equal(found, read_csv(path).values)
    for bad, code in (("a,b\n", "PC417"), ("", "PC417"), ("1,2\n3\n", "PC416"), ("a,a\n", "PC418")):
        path.write_text(bad)
        with pytest.raises(DataError, match=code):
            list(map(numbers_of, read_lines(path, 1)))


def test_refusals_of_streams(tmp_path: Path) -> None:
    model = small()
    with pytest.raises(OptionError, match="PC302"):
        log_likelihood_stream(model, table(), batch_size=0)
    for source, code in (
        (tmp_path / "none.npy", "PC364"),
        (tmp_path / "rows.txt", "PC364"),
        (np.zeros(6), "PC365"),
        (np.array([["a"] * 6]), "PC452"),
        (np.zeros((3, 5)), "PC400"),
    ):
        with pytest.raises(DataError, match=code):
            list(log_likelihood_stream(model, source))
    wrong = np.zeros((20, 6))
    wrong[13, 2] = 7
    with pytest.raises(DataError, match=r"(?s)row 3, column 2.*row 0 of this batch is row 10"):
        list(log_likelihood_stream(model, wrong, batch_size=10))


def test_scores_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    x, model = table(), small()
    want = model.log_likelihood(x).detach().cpu().numpy()
    for name in ("a.npy", "a.csv"):
        values = log_likelihood_stream(model, x, batch_size=7)
        number, total = write_scores(tmp_path / name, values)
        assert number == 40
        assert total == pytest.approx(want.sum())
    np.testing.assert_allclose(np.load(tmp_path / "a.npy"), want, rtol=1e-12)
    np.testing.assert_allclose(read_csv(tmp_path / "a.csv").values[:, 0], want, rtol=1e-12)
    x[30, 0] = 9
    for name in ("b.npy", "b.csv"):
        with pytest.raises(DataError):
            write_scores(tmp_path / name, log_likelihood_stream(model, x, batch_size=7))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "a.npy"]


GROWTH = """
import resource, sys
import numpy as np
import pccompiler as pc
from pccompiler.torch_backend.queries.stream import log_likelihood_stream
model = pc.compile(pc.rat_spn(512, 1, 1))
list(log_likelihood_stream(model, np.zeros((2048, 512), np.uint8), batch_size=2048))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
done = sum(len(v) for v in log_likelihood_stream(model, sys.argv[1], batch_size=2048))
print(done, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux")
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """With a file of 64 MiB the process grows by less than a quarter of that."""
    path = tmp_path / "big.npy"
    np.lib.format.open_memmap(path, "w+", np.uint8, (2**17, 512)).flush()
    run = subprocess.run(
        [sys.executable, "-c", GROWTH, str(path)], capture_output=True, text=True, check=True
    )
    done, growth = map(int, run.stdout.split())
    assert done == 2**17
    assert growth < 16 * 1024, f"{growth} KiB"


def test_fit_from_a_file_is_fit_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped_rows, "MAPPED_FROM", 1)
    x = table(200)
    np.save(tmp_path / "x.npy", x)
    weights = np.arange(200) % 3
    for given in (None, weights):
        models = small(), small()
        for model, source in zip(
            models, (x, np.load(tmp_path / "x.npy", mmap_mode="r")), strict=True
        ):
            pc.fit(model, source, weights=given, steps=7, batch_size=30, progress=False)
        for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    x[77, 1] = 5
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(DataError, match="row 77"):
        pc.fit(small(), np.load(tmp_path / "x.npy", mmap_mode="r"), steps=1)


@pytest.mark.parametrize("net", [None, Hypernetwork()], ids=["direct", "hypernetwork"])
def test_fit_takes_a_weight_for_a_repetition(net: Hypernetwork | None) -> None:
    x, weights = table(), np.arange(40) % 4
    repeated = np.repeat(x, weights, axis=0)
    once, twice = small(net), small(net)
    a = pc.fit(once, x, weights=weights, steps=5, batch_size=40, evaluate_every=1, progress=False)
    b = pc.fit(twice, repeated, steps=5, batch_size=100, evaluate_every=1, progress=False)
    for left, right in zip(once.parameters(), twice.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(
        [e.train for e in a.evaluations], [e.train for e in b.evaluations], rtol=1e-10
    )
    got = mean_log_likelihood(once, once.prepare(x), weights=weights)
    assert got == pytest.approx(mean_log_likelihood(once, once.prepare(repeated)), rel=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_em_takes_a_weight_for_a_repetition(family: Family) -> None:
    circuit = mixture(3, (family,))
    circuit = with_values(circuit, random_weights(circuit, 5))
    x = random_rows(circuit, 1, 40, 0.2)
    possible = pc.compile(circuit, dtype="float64").log_likelihood(x).isfinite().cpu().numpy()
    weights = np.where(possible, np.arange(40) % 4, 0)
    models = [pc.compile(circuit, dtype="float64") for _ in range(2)]
    for model, (data, given) in zip(
        models, ((x, weights), (np.repeat(x, weights, axis=0), None)), strict=True
    ):
        fit_em(model, data, weights=given, iterations=3, pseudocount=0.0, progress=False)
    found, want = models[0].weight_values(), models[1].weight_values()
    for number, values in want.items():
        np.testing.assert_allclose(found[number], values, rtol=1e-10, atol=1e-10)


def test_pseudocounts_of_sums_count_with_weights() -> None:
    x, weights = table(), np.arange(40) % 4
    one, two = small(), small()
    fit_em(one, x, weights=weights, iterations=3, pseudocount=0.5, progress=False)
    fit_em(two, np.repeat(x, weights, axis=0), iterations=3, pseudocount=0.5, progress=False)
    for left, right in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-10)


def test_mini_batches_with_weights_climb() -> None:
    model, x = small(), table(400)
    weights = np.arange(400) % 4
    before = mean_log_likelihood(model, model.prepare(x), weights=weights)
    fit_em(model, x, weights=weights, batch_size=50, step_size=0.3, iterations=5, progress=False)
    assert mean_log_likelihood(model, model.prepare(x), weights=weights) > before


def test_an_impossible_row_is_named_only_if_it_counts() -> None:
    b = Builder()
    x = b.binary("x")
    circuit = b.build(b.sum([b.indicator(x)], weights=[1.0, 0.0]))
    rows_of, weights = np.array([[0.0], [1.0], [0.0], [1.0]]), np.array([1.0, 0.0, 1.0, 1.0])
    with pytest.raises(DataError, match="row 3"):
        pc.fit(pc.compile(circuit), rows_of, weights=weights, steps=1)
    with pytest.raises(DataError, match="row 3"):
        fit_em(pc.compile(circuit), rows_of, weights=weights, iterations=1)
    weights[3] = 0.0
    pc.fit(pc.compile(circuit), rows_of, weights=weights, steps=1)
    fit_em(pc.compile(circuit), rows_of, weights=weights, iterations=1)


@pytest.mark.parametrize(
    ("weights", "code"),
    [
        (np.ones(39), "PC361"),
        (np.ones((40, 1)), "PC361"),
        (["a"] * 40, "PC452"),
        (-np.ones(40), "PC362"),
        (np.full(40, np.nan), "PC362"),
        (np.full(40, np.inf), "PC362"),
        (np.zeros(40), "PC363"),
    ],
)
def test_refusals_of_weights(weights: ArrayLike, code: str) -> None:
    model, x = small(), table()
    with pytest.raises(DataError, match=code):
        pc.fit(model, x, weights=weights, steps=1)
    with pytest.raises(DataError, match=code):
        fit_em(model, x, weights=weights, iterations=1)
    with pytest.raises(DataError, match=code):
        mean_log_likelihood(model, model.prepare(x), weights=weights)


@pytest.mark.parametrize("net", [None, Hypernetwork()], ids=["direct", "hypernetwork"])
def test_gradients_with_missing_values_are_slopes(net: Hypernetwork | None) -> None:
    model = small(net)
    x = model.prepare(table(12, 0.4))
    x[:, 2] = torch.nan  # a wholly missing column
    parameters = list(model.parameters())
    grads = torch.autograd.grad(model(x).sum(), parameters)
    rng = np.random.default_rng(0)
    for parameter, grad in zip(parameters, grads, strict=True):
        flat = parameter.detach().view(-1)
        for place in rng.integers(0, len(flat), 3).tolist():
            ends: list[float] = []
            kept = float(flat[place])
            for step in (1e-5, -1e-5):
                flat[place] = kept + step
                ends.append(float(model(x).sum().detach()))
            flat[place] = kept
            slope = (ends[0] - ends[1]) / 2e-5
            # central differences: 1e-10 of truncation, 1e-9 of rounding
            assert float(grad.reshape(-1)[place]) == pytest.approx(slope, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("net", [None, Hypernetwork()], ids=["direct", "hypernetwork"])
def test_rows_without_values_teach_nothing(net: Hypernetwork | None) -> None:
    model = small(net)
    x = model.prepare(np.full((5, 6), np.nan))
    value = model(x)
    torch.testing.assert_close(value, torch.zeros_like(value), rtol=0, atol=1e-12)
    for grad in torch.autograd.grad(value.sum(), list(model.parameters())):
        assert float(grad.abs().max()) < 1e-12


def test_training_with_missing_values_learns() -> None:
    x = table(300, 0.3)
    x[:, 3] = np.where(np.isnan(x[:, 0]), np.nan, x[:, 0])
    x[:, 5] = np.nan
    x[::10] = np.nan
    for em in (False, True):
        model = small()
        before = mean_log_likelihood(model, model.prepare(x))
        if em:
            fit_em(model, x, iterations=10, progress=False)
        else:
            pc.fit(model, x, steps=60, learning_rate=5e-2, batch_size=100, progress=False)
        assert mean_log_likelihood(model, model.prepare(x)) > before + 0.05
        assert all(bool(p.isfinite().all()) for p in model.parameters())
