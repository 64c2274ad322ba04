"""What the structures share: variables from a count, leaf families, checks of options."""

from __future__ import annotations

from collections.abc import Sequence

from pccompiler.errors import OptionError
from pccompiler.ir import Family, Variable, binary

_FAMILIES = {family.keyword: family for family in Family}


def as_variables(variables: int | Sequence[Variable]) -> tuple[Variable, ...]:
    """``variables``, or that many binary ones named ``x0``, ``x1``, ..."""
    if isinstance(variables, int):
        at_least("num_variables", variables, 1)
        return tuple(binary(f"x{i}") for i in range(variables))
    at_least("number of variables", len(variables), 1)
    return tuple(variables)


def at_least(name: str, value: int, smallest: int) -> None:
    """Refuse an option that is too small."""
    if value < smallest:
        raise OptionError.of("PC302", f"{name} is {value}", help=f"use at least {smallest}")


def leaf_family(variable: Variable, leaf: str) -> Family:
    """The family of ``variable``'s leaves under the option ``leaf``.

    Raises:
        OptionError: If there is no such family, or it does not fit the variable.
    """
    if leaf == "auto":
        return Family.INDICATOR if variable.discrete else Family.GAUSSIAN
    if leaf not in _FAMILIES:
        raise OptionError.of(
            "PC302",
            f"unknown leaf family {leaf!r}",
            help=f"use 'auto' or one of: {', '.join(_FAMILIES)}",
        )
    family = _FAMILIES[leaf]
    if (family == Family.GAUSSIAN) == variable.discrete or (
        family == Family.BERNOULLI and variable.cardinality != 2
    ):
        states = f" with {variable.cardinality} states" if variable.discrete else ""
        raise OptionError.of(
            "PC302",
            f"leaf family {leaf!r} does not fit variable {variable.name!r}, "
            f"which is {variable.domain}{states}",
            help="use 'auto', or variables of another domain",
        )
    return family


def distribution_family(variable: Variable, leaf: str) -> Family:
    """As `leaf_family`, for leaves of any number of units: indicators are refused."""
    if leaf == "indicator":
        raise OptionError.of(
            "PC302",
            "indicators have one unit a state, and no other number",
            help="use 'auto', 'bernoulli', 'categorical' or 'gaussian'",
        )
    kind = "categorical" if variable.discrete else "gaussian"
    return leaf_family(variable, kind if leaf == "auto" else leaf)


def leaf_families(variables: Sequence[Variable], leaf: str) -> list[Family]:
    """The distinct families of the leaves, in order."""
    return sorted({leaf_family(variable, leaf) for variable in variables})
