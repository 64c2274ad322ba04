"""Odd values at every entrance: a sensible answer, or an error with a code."""

from __future__ import annotations

import datetime
import decimal
import fractions
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pccompiler as pc
from pccompiler import structures
from pccompiler.datasets import split
from pccompiler.errors import PCCompilerError
from pccompiler.torch_backend import mean_log_likelihood

pytestmark = pytest.mark.filterwarnings("ignore:.*requires_grad=True.*:UserWarning")


class Odd:
    """Neither a number nor a table."""


ODD: tuple[object, ...] = (
    *(None, True, 0, 1, 3, -1, 2**63, 10**400, 0.5, 1.0, -0.5, float("nan"), float("inf"), 1e-320),
    *("", "a", "1", "x0", "gpu", b"x", bytearray(b"1"), memoryview(b"12"), 1j),
    *((), [], {}, set[int](), [1], [0, 1], [[]], [[0, 1]], [[0, 1], [1]], [[None, 1]], [["a", 1]]),
    *([["1", "0"]], [[0, 10**400]], [[1j, 0]], [[[0, 1]]], [{}], [{}, 3], ({"x0": 1},)),
    *({"x0": 1}, {"x0": None}, {"x0": "a"}, {"x0": [0, 1]}, {"q": 1}, {0: 1}, {9: 1}, {None: 1}),
    *(Odd(), Odd, object(), range(3), slice(3), iter([]), Ellipsis, type, np),
    *(decimal.Decimal("0.5"), decimal.Decimal("sNaN"), fractions.Fraction(1, 2)),
    *(datetime.datetime(2020, 1, 1), Path("/nonexistent")),
    *(np.int8(1), np.float16(0.5), np.longdouble(1), np.bool_(True), np.str_("a")),
    *(np.datetime64("2020"), np.complex64(1), np.void(b"ab"), np.ma.masked),
    *(np.array(1), np.array([1]), np.zeros((0, 2)), np.zeros((2, 0)), np.ones((3, 2), np.uint64)),
    *(np.zeros((3, 2), np.longdouble), np.zeros((2, 2), complex), np.zeros((2, 2), "U1")),
    *(np.zeros((2, 2), "M8[s]"), np.zeros(2, [("x0", "f4"), ("x1", "f4")])),
    *(np.zeros((2, 2))[:, ::-1], np.zeros((2, 2), ">f8"), np.full((2, 2), None)),
    *(np.array([[Odd(), 1]], object), np.full((2, 2), 7), np.full((2, 2), np.inf)),
    *(torch.tensor(1), torch.tensor(0.5), torch.zeros(2, 2, requires_grad=True)),
    *(torch.zeros(2, 2, dtype=torch.complex64), torch.zeros(2, 2, dtype=torch.uint16)),
    *(torch.zeros(2, 2).to_sparse(), torch.zeros(2, 2, device="meta"), torch.zeros(2)),
    *(torch.float16, torch.device("meta"), pc.Hypernetwork()),
)
X = np.array([[0, 1], [1, 1], [0, 0], [1, 0]])
CIRCUIT = pc.rat_spn(2, 2, 2)
Ask = Callable[[Any, Any], object]  # what is given is of no fitting type: that is the point

