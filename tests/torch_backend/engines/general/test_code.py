"""The instructions of small circuits, one kind of node after another."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given

import pccompiler as pc
from pccompiler.ir import Builder, Circuit, Family, categorical
from pccompiler.passes import plan
from pccompiler.testing.scalars import to_scalars
from pccompiler.testing.strategies import circuits
from pccompiler.torch_backend.engines.base import NoMatch
from pccompiler.torch_backend.engines.general import code
from pccompiler.torch_backend.engines.general.code import FIELDS, Op, Program, program_of


class Instruction(NamedTuple):
    """One instruction with its items."""

    op: Op
    units: int
    out: int
    items: list[list[int]]
    table: int
    place: int
    variable: int


def instructions(program: Program) -> list[Instruction]:
    found: list[Instruction] = []
    for row in program.code.tolist():
        op, units, out, first, count, table, place, variable = row
        width = units if op == Op.CROSSED else 1
        items = program.items[first : first + count * width].reshape(count, width).tolist()
        found.append(Instruction(Op(op), units, out, items, table, place, variable))
    return found


def program(circuit: Circuit) -> Program:
    return program_of(plan(circuit))


def of_kind(found: Program, op: Op) -> list[Instruction]:
    return [each for each in instructions(found) if each.op == op]


def test_leaves() -> None:
    """An indicator, a table and a Gaussian, whose densities are a table after the others."""
    b = Builder()
    x, y, z = b.binary("x"), b.variable(categorical("y", 3)), b.real("z")
    leaves = [b.indicator(x), b.categorical(y, units=2), b.gaussian(z, units=2)]
    circuit = b.build(b.sum([b.product(leaves)], 1))
    found = program(circuit)
    groups = plan(circuit).groups
    (indicator,) = of_kind(found, Op.INDICATOR)
    assert (indicator.units, indicator.items, indicator.variable) == (2, [], 0)
    (table,) = of_kind(found, Op.TABLE)
    assert groups[found.groups[table.table]].owner == "categorical"
    assert (table.units, table.items, table.place, table.variable) == (2, [], 0, 1)
    (density,) = of_kind(found, Op.GIVEN)
    assert (density.units, density.items, density.place) == (2, [], 0)
    (layer,) = found.given
    assert plan(circuit).layers[layer].family == Family.GAUSSIAN
    assert density.table == len(found.groups)  # Gaussians have no table among them
    assert "gaussian" not in {groups[number].owner for number in found.groups}


def test_a_sum_over_states_is_a_table() -> None:
    b = Builder()
    x, y = b.variable(categorical("x", 3)), b.variable(categorical("y", 3))
    mixed = [b.sum([b.indicator(v)], 2, weight="shared") for v in (x, y)]
    found = program(b.build(b.sum([b.product(mixed)], 1)))
    assert not of_kind(found, Op.INDICATOR)
    tables = of_kind(found, Op.TABLE)
    assert sorted(each.variable for each in tables) == [0, 1]
    assert {(each.units, each.place) for each in tables} == {(2, 0)}


def test_given_densities_are_numbered_by_layer_and_row() -> None:
    b = Builder()
    x, y = b.real("x"), b.real("y")
    parts = [b.product([b.gaussian(x, units=n), b.gaussian(y, units=n)]) for n in (2, 3)]
    found = program(b.build(b.sum(parts, 1)))
    densities = of_kind(found, Op.GIVEN)
    places = {(each.units, each.table - len(found.groups), each.place) for each in densities}
    assert len(found.given) == 2
    assert {units for units, _, _ in places} == {2, 3}
    assert {(layer, row) for _, layer, row in places} == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_products() -> None:
    """An elementwise product names the first slots of its factors."""
    b = Builder([pc.ir.binary(f"x{i}") for i in range(3)])
    circuit = b.build(b.sum([b.product([b.bernoulli(i, units=4) for i in range(3)])], 1))
    found = program(circuit)
    leaves = {each.variable: each.out for each in of_kind(found, Op.TABLE)}
    (product,) = of_kind(found, Op.PRODUCT)
    assert product.units == 4
    assert sorted(product.items) == sorted([slot] for slot in leaves.values())
    assert sorted(leaves.values()) == [0, 4, 8]


def test_products_of_several_arities_share_a_layer() -> None:
    b = Builder([pc.ir.binary(f"x{i}") for i in range(3)])
    leaves = [b.bernoulli(i, units=2) for i in range(3)]
    pair = b.sum([b.product(leaves[:2])], 2)
    parts = [b.product(leaves), b.product([pair, leaves[2]])]
    found = program(b.build(b.sum(parts, 1)))
    assert sorted(len(each.items) for each in of_kind(found, Op.PRODUCT)) == [2, 2, 3]


def test_kronecker_products() -> None:
    """All pairs, the last operand's units running fastest."""
    b = Builder()
    x, y = b.real("x"), b.real("y")
    pairs = b.kronecker([b.gaussian(x, units=2), b.gaussian(y, units=3)])
    found = program(b.build(b.sum([pairs], 1)))
    low, high = (
        next(each.out for each in of_kind(found, Op.GIVEN) if each.units == n) for n in (2, 3)
    )
    (product,) = of_kind(found, Op.CROSSED)
    assert product.units == 6
    first, second = product.items
    assert first == [low, low, low, low + 1, low + 1, low + 1]
    assert second == [high, high + 1, high + 2, high, high + 1, high + 2]


