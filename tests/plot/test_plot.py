"""Plots return axes, show what they should, and open no windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.container import BarContainer

import pccompiler as pc
from pccompiler.errors import DataError, OptionError
from pccompiler.ir import parse
from pccompiler.ir.arrays import Float
from pccompiler.structures import quad_tree, rat_spn
from pccompiler.torch_backend import Evaluation, History

TABLE = """pcir 1
variable rain binary
variable wet categorical 3
variable temperature real
%r = input rain bernoulli 1 @r
%d = input rain bernoulli 1 @d
%w = input wet categorical 1 @w
%v = input wet categorical 1 @v
%g = input temperature gaussian 1 @g
%k = input temperature gaussian 1 @k
%a = product %r %w %g
%b = product %d %v %k
%top = sum 1 %a %b @top
root %top
weight @r 0.9
weight @d 0.25
weight @w 0.5 0.25 0.25
weight @v 0.05 0.35 0.6
weight @g 10 4
weight @k 20 4
weight @top 0.75 0.25
"""


@pytest.fixture(autouse=True)
def no_windows(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a plot called show")

    monkeypatch.setattr(pyplot, "show", refuse)
    pyplot.switch_backend("Agg")
    yield
    pyplot.close("all")


@pytest.fixture
def table() -> pc.CompiledCircuit:
    return pc.compile(parse(TABLE))


@pytest.fixture
def ax() -> Axes:
    return pyplot.subplots()[1]


def history() -> History:
    steps = [Evaluation(step=s, train=-1.0 / s, valid=-2.0 / s, seconds=0.1) for s in (1, 2, 3)]
    return History(evaluations=steps, best_step=3, best_valid=-2.0 / 3)


def test_history_returns_axes() -> None:
    axes = pc.plot_history(history(), title="a run")
    assert isinstance(axes, Axes)
    assert axes.get_title() == "a run"
    train, valid, _ = axes.get_lines()
    assert np.allclose(train.get_ydata(), [-1.0, -1 / 2, -1 / 3])
    assert np.allclose(valid.get_ydata(), [-2.0, -1.0, -2 / 3])
    assert pc.plot.history is pc.plot_history


def test_history_draws_into_given_axes(ax: Axes, tmp_path: Path) -> None:
    assert pc.plot_history({"a": history(), "b": history()}, ax=ax) is ax
    assert len(ax.get_lines()) == 6
    assert pc.plot_history(history(), tmp_path / "h.png", ax=ax) is ax
    assert (tmp_path / "h.png").read_bytes().startswith(b"\x89PNG")


def test_a_file_leaves_no_figure_open(tmp_path: Path) -> None:
    assert isinstance(pc.plot_history(history(), tmp_path / "h.svg"), Axes)
    assert pyplot.get_fignums() == []
    with pytest.raises(OptionError, match="PC313"):
        pc.plot_history(history(), tmp_path / "h.txt")


@pytest.mark.parametrize("shape", [(4, 6), (1, 4, 6)])
def test_samples_of_images(shape: tuple[int, ...]) -> None:
    model = pc.compile(quad_tree(4, 6, 2), seed=0)
    axes = pc.plot.samples(model, 3, shape=shape, seed=1)
    (image,) = axes.get_images()
    page = np.asarray(image.get_array())
    want = model.sample(3, seed=1).double().numpy().reshape(3, 4, 6) / 255
    assert page.shape == (9, 13)
    assert np.array_equal(page[:4, :6], want[0])
    assert np.array_equal(page[:4, 7:], want[1])
    assert np.array_equal(page[5:, :6], want[2])


def test_samples_of_images_with_colors(ax: Axes) -> None:
    model = pc.compile(quad_tree(4, 4, 2, channels=3), seed=0)
    assert pc.plot.samples(model, 1, shape=(3, 4, 4), seed=1, ax=ax) is ax
    (image,) = ax.get_images()
    want = model.sample(1, seed=1).double().numpy().reshape(3, 4, 4).transpose(1, 2, 0) / 255
    assert np.array_equal(np.asarray(image.get_array()), want)


def test_samples_of_a_table(table: pc.CompiledCircuit) -> None:
    grid = pc.plot.samples(table, 200, seed=0)
    assert grid.shape == (3, 3)
    assert [axes.get_xlabel() for axes in grid[2]] == ["rain", "wet", "temperature"]
    rows = table.sample(200, seed=0).numpy()
    heights = [bar.get_height() for bar in grid[1, 1].patches]
    assert heights == [(rows[:, 1] == state).sum() for state in range(3)]
    assert len(grid[0, 2].collections[0].get_offsets()) == 200


def test_chosen_variables(table: pc.CompiledCircuit) -> None:
    grid = pc.plot.samples(table, 9, variables=["wet"], seed=0)
    assert grid.shape == (1, 1)
    with pytest.raises(DataError, match="wett"):
        pc.plot.samples(table, variables=["wett"])


def lengths(axes: Axes) -> Float:
    """Shape (variables, states): the parts of the bars."""
    bars = [c for c in axes.containers if isinstance(c, BarContainer)]
    return np.array([[bar.get_width() for bar in state] for state in bars]).T


def test_posterior_of_a_model(table: pc.CompiledCircuit) -> None:
    axes = pc.plot.posterior(table, {"wet": 2})
    assert [t.get_text() for t in axes.get_yticklabels()] == ["rain", "wet", "temperature"]
    want = table.posterior_marginals({"wet": 2}).states[0].detach().numpy()
    np.testing.assert_allclose(lengths(axes), want, atol=1e-7)
    assert any("\u00b1" in text.get_text() for text in axes.texts)


def test_posterior_of_an_answer(table: pc.CompiledCircuit, ax: Axes) -> None:
    found = table.posterior_marginals([[0, np.nan, np.nan], [1, np.nan, np.nan]])
    assert pc.plot.posterior(found, row=1, names=["a", "b", "c"], ax=ax) is ax
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b", "c"]
    np.testing.assert_allclose(lengths(ax), found.states[1].detach().numpy(), atol=1e-7)


def test_weights_of_a_model(table: pc.CompiledCircuit) -> None:
    axes = pc.plot.weights(table)
    assert axes.get_title() == "@top"
    page = np.asarray(axes.get_images()[0].get_array())
    np.testing.assert_allclose(page, [[0.75, 0.25]], rtol=1e-6)


def test_weights_side_by_side(ax: Axes) -> None:
    model = pc.compile(rat_spn(8, num_replicas=2, units=3, seed=0))
    assert pc.plot.weights(model, ax=ax) is ax
    page: Float = np.ma.filled(np.ma.asarray(ax.get_images()[0].get_array()), np.nan)
    total = sum(v.size for v in model.weight_values().values())
    assert np.isfinite(page).sum() == total
    assert np.nansum(page) == pytest.approx(
        sum(v.sum() for v in model.weight_values().values()), rel=1e-6
    )


@pytest.mark.parametrize(("by", "size", "lines"), [("rows", 1, 6), ("block", 1, 0), ("size", 2, 9)])
def test_sectors_have_borders(by: str, size: int, lines: int) -> None:
    """Of a matrix of 3 x 3: two whole rows apart, none, and entries in pairs, row by row."""
    partition = pc.passes.PartitionSectors(by=by, size=size)  # type: ignore[arg-type]
    circuit = partition(rat_spn(4, num_replicas=1, units=3, seed=0))
    model = pc.compile(circuit, pc.Hypernetwork(), seed=0)
    square = next(w for w, v in model.weight_values().items() if v.shape == (3, 3))
    axes = pc.plot.weights(model, str(square))
    drawn = [c for c in axes.collections if isinstance(c, LineCollection)]
    assert sum(len(c.get_segments()) for c in drawn) == lines


def test_refusals(table: pc.CompiledCircuit, ax: Axes) -> None:
    impossible = table.posterior_marginals()._replace(mean=torch.full((1, 3), torch.nan))
    wrong: dict[str, list[Callable[[], object]]] = {
        "PC861": [
            lambda: pc.plot.samples(table, ax=ax),  # type: ignore[call-overload]
            lambda: pc.plot.samples(table, shape=(1, 3), variables=[0]),  # type: ignore[call-overload]
        ],
        "PC862": [
            lambda: pc.plot.samples(table, shape=(2, 2)),
            lambda: pc.plot.samples(table, shape=(3,)),
            lambda: pc.plot.samples(table, shape=(2, 1, 2)),
        ],
        "PC863": [lambda: pc.plot.posterior(table.posterior_marginals(), {"wet": 1})],
        "PC864": [lambda: pc.plot.posterior(table, row=1)],
        "PC865": [lambda: pc.plot.posterior(impossible)],
        "PC866": [lambda: pc.plot.posterior(table, names=["a"])],
        "PC867": [
            lambda: pc.plot.weights(table, "@tap"),
            lambda: pc.plot.weights(rat_spn(4, num_replicas=1, units=2, seed=0)),
        ],
    }
    for code, calls in wrong.items():
        for call in calls:
            with pytest.raises(OptionError, match=code):
                call()