TABLES: dict[str, Ask] = {
    "model": lambda m, v: m(v),
    "log_likelihood": lambda m, v: m.log_likelihood(v),
    "mask": lambda m, v: m.log_likelihood(X, mask=v),
    "log_marginal": lambda m, v: m.log_marginal(v),
    "log_conditional": lambda m, v: m.log_conditional({"x0": 1}, v),
    "posterior_marginals": lambda m, v: m.posterior_marginals(v),
    "mpe": lambda m, v: m.mpe(v),
    "map": lambda m, v: m.map(v),
    "upper_bound": lambda m, v: m.upper_bound(v),
    "sample_conditional": lambda m, v: m.sample_conditional(v),
    "classify": lambda m, v: m.classify(v, 0),
    "expectation": lambda m, v: m.expectation({"x0": [0.0, 1.0]}, v),
    "stream": lambda m, v: list(m.log_likelihood_stream(v)),
    "fit": lambda m, v: pc.fit(m, v, steps=1, progress=False),
    "valid": lambda m, v: pc.fit(m, X, v, steps=1, progress=False),
    "row weights": lambda m, v: pc.fit(m, X, weights=v, steps=1, progress=False),
    "fit_em": lambda m, v: pc.fit_em(m, v, iterations=1, progress=False),
    "initialise": lambda m, v: pc.initialise(m, v),
    "mean": lambda m, v: mean_log_likelihood(m, v),
    "split": lambda _, v: split(v, 0),
    "chow_liu": lambda _, v: structures.chow_liu(v),
    "hclt": lambda _, v: structures.hclt(v, 2),
}
OPTIONS: dict[str, Ask] = {
    "missing": lambda m, v: m.log_likelihood(X, missing=v),
    "variable": lambda m, v: m.classify(X, v),
    "variables": lambda m, v: m.log_marginal(X, v),
    "query": lambda m, v: m.upper_bound(X, query=v),
    "seconds": lambda m, v: m.map(seconds=v),
    "tolerance": lambda m, v: m.map(tolerance=v),
    "limit": lambda m, v: m.map(limit=v),
    "number": lambda m, v: m.sample_conditional(X, v),
    "sample seed": lambda m, v: m.sample(2, seed=v),
    "functions": lambda m, v: m.expectation(v),
    "how": lambda m, v: m.expectation({0: [0.0, 1.0]}, how=v),
    "alpha": lambda m, v: m.renyi_entropy(v),
    "most_pairs": lambda m, v: m.renyi_entropy(most_pairs=v),
    "other": lambda m, v: m.inner_product(v),
    "stream batch": lambda m, v: list(m.log_likelihood_stream(X, batch_size=v)),
    "budget": lambda m, v: m.keep_within(v),
    "device": lambda _, v: pc.compile(CIRCUIT, device=v),
    "dtype": lambda _, v: pc.compile(CIRCUIT, dtype=v),
    "seed": lambda _, v: pc.compile(CIRCUIT, seed=v),
    "numerics": lambda _, v: pc.compile(CIRCUIT, numerics=v),
    "circuit": lambda _, v: pc.compile(v),
    "hypernetwork": lambda _, v: pc.compile(CIRCUIT, v),
    "embedding": lambda _, v: pc.Hypernetwork(embedding=v),
    "hidden": lambda _, v: pc.Hypernetwork(hidden=v),
    "heads": lambda _, v: pc.Hypernetwork(heads=v),
    "floor": lambda _, v: pc.Direct(floor=v),
    "load": lambda _, v: pc.load(v),
    "batch_size": lambda m, v: pc.fit(m, X, steps=1, batch_size=v, progress=False),
    "learning_rate": lambda m, v: pc.fit(m, X, steps=1, learning_rate=v, progress=False),
    "patience": lambda m, v: pc.fit(m, X, steps=1, patience=v, progress=False),
    "fit seed": lambda m, v: pc.fit(m, X, steps=1, seed=v, progress=False),
    "step_size": lambda m, v: pc.fit_em(m, X, iterations=1, step_size=v, progress=False),
    "pseudocount": lambda m, v: pc.fit_em(m, X, iterations=1, pseudocount=v, progress=False),
    "fractions": lambda _, v: split(np.zeros((20, 2)), 0, v),
    "rat depth": lambda _, v: pc.rat_spn(2, 2, 2, depth=v),
    "rat seed": lambda _, v: pc.rat_spn(2, 2, 2, seed=v),
    "leaf": lambda _, v: pc.rat_spn(2, 2, 2, leaf=v),
    "significance": lambda _, v: structures.learn_spn(X, significance=v),
    "mi_rows": lambda _, v: structures.chow_liu(X, mi_rows=v),
}


@pytest.mark.parametrize("entrance", [*TABLES, *OPTIONS])
def test_odd_values_get_an_answer_or_a_code(entrance: str) -> None:
    ask, model = (TABLES | OPTIONS)[entrance], pc.compile(CIRCUIT)
    raw: list[str] = []
    for value in ODD:
        try:
            ask(model, value)
        except PCCompilerError as error:
            raw += [f"{value!r:.60}: no help" for one in error.diagnostics if not one.help]
        except Exception as error:
            raw.append(f"{value!r:.60}: {type(error).__name__}: {str(error)[:80]}")
    assert not raw, "\n".join(raw)
