"""Densities of tables, in the units of their columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pccompiler.errors import OptionError
from pccompiler.ir.arrays import Float
from pccompiler.sklearn import PCDensity
from pccompiler.structures import naive_bayes_mixture


def small(**options: Any) -> PCDensity:
    given: dict[str, Any] = {
        "units": 2,
        "max_iter": 10,
        "random_state": 0,
        "device": "cpu",
        **options,
    }
    return PCDensity(**given)


def test_real_columns_have_densities_that_integrate_to_one(table: Float) -> None:
    density = small().fit(table)
    grid = np.linspace(-2e6, 3e6, 2001)
    rows = np.full((len(grid), 4), np.nan)
    rows[:, 3] = grid
    total = np.exp(density.score_samples(rows)).sum() * (grid[1] - grid[0])
    assert total == pytest.approx(1.0, rel=1e-6)


def test_probabilities_of_categories_sum_to_one(table: Float) -> None:
    density = small().fit(table)
    rows = np.full((3, 4), np.nan)
    rows[:, 1] = -1.0, 2.0, 7.0
    logs = density.score_samples(rows)
    assert np.exp(logs).sum() == pytest.approx(1.0)
    new = density.score_samples([[np.nan, 3.0, np.nan, np.nan]])
    assert new[0] == pytest.approx(-np.log(121.0))


def test_samples_look_like_the_table(table: Float) -> None:
    density = small(units=4, max_iter=50).fit(table)
    drawn = density.sample(4000, random_state=0)
    spread = table.std(axis=0)
    np.testing.assert_allclose(drawn.mean(axis=0) / spread, table.mean(axis=0) / spread, atol=0.2)
    assert set(drawn[:, 1]) == {-1.0, 2.0, 7.0}
    assert abs(np.corrcoef(drawn[:, 0], drawn[:, 3])[0, 1]) > 0.5
    np.testing.assert_array_equal(drawn, density.sample(4000, random_state=0))


@pytest.mark.parametrize("structure", ["mixture", "random-tree", "rat-spn{replicas=3}"])
def test_structures_by_name(table: Float, structure: str) -> None:
    assert np.isfinite(small(structure=structure).fit(table).score(table))


def test_learned_structures_and_own_ones(table: Float) -> None:
    x = table[:, 1:3]
    assert small(structure="learn-spn", units=None).fit(x).score(x) < 0.0
    own = small(structure=lambda variables: naive_bayes_mixture(variables, 3)).fit(table)
    assert own.model_.circuit.units.max() == 3


def test_a_grid_is_searched_by_log_density(table: Float) -> None:
    search = GridSearchCV(small(), {"units": [1, 4]}, cv=2).fit(table)
    assert search.best_params_ == {"units": 4}
    scaled = make_pipeline(StandardScaler(), small()).fit(table)
    assert np.isfinite(scaled.score(table))


def test_training_stops_early_and_seeds_repeat_it(table: Float) -> None:
    density = small(max_iter=200, n_iter_no_change=2).fit(table)
    assert density.n_iter_ < 200
    again = small(max_iter=200, n_iter_no_change=2).fit(table)
    np.testing.assert_array_equal(density.score_samples(table), again.score_samples(table))
    assert small(validation_fraction=0.0).fit(table).n_iter_ == 10


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"structure": "hcl"}, "PC793.*'hcl'"),
        ({"structure": ["hclt"]}, "PC822"),
        ({"structure": "hclt{units=3}"}, "'units' of structure 'hclt' is given twice"),
        ({"validation_fraction": 1.0}, "validation_fraction is 1.0"),
        ({"max_iter": 0}, "max_iter is 0"),
        ({"units": 0}, "units is 0"),
        ({"pseudocount": -1.0}, "pseudocount is -1.0"),
    ],
)
def test_invalid_options_are_named(table: Float, options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        small(**options).fit(table)
