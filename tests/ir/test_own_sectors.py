"""User-defined sectors: tables and functions, kept unchanged, and refused if they do not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pccompiler as pc
from pccompiler.errors import CircuitError, OptionError, PCCompilerError
from pccompiler.ir import Circuit, Direct, Generator, Hypernetwork, Sectors, parse, to_text
from pccompiler.ir.plan.materialize import by_weight, materialize
from pccompiler.ir.plan.parameters import lay_out
from pccompiler.ir.sectors import Block, Cut, partition
from pccompiler.passes import (
    AttachHypernetwork,
    Pack,
    PartitionSectors,
    Pass,
    PassManager,
    Prune,
    findings,
    plan,
)
from pccompiler.testing.strategies import circuits
from tests.ir.plan.test_materialize import draw_parameters, sector_logits, softmax

Golden = Callable[[str], None]


def random_cut(seed: int) -> Cut:
    """Partitions each weight differently: whole, not at all, by rows, columns, runs, corners."""

    def cut(weight: int, shape: tuple[int, int]) -> Iterable[Block]:
        rng = np.random.default_rng([seed, weight])
        rows, columns = shape
        row, column = int(rng.integers(rows + 1)), int(rng.integers(columns + 1))
        size = int(rng.integers(1, rows * columns + 1))
        ways: list[list[Block]] = [
            [],
            [(0, rows, columns)],
            [(i * columns, 1, columns) for i in range(rows)],
            [(i, 1, min(size, rows * columns - i)) for i in range(0, rows * columns, size)],
            [(0, rows, column), (column, rows, columns - column)],
            [
                (0, row, column),
                (column, row, columns - column),
                (row * columns, rows - row, column),
                (row * columns + column, rows - row, columns - column),
            ],
        ]
        blocks = [b for b in ways[rng.integers(len(ways))] if b[1] > 0 and b[2] > 0]
        return [blocks[i] for i in rng.permutation(len(blocks))]

    return cut


@given(
    circuits(max_variables=4, reals=True, values=False),
    st.integers(0, 9999),
    st.sampled_from(
        [
            Hypernetwork(),
            Hypernetwork(heads="slice", hidden=(3,)),
            Hypernetwork(allocation="reference"),
            Direct(allocation="reference"),
        ]
    ),
)
def test_weights_are_filled_block_by_block(
    circuit: Circuit, seed: int, generator: Generator
) -> None:
    """Against the definition: sector by sector, entry by entry."""
    cut = partition(circuit, random_cut(seed)).replace(generator=generator)
    assert findings(cut) == ()
    lowered = plan(cut)
    layout = lay_out(lowered)
    parameters = draw_parameters(layout, seed)
    found = by_weight(lowered, materialize(lowered, layout, parameters))
    sectors, table = cut.sectors, cut.weights
    assert sectors is not None
    want = {w: np.full(int(table.sizes[w]), np.nan) for w in set(sectors.weight.tolist())}
    for number in range(len(sectors)):
        weight, offset = int(sectors.weight[number]), int(sectors.offset[number])
        shape = int(sectors.rows[number]), int(sectors.columns[number])
        logits = sector_logits(lowered, parameters, number, shape)
        for i in range(shape[0]):
            for j in range(shape[1]):
                want[weight][offset + i * int(table.columns[weight]) + j] = logits[i, j]
    for weight, logits in want.items():
        rows = softmax(logits.reshape(table.rows[weight], table.columns[weight]), lowered.floor)
        np.testing.assert_allclose(found[weight], rows, rtol=1e-12)
    generated = {int(w) for group in lowered.groups if group.generated for w in group.weights}
    assert generated == set(want)


@given(circuits(max_variables=4, values=False), st.integers(0, 9999))
def test_text_keeps_them(circuit: Circuit, seed: int) -> None:
    cut = partition(circuit, random_cut(seed)).replace(generator=Hypernetwork())
    text = to_text(cut)
    again = parse(text)
    assert again == cut
    assert to_text(again) == text
    assert again.fingerprint == cut.fingerprint


def test_in_the_text(golden: Golden) -> None:
    circuit = partition(
        pc.rat_spn(2, 1, 2), lambda w, s: [(i * s[1], 1, s[1]) for i in range(s[0])]
    )
    golden(to_text(circuit))


def half_of(circuit: Circuit) -> Sectors:
    """A table of every other weight."""
    whole = partition(circuit, Sectors()).sectors
    assert whole is not None
    some = whole.weight[::2]
    table = circuit.weights
    return Sectors(
        weight=some, offset=np.zeros_like(some), rows=table.rows[some], columns=table.columns[some]
    )


def test_a_table_is_what_compile_takes() -> None:
    circuit = pc.rat_spn(6, 2, 3)
    mine = half_of(circuit)
    model = pc.compile(circuit, Hypernetwork(), sectors=mine)
    assert model.circuit.sectors == mine
    assert len(mine) == 10
    assert set(model.weights.values) >= {"embedding", "logits_sum_3x2"}


def test_the_order_of_a_table_does_not_matter() -> None:
    mine = half_of(pc.rat_spn(6, 2, 3))
    back = Sectors(
        weight=mine.weight[::-1],
        offset=mine.offset[::-1],
        rows=mine.rows[::-1],
        columns=mine.columns[::-1],
    )
    assert back == mine
    assert hash(back) == hash(mine)
    assert back != replace(mine, rows=mine.rows + 1)


@pytest.mark.parametrize("by", ["rows", "size"])
def test_a_policy_is_what_compile_takes(by: str) -> None:
    circuit = pc.rat_spn(6, 2, 3)
    policy = Sectors(by=by, size=2)  # type: ignore[arg-type]  # parametrized text
    model = pc.compile(circuit, Hypernetwork(), sectors=policy)
    assert model.circuit.sectors == policy
    want = partition(circuit, policy).sectors
    assert want is not None
    assert model.circuit.sectors is not None
    assert model.circuit.sectors.same_table(want)


class SetMine(Pass):
    """Records its own table."""

    name = "mine"

    def run(self, circuit: Circuit) -> Circuit:
        return circuit.replace(sectors=half_of(circuit))


def test_passes_may_set_them() -> None:
    circuit = pc.rat_spn(6, 2, 3)
    mine = half_of(circuit)
    for step in (SetMine(), PartitionSectors(own=mine)):
        result = PassManager((step, AttachHypernetwork(), Prune()), verify_semantics=True)(circuit)
        assert result.sectors == mine
        assert pc.compile(result).circuit.sectors == mine


def test_the_pass_takes_a_function() -> None:
    circuit = pc.rat_spn(6, 2, 3)
    step = PartitionSectors(own=lambda _weight, shape: [(0, *shape)])
    whole = partition(circuit, Sectors()).sectors
    found = step(circuit).sectors
    assert found is not None
    assert whole is not None
    assert found.same_table(whole)


def test_weights_that_a_pass_renumbers_keep_their_sectors() -> None:
    text = (
        "pcir 1\nvariable x binary\n%x = input x indicator 2\n%y = input x bernoulli 3 @y\n"
        "%dead = sum 2 %x @dead\n%s = sum 3 %y @s\n%t = sum 3 %x @t\n%root = sum 1 %s %t @r\n"
        "root %root\nsectors by=own\nsector @dead 0 2 2\nsector @t 0 3 1\nsector @t 1 3 1\n"
        "sector @r 0 1 6\ngenerator hypernetwork\n"
    )
    circuit = Prune()(parse(text))
    assert "sector @t 0 3 1\nsector @t 1 3 1\nsector @r 0 1 6" in to_text(circuit)
    assert "@dead" not in to_text(circuit)
    assert findings(circuit) == ()


def own(weights: list[int], offsets: list[int], rows: list[int], columns: list[int]) -> Sectors:
    return Sectors(weight=weights, offset=offsets, rows=rows, columns=columns)  # type: ignore[arg-type]  # lists are accepted too


REFUSED: dict[str, Callable[[], Sectors | Cut]] = {
    "entries-twice": lambda: own([1, 1], [0, 2], [2, 2], [3, 2]),
    "entries-in-no-sector": lambda: own([1], [0], [1], [4]),
    "one-entry-short": lambda: own([1], [0], [1], [7]),
    "right-number-but-twice": lambda: own([1, 1], [0, 3], [1, 1], [4, 4]),
    "too-many-columns": lambda: own([1], [0], [2], [99]),
    "no-rows": lambda: own([1], [0], [0], [4]),
    "negative-offset": lambda: own([1], [-1], [2], [4]),
    "too-far": lambda: own([1], [1], [2], [4]),
    "wraps": lambda: own([1], [0], [2**62], [2**62]),
    "unknown-weight": lambda: own([99], [0], [2], [2]),
    "negative-weight": lambda: own([-1], [0], [2], [2]),
    "a-leaf": lambda: own([0], [0], [2], [1]),
    "columns-of-other-lengths": lambda: own([1, 1], [0], [2], [2]),
    "fractions": lambda: own([1], [0], [2], [1.5]),  # type: ignore[list-item]
    "not-a-list": lambda: own([[1]], [0], [2], [2]),  # type: ignore[list-item]
    "a-function-of-numbers": lambda: lambda _weight, _shape: cast("list[Block]", 3),
    "a-function-of-pairs": lambda: lambda _weight, _shape: [(0, 1)],  # type: ignore[list-item]
    "a-function-of-words": lambda: lambda _weight, _shape: [("0", 1, 1)],  # type: ignore[list-item]
    "a-function-of-too-little": lambda: lambda _weight, shape: [(0, 1, shape[1])],
}


def small() -> Circuit:
    return parse(
        "pcir 1\nvariable x binary\n%x = input x bernoulli 4 @x\n%s = sum 2 %x @s\n"
        "%root = sum 1 %s @r\nroot %root\n"
    )


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, golden: Golden) -> None:
    with pytest.raises(PCCompilerError) as caught:
        pc.compile(small(), Hypernetwork(), sectors=REFUSED[name]())
    assert isinstance(caught.value, CircuitError | OptionError)
    golden(str(caught.value))


def test_a_pass_that_replaces_a_covered_weight(golden: Golden) -> None:
    text = (
        "pcir 1\nvariable x binary\n%a = input x bernoulli 1 @a\n%b = input x bernoulli 1 @b\n"
        "%c = sum 1 %a %b @c\n%d = sum 1 %a %b @d\n%root = sum 1 %c %d @r\nroot %root\n"
        "sectors by=own\nsector @c 0 1 2\n"
    )
    with pytest.raises(CircuitError) as caught:
        Pack()(parse(text))
    golden(str(caught.value))


TEXTS = {
    "sector-without-policy": "sector @r 0 1 2\n",
    "sector-of-a-policy": "sectors by=block\nsector @r 0 1 2\n",
    "unknown-weight": "sectors by=own\nsector @q 0 1 2\n",
    "three-words": "sectors by=own\nsector @r 0 1\n",
    "no-number": "sectors by=own\nsector @r 0 one 2\n",
    "not-whole": "sectors by=own\nsector @r 0 1 1\n",
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_that_are_refused(name: str, golden: Golden) -> None:
    head = "pcir 1\nvariable x binary\n%x = input x indicator 2\n%r = sum 1 %x @r\nroot %r\n"
    with pytest.raises(PCCompilerError) as caught:
        pc.compile(parse(head + TEXTS[name], "garden.pcir"))
    golden(str(caught.value))


def test_a_pipeline_has_no_table(golden: Golden) -> None:
    found: list[str] = []
    for text in ("sectors{by=own}", "sectors{own=x}"):
        with pytest.raises(OptionError) as caught:
            PassManager.parse(text)
        found.append(str(caught.value))
    golden("\n".join(found))
