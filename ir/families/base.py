"""What a leaf family is: a class that says which variables it fits, its parameters, its density."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from pccompiler.errors import PluginError
from pccompiler.ir.arrays import Float
from pccompiler.ir.families.classes import classes
from pccompiler.ir.families.supports import Parameter, Simplex, split
from pccompiler.ir.variables import Domain, Variable
from pccompiler.plugins import load

Bool = NDArray[np.bool_]
M = TypeVar("M")

GROUP = "pccompiler.families"
"""Entry points of other packages: each names a family, `register`'s answer."""
DISCRETE: tuple[Domain, ...] = ("binary", "categorical")
_WORDS = {"real": "a real variable", "count": "a count"}
_MEMBERS: list[Any] = []  # instances of subclasses of Family, in the order of their numbers


class Vocabulary(type):
    """Lets a class list its registered members, as an enumeration does.

    ``Family.GAUSSIAN`` and ``Family["GAUSSIAN"]`` are the family of that keyword; ``list(Family)``
    are all of them, those of installed packages too.
    """

    def __iter__(cls: type[M]) -> Iterator[M]:
        _load()
        return iter(tuple(_MEMBERS))

    def __len__(cls) -> int:
        _load()
        return len(_MEMBERS)

    def __getitem__(cls: type[M], name: str) -> M:
        keyword = name.lower()
        if not any(member.keyword == keyword for member in _MEMBERS):
            _load()
        for member in _MEMBERS:
            if member.keyword == keyword:
                found: M = member
                return found
        raise KeyError(name)

    def __getattr__(cls: type[M], name: str) -> M:
        if not name.isupper():
            raise AttributeError(f"type object {cls.__name__!r} has no attribute {name!r}")
        try:
            return cls[name]  # type: ignore[index, no-any-return]  # the metaclass's own method
        except KeyError:
            raise AttributeError(f"no leaf family is called {name.lower()!r}") from None


class Family(int, metaclass=Vocabulary):
    """A family of distributions over one variable: subclass it, and `register` the class.

    A family is the number by which a circuit's columns know it in this process, so that arrays
    of families compare with one. Files and messages have keywords, never numbers.

    Units of an input have one row of parameters each, the columns of `parameters` in order; of an
    input without parameters, unit j is 1 where the variable has state j.

    Attributes:
        keyword: The word in the text form, and the name of the builder's method: an identifier in
            lower case.
        domains: The domains of variables that it fits.
        parameters: Its parameters.
        tabular: Whether its density over finitely many states is a row of a table, which backends
            look up.
        everywhere: Whether the density is above 0 at all values, for parameters that training can
            find. If not, backends expect ``-inf``.
        in_float64: Whether backends form densities in float64: their terms are much larger than the
            result.
        work: Of one unit and value: arithmetic and special functions of the density, arithmetic of
            its gradients. What is not said counts nothing.
    """

    keyword: ClassVar[str]
    domains: ClassVar[tuple[Domain, ...]]
    parameters: ClassVar[tuple[Parameter, ...]] = ()
    tabular: ClassVar[bool] = False
    everywhere: ClassVar[bool] = False
    in_float64: ClassVar[bool] = False
    work: ClassVar[tuple[int, int, int]] = (0, 0, 1)

    def __new__(cls, number: int) -> Family:
        """The registered family of a number, as the columns of circuits have it."""
        if cls is not Family:
            return int.__new__(cls, number)
        if not 0 <= number < len(_MEMBERS):
            raise ValueError(f"{number} is the number of no leaf family")
        found: Family = _MEMBERS[number]
        return found

    def __repr__(self) -> str:
        return f"Family.{self.keyword.upper()}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _named, (self.keyword,)  # numbers may differ in another process

    @property
    def discrete(self) -> bool:
        """Whether values are states or counts, so that densities are probabilities."""
        return "real" not in self.domains

    @property
    def simplex(self) -> bool:
        """Whether some of a unit's parameters are probabilities that sum to one."""
        return any(isinstance(p.support, Simplex) for p in self.parameters)

    def misfit(self, variable: Variable) -> str | None:
        """Why no input of the family can be over ``variable``, as a way out; ``None`` if it can."""
        if variable.domain in self.domains:
            return None
        wanted = dict.fromkeys(_WORDS.get(d, "a discrete variable") for d in self.domains)
        return f"give {self.keyword} inputs {' or '.join(wanted)}"

    def fits(self, variable: Variable) -> bool:
        """Whether an input of the family can be over ``variable``."""
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

    def log_value(
        self, x: Float, parameters: Sequence[Float], variables: Sequence[Variable]
    ) -> Float:
        """`log_density`, by parameters of shape (rows, units, their columns). Subclasses say it.

        Infinities are welcome, NaN is not. NumPy's warnings of logarithms of 0 are off.
        """
        raise NotImplementedError

    def positive(self, table: Float, variable: Variable) -> Bool:
        """Where units may be above 0, shape (units, classes of values).

        `pccompiler.ir.families.classes` has the classes. ``True`` is a safe answer.
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
        """The state that a single unit gives probability 1, where its table says so."""
        if not (self.tabular and len(table) == 1 and np.isin(table, (0.0, 1.0)).all()):
            return None
        return int(self.probabilities(table, variable)[0].argmax())

    def times(self, x: Float, y: Float, variable: Variable) -> tuple[Float, Float] | None:
        """The products of units of the family over a variable that is not discrete, if closed.

        Args:
            x: Parameters of the left units, shape (left, columns).
            y: Parameters of the right units, shape (right, columns).
            variable: What they are over.

        Returns:
            Parameters of unit (u, v), shape (left * right, columns), and the logarithm of what it
            integrates to, ``-inf`` where it is 0 everywhere. ``None``: the product of two members
            of the family is not in it.
        """
        return None


def _load() -> None:
    """Import what installed packages declare: families, which their modules register."""
    for name, declared in load(GROUP).items():
        if not isinstance(declared, Family):
            raise PluginError.of(
                "PC792",
                f"{name!r} in {GROUP} is not a registered leaf family: it is {declared!r}",
                help="let the entry point name what pccompiler.ir.families.register returned",
            )


def _named(keyword: str) -> Family:
    return Family[keyword]


def registered() -> tuple[Family, ...]:
    """The families so far, by number. Installed packages that nobody asked for are not loaded."""
    return tuple(_MEMBERS)


def find(keyword: str) -> Family | None:
    """The family of a keyword, or ``None``."""
    try:
        return Family[keyword] if keyword.islower() else None
    except KeyError:
        return None


def add(member: Family) -> None:
    """Append a family, or put it in the place of an older one of its number."""
    _MEMBERS[int(member) : int(member) + 1] = [member]
