"""Supports of parameters: their constraints, written once for all families and for sum weights.

A support checks values, provides the help text of errors, maps unconstrained numbers into itself
and back, and draws random values for tests. All in NumPy float64: the reference for backends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir.arrays import Float
from pccompiler.ir.variables import Variable

Bool = NDArray[np.bool_]


class Support:
    """The support of a parameter. Arrays have any shape; the last axis is the parameter's columns.

    Attributes:
        help: What to give instead of a value outside; ``{words}`` stands for the parameter.
        default: A value inside, used if none is given.
        work: Number of arithmetic operations and special functions to constrain one number.
    """

    help: ClassVar[str]
    default: ClassVar[float]
    work: ClassVar[tuple[int, int]] = (0, 0)

    def outside(self, values: Float) -> Bool:
        """Which of finite ``values`` are not in the support."""
        raise NotImplementedError

    def constrain(self, raw: Float, floor: float = 0.0) -> Float:
        """Values from unconstrained numbers; ``floor`` raises probabilities."""
        raise NotImplementedError

    def unconstrain(self, values: Float) -> Float:
        """Unconstrained numbers that give ``values`` under a floor of 0."""
        raise NotImplementedError

    def draw(self, rng: np.random.Generator, shape: tuple[int, int], zeros: bool) -> Float:
        """Random values; with ``zeros``, about a third of the probabilities are exactly 0 or 1."""
        raise NotImplementedError

    def outcomes(self, columns: int) -> int:
        """How many probabilities a row with so many columns represents; 0 if it has none."""
        return 0


class Real(Support):
    """Any finite number."""

    help = "give finite numbers"
    default = 0.0

    def outside(self, values: Float) -> Bool:
        """None."""
        return np.zeros(values.shape, np.bool_)

    def constrain(self, raw: Float, floor: float = 0.0) -> Float:
        """The numbers themselves."""
        return raw

    def unconstrain(self, values: Float) -> Float:
        """The numbers themselves."""
        return values

    def draw(self, rng: np.random.Generator, shape: tuple[int, int], zeros: bool) -> Float:
        """Standard normal numbers."""
        return rng.normal(size=shape)


class Positive(Support):
    """Above 0: the exponential of any number."""

    help = "give positive {words}s"
    default = 1.0
    work = (0, 2)
    drawn: ClassVar[tuple[float, float]] = (0.5, 2.0)

    def outside(self, values: Float) -> Bool:
        """Zero and negative numbers."""
        return np.asarray(values <= 0)

    def constrain(self, raw: Float, floor: float = 0.0) -> Float:
        """Exponentials."""
        return np.exp(raw)

    def unconstrain(self, values: Float) -> Float:
        """Logarithms; ``-inf`` for 0."""
        with np.errstate(divide="ignore"):
            return np.log(values)

    def draw(self, rng: np.random.Generator, shape: tuple[int, int], zeros: bool) -> Float:
        """Uniform numbers."""
        return rng.uniform(*self.drawn, shape)


class Nonnegative(Positive):
    """At least 0. Training finds positive numbers only."""

    help = "give {words}s that are not negative"
    work = (0, 1)
    drawn = (0.2, 4.0)

    def outside(self, values: Float) -> Bool:
        """Negative numbers."""
        return np.asarray(values < 0)


class UnitInterval(Support):
    """A probability; that of the other outcome is 1 minus it. The sigmoid of any number."""

    help = "give probabilities, from 0 to 1"
    default = 0.5
    work = (2, 2)

    def outside(self, values: Float) -> Bool:
        """Numbers below 0 or above 1."""
        return np.asarray((values < 0) | (values > 1))

    def constrain(self, raw: Float, floor: float = 0.0) -> Float:
        """Sigmoids, raised by the floor."""
        return _lift(np.exp(-np.logaddexp(0.0, -raw)), floor, 2)  # accurate even at 1e-40

    def unconstrain(self, values: Float) -> Float:
        """Log-odds; infinite at 0 and 1."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(values) - np.log1p(-values))

    def draw(self, rng: np.random.Generator, shape: tuple[int, int], zeros: bool) -> Float:
        """Uniform numbers."""
        draw = rng.uniform(size=shape)
        return np.where(rng.random(shape) < 0.3, np.round(draw), draw) if zeros else draw

    def outcomes(self, columns: int) -> int:
        """Both."""
        return 2


class Simplex(Support):
    """Rows of probabilities that sum to 1: the softmax of any numbers."""

    help = "give weights that are not negative"
    default = 1.0

    def outside(self, values: Float) -> Bool:
        """Negative numbers; sums are checked row by row."""
        return np.asarray(values < 0)

    def constrain(self, raw: Float, floor: float = 0.0) -> Float:
        """Softmax, raised by the floor."""
        shifted = np.exp(raw - raw.max(axis=-1, keepdims=True))
        return _lift(shifted / shifted.sum(axis=-1, keepdims=True), floor, raw.shape[-1])

    def unconstrain(self, values: Float) -> Float:
        """Logarithms; ``-inf`` for 0."""
        with np.errstate(divide="ignore"):
            return np.log(values)

    def draw(self, rng: np.random.Generator, shape: tuple[int, int], zeros: bool) -> Float:
        """Dirichlet rows."""
        table = rng.gamma(1.0, size=shape) + 1e-3
        if zeros:
            table = np.where(rng.random(shape) < 0.3, 0.0, table)
            table[np.arange(shape[0]), rng.integers(0, shape[1], shape[0])] += 1e-2
        return np.asarray(table / table.sum(axis=1, keepdims=True))

    def outcomes(self, columns: int) -> int:
        """One per column."""
        return columns


def _lift(weights: Float, floor: float, states: int) -> Float:
    return (weights + floor) / (1.0 + states * floor)


real, positive, nonnegative = Real(), Positive(), Nonnegative()
unit_interval, simplex = UnitInterval(), Simplex()


@dataclass(frozen=True)
class Parameter:
    """A parameter of a family.

    Attributes:
        name: An identifier, used as argument of formulas.
        support: Its support.
        columns: The number of its columns over a variable; ``None``: one. At most one parameter of
            a family may set it.
        words: Its name in errors; by default ``name``.
        scale: For a location, the parameter that sets the precision it needs.
        logs: Whether backends store its logarithm (and that of the other outcome of a probability),
            so that no value is too small.
    """

    name: str
    support: Support
    columns: Callable[[Variable], int] | None = None
    words: str = ""
    scale: str = ""
    logs: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", self.words or self.name.replace("_", " "))


def slices(parameters: Sequence[Parameter], columns: int) -> list[slice]:
    """The columns of each parameter in a table with so many columns."""
    rest = columns - sum(p.columns is None for p in parameters)
    ends = np.cumsum([1 if p.columns is None else rest for p in parameters]).tolist()
    return [slice(low, high) for low, high in pairwise([0, *ends])]


def split(table: Float, parameters: Sequence[Parameter]) -> list[tuple[Parameter, Float]]:
    """Each parameter with its columns of a table of shape (..., columns)."""
    places = slices(parameters, table.shape[-1])
    return [(p, table[..., place]) for p, place in zip(parameters, places, strict=True)]


def interior(parameters: Sequence[Parameter], rows: int, columns: int) -> Float:
    """Random parameters inside their supports, shape (rows, columns)."""
    table = np.ones((rows, columns))
    for parameter, part in split(table, parameters):
        part[:] = parameter.support.default
        if isinstance(parameter.support, Simplex):
            part /= part.shape[1]
    return table


WEIGHTS = Parameter("weights", simplex, lambda _: 0, words="weight")
"""The weights of a sum: each row is a mixture."""