def test_sums_over_operands_of_several_widths() -> None:
    b = Builder()
    x, y = b.binary("x"), b.binary("y")
    leaves = [b.bernoulli(x, units=2), b.bernoulli(y, units=2)]
    pairs, products = b.kronecker(leaves), b.product(leaves)
    found = program(b.build(b.sum([b.sum([pairs, products], 3)], 1)))
    mixed, root = of_kind(found, Op.SUM)
    slots = [*range(of_kind(found, Op.CROSSED)[0].out, of_kind(found, Op.CROSSED)[0].out + 4)]
    slots += [*range(of_kind(found, Op.PRODUCT)[0].out, of_kind(found, Op.PRODUCT)[0].out + 2)]
    assert (mixed.units, mixed.items) == (3, [[slot] for slot in slots])
    assert (root.units, root.items) == (1, [[mixed.out + unit] for unit in range(3)])
    assert found.widest == 6


def test_mixtures() -> None:
    """A mixture names the first slots of its operands."""
    b = Builder()
    x = b.binary("x")
    mixture = b.mixture([b.bernoulli(x, units=2) for _ in range(3)])
    circuit = b.build(b.sum([mixture], 1))
    found = program(circuit)
    (made,) = of_kind(found, Op.MIXTURE)
    assert made.units == 2
    assert sorted(made.items) == [[0], [2], [4]]
    group = plan(circuit).groups[found.groups[made.table]]
    assert (group.owner, group.rows, group.columns) == ("mixture", 2, 3)


def scalar(shared: bool) -> Circuit:
    """Sums of fan-in 2 and 3 over products of single units."""
    b = Builder()
    x, y = b.binary("x"), b.binary("y")
    leaves = [[b.bernoulli(v) for _ in range(3)] for v in (x, y)]
    products = [b.product([one, other]) for one, other in zip(*leaves, strict=True)]
    weight = "shared" if shared else None
    sums = [b.sum(products[:2], weight=weight), b.sum(products[1:], weight=weight)]
    return b.build(b.sum([*sums, products[0]]))


def test_ragged_sums() -> None:
    assert plan(scalar(False)).packed
    found = program(scalar(False))
    sums = of_kind(found, Op.SUM)
    assert [len(each.items) for each in sums] == [2, 2, 3]
    assert len({(each.table, each.place) for each in sums}) == 3
    assert sums[2].items == [[sums[0].out], [sums[1].out], [sums[0].items[0][0]]]
    assert all(each.units == 1 for each in sums)


def test_shared_weights_have_one_place() -> None:
    sums = of_kind(program(scalar(True)), Op.SUM)
    assert (sums[0].table, sums[0].place) == (sums[1].table, sums[1].place)
    assert (sums[2].table, sums[2].place) != (sums[0].table, sums[0].place)
    found = program(pc.hmm(5, 3))
    steps = [each for each in of_kind(found, Op.SUM) if each.units == 3]
    leaves = of_kind(found, Op.TABLE)
    assert len(steps) == 4
    assert len(leaves) == 5
    for some in (steps, leaves):
        assert len({(each.table, each.place) for each in some}) == 1
    assert set(found.heights) == {1}


def test_generated_weights_have_a_place_for_each_use() -> None:
    made = pc.compile(pc.hmm(5, 3), pc.Hypernetwork()).plan
    found = program_of(made)
    steps = [each for each in of_kind(found, Op.SUM) if each.units == 3]
    assert made.groups[found.groups[steps[0].table]].generated
    assert sorted(each.place for each in steps) == [0, 1, 2, 3]
    assert found.heights[steps[0].table] == 4


def test_a_plan_may_have_a_leaf_only() -> None:
    b = Builder()
    found = program(b.build(b.gaussian(b.real("x"))))
    (leaf,) = instructions(found)
    assert (leaf.op, leaf.units, leaf.out) == (Op.GIVEN, 1, 0)
    assert (found.slots, found.leaves, found.widest) == (1, 1, 1)


def test_plans_of_too_many_units_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "MOST_SLOTS", 10)
    with pytest.raises(NoMatch, match="it has more than 10 units or edges"):
        program(pc.rat_spn(4, 2, 3))


def check(found: Program, circuit: Circuit) -> None:
    """Every slot is written once, before it is read, and every table and place exists."""
    made = plan(circuit)
    written = np.zeros(found.slots, bool)
    assert found.code.shape[1] == len(FIELDS)
    for one in instructions(found):
        for item in one.items:
            for slot in item:
                wide = one.op in (Op.PRODUCT, Op.MIXTURE)
                assert written[slot : slot + (one.units if wide else 1)].all()
        assert not written[one.out : one.out + one.units].any()
        written[one.out : one.out + one.units] = True
        if one.op in (Op.SUM, Op.MIXTURE, Op.TABLE):
            group = made.groups[found.groups[one.table]]
            assert 0 <= one.place < found.heights[one.table]
            assert group.rows == one.units
            assert group.is_sum or one.op == Op.TABLE
            assert one.op == Op.TABLE or group.columns == len(one.items)
    states = np.concatenate(
        [[layer.family == Family.INDICATOR] * layer.rows * layer.units for layer in made.layers]
    )
    assert (written | states).all()  # sums over states are tables, and need not read them
    assert instructions(found)[-1].out == found.slots - 1
    assert found.starts[-1] == len(found.code)
    first = [one.out for one in instructions(found)]
    assert first == sorted(first)


@given(circuits(reals=True))
def test_random_circuits(circuit: Circuit) -> None:
    for each in (circuit, to_scalars(circuit)):
        check(program(each), each)
