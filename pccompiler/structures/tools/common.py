"""Tools that structures share: variables from a count, leaf families, checks of options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import cast

import numpy as np

from pccompiler.errors import OptionError
from pccompiler.ir import Builder, Family, Variable, binary
from pccompiler.ir.arrays import Int
from pccompiler.ir.families.base import find
from pccompiler.ir.families.registry import USUAL
from pccompiler.ir.sizes import MOST_UNITS, times
from pccompiler.ir.sizes import number as number_text
from pccompiler.options import as_float, is_of, listed, shown, whole

Leaf = str | Mapping[str, str] | Sequence[str]
"""Leaf families: one name for all variables, a name by variable, or one name for each in order."""

MOST_NODES = 2**28
"""The most nodes of a structure: about 30 GiB while it is built."""


def as_variables(variables: int | Sequence[Variable]) -> tuple[Variable, ...]:
    """``variables``, or that many binary ones named ``x0``, ``x1``, ..."""
    if as_float(variables) is not None:
        number = whole("num_variables", variables, most=MOST_UNITS)
        affordable(number, what="variables")
        return tuple(binary(f"x{i}") for i in range(number))
    chosen = tuple(listed("variables", variables))
    whole("number of variables", len(chosen))
    for variable in chosen:
        if not isinstance(variable, Variable):
            raise OptionError.of(
                "PC302",
                f"{shown(variable)} is not a variable",
                help="make variables with pccompiler.ir.binary, categorical, real and others",
            )
    return cast(tuple[Variable, ...], chosen)


def affordable(*factors: int, what: str) -> None:
    """Refuse a structure with more nodes than fit into memory, before it is built.

    Args:
        factors: Their product is about the number of nodes.
        what: The factors in words, for example ``"replicas x variables"``.
    """
    if prod(factors) > MOST_NODES:
        raise OptionError.of(
            "PC129",
            f"the structure needs {times(factors)} = {number_text(prod(factors))} nodes ({what}); "
            f"the most is {MOST_NODES:,}",
            help="ask for fewer",
        )


def one_of(name: str, value: object, choices: Sequence[object]) -> None:
    """Refuse an option that is not one of its choices."""
    if not isinstance(value, str | int) or value not in choices:
        raise OptionError.of(
            "PC302",
            f"{name} is {shown(value)}",
            help=f"use one of: {', '.join(repr(choice) for choice in choices)}",
        )


def leaf_family(variable: Variable, leaf: str) -> Family:
    """The family of ``variable``'s leaves under the option ``leaf``, a single name.

    ``"auto"``: indicators for discrete variables, a histogram for real variables with edges, the
    usual family of other domains (`pccompiler.ir.families.registry.USUAL`).

    Raises:
        OptionError: If there is no such family, or it does not fit the variable.
    """
    if not is_of(leaf, str):
        raise _unknown_family(leaf)
    if leaf == "auto":
        if variable.edges:
            return Family.HISTOGRAM
        return Family.INDICATOR if variable.discrete else USUAL[variable.domain]
    family = find(leaf)
    if family is None:
        raise _unknown_family(leaf)
    if not family.fits(variable):
        raise OptionError.of(
            "PC302",
            f"leaf family {leaf!r} does not fit variable {variable.name!r}, which is {variable}",
            help="use 'auto', or variables of another domain",
        )
    return family


def _unknown_family(leaf: object) -> OptionError:
    return OptionError.of(
        "PC302",
        f"unknown leaf family {shown(leaf)}",
        help=f"use 'auto' or one of: {', '.join(family.keyword for family in Family)}",
    )


def distribution_family(variable: Variable, leaf: str) -> Family:
    """Like `leaf_family`, but for leaves of any number of units, so indicators are refused."""
    if is_of(leaf, str) and leaf == "indicator":
        raise OptionError.of(
            "PC302",
            "indicators always have one unit per state",
            help="use 'auto', 'bernoulli', 'categorical' or 'gaussian'",
        )
    usual = is_of(leaf, str) and leaf == "auto" and variable.discrete
    return leaf_family(variable, "categorical" if usual else leaf)


def leaf_names(variables: Sequence[Variable], leaf: Leaf) -> list[str]:
    """The name of each variable's family; ``"auto"`` for those that a mapping leaves out.

    Raises:
        OptionError: If a mapping names an unknown variable, or a sequence has the wrong length.
    """
    if isinstance(leaf, str):
        return [leaf] * len(variables)
    if isinstance(leaf, Mapping):
        strangers = [name for name in leaf if name not in {v.name for v in variables}]
        if strangers:
            raise OptionError.of(
                "PC340",
                f"a leaf family is given for {strangers[0]!r}, which is not a variable",
                notes=[f"and for {len(strangers) - 1} more"] if len(strangers) > 1 else (),
                help=f"use the names of the variables, for example {variables[0].name!r}",
            )
        return [leaf.get(variable.name, "auto") for variable in variables]
    each = cast(list[str], listed("leaf", leaf))
    if len(each) != len(variables):
        raise OptionError.of(
            "PC340",
            f"{len(each)} leaf families are given for {len(variables)} variables",
            help="give one for each variable, a mapping by name, or a single name",
        )
    return each


def leaf_families(variables: Sequence[Variable], leaf: Leaf) -> list[Family]:
    """The family of each variable's leaves, see `leaf_family`."""
    names = leaf_names(variables, leaf)
    return [leaf_family(variable, name) for variable, name in zip(variables, names, strict=True)]


def distribution_families(variables: Sequence[Variable], leaf: Leaf) -> list[Family]:
    """The family of each variable's leaves, see `distribution_family`."""
    names = leaf_names(variables, leaf)
    pairs = zip(variables, names, strict=True)
    return [distribution_family(variable, name) for variable, name in pairs]


def input_nodes(
    builder: Builder, families: Sequence[Family], variables: Int, units: int, *, shared: bool = True
) -> Int:
    """An input node of ``units`` units for each entry of ``variables``, one bulk call per family.

    Indicators are one node per variable. They are used directly if ``shared`` is true; otherwise
    each entry gets a dense sum of ``units`` units over them.

    Args:
        builder: Gets the nodes.
        families: The family of each variable of the circuit.
        variables: Shape ``(entries,)``, variable indices; each repeat gets a node of its own.
        units: Number of units, except for indicators.
        shared: Whether to return the indicators themselves.
    """
    codes = np.array(families)[variables]
    nodes = np.zeros(len(variables), np.int64)
    for code in np.unique(codes).tolist():
        mine = codes == code
        family = Family(code)
        if family != Family.INDICATOR:
            nodes[mine] = builder.inputs(variables[mine], family, units)
            continue
        distinct, inverse = np.unique(variables[mine], return_inverse=True)
        nodes[mine] = builder.inputs(distinct, family)[inverse]
        if not shared:
            nodes[mine] = builder.sums(nodes[mine], units)
    return nodes
