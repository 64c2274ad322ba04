"""Which columns are categorical, and how features are coded."""

from __future__ import annotations

import numpy as np
import pytest

from pccompiler.errors import OptionError
from pccompiler.ir.arrays import Float
from pccompiler.sklearn.columns import Categories, Reals, declared_columns, find_columns


def kinds(x: Float) -> str:
    found = find_columns(x, None).columns
    return "".join("c" if isinstance(column, Categories) else "r" for column in found)


def test_few_whole_numbers_are_categories(table: Float) -> None:
    assert kinds(table) == "rccr"
    few = np.arange(12.0)[:, None] % 3
    assert kinds(few) == "r"  # four rows each
    assert kinds(np.tile(few, (2, 1))) == "c"
    assert kinds(np.arange(2000.0)[:, None] % 21) == "r"
    assert kinds(np.array([[0.5], [1.5], [0.5]])) == "r"
    assert kinds(np.array([[0.5, np.nan], [np.nan, np.nan]])) == "cr"


def test_codes_turn_back_into_features(table: Float) -> None:
    columns = find_columns(table, None)
    codes = columns.encode(table)
    np.testing.assert_allclose(columns.decode(codes), table, rtol=1e-12)
    np.testing.assert_allclose(codes[:, [0, 3]].std(axis=0), 1.0)
    assert [v.cardinality for v in columns.variables] == [0, 3, 2, 0]


def test_new_categories_count_as_missing_at_a_price(table: Float) -> None:
    columns = find_columns(table, None)
    x = np.array([[np.nan, 3.0, np.nan, np.nan], [np.nan, 2.0, np.nan, np.nan]])
    assert np.isnan(columns.encode(x)).tolist() == [[True] * 4, [True, False, True, True]]
    np.testing.assert_allclose(columns.log_factor(x), [-np.log(121.0), 0.0])


def test_a_constant_has_a_state_that_never_occurs() -> None:
    column = Categories(np.array([3.5]), 4)
    assert column.variable("a").cardinality == 2
    assert column.decode(np.array([0.0, 1.0])).tolist() == [3.5, 3.5]


def test_users_say_what_is_categorical(table: Float) -> None:
    names = ["a", "b", "c", "d"]
    for given in ([False, True, True, False], [1, 2], ["b", "c"], np.array([1, 2])):
        mask = declared_columns(given, names, 4)
        assert mask is not None
        assert mask.tolist() == [False, True, True, False]
    none = find_columns(table, declared_columns([], None, 4))
    assert all(isinstance(column, Reals) for column in none.columns)
    assert declared_columns("auto", names, 4) is None


@pytest.mark.parametrize("given", [[4], [-1], ["z"], "b", [0.5], [True], [[1]], None])
def test_what_is_no_list_of_columns_is_refused(given: object) -> None:
    with pytest.raises(OptionError, match=r"PC821.*for 4 features"):
        declared_columns(given, ["a", "b", "c", "d"], 4)  # type: ignore[arg-type]
