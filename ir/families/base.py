"""Leaf families: classes that define the variables they fit, their parameters and density."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from pccompiler.errors import CircuitError
from pccompiler.ir.arrays import Float
from pccompiler.ir.families.classes import classes
from pccompiler.ir.families.supports import Parameter, Simplex, split
from pccompiler.ir.families.tails import between
from pccompiler.ir.variables import Domain, Variable
from pccompiler.plugins import Registry, instances

Bool = NDArray[np.bool_]
Columns = Sequence[Float]
"""The columns of each parameter."""
Variables = Sequence[Variable]
M = TypeVar("M")

DISCRETE: tuple[Domain, ...] = ("binary", "categorical")
_WORDS = {"real": "a real variable", "count": "a count"}
_MEMBERS: list[Any] = []  # instances of subclasses of Family, in the order of their numbers


class Vocabulary(type):
    """Lets a class list its registered members, like an enumeration.

    ``Family.GAUSSIAN`` and ``Family["GAUSSIAN"]`` are the family of that keyword; ``list(Family)``
    are all of them, including those of installed packages that can be loaded.
    """

    def __iter__(cls: type[M]) -> Iterator[M]:
        _DECLARED.usable()  # their modules register them
        return iter(tuple(_MEMBERS))

    def __len__(cls) -> int:
        return sum(1 for _ in cls)

    def __getitem__(cls: type[M], name: str) -> M:
        keyword = name.lower()
        found: list[M] = [member for member in _MEMBERS if member.keyword == keyword]
        return found[0] if found else cast(M, _DECLARED[keyword])

    def __getattr__(cls: type[M], name: str) -> M:
        if not name.isupper():
            raise AttributeError(f"type object {cls.__name__!r} has no attribute {name!r}")
        try:
            return cls[name]  # type: ignore[index, no-any-return]  # the metaclass's own method
        except KeyError:
            raise AttributeError(f"no leaf family is called {name.lower()!r}") from None


class Family(int, metaclass=Vocabulary):
    """A family of distributions over one variable: subclass it, and `register` the class.

    A family is an integer, its number in a circuit's columns in this process, so arrays of
    families can be compared with it. Files and messages use keywords, never numbers.

    Units of an input have one row of parameters each, the columns of `parameters` in order; of an
    input without parameters, unit j is 1 where the variable has state j.

    Attributes:
        keyword: The word in the text form, and the name of the builder's method: an identifier in
            lower case.
        domains: The domains of the variables that it fits.
        parameters: Its parameters.
        tabular: Whether its density over finitely many states is a row of a table, which backends
            look up. Only for our own families, since backends know how each makes its table.
        everywhere: Whether the density is positive at all values, for all parameters that training
            can reach. If not, backends expect ``-inf``.
        in_float64: Whether backends form densities in float64, because terms are much larger than
            the result.
        work: Counts per unit and value: arithmetic and special functions of the density, arithmetic
            of its gradients. Counts that are not given are 0.
    """

    keyword: ClassVar[str]
    domains: ClassVar[tuple[Domain, ...]]
    parameters: ClassVar[tuple[Parameter, ...]] = ()
    tabular: ClassVar[bool] = False
    everywhere: ClassVar[bool] = False
    in_float64: ClassVar[bool] = False
    work: ClassVar[tuple[int, int, int]] = (0, 0, 1)

    def __new__(cls, number: int) -> Family:
        """The registered family of a number in a circuit's columns."""
        if cls is not Family:
            return int.__new__(cls, number)
        if not 0 <= number < len(_MEMBERS):
            raise ValueError(f"no leaf family has the number {number}")
        found: Family = _MEMBERS[number]
        return found

    def __repr__(self) -> str:
        return f"Family.{self.keyword.upper()}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _named, (self.keyword,)  # numbers may differ in another process

    @property
    def discrete(self) -> bool:
        """Whether values are states or counts, so that densities are probability masses."""
        return "real" not in self.domains

    @property
    def simplex(self) -> bool:
        """Whether some of a unit's parameters are probabilities that sum to one."""
        return any(isinstance(p.support, Simplex) for p in self.parameters)

    def misfit(self, variable: Variable) -> str | None:
        """If the family does not fit ``variable``, what to do instead; ``None`` if it fits."""
        if variable.domain in self.domains:
            return None
        wanted = dict.fromkeys(_WORDS.get(d, "a discrete variable") for d in self.domains)
        return f"give {self.keyword} inputs {' or '.join(wanted)}"

    def fits(self, variable: Variable) -> bool:
        """Whether the family fits ``variable``."""
        return self.misfit(variable) is None

    def columns(self, variable: Variable) -> int:
        """Parameters of a unit over ``variable``."""
        return sum(1 if p.columns is None else p.columns(variable) for p in self.parameters)

    def split(self, table: Float) -> list[Float]:
        """The columns of each parameter in a table, shape (..., columns)."""
        return [columns for _, columns in split(table, self.parameters)]

    def log_density(self, table: Float, states: Float, variables: Sequence[Variable]) -> Float:
        """Log-density of every unit, in nats, shape (rows, units, batch): the definition.

        Args:
            table: Parameters, shape (rows, units, columns).
            states: Values of each row's variable, shape (rows, 1, batch); nothing missing.
            variables: The variable of each row.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.log_value(states, self.split(table), variables))

    def log_value(self, x: Float, parameters: Columns, variables: Variables) -> Float:
        """`log_density`, from parameters of shape (rows, units, their columns); for subclasses.

        It may return infinities but not NaN. NumPy's warnings for logarithms of 0 are off.
        """
        raise NotImplementedError

    def log_interval(
        self, table: Float, low: Float, high: Float, variables: Sequence[Variable]
    ) -> Float:
        """Log-probability of an interval under every unit, in nats, shape (rows, units, batch).

        Of states and counts both ends belong to it; of real values only the upper one, which makes
        no difference to a density.

        Args:
            table: Parameters, shape (rows, units, columns).
            low: The lower end, ``-inf`` for none, shape (rows, 1, batch).
            high: The upper end, ``inf`` for none, likewise.
            variables: The variable of each row.

        Raises:
            CircuitError: If the family has no distribution function.
        """
        if all(variable.discrete for variable in variables):
            return self._sum_of_states(table, low, high, variables)
        if self.discrete:
            low, high = np.ceil(low) - 1.0, np.floor(high)
        with np.errstate(divide="ignore", invalid="ignore"):
            return between(self._tails(low, table, variables), self._tails(high, table, variables))

    def _sum_of_states(self, table: Float, low: Float, high: Float, variables: Variables) -> Float:
        rows: list[Float] = []
        for place, variable in enumerate(variables):
            states = np.arange(float(variable.cardinality))[:, None]
            inside = (states >= low[place]) & (states <= high[place])
            rows.append(self.probabilities(table[place], variable) @ inside)
        with np.errstate(divide="ignore"):
            return np.log(np.stack(rows))

    def _tails(self, x: Float, table: Float, variables: Variables) -> tuple[Float, Float]:
        """`log_tails`, also at infinite places, and at counts below 0."""
        outside = ~np.isfinite(x) | (self.discrete & (x < 0.0))
        below, above = self.log_tails(np.where(outside, 1.0, x), self.split(table), variables)
        under = np.where(x < 0.0, -np.inf, 0.0)  # the whole mass is on one side
        over = np.where(x < 0.0, 0.0, -np.inf)
        return np.where(outside, under, below), np.where(outside, over, above)

    def log_tails(self, x: Float, parameters: Columns, variables: Variables) -> tuple[Float, Float]:
        """Logarithms of the mass up to each value, and of the mass above it; for subclasses.

        Arguments and shapes are those of `log_value`; of a discrete variable it is not asked for.

        Raises:
            CircuitError: If the family does not define it.
        """
        raise CircuitError.of(
            "PC908",
            f"{self.keyword} leaves have no distribution function, which intervals need",
            help=f"define {type(self).__name__}.log_tails; docs/howto/add-a-family.md says how",
        )

    def positive(self, table: Float, variable: Variable) -> Bool:
        """Where units may be positive, shape (units, classes of values).

        `pccompiler.ir.families.classes` defines the classes. ``True`` is always safe.
        """
        if variable.discrete:
            return self.probabilities(table, variable, log=True) > -np.inf
        return np.ones((len(table), classes(variable)), np.bool_)

    def probabilities(self, table: Float, variable: Variable, *, log: bool = False) -> Float:
        """The probability of each state of a discrete variable, shape (units, states)."""
        states = np.arange(float(variable.cardinality)).reshape(1, 1, -1)
        found = self.log_density(table[None], states, [variable])[0]
        return found if log else np.asarray(np.exp(found))

    def certain(self, table: Float, variable: Variable) -> int | None:
        """The state that has probability 1 under a single unit, if its table has one."""
        if not (self.tabular and len(table) == 1 and np.isin(table, (0.0, 1.0)).all()):
            return None
        return int(self.probabilities(table, variable)[0].argmax())

    def times(self, x: Float, y: Float, variable: Variable) -> tuple[Float, Float] | None:
        """Products of pairs of units over a variable that is not discrete, if the family is closed.

        Args:
            x: Parameters of the left units, shape (left, columns).
            y: Parameters of the right units, shape (right, columns).
            variable: The variable of both.

        Returns:
            Parameters of unit (u, v), shape (left * right, columns), and the logarithm of its
            integral, ``-inf`` where it is 0 everywhere. ``None`` if the family is not closed
            under products.
        """
        return None


_EXPECTED = instances(Family, "a leaf family returned by pccompiler.ir.families.register")
_DECLARED = Registry(
    "pccompiler.families", {}, replace(_EXPECTED, own_name=lambda family: family.keyword)
)
"""What installed packages declare."""


def _named(keyword: str) -> Family:
    return Family[keyword]


def registered() -> tuple[Family, ...]:
    """The families so far, by number. Installed packages that are not needed are not loaded."""
    return tuple(_MEMBERS)


def find(keyword: str) -> Family | None:
    """The family with a keyword, or ``None``."""
    try:
        return Family[keyword] if keyword.islower() else None
    except KeyError:
        return None


def add(member: Family) -> None:
    """Append a family, or replace the one with its number."""
    _MEMBERS[int(member) : int(member) + 1] = [member]
