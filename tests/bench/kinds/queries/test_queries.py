"""What the timed calls of queries ask for."""

from __future__ import annotations

from typing import Any

import torch

from pccompiler.api import compile as compiled
from pccompiler.bench.kinds.base import Setting
from pccompiler.bench.kinds.queries.log_conditional import halves
from pccompiler.bench.kinds.registry import KINDS, QUERIES
from pccompiler.bench.subjects.registry import material
from pccompiler.bench.subjects.subject import Subject


def setting(batch: int) -> Setting:
    made = material(Subject(structure="rat-spn", n=9, units=4, replicas=3))
    model = compiled(made.circuit)
    assert made.data is not None
    return Setting(model, model.prepare(made.data), batch)


def test_halves_are_a_query_and_its_evidence() -> None:
    x = torch.arange(10.0).reshape(2, 5)
    query, evidence = halves(x)
    assert query.isnan().tolist() == [[False, True, False, True, False]] * 2
    assert torch.equal(query.isnan(), ~evidence.isnan())
    assert torch.equal(query.nan_to_num() + evidence.nan_to_num(), x)


def test_calls_answer_for_each_row() -> None:
    given = setting(7)
    answers: dict[str, Any] = {name: QUERIES[name].run(given)() for name in QUERIES}
    posterior, best = answers["posterior_marginals"], answers["mpe"]
    assert posterior.states.shape == (7, 9, 2)
    rows = best.rows
    assert torch.equal(rows[:, 1::2], given.x[:, 1::2])
    assert answers["sample"].shape == (7, 9)
    drawn = answers["sample_conditional"]
    assert torch.equal(drawn[:, 0, 1::2], given.x[:, 1::2])
    assert answers["log_conditional"].shape == (7,)


def test_one_posterior_is_that_of_the_first_variable() -> None:
    given = setting(7)
    one: Any = KINDS["posterior_one"].run(given)()
    every: Any = KINDS["posterior_marginals"].run(given)()
    assert one.mean.shape == (7, 1)
    torch.testing.assert_close(one.mean[:, 0], every.mean[:, 0])
