"""Products of counts: none overflows 64 bits, and oversized results are refused in advance."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pccompiler as pc
from pccompiler.errors import PCCompilerError
from pccompiler.ir import Builder, Circuit, Family, Hypernetwork, Sectors, WeightTable, parse
from pccompiler.ir.expressions.variables import kron, variables
from pccompiler.ir.sizes import products, row_products
from pccompiler.ir.variables import binary, categorical
from pccompiler.passes import findings, verify
from pccompiler.passes.rewriting.restrict import restrict
from pccompiler.passes.transforms.multiply import multiply

Golden = Callable[[str], None]


@given(st.lists(st.lists(st.integers(0, 2**31), min_size=1, max_size=9), min_size=1, max_size=5))
def test_products_do_not_wrap(rows: list[list[int]]) -> None:
    factors = np.array([value for row in rows for value in row], np.int64)
    starts = np.cumsum([0, *map(len, rows)])[:-1]
    for got, row in zip(products(factors, starts).tolist(), rows, strict=True):
        want = math.prod(row)
        assert got == want or (got == 2**62 and (want >= 2**60 or 0 in row))


def test_products_of_nothing() -> None:
    assert row_products(np.zeros((3, 0), np.int64)).tolist() == [1, 1, 1]
    assert products(np.zeros(0, np.int64), np.zeros(0, np.int64)).tolist() == []


def wide(number: int, units: int) -> tuple[Builder, list[int]]:
    b = Builder([binary(f"x{i}") for i in range(number)])
    return b, [b.bernoulli(i, units=units) for i in range(number)]


def four_of_65536() -> object:
    b, leaves = wide(4, 65_536)
    return b.kronecker(leaves, name="grid")


def sixty_four_of_2() -> object:
    b, leaves = wide(64, 2)
    return b.products([leaves], kronecker=True)


def by_text() -> object:
    inputs = "".join(
        f"variable x{i} binary\n%x{i} = input x{i} bernoulli 65536 @{i}\n" for i in range(4)
    )
    return parse(
        f"pcir 1\n{inputs}%k = kronecker %x0 %x1 %x2 %x3\n%r = sum 1 %k @r\nroot %r\n", "a.pcir"
    )


def by_expressions() -> object:
    return kron(*(x.bernoulli(units=65_536) for x in variables("a", "b", "c", "d")))


def many() -> object:
    b, leaves = wide(5_000, 2)
    return b.kronecker(leaves)


def weights() -> object:
    b, leaves = wide(1, 2**21)
    return b.sum(leaves, units=2**20)


def weights_in_bulk() -> object:
    b, leaves = wide(1, 2**21)
    return b.sums([leaves], 2**20)


def columns(**changes: object) -> Circuit:
    b, leaves = wide(2, 3)
    grid = b.kronecker(leaves)
    circuit = b.build(b.sum([grid]))
    return circuit.replace(**changes)


def wrapped_columns() -> Circuit:
    """Widths whose product is 2^64, in columns that say 0."""
    b, leaves = wide(4, 3)
    grid = b.kronecker(leaves)
    circuit = b.build(b.sum([grid]))
    units = circuit.units.copy()
    units[:4], units[4] = 65_536, 0
    table = circuit.weights
    rows = np.where(np.arange(len(table)) < 4, 65_536, table.rows)
    return circuit.replace(units=units, weights=WeightTable(rows, table.columns))


def table(rows: list[int], entries: list[int]) -> Circuit:
    return columns(weights=WeightTable(np.array(rows), np.array(entries)))


def square_of_wide() -> object:
    """Two weights of 400 x 400, whose product has one of 160,000 x 160,000."""
    b = Builder([binary("x")])
    leaf = b.bernoulli(0, np.full(400, 0.5))
    below = b.sum([leaf], weights=np.full((400, 400), 1 / 400))
    circuit = b.build(b.sum([below], weights=np.full(400, 1 / 400)))
    return multiply(circuit, circuit)


FAULTS: dict[str, Callable[[], object]] = {
    "four-of-65536": four_of_65536,
    "sixty-four-of-2": sixty_four_of_2,
    "text": by_text,
    "expressions": by_expressions,
    "five-thousand-of-2": many,
    "units": lambda: wide(1, 2**40),
    "units-in-bulk": lambda: Builder([binary("x")]).inputs([0], Family.BERNOULLI, 2**70),
    "weights": weights,
    "weights-in-bulk": weights_in_bulk,
    "states": lambda: categorical("x", 2**40),
    "columns": lambda: verify(columns(units=np.array([3, 3, 2**40, 1]))),
    "columns-that-wrap": lambda: verify(wrapped_columns()),
    "weight-table": lambda: verify(table([3, 3, 2**40], [1, 1, 2**40])),
    "weight-table-in-all": lambda: verify(table([2**20, 2**20, 2**20], [2**19, 2**19, 2**19])),
    "hypernetwork": lambda: pc.compile(
        pc.rat_spn(4, 2, 2), Hypernetwork(hidden=(10**9, 10**9), embedding=10**9)
    ),
    "square": square_of_wide,
    "replicas": lambda: pc.rat_spn(4, 10**9, 2),
    "more-replicas": lambda: pc.rat_spn(4, 10**30, 2),
    "variables": lambda: pc.rat_spn(10**12, 1, 2),
    "structure-units": lambda: pc.rat_spn(4, 1, 10**12),
    "structure-weights": lambda: pc.rat_spn(4, 1, 2**21),
}


@pytest.mark.parametrize("name", FAULTS)
def test_refused(name: str, golden: Golden) -> None:
    with pytest.raises(PCCompilerError) as caught:
        FAULTS[name]()
    golden(re.sub(rf"{re.escape(__file__)}:\d+", "FILE", str(caught.value)))


def test_what_is_left_of_a_grid() -> None:
    b = Builder([binary("x"), binary("y"), binary("z")])
    leaves = [b.bernoulli(i, np.full(n, 0.5)) for i, n in enumerate((300, 300, 100))]
    grid = b.kronecker(leaves)
    root = b.sum([grid], weights=np.full(300 * 300 * 100, 1 / (300 * 300 * 100)))
    with pytest.raises(PCCompilerError, match="PC128"):
        restrict(b.build(root), {0: 1.0}, keep_scale=True)


def test_a_policy_of_any_size() -> None:
    model = pc.compile(pc.rat_spn(4, 2, 2), Hypernetwork(), sectors=Sectors(by="size", size=2**62))
    assert model.circuit.sectors is not None
    assert findings(model.circuit) == ()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_nothing_is_allocated() -> None:
    """Run within 2 GiB of address space beyond the current use."""
    program = (
        "import resource\nfrom tests.ir.test_limits import FAULTS\n"
        "from pccompiler.errors import PCCompilerError\nimport torch, pccompiler.torch_backend\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**31, used + 2**31))\n"
        "for name, fault in FAULTS.items():\n"
        "    try:\n        fault()\n    except PCCompilerError:\n        continue\n"
        "    raise AssertionError(name)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
