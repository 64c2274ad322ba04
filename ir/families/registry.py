"""All leaf families by name: of pccompiler, of installed packages, and your own."""

from __future__ import annotations

from keyword import iskeyword
from typing import TypeGuard

from pccompiler.errors import OptionError
from pccompiler.ir.families.base import Family, add, registered
from pccompiler.ir.families.builtin.bernoulli import Bernoulli
from pccompiler.ir.families.builtin.binomial import Binomial
from pccompiler.ir.families.builtin.categorical import Categorical
from pccompiler.ir.families.builtin.gamma import Gamma
from pccompiler.ir.families.builtin.gaussian import Gaussian
from pccompiler.ir.families.builtin.geometric import Geometric
from pccompiler.ir.families.builtin.histogram import Histogram
from pccompiler.ir.families.builtin.indicator import Indicator
from pccompiler.ir.families.builtin.laplace import Laplace
from pccompiler.ir.families.builtin.negative_binomial import NegativeBinomial
from pccompiler.ir.families.builtin.poisson import Poisson
from pccompiler.ir.families.supports import (
    WEIGHTS,
    Parameter,
    Positive,
    Real,
    Simplex,
    UnitInterval,
)
from pccompiler.ir.kinds import Kind
from pccompiler.ir.variables import Domain

RESERVED = {kind.keyword for kind in Kind} | {
    *("auto", "literal", "variable", "serial", "binary", "real", "count", "build"),
    *("inputs", "products", "sums", "mixtures", "units_of", "weight_of"),
}
"""Words that already have another meaning where a family's keyword may stand."""
OPTIONS = ("units", "weight")
"""Arguments of a formula's method that are not parameters of its family."""


def register(family: type[Family]) -> Family:
    """Register a family for use in the text form, builders, formulas, checks and structures.

    A class with the same module and name replaces an earlier one, so that a notebook cell can be
    run again.

    Returns:
        The family, to pass to ``inputs`` of a builder and elsewhere.

    Raises:
        OptionError: PC130, if the definition of the class is incomplete or invalid; PC131, if its
            keyword belongs to another family.

    Example:
        >>> from pccompiler.ir.families import Family, Parameter, positive, register
        >>> class Exponential(Family):
        ...     keyword, domains = "exponential", ("real",)
        ...     parameters = (Parameter("rate", positive),)
        ...     def log_value(self, x, parameters, variables):
        ...         (rate,) = parameters
        ...         return np.where(x < 0.0, -np.inf, np.log(rate) - rate * x)
        >>> EXPONENTIAL = register(Exponential)  # doctest: +SKIP
    """
    fault = _fault(family)
    if fault is not None:
        raise OptionError.of(
            "PC130",
            f"{getattr(family, '__name__', family)} is not a leaf family: {fault[0]}",
            help=fault[1],
        )
    number = len(registered())
    for other in registered():
        if other.keyword == family.keyword:
            if _name(type(other)) != _name(family):
                raise OptionError.of(
                    "PC131",
                    f"leaf families {_name(type(other))} and {_name(family)} share the keyword "
                    f"{family.keyword!r}",
                    help="give yours another keyword",
                )
            number = int(other)
    member = int.__new__(family, number)
    add(member)
    return member


def _name(family: type[Family]) -> str:
    return f"{family.__module__}.{family.__qualname__}"


def _is_family(given: object) -> TypeGuard[type[Family]]:
    return isinstance(given, type) and issubclass(given, Family) and given is not Family


def _is_ours(family: type[Family]) -> bool:
    return family.__module__.startswith("pccompiler.ir.families.builtin.")


def _fault(family: object) -> tuple[str, str] | None:
    """The fault of a class that cannot be a family, and a way out."""
    if not _is_family(family):
        return "it is not a subclass of Family", "derive a class from pccompiler.ir.Family"
    keyword, domains = getattr(family, "keyword", None), getattr(family, "domains", ())
    if not isinstance(keyword, str) or not (keyword.isidentifier() and keyword.islower()):
        return f"its keyword is {keyword!r}", "give an identifier in lower case"
    if keyword in RESERVED or iskeyword(keyword):
        return f"its keyword {keyword!r} already has another meaning", "give another keyword"
    if not domains or not set(domains) <= {"binary", "categorical", "real", "count"}:
        return f"its domains are {domains!r}", "give binary, categorical, real, or count"
    if family.tabular and not _is_ours(family):
        return "it sets tabular, which only our own families may", "leave it out: log_value will do"
    if family.log_value is Family.log_value:
        return "it has no density", "define log_value(x, parameters, variables)"
    return _parameter_fault(family)


def _parameter_fault(family: type[Family]) -> tuple[str, str] | None:
    given = family.parameters
    names = [p.name for p in given]
    if not all(isinstance(p.support, Real | Positive | UnitInterval | Simplex) for p in given):
        return (
            "a parameter has an unknown kind of support",
            "use one of pccompiler.ir.families.supports, or a subclass of its class",
        )
    if not given and registered():
        return "it has no parameters", "give at least one: Parameter(name, support)"
    fit = (name.isidentifier() and not iskeyword(name) and name not in OPTIONS for name in names)
    if len(set(names)) < len(names) or not all(fit):
        return (
            f"its parameters are called {', '.join(names)}",
            "give each an identifier of its own, which is neither units nor weight nor a keyword "
            "of Python",
        )
    if sum(p.columns is not None for p in given) > 1:
        return "several of its parameters have many columns", "give at most one"
    return None


INDICATOR = register(Indicator)
BERNOULLI = register(Bernoulli)
CATEGORICAL = register(Categorical)
GAUSSIAN = register(Gaussian)
BINOMIAL = register(Binomial)
POISSON = register(Poisson)
LAPLACE = register(Laplace)
HISTOGRAM = register(Histogram)
GAMMA = register(Gamma)
GEOMETRIC = register(Geometric)
NEGATIVE_BINOMIAL = register(NegativeBinomial)

USUAL: dict[Domain, Family] = {
    "binary": BERNOULLI,
    "categorical": CATEGORICAL,
    "real": GAUSSIAN,
    "count": POISSON,
}
"""The default leaf family of each domain."""


def parameters(owner: str) -> tuple[Parameter, ...]:
    """The parameters in rows of weights: of a leaf family by its keyword, or of sums."""
    if owner in (Kind.SUM.keyword, Kind.MIXTURE.keyword):
        return (WEIGHTS,)
    return Family[owner].parameters
