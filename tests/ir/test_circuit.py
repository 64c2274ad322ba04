"""Columns, levels, scopes, builder, partition: against plain definitions."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pccompiler as pc
from pccompiler.errors import CircuitError, OptionError, PCCompilerError
from pccompiler.ir import Builder, Circuit, Direct, Family, Hypernetwork, Kind, Sectors, categorical
from pccompiler.ir.plan.parameters import lay_out
from pccompiler.ir.sectors import partition
from pccompiler.passes import plan
from pccompiler.testing.strategies import circuits

Golden = Callable[[str], None]


@given(circuits(reals=True))
def test_scopes_and_levels_equal_plain_recursion(circuit: Circuit) -> None:
    scopes: list[set[int]] = []
    levels: list[int] = []
    for node in range(circuit.num_nodes):
        below = circuit.operands_of(node).tolist()
        own = {int(circuit.variable[node])} if circuit.kind[node] == Kind.INPUT else set[int]()
        scopes.append(own.union(*(scopes[j] for j in below)))
        levels.append(max((levels[j] + 1 for j in below), default=0))
    assert [set(circuit.scopes.variables(n).tolist()) for n in range(circuit.num_nodes)] == scopes
    assert circuit.levels.tolist() == levels
    assert circuit.scopes.sizes().tolist() == [len(scope) for scope in scopes]
    same = [[a == b for b in scopes] for a in scopes]
    index = circuit.scopes.index
    assert (index[:, None] == index[None, :]).tolist() == same  # interned


def test_scopes_beyond_one_word() -> None:
    circuit = pc.rat_spn(200, 2, 2)
    assert circuit.scopes.variables(circuit.root).tolist() == list(range(200))


def test_columns_are_read_only() -> None:
    circuit = pc.rat_spn(4, 1, 2)
    with pytest.raises(ValueError, match="read-only"):
        circuit.units[0] = 3


def test_operands_come_first() -> None:
    circuit = pc.rat_spn(4, 1, 2)
    with pytest.raises(CircuitError, match="PC108"):
        circuit.replace(operands=np.roll(circuit.operands, 3))


def test_builder_records_the_callers_line() -> None:
    b = Builder()
    x = b.binary("x")
    node = b.indicator(x)
    frame = inspect.currentframe()
    line = frame.f_lineno - 2 if frame else 0
    assert b.build(b.sum([node], 1)).where(node) == f"{__file__}:{line}"


def test_bulk_methods_equal_scalar_methods() -> None:
    one, many = Builder(), Builder()
    for b in (one, many):
        for name in "xyz":
            b.binary(name)
    leaves = [one.bernoulli(v, units=2) for v in range(3)]
    products = [one.product([leaves[0], leaves[1]]), one.product([leaves[1], leaves[2]])]
    sums = [one.sum([p], 2) for p in products]
    expected = one.build(one.mixture(sums))
    ids = many.inputs(np.arange(3), Family.BERNOULLI, 2)
    pairs = many.products(np.stack([ids[:2], ids[1:]], axis=1))
    tops = many.sums(pairs, 2)
    assert many.build(int(many.mixtures(tops[None, :])[0])) == expected


@given(circuits(values=False), st.sampled_from(["block", "rows", "size"]), st.integers(1, 7))
def test_sectors_cover_every_entry_once(circuit: Circuit, by: str, size: int) -> None:
    sectors = partition(circuit, Sectors(by=by, size=size, mixtures=True)).sectors  # type: ignore[arg-type]
    assert sectors is not None
    covered = [
        (weight, offset + entry)
        for weight, offset, length in zip(
            sectors.weight.tolist(),
            sectors.offset.tolist(),
            (sectors.rows * sectors.columns).tolist(),
            strict=True,
        )
        for entry in range(length)
    ]
    sums = np.unique(circuit.weight[np.isin(circuit.kind, (Kind.SUM, Kind.MIXTURE))])
    expected = [(w, e) for w in sums.tolist() for e in range(int(circuit.weights.sizes[w]))]
    assert sorted(covered) == expected


PUBLISHED = {
    16: (40050, 9115),
    17: (42550, 9615),
    69: (172550, 35615),
    100: (250050, 51115),
    111: (277550, 56615),
}


@pytest.mark.parametrize("n", PUBLISHED)
def test_allocated_parameters_equal_the_papers(n: int) -> None:
    circuit = partition(pc.rat_spn(n, 50, 5), Sectors())
    counts = [
        lay_out(plan(circuit.replace(generator=generator))).num_parameters
        for generator in (Direct(allocation="reference"), Hypernetwork(allocation="reference"))
    ]
    assert tuple(counts) == PUBLISHED[n]


def test_used_parameters_of_nltcs() -> None:
    circuit = pc.rat_spn(16, 50, 5)
    assert circuit.statistics.weight_entries == 25_800  # PAPER: used weights of 40,050


def test_builder_errors(golden: Golden) -> None:
    b = Builder()
    x = b.binary("x")
    leaf = b.bernoulli(x, units=2, name="leaf", weight="w")
    attempts: list[Callable[[], object]] = [
        lambda: b.binary("x"),
        lambda: b.binary("a b"),
        lambda: b.binary("7"),
        lambda: b.variable(categorical("c", 1)),
        lambda: b.indicator(4),
        lambda: b.product([leaf, 99]),
        lambda: b.bernoulli(x, name="leaf"),
        lambda: b.bernoulli(x, units=3, weight="w"),
        lambda: b.sum([leaf], weights=[0.1, 0.2, 0.7]),
        lambda: Sectors(by="column"),  # type: ignore[arg-type]
        lambda: Sectors(size=0),
        lambda: Hypernetwork(hidden=(0,)),
        lambda: Hypernetwork(floor=0.5),
        lambda: Direct(allocation="all"),  # type: ignore[arg-type]
        lambda: pc.rat_spn(0),
        lambda: pc.rat_spn(4, 0),
        lambda: pc.rat_spn(4, depth=-1),
        lambda: pc.rat_spn(4, leaf="beta"),
    ]
    messages: list[str] = []
    for attempt in attempts:
        with pytest.raises(PCCompilerError) as caught:
            attempt()
        text = str(caught.value)
        messages.append(
            text.replace(__file__, "test.py")
            if isinstance(caught.value, OptionError | CircuitError)
            else text
        )
    import re

    golden(re.sub(r"test\.py:\d+", "test.py:N", "\n".join(messages)))
