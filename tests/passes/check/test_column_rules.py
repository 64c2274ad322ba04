"""PC110 and its neighbours: columns that only a faulty pass can make."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import pccompiler as pc
from pccompiler.ir import Circuit, Kind, parse
from pccompiler.ir.arrays import Int
from pccompiler.passes import PartitionSectors, findings

Golden = Callable[[str], None]

GARDEN = parse(
    "pcir 1\nvariable wet binary\nvariable dry binary\n"
    "%wet = input wet indicator 2\n%dry = input dry bernoulli 2 @d\n"
    "%both = kronecker %wet %dry\n%root = sum 1 %both @r\nroot %root\n",
    "garden.pcir",
)
WET, DRY, BOTH, ROOT = range(4)


def changed(column: str, node: int, value: int) -> Circuit:
    values: Int = getattr(GARDEN, column).copy()
    values[node] = value
    return GARDEN.replace(**{column: values})


FAULTS = {
    "root-too-large": GARDEN.replace(root=4),
    "root-negative": GARDEN.replace(root=-1),
    "unknown-kind": changed("kind", BOTH, 9),
    "unknown-variable": changed("variable", WET, 2),
    "no-family": changed("family", DRY, -1),
    "input-with-operands": changed("kind", BOTH, Kind.INPUT),
    "no-units": changed("units", WET, 0),
    "unknown-weight": changed("weight", ROOT, 2),
    "sum-without-weight": changed("weight", ROOT, -1),
    "kronecker-with-weight": changed("weight", BOTH, 1),
    "kronecker-of-other-width": changed("units", BOTH, 5),
}


@pytest.mark.parametrize("name", FAULTS)
def test_columns(name: str, golden: Golden) -> None:
    golden("\n".join(map(str, findings(FAULTS[name]))))


def test_the_garden_itself_is_fine() -> None:
    assert findings(GARDEN) == ()


def test_sectors_of_another_circuit(golden: Golden) -> None:
    circuit = PartitionSectors()(pc.rat_spn(4, 2, 3))
    other = PartitionSectors()(pc.rat_spn(6, 2, 3))
    stale = circuit.replace(sectors=other.sectors)
    golden("\n".join(map(str, findings(stale))))
    assert findings(PartitionSectors().run(stale)) == ()


def test_a_circuit_without_nodes() -> None:
    none = np.zeros(0, np.int64)
    empty = GARDEN.replace(
        kind=none, units=none, pointer=np.zeros(1, np.int64), operands=none, family=none,
        variable=none, weight=none, location=None, names={}, root=0,
    )  # fmt: skip
    assert [f.code for f in findings(empty)] == ["PC110"]
