"""Hypothesis strategies: random well-formed circuits, and circuits with one planted fault."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from pccompiler.ir import (
    Builder,
    Circuit,
    Family,
    Kind,
    Variable,
    binary,
    categorical,
    count,
    leaves,
    real,
)
from pccompiler.ir.arrays import Int
from pccompiler.ir.circuit import Float
from pccompiler.passes.draft import Draft
from pccompiler.testing.random_weights import random_weights, with_values

DISCRETE = (Family.INDICATOR, Family.BERNOULLI, Family.CATEGORICAL)
Scope = tuple[int, ...]


class _Maker:
    """Builds circuits region by region; what is there may be used again."""

    def __init__(
        self, draw: st.DrawFn, variables: Sequence[Variable], families: Collection[Family]
    ) -> None:
        self.draw = draw
        self.builder = Builder(variables)
        self.variables = variables
        self.families = families
        self.regions: dict[tuple[Scope, int], int] = {}
        self.weights: dict[Hashable, Int] = {}

    @property
    def scope(self) -> Scope:
        return tuple(range(len(self.variables)))

    def pick(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def coin(self) -> bool:
        return self.draw(st.booleans())

    def shared(self, *key: Hashable) -> Int | None:
        """At times a weight of the same owner and shape, to share."""
        return self.weights[key] if key in self.weights and self.coin() else None

    def noted(self, node: int, *key: Hashable) -> int:
        self.weights[key] = self.builder.weight_of([node])
        return node

    def input(self, variable: int, family: Family, units: int) -> int:
        if family == Family.INDICATOR:
            return self.builder.indicator(variable)
        key = (family.keyword, units, leaves.columns(family, self.variables[variable]))
        (node,) = self.builder.inputs([variable], family, units, weights=self.shared(*key))
        return self.noted(int(node), *key)

    def sum(self, operands: Sequence[int], units: int) -> int:
        key = (Kind.SUM, units, int(self.builder.units_of(operands).sum()))
        (node,) = self.builder.sums([operands], units, weights=self.shared(*key))
        return self.noted(int(node), *key)

    def mixture(self, operands: Sequence[int], units: int) -> int:
        key = (Kind.MIXTURE, units, len(operands))
        (node,) = self.builder.mixtures([operands], weights=self.shared(*key))
        return self.noted(int(node), *key)

    def leaf(self, variable: int, units: int) -> int:
        """A node of ``units`` units over one variable."""
        fitting = [f for f in self.families if fits(f, self.variables[variable])]
        node = self.input(variable, self.draw(st.sampled_from(fitting)), units)
        width = int(self.builder.units_of([node])[0])
        return node if width == units and self.coin() else self.sum([node], units)

    def region(self, scope: Scope, units: int) -> int:
        """A node of ``units`` units over ``scope``, new or one that other regions use too."""
        if (scope, units) not in self.regions or self.coin():
            one = len(scope) == 1
            made = self.leaf(scope[0], units) if one else self.inner(scope, units)
            self.regions[scope, units] = made
        return self.regions[scope, units]

    def inner(self, scope: Scope, units: int) -> int:
        """A mixture, a dense sum, or a bare product."""
        partitions = [self.product(scope, units) for _ in range(self.pick(1, 2))]
        if self.coin():
            partitions.append(partitions[0])  # one operand twice
        widths = set(self.builder.units_of(partitions).tolist())
        if widths != {units} or self.coin():
            return self.sum(partitions, units)
        return self.mixture(partitions, units) if len(partitions) > 1 else partitions[0]

    def product(self, scope: Scope, units: int) -> int:
        """A product over a random split of ``scope`` into two or three parts."""
        order = self.draw(st.permutations(scope))
        cut = self.pick(1, len(order) - 1)
        parts = [order[:cut], order[cut:]]
        if len(parts[1]) > 1 and self.coin():
            parts[1:] = [parts[1][:1], parts[1][1:]]
        scopes = [tuple(sorted(part)) for part in parts]
        if self.coin():
            return self.builder.kronecker([self.region(s, self.pick(1, 3)) for s in scopes])
        return self.builder.product([self.region(s, units) for s in scopes])


def fits(family: Family, variable: Variable) -> bool:
    """Whether ``family`` is one for ``variable``."""
    return leaves.fits(family, variable)


@st.composite
def variables(
    draw: st.DrawFn, max_variables: int = 5, families: Collection[Family] = DISCRETE
) -> list[Variable]:
    """One or more variables, each of which some family fits."""
    kinds: list[Callable[[str], Variable]] = [binary, binary, lambda n: categorical(n, 3), real]
    if Family.HISTOGRAM in families:
        kinds.append(lambda n: real(n, [-1.5, -0.5, 0.25, 2.0]))
    if Family.POISSON in families:
        kinds.append(count)
    usable = [kind for kind in kinds if any(fits(f, kind("x")) for f in families)]
    made = draw(st.lists(st.sampled_from(usable), min_size=1, max_size=max_variables))
    return [kind(f"x{index}") for index, kind in enumerate(made)]


@st.composite
def circuits(
    draw: st.DrawFn,
    max_variables: int = 5,
    *,
    families: Collection[Family] = DISCRETE,
    reals: bool = False,
    zeros: bool = True,
    values: bool = True,
) -> Circuit:
    """Smooth, decomposable circuits of all kinds of node.

    Dense sums over operands of several widths, nodes with several consumers, shared weights.

    Args:
        draw: Given by hypothesis.
        max_variables: Most variables.
        families: Leaf families that may occur.
        reals: Whether real variables may occur too, with Gaussian leaves.
        zeros: Whether given weights may be 0 and 1.
        values: Whether weights are given.
    """
    wanted = (*families, Family.GAUSSIAN) if reals else tuple(families)
    maker = _Maker(draw, draw(variables(max_variables, wanted)), wanted)
    root = maker.region(maker.scope, draw(st.integers(1, 3)))
    if maker.builder.units_of([root])[0] > 1:
        root = maker.sum([root], 1)
    circuit = maker.builder.build(root)
    if not values:
        return circuit
    seed = draw(st.integers(0, 2**32 - 1))
    exact = zeros and draw(st.booleans())
    return with_values(circuit, random_weights(circuit, seed, zeros=exact))


def unsmooth(circuit: Circuit, seed: int) -> Circuit:
    """``circuit`` with some operands of products dropped, so that sums above are not smooth.

    It is decomposable; its weights' rows sum to one.
    """
    rng = np.random.default_rng(seed)
    draft = Draft(circuit)
    owner = np.repeat(np.arange(circuit.num_nodes), circuit.fan_in)
    in_product = (circuit.kind[owner] == Kind.PRODUCT) & (circuit.fan_in[owner] > 1)
    first = np.arange(len(owner)) == circuit.pointer[owner]  # no product loses all its operands
    draft.keep &= ~(in_product & ~first & (rng.random(len(owner)) < 0.4))
    return draft.finish()


def rows(circuit: Circuit, seed: int, number: int = 8, missing: float = 0.4) -> Float:
    """Random rows for ``circuit``, some values missing."""
    rng = np.random.default_rng(seed)
    columns = [
        rng.integers(0, v.cardinality if v.discrete else 6, number)
        if v.domain != "real"
        else rng.normal(size=number)
        for v in circuit.variables
    ]
    x = np.stack(columns, axis=1).astype(np.float64)
    x[rng.random(x.shape) < missing] = np.nan
    return x


class Broken(NamedTuple):
    """A circuit with one fault: the rule's code, and the culprit's id."""

    circuit: Circuit
    code: str
    culprit: int


@st.composite
def broken_circuits(draw: st.DrawFn) -> Broken:
    """A good circuit with exactly one fault planted in it."""
    most = draw(variables(3))
    names = [binary("a"), binary("b"), *most]
    maker = _Maker(draw, names, DISCRETE)
    code = draw(st.sampled_from(sorted(_INNER | _OUTER)))
    if code in _OUTER:
        root, culprit = _OUTER[code](maker)
        return Broken(maker.builder.build(root), code, culprit)
    *below, last = maker.scope
    top, culprit = _INNER[code](maker, tuple(below))
    beside = maker.leaf(last, int(maker.builder.units_of([top])[0]))
    root = maker.sum([maker.builder.product([top, beside])], 1)
    return Broken(maker.builder.build(root), code, culprit)


def _not_smooth(maker: _Maker, scope: Scope) -> tuple[int, int]:
    lacking = maker.draw(st.sampled_from(scope))
    part = maker.region(tuple(v for v in scope if v != lacking), 2)
    operands = maker.draw(st.permutations([maker.region(scope, 2), part]))
    culprit = maker.mixture(operands, 2) if maker.coin() else maker.sum(operands, 2)
    return culprit, culprit


def _not_decomposable(maker: _Maker, scope: Scope) -> tuple[int, int]:
    twice = maker.leaf(maker.draw(st.sampled_from(scope)), 2)
    operands = maker.draw(st.permutations([maker.region(scope, 2), twice]))
    join = maker.builder.kronecker if maker.coin() else maker.builder.product
    culprit = join(operands)
    return culprit, culprit


def _of_two_widths(maker: _Maker, scope: Scope) -> tuple[int, int]:
    if maker.coin():
        good = maker.region(scope, 2)
        culprit = maker.mixture([good, maker.sum([good], 3)], 2)
    else:
        culprit = maker.builder.product([maker.region(scope[:1], 2), maker.region(scope[1:], 3)])
    return culprit, culprit


def _dead(maker: _Maker, scope: Scope) -> tuple[int, int]:
    good = maker.region(scope, 2)
    return good, maker.sum([good], maker.pick(1, 3))


def _weight_of_two_shapes(maker: _Maker, scope: Scope) -> tuple[int, int]:
    wide = maker.builder.sum([maker.region(scope, 2)], 3)
    weight = maker.builder.weight_of([wide])
    culprit = int(maker.builder.sums([[wide]], 2, weights=weight)[0])
    return culprit, culprit


def _wrong_family(maker: _Maker, scope: Scope) -> tuple[int, int]:
    culprit = int(maker.builder.inputs(scope[:1], Family.GAUSSIAN, 2)[0])
    return maker.builder.product([culprit, maker.region(scope[1:], 2)]), culprit


def _wide_root(maker: _Maker) -> tuple[int, int]:
    root = maker.region(maker.scope, maker.pick(2, 3))
    return root, root


def _missing_variable(maker: _Maker) -> tuple[int, int]:
    root = maker.region(maker.scope[1:], 1)
    return root, root


_INNER: dict[str, Callable[[_Maker, Scope], tuple[int, int]]] = {
    "PC101": _not_smooth,
    "PC102": _not_decomposable,
    "PC103": _of_two_widths,
    "PC105": _dead,
    "PC106": _weight_of_two_shapes,
    "PC107": _wrong_family,
}
"""Faults below the root: they return the node to go on with, and the culprit."""
_OUTER: dict[str, Callable[[_Maker], tuple[int, int]]] = {
    "PC104": _wide_root,
    "PC109": _missing_variable,
}
"""Faults of the root: they return the root, and the culprit."""
