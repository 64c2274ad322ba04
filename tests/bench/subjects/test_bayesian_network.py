"""The random Bayesian network that peers are asked about."""

from __future__ import annotations

import math
import re

import pytest

from pccompiler.bench.subjects.bayesian_network import build, network
from pccompiler.bench.subjects.subject import Subject
from pccompiler.testing import total_mass


@pytest.mark.parametrize("n", [2, 9, 40])
def test_it_is_a_network(n: int) -> None:
    text = network(n, 4)
    parents = re.findall(r"probability \( x(\d+)(?: \| (.*))? \)", text)
    assert [int(variable) for variable, _ in parents] == list(range(n))
    for variable, names in parents[1:]:
        above = [int(name.removeprefix("x")) for name in names.split(", ")]
        assert len(above) <= 2
        assert max(above) < int(variable)
    for row in re.findall(r"(?:\)|table) ([\d., ]+);", text):
        assert math.isclose(sum(map(float, row.split(", "))), 1.0, abs_tol=1e-12)


def test_its_circuit_is_its_distribution() -> None:
    made = build(Subject(structure="bayesian-network", n=6, values=3))
    assert math.isclose(total_mass(made.circuit), 1.0, abs_tol=1e-9)
    assert made.files["network"] == network(6, 3)
