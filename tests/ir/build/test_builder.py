"""The builder: bulk and scalar methods, locations, immutability, fingerprints."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given

from pccompiler.errors import PCCompilerError
from pccompiler.ir import Builder, Circuit, Family, Kind, categorical, parse, to_text
from pccompiler.ir.expressions.variables import variables
from pccompiler.testing import random_weights, with_values
from pccompiler.testing.families import FAMILIES
from pccompiler.testing.strategies import circuits

Golden = Callable[[str], None]


def line_above() -> int:
    """The number of the line before the call."""
    frame = inspect.currentframe()
    caller = frame.f_back if frame else None
    assert caller is not None
    return caller.f_lineno - 1


def rebuilt(circuit: Circuit) -> Circuit:
    """``circuit``, added node by node with the scalar methods."""
    b = Builder(circuit.variables)
    weights = [f"w{weight}" if weight >= 0 else None for weight in circuit.weight.tolist()]
    for node, weight in enumerate(weights):
        operands, units = circuit.operands_of(node).tolist(), int(circuit.units[node])
        kind, variable = circuit.kind[node], int(circuit.variable[node])
        if kind == Kind.INPUT and weight is None:
            b.indicator(variable)
        elif kind == Kind.INPUT:
            leaf = getattr(b, Family(int(circuit.family[node])).keyword)
            leaf(variable, units=units, weight=weight)
        elif kind == Kind.SUM:
            b.sum(operands, units, weight=weight)
        elif kind == Kind.MIXTURE:
            b.mixture(operands, weight=weight)
        else:
            (b.kronecker if kind == Kind.KRONECKER else b.product)(operands)
    made = b.build(circuit.root)
    table = made.weights
    assert table.names == {weight: f"w{weight}" for weight in range(len(table))}
    return made.replace(weights=type(table)(table.rows, table.columns))


@given(circuits(reals=True, values=False))  # made by the bulk methods
def test_scalar_methods_build_the_same(circuit: Circuit) -> None:
    assert rebuilt(circuit) == circuit


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.keyword)
def test_every_leaf_family_has_a_method_of_its_keyword(family: Family) -> None:
    b = Builder([FAMILIES[family]])
    method = getattr(b, family.keyword)
    assert family.keyword in dir(b)
    assert method.__doc__
    assert b.build(method(0, units=3)).family.tolist() == [int(family)]


def test_domains_and_families_have_different_words_or_different_places() -> None:
    """``categorical(name, states)`` is a variable everywhere; a method of that name, a leaf."""
    b = Builder([categorical("wind", 3)])
    by_builder = b.build(b.categorical(0, [[0.2, 0.3, 0.5]]))
    (wind,) = variables(categorical("wind", 3))
    assert by_builder == wind.categorical([0.2, 0.3, 0.5]).circuit()
    assert to_text(by_builder).splitlines()[1:3] == [
        "variable wind categorical 3",
        "%0 = input wind categorical 1 @0",
    ]


def test_bulk_methods_add_one_node_a_row() -> None:
    b = Builder()
    for name in "abcd":
        b.binary(name)
    leaves = b.inputs([0, 1, 2, 3], Family.CATEGORICAL, 3)
    pairs = b.products(leaves.reshape(2, 2), kronecker=True)
    assert b.units_of(pairs).tolist() == [9, 9]
    tied = b.sums(pairs[:1], 3)
    tied = np.append(tied, b.sums(pairs[1:], 3, weights=b.weight_of(tied)))
    top = b.products(tied[None, :])
    circuit = b.build(int(b.mixtures(np.stack([top, top], axis=1))[0]))
    assert circuit.operands.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 8]
    assert circuit.weight.tolist() == [0, 1, 2, 3, -1, -1, 4, 4, -1, 5]
    assert circuit.weights.rows.tolist() == [3, 3, 3, 3, 3, 3]
    assert circuit.weights.columns.tolist() == [2, 2, 2, 2, 9, 2]


def test_every_method_records_the_callers_line() -> None:
    b = Builder()
    x, y = b.binary("x"), b.real("y")
    one = b.bernoulli(x, units=2)
    lines = [line_above()]
    two = b.gaussian(y, units=2)
    lines.append(line_above())
    many = b.products([[one, two]] * 3)
    lines += [line_above()] * 3

    def helper() -> int:
        return b.sum([int(many[0]), int(many[1])], 1)

    root = helper()
    lines.append(line_above() - 2)  # in the helper: the innermost frame outside the package
    circuit = b.build(root)
    assert [circuit.where(node) for node in range(6)] == [f"{__file__}:{line}" for line in lines]


def test_a_builder_can_go_on() -> None:
    b = Builder()
    x = b.binary("x")
    first = b.build(b.bernoulli(x, [0.5]))
    second = b.build(b.sum([0, b.bernoulli(x, [0.25])]))
    assert (first.num_nodes, second.num_nodes) == (1, 3)
    assert first.weights.values.keys() == {0}


def test_many_nodes_one_by_one() -> None:
    b = Builder()
    x = b.binary("x")
    for units in range(1, 1500):  # beyond the first block of memory
        b.bernoulli(x, units=units)
    assert b.units_of([0, 1022, 1023, 1024, 1498]).tolist() == [1, 1023, 1024, 1025, 1499]


@pytest.mark.parametrize(
    "column", ["kind", "units", "pointer", "operands", "family", "variable", "weight"]
)
def test_columns_are_read_only(column: str) -> None:
    circuit = tiny()
    with pytest.raises(ValueError, match="read-only"):
        getattr(circuit, column)[0] = 1
    with pytest.raises(AttributeError):
        setattr(circuit, column, np.zeros(1))


def test_weights_are_read_only() -> None:
    circuit = tiny()
    with pytest.raises(ValueError, match="read-only"):
        circuit.weights.values[0][0, 0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        circuit.weights.rows[0] = 2


def test_a_builder_keeps_its_own_copy_of_values() -> None:
    b = Builder()
    given_values = np.array([0.25])
    circuit = b.build(b.bernoulli(b.binary("x"), given_values))
    given_values[0] = 0.75
    assert circuit.weights.values[0].tolist() == [[0.25]]


def tiny() -> Circuit:
    b = Builder()
    x = b.binary("x")
    return b.build(b.sum([b.bernoulli(x, [0.25]), b.bernoulli(x, [0.5])], weights=[[0.75, 0.25]]))


def test_fingerprints_are_stable() -> None:
    circuit = tiny()
    # A literal: checkpoints hold it, so it must not change from one version to the next.
    assert circuit.fingerprint == FINGERPRINT
    other_values = with_values(circuit, random_weights(circuit))
    assert parse(to_text(other_values)).fingerprint == FINGERPRINT
    assert circuit.replace(root=0).fingerprint != FINGERPRINT


FINGERPRINT = "907bc3d174512de39b94f3a71f75553acdcff6560574ffddf73ba824c1a7180e"


def test_more_builder_errors(golden: Golden) -> None:
    b = Builder()
    x = b.binary("x")
    leaf = b.bernoulli(x)
    attempts: list[Callable[[], object]] = [
        lambda: b.bernoulli(x, units=0),
        lambda: b.inputs([x, x], Family.CATEGORICAL, -1),
        lambda: b.sum([leaf], 0),
        lambda: b.sums([[leaf]], 0),
        lambda: b.mixture([5000]),
        lambda: b.kronecker([-1]),
        lambda: b.build(7),
        lambda: b.build(-1),
        lambda: b.categorical("wind", 3),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ]
    messages: list[str] = []
    for attempt in attempts:
        with pytest.raises(PCCompilerError) as caught:
            attempt()
        (finding,) = caught.value.diagnostics
        assert (finding.location or "").startswith(f"{__file__}:")
        messages.append(f"{finding.code}: {finding.message}\n  {finding.help}")
    golden("\n".join(messages))
