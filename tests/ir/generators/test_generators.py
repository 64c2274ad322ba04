"""Arguments and equality of generators and sectors."""

from __future__ import annotations

import pytest

import pccompiler as pc
from pccompiler.errors import OptionError


def test_a_number_is_one_hidden_layer() -> None:
    assert pc.Hypernetwork(hidden=7).hidden == (7,)  # type: ignore[arg-type]  # as the docs allow
    assert pc.Hypernetwork(hidden=[3, 4]).hidden == (3, 4)  # type: ignore[arg-type]


def test_sectors_equal_sectors_only() -> None:
    assert pc.Sectors(by="rows") != "rows"
    assert pc.Sectors(by="rows") == pc.Sectors(by="rows")


@pytest.mark.parametrize("column", [[[1], [2, 3]], ["a"], [[0]]])
def test_columns_of_a_table_are_whole_numbers(column: list[object]) -> None:
    with pytest.raises(OptionError, match="PC126"):
        pc.Sectors(weight=column, offset=[0], rows=[1], columns=[1])  # type: ignore[arg-type]
