"""Hypothesis strategies: random well-formed circuits, and circuits with one planted fault."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from pccompiler.ir import Builder, Circuit, Family, Variable, binary, categorical, real
from pccompiler.testing.random_weights import random_weights, with_values


class _Maker:
    """Builds circuits over ever larger scopes, so that every step can reuse what is there."""

    def __init__(self, draw: st.DrawFn, variables: list[Variable]) -> None:
        self.draw = draw
        self.builder = Builder(variables)
        self.variables = variables

    def pick(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def leaf(self, variable: int, units: int) -> int:
        """A node of ``units`` units over one variable."""
        if not self.variables[variable].discrete:
            return int(self.builder.inputs([variable], Family.GAUSSIAN, units)[0])
        families = [Family.INDICATOR, Family.CATEGORICAL]
        if self.variables[variable].cardinality == 2:
            families.append(Family.BERNOULLI)
        family = self.draw(st.sampled_from(families))
        node = int(self.builder.inputs([variable], family, units)[0])
        if int(self.builder.units_of([node])[0]) != units:
            node = self.builder.sum([node], units)
        return node

    def region(self, scope: tuple[int, ...], units: int) -> int:
        """A node of ``units`` units over ``scope``."""
        if len(scope) == 1:
            return self.leaf(scope[0], units)
        partitions = [self.product(scope, units) for _ in range(self.pick(1, 2))]
        widths = set(self.builder.units_of(partitions).tolist())
        if widths == {units} and self.draw(st.booleans()):
            return self.builder.mixture(partitions)
        if self.draw(st.booleans()):
            partitions.append(partitions[0])  # a shared node
        return self.builder.sum(partitions, units)

    def product(self, scope: tuple[int, ...], units: int) -> int:
        """A product over a random split of ``scope``."""
        order = list(self.draw(st.permutations(scope)))
        cut = self.pick(1, len(order) - 1)
        parts = [tuple(order[:cut]), tuple(order[cut:])]
        if len(parts[1]) > 1 and self.draw(st.booleans()):
            parts[1:] = [parts[1][:1], parts[1][1:]]
        if self.draw(st.booleans()):
            widths = [self.pick(1, 2) for _ in parts]
            return self.builder.kronecker(
                [self.region(p, w) for p, w in zip(parts, widths, strict=True)]
            )
        return self.builder.product([self.region(part, units) for part in parts])


@st.composite
def variables(draw: st.DrawFn, most: int = 4, reals: bool = False) -> list[Variable]:
    """Between one and ``most`` variables, binary, categorical, and real if wanted."""
    number = draw(st.integers(1, most))
    kinds = st.sampled_from(["binary", "binary", "categorical", *(["real"] if reals else [])])
    found: list[Variable] = []
    for index in range(number):
        kind = draw(kinds)
        name = f"x{index}"
        found.append(
            {"binary": binary(name), "categorical": categorical(name, 3), "real": real(name)}[kind]
        )
    return found


@st.composite
def circuits(
    draw: st.DrawFn, most: int = 4, *, reals: bool = False, zeros: bool = True, values: bool = True
) -> Circuit:
    """Smooth, decomposable circuits: dense sums, mixtures, both products, shared nodes.

    Args:
        draw: Given by hypothesis.
        most: Most variables.
        reals: Whether real variables may occur.
        zeros: Whether given weights may be 0 and 1.
        values: Whether weights are given.
    """
    maker = _Maker(draw, draw(variables(most, reals)))
    scope = tuple(range(len(maker.variables)))
    top = maker.region(scope, draw(st.integers(1, 3)))
    root = maker.builder.sum([top], 1)
    circuit = maker.builder.build(root)
    if not values:
        return circuit
    seed = draw(st.integers(0, 2**32 - 1))
    exact = zeros and draw(st.booleans())
    return with_values(circuit, random_weights(circuit, seed, zeros=exact))


class Broken(NamedTuple):
    """A circuit with one fault: the rule's code, and the culprit's id."""

    circuit: Circuit
    code: str
    culprit: int


@st.composite
def broken_circuits(draw: st.DrawFn) -> Broken:
    """A good circuit with one fault planted above it."""
    maker = _Maker(draw, [binary("a"), binary("b"), *draw(variables(2))])
    builder, everything = maker.builder, tuple(range(len(maker.variables)))
    good = maker.region(everything, 2)
    fault = draw(st.sampled_from(["PC101", "PC102", "PC103", "PC104", "PC105", "PC107", "PC109"]))
    if fault == "PC101":
        culprit = builder.sum([good, maker.leaf(0, 2)], 1)
    elif fault == "PC102":
        culprit = builder.product([good, maker.leaf(1, 2)])
    elif fault == "PC103":
        culprit = builder.mixture([good, builder.sum([good], 3)])
    elif fault == "PC104":
        return Broken(builder.build(good), fault, good)
    elif fault == "PC105":
        culprit = int(builder.inputs([0], Family.BERNOULLI, 1)[0])
        return Broken(builder.build(builder.sum([good], 1)), fault, culprit)
    elif fault == "PC107":
        culprit = int(builder.inputs([0], Family.GAUSSIAN, 2)[0])
        rest = maker.region(everything[1:], 2)
        good = builder.product([culprit, rest])
        return Broken(builder.build(builder.sum([good], 1)), fault, culprit)
    else:
        rest = maker.region(everything[1:], 1)
        return Broken(builder.build(rest), fault, rest)
    return Broken(builder.build(builder.sum([culprit], 1)), fault, culprit)


def rows(circuit: Circuit, seed: int, number: int = 8, missing: float = 0.4) -> np.ndarray:
    """Random rows for ``circuit``, some values missing."""
    rng = np.random.default_rng(seed)
    columns = [
        rng.integers(0, v.cardinality, number) if v.discrete else rng.normal(size=number)
        for v in circuit.variables
    ]
    x = np.stack(columns, axis=1).astype(np.float64)
    x[rng.random(x.shape) < missing] = np.nan
    return x
