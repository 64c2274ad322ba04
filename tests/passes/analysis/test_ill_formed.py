"""Questions about circuits that break a rule."""

from __future__ import annotations

import pytest

from pccompiler.errors import CircuitError
from pccompiler.ir import parse
from pccompiler.passes import properties, require

GOOD = """pcir 1
variable x binary
%0 = input x bernoulli 1 @0
root %0
weight @0 0.5
"""
BAD = """pcir 1
variable x binary
variable y binary
%0 = input x bernoulli 1 @0
%1 = input x bernoulli 1 @1
%2 = input y bernoulli 1 @2
%3 = product %0 %1 %2
root %3
weight @0 0.5
weight @1 0.5
weight @2 0.5
"""


def test_the_other_circuit_is_not_well_formed() -> None:
    entry = properties(parse(GOOD), parse(BAD))["compatible"]
    assert entry.answer == "no"
    assert "not well-formed" in entry.why


def test_a_property_of_an_ill_formed_circuit() -> None:
    with pytest.raises(CircuitError, match="PC102"):
        require(parse(BAD), "deterministic", "MPE")
    with pytest.raises(CircuitError, match="decomposable"):
        require(parse(BAD), "decomposable", "anything")
