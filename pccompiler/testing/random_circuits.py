"""Random well-formed circuits, from any source of random choices.

Choices come from a random generator, or from hypothesis in `pccompiler.testing.strategies`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Protocol, TypeVar

import numpy as np

from pccompiler.ir import Builder, Circuit, Family, Kind, Variable, binary, categorical, count, real
from pccompiler.ir.arrays import Float, Int
from pccompiler.passes.rewriting.editor import Draft
from pccompiler.testing.random_weights import random_weights, with_values

T = TypeVar("T")
DISCRETE = (Family.INDICATOR, Family.BERNOULLI, Family.CATEGORICAL)
Scope = tuple[int, ...]


class Choices(Protocol):
    """A source of random choices."""

    def pick(self, low: int, high: int) -> int:
        """A number from ``low`` to ``high``, both included."""
        ...

    def permute(self, values: Sequence[int]) -> list[int]:
        """The values in some order."""
        ...


class RandomChoices:
    """Choices made by a random generator."""

    def __init__(self, seed: int | np.random.Generator) -> None:
        self.rng = np.random.default_rng(seed)

    def pick(self, low: int, high: int) -> int:
        """A number from ``low`` to ``high``, both included."""
        return int(self.rng.integers(low, high + 1))

    def permute(self, values: Sequence[int]) -> list[int]:
        """The values in some order."""
        return [values[i] for i in self.rng.permutation(len(values)).tolist()]


class Maker:
    """Builds circuits region by region; existing regions and weights may be reused."""

    def __init__(
        self, choices: Choices, variables: Sequence[Variable], families: Collection[Family]
    ) -> None:
        self.choices = choices
        self.builder = Builder(variables)
        self.variables = variables
        self.families = families
        self.regions: dict[tuple[Scope, int], int] = {}
        self.weights: dict[Hashable, Int] = {}

    @property
    def scope(self) -> Scope:
        """All variables."""
        return tuple(range(len(self.variables)))

    def pick(self, low: int, high: int) -> int:
        """A number from ``low`` to ``high``, both included."""
        return self.choices.pick(low, high)

    def coin(self) -> bool:
        """True or false."""
        return bool(self.choices.pick(0, 1))

    def choose(self, values: Sequence[T]) -> T:
        """One of ``values``."""
        return values[self.pick(0, len(values) - 1)]

    def shared(self, *key: Hashable) -> Int | None:
        """Sometimes a weight with the same kind of owner and shape to share, otherwise ``None``."""
        return self.weights[key] if key in self.weights and self.coin() else None

    def noted(self, node: int, *key: Hashable) -> int:
        """Remember the weight of ``node``, to share it later."""
        self.weights[key] = self.builder.weight_of([node])
        return node

    def input(self, variable: int, family: Family, units: int) -> int:
        """Add an input."""
        if family == Family.INDICATOR:
            return self.builder.indicator(variable)
        key = (family.keyword, units, family.columns(self.variables[variable]))
        (node,) = self.builder.inputs([variable], family, units, weights=self.shared(*key))
        return self.noted(int(node), *key)

    def sum(self, operands: Sequence[int], units: int) -> int:
        """Add a dense sum."""
        key = (Kind.SUM, units, int(self.builder.units_of(operands).sum()))
        (node,) = self.builder.sums([operands], units, weights=self.shared(*key))
        return self.noted(int(node), *key)

    def mixture(self, operands: Sequence[int], units: int) -> int:
        """Add a mixture."""
        key = (Kind.MIXTURE, units, len(operands))
        (node,) = self.builder.mixtures([operands], weights=self.shared(*key))
        return self.noted(int(node), *key)

    def leaf(self, variable: int, units: int) -> int:
        """A node of ``units`` units over one variable."""
        fitting = [f for f in self.families if f.fits(self.variables[variable])]
        node = self.input(variable, self.choose(fitting), units)
        width = int(self.builder.units_of([node])[0])
        return node if width == units and self.coin() else self.sum([node], units)

    def region(self, scope: Scope, units: int) -> int:
        """A node of ``units`` units over ``scope``, new or shared with other regions."""
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
        order = self.choices.permute(scope)
        cut = self.pick(1, len(order) - 1)
        parts = [order[:cut], order[cut:]]
        if len(parts[1]) > 1 and self.coin():
            parts[1:] = [parts[1][:1], parts[1][1:]]
        scopes = [tuple(sorted(part)) for part in parts]
        if self.coin():
            return self.builder.kronecker([self.region(s, self.pick(1, 3)) for s in scopes])
        return self.builder.product([self.region(s, units) for s in scopes])


def kinds_of_variables(families: Collection[Family]) -> list[Callable[[str], Variable]]:
    """Makers of variables that at least one family fits."""
    with_edges: Callable[[str], Variable] = lambda n: real(n, [-1.5, -0.5, 0.25, 2.0])  # noqa: E731
    kinds: list[Callable[[str], Variable]] = [binary, binary, lambda n: categorical(n, 3), real]
    if any(f.fits(with_edges("x")) and not f.fits(real("x")) for f in families):
        kinds.append(with_edges)
    kinds.append(count)
    return [kind for kind in kinds if any(f.fits(kind("x")) for f in families)]


def pick_variables(
    choices: Choices, most: int, families: Collection[Family] = DISCRETE
) -> list[Variable]:
    """One or more variables, at most ``most``."""
    kinds = kinds_of_variables(families)
    number = choices.pick(1, most)
    return [kinds[choices.pick(0, len(kinds) - 1)](f"x{index}") for index in range(number)]


def make_circuit(
    choices: Choices, max_variables: int, families: Collection[Family], values: bool, zeros: bool
) -> Circuit:
    """A smooth, decomposable circuit; see `pccompiler.testing.strategies.circuits`."""
    maker = Maker(choices, pick_variables(choices, max_variables, families), families)
    root = maker.region(maker.scope, maker.pick(1, 3))
    if maker.builder.units_of([root])[0] > 1:
        root = maker.sum([root], 1)
    circuit = maker.builder.build(root)
    if not values:
        return circuit
    exact = zeros and maker.coin()
    return with_values(circuit, random_weights(circuit, maker.pick(0, 2**32 - 1), zeros=exact))


def random_circuit(
    seed: int | np.random.Generator,
    max_variables: int = 5,
    *,
    families: Collection[Family] = DISCRETE,
    values: bool = True,
    zeros: bool = True,
) -> Circuit:
    """A random smooth, decomposable circuit with all kinds of nodes.

    Args:
        seed: Number or generator.
        max_variables: The most variables.
        families: Leaf families that may occur.
        values: Whether weights are given.
        zeros: Whether given weights may be 0 and 1.
    """
    return make_circuit(RandomChoices(seed), max_variables, families, values, zeros)


def unsmooth(circuit: Circuit, seed: int | np.random.Generator) -> Circuit:
    """``circuit`` without some operands of products, so that sums above are not smooth.

    It remains decomposable, and the rows of its weights sum to one.
    """
    rng = np.random.default_rng(seed)
    draft = Draft(circuit)
    owner = np.repeat(np.arange(circuit.num_nodes), circuit.fan_in)
    in_product = (circuit.kind[owner] == Kind.PRODUCT) & (circuit.fan_in[owner] > 1)
    first = np.arange(len(owner)) == circuit.pointer[owner]  # no product loses all its operands
    draft.keep &= ~(in_product & ~first & (rng.random(len(owner)) < 0.4))
    return draft.finish()


def rows(circuit: Circuit, seed: int, number: int = 8, missing: float = 0.4) -> Float:
    """Random rows for ``circuit`` with some missing values."""
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
