"""Random variables and their domains."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal, TypeAlias

from pccompiler.errors import OptionError

Domain = Literal["binary", "categorical", "real", "count"]
Label: TypeAlias = bool | int | float | str
"""What a data frame calls a state."""


@dataclass(frozen=True, slots=True)
class Source:
    """A column of data frames, as a schema describes it (`pccompiler.Schema`).

    Attributes:
        column: Its name.
        labels: What it holds in place of the states 0, 1, ..., in order; empty if it holds numbers.
        library: The library of the frame that it was inferred from, such as ``"polars"``.
        reason: Why it is what it is, in words.
        seen: The whole numbers that occur, ascending; empty if there are many or none.
    """

    column: str
    labels: tuple[Label, ...] = ()
    library: str | None = None
    reason: str = ""
    seen: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Variable:
    """A random variable.

    Attributes:
        name: Unique within its circuit; letters, digits, ``_``, ``.``, ``-``, ``[``, ``]``.
        domain: ``"binary"``, ``"categorical"``, ``"real"`` or ``"count"``.
        cardinality: Number of states; 2 for a binary variable, 0 for a real one or a count.
        edges: Ascending edges of the bins of histogram leaves over a real variable; may be empty.
        source: The column of data frames that it stands for, if a schema made it. Models keep it,
            the text of a circuit does not; it does not count when variables are compared.
    """

    name: str
    domain: Domain
    cardinality: int
    edges: tuple[float, ...] = ()
    source: Source | None = field(default=None, compare=False, repr=False)

    @property
    def discrete(self) -> bool:
        """Whether the variable has finitely many states."""
        return self.domain in ("binary", "categorical")

    def renamed(self, name: str) -> Variable:
        """The variable with another name, which is also that of its column in data frames."""
        source = self.source and replace(self.source, column=name)
        return replace(self, name=name, source=source)

    def __str__(self) -> str:
        """The domain in words: ``categorical with 3 states``."""
        if self.discrete:
            return f"{self.domain} with {self.cardinality} states"
        return f"{self.domain} with {len(self.edges) - 1} bins" if self.edges else self.domain


MOST_STATES = 2**31 - 1


def binary(name: str) -> Variable:
    """A variable with states 0 and 1."""
    return Variable(name, "binary", 2)


def categorical(name: str, cardinality: int) -> Variable:
    """A variable with states 0, 1, ..., ``cardinality - 1``.

    Raises:
        OptionError: If there are fewer than two states, or more than 2^31 - 1.
    """
    if cardinality > MOST_STATES:
        raise OptionError.of(
            "PC301",
            f"categorical variable {name!r} has {cardinality:,} states",
            help=f"give it at most {MOST_STATES:,} states, or declare it as a count",
        )
    if cardinality < 2:
        raise OptionError.of(
            "PC301",
            f"categorical variable {name!r} has {cardinality} states",
            help="give it at least 2 states",
        )
    return Variable(name, "categorical", cardinality)


def real(name: str, edges: Iterable[float] = ()) -> Variable:
    """A variable on the real line.

    Args:
        name: Its name.
        edges: Ascending, at least two; the bins of histogram leaves. Bin j is
            ``edges[j] <= x < edges[j + 1]``; the last one includes its upper edge.

    Raises:
        OptionError: If edges are not ascending.
    """
    given = tuple(float(edge) for edge in edges)
    ascending = all(low < high for low, high in pairwise(given))
    if given and not (len(given) > 1 and ascending and all(map(math.isfinite, given))):
        raise OptionError.of(
            "PC301",
            f"the edges of real variable {name!r} are not ascending",
            help="give two or more finite numbers in ascending order",
        )
    return Variable(name, "real", 0, given)


def count(name: str) -> Variable:
    """A variable with states 0, 1, 2, ... without an upper bound."""
    return Variable(name, "count", 0)
