"""Variables are found by name or by index."""

from __future__ import annotations

import pytest

import pccompiler as pc
from pccompiler.errors import OptionError
from pccompiler.passes.rewriting.restrict import find


def test_by_name_and_by_index() -> None:
    circuit = pc.hmm(3, 2)
    name = circuit.variables[1].name
    assert find(circuit, name) == find(circuit, 1) == 1


@pytest.mark.parametrize("wrong", ["nobody", 3, -1])
def test_what_is_not_there(wrong: str | int) -> None:
    with pytest.raises(OptionError, match="PC327"):
        find(pc.hmm(3, 2), wrong)
