"""Random variables and their domains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pccompiler.errors import OptionError

Domain = Literal["binary", "categorical", "real"]


@dataclass(frozen=True, slots=True)
class Variable:
    """A random variable.

    Attributes:
        name: Unique in its circuit; letters, digits, ``_``, ``.``, ``-``, ``[``, ``]``.
        domain: ``"binary"``, ``"categorical"`` or ``"real"``.
        cardinality: Number of states; 2 for a binary variable, 0 for a real one.
    """

    name: str
    domain: Domain
    cardinality: int

    @property
    def discrete(self) -> bool:
        """Whether the variable has finitely many states."""
        return self.domain != "real"


def binary(name: str) -> Variable:
    """A variable with states 0 and 1."""
    return Variable(name, "binary", 2)


def categorical(name: str, cardinality: int) -> Variable:
    """A variable with states 0, 1, ..., ``cardinality - 1``.

    Raises:
        OptionError: If there are fewer than two states.
    """
    if cardinality < 2:
        raise OptionError.of(
            "PC301",
            f"categorical variable {name!r} has {cardinality} states",
            help="give it at least 2 states",
        )
    return Variable(name, "categorical", cardinality)


def real(name: str) -> Variable:
    """A variable on the real line."""
    return Variable(name, "real", 0)
