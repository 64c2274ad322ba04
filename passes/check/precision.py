"""Whether a precision can represent a circuit: PC111 for weights, PC112 for edges and floors.

Well-formedness does not depend on precision: 1e-46 is a valid probability, although in float32 it
is 0. Here each kind of parameter has limits within which values and gradients are finite and keep
their digits. Values outside are refused, since they would silently give wrong numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pccompiler.errors import CircuitError, Diagnostic
from pccompiler.ir import Circuit, Variable
from pccompiler.ir.arrays import Float
from pccompiler.ir.families.supports import (
    Parameter,
    Positive,
    Real,
    Simplex,
    UnitInterval,
    slices,
    split,
)
from pccompiler.passes.check.rule import Fault, Rule
from pccompiler.passes.check.weight_rules import Flaw, describe_flaw, flawed_values, parameters_of
from pccompiler.passes.check.wellformed import apply

_SHIFT = 2.0**-10
"""How far rounding may move a location, as a share of the scale; x is rounded just as coarsely."""


class Limits(NamedTuple):
    """The limits of a precision.

    Attributes:
        name: For example ``"float32"``.
        number: Its NumPy type.
        share: The smallest probability above 0: a flow (at most the number of rows) divided by it
            is finite, and so are sums of such quotients.
        spread: The smallest scale: squares of ``(x - location) / scale`` are finite, and so are
            their derivatives by the scale. Its inverse bounds scales, locations and rates above.
    """

    name: str
    number: type[np.floating]
    share: float
    spread: float


def limits(dtype: str) -> Limits:
    """The limits of ``"float32"`` (1e-31 and 1e-15) or of ``"float64"``."""
    number: type[np.floating] = np.float32 if dtype == "float32" else np.float64
    info = np.finfo(number)
    return Limits(dtype, number, float(info.tiny / info.eps), float(info.tiny) ** 0.4)


def check_held(circuit: Circuit, values: Mapping[int, Float], dtype: str) -> None:
    """Refuse weights that ``dtype`` cannot represent.

    Args:
        circuit: Owns the weights and the generator, whose floor raises small probabilities.
        values: Weight id to values, like the circuit's ``weights.values``.
        dtype: ``"float32"`` or ``"float64"``.

    Raises:
        CircuitError: PC111, with all findings.
    """
    held = limits(dtype)
    lifted = circuit.generator is not None and circuit.generator.floor > 0.0

    def flaws(family: int, tables: Float) -> Iterator[Flaw]:
        for flaw in _flaws(parameters_of(family), tables, held):
            if not (lifted and flaw.message.startswith(_SHARE)):
                yield flaw._replace(help=flaw.help.format(held=held))

    rule = Rule(
        "PC111",
        lambda every: flawed_values(every, flaws),
        lambda every, node: describe_flaw(every, node, flaws),
    )
    _raise(apply(rule, circuit.with_values(values)))


def check_domains(circuit: Circuit, dtype: str) -> None:
    """Refuse bin edges that are equal in ``dtype``, and a floor that is too small for it.

    Raises:
        CircuitError: PC112.
    """
    held = limits(dtype)
    faults = [_describe_edges(v, held) for v in circuit.variables if not _distinct(v, held)]
    floor = 0.0 if circuit.generator is None else circuit.generator.floor
    if 0.0 < floor < held.share:
        faults.append(_describe_floor(floor, held))
    _raise([Diagnostic(code="PC112", message=f.message, help=f.help) for f in faults])


def _raise(found: list[Diagnostic]) -> None:
    if found:
        raise CircuitError(found)


def _distinct(variable: Variable, held: Limits) -> bool:
    edges = np.asarray(variable.edges, held.number)
    return bool(np.isfinite(edges).all() and (np.diff(edges) > 0.0).all())


def _describe_edges(variable: Variable, held: Limits) -> Fault:
    edges = np.asarray(variable.edges, held.number)
    gaps = np.diff(edges.astype(np.float64))
    place = int(np.flatnonzero(~(gaps > 0.0))[0])
    low, high = variable.edges[place : place + 2]
    return Fault(
        f"edges {low!r} and {high!r} of variable {variable.name!r} cannot be told apart in "
        f"{held.name}",
        _WIDER if held.name == "float32" else "give edges that float64 can tell apart",
    )


def _describe_floor(floor: float, held: Limits) -> Fault:
    return Fault(
        f"the generator's floor of {floor:g} is less than {held.name} can work with",
        f"give a floor of 0, or of at least {held.share:.0e}",
    )


_WIDER = "compile with dtype='float64', or merge the bins between them"
_SHARE = "has {value:g} in row {row}, which is too close to 0"


def _flaws(parameters: Sequence[Parameter], tables: Float, held: Limits) -> Iterator[Flaw]:
    """By parameter: where it may be, and whether its logarithm is held, tell its limits."""
    parts = {p.name: values for p, values in split(tables, parameters)}
    for parameter, place in zip(parameters, slices(parameters, tables.shape[2]), strict=True):
        values, support = parts[parameter.name], parameter.support
        if isinstance(support, Simplex | UnitInterval) and not parameter.logs:
            yield _shares(values, place, held)
        if isinstance(support, Positive):
            yield _scales(values, place, held, parameter)
        if isinstance(support, Real):
            scale = parts[parameter.scale] if parameter.scale else None
            yield _places(values, place, held, parameter, scale)


def _shares(values: Float, place: slice, held: Limits) -> Flaw:
    """Probabilities: 0, or large enough to divide by."""
    return Flaw(
        (values > 0.0) & (values < held.share),
        _SHARE + f" for {held.name}",
        "give 0, or at least {held.share:.0e}; or compile with dtype='float64'",
        place,
    )


def _scales(values: Float, place: slice, held: Limits, parameter: Parameter) -> Flaw:
    """Positive numbers: none is too small if logarithms are held."""
    outside = values > 1.0 / held.spread
    way_out = "count in a larger unit"
    if not parameter.logs:
        outside |= values < held.spread
        way_out = "measure the variable in another unit, so that scales are above {held.spread:.0e}"
    return Flaw(
        outside,
        f"has {parameter.words} {{value:g}} in row {{row}}, which {held.name} cannot work with",
        f"{way_out}; or compile with dtype='float64'",
        place,
    )


def _places(
    values: Float, place: slice, held: Limits, parameter: Parameter, scale: Float | None
) -> Flaw:
    """Real numbers; locations must be held well within their scales."""
    lost = np.abs(values) > 1.0 / held.spread
    if scale is not None:
        with np.errstate(over="ignore", invalid="ignore"):
            moved = np.abs(values - values.astype(held.number).astype(np.float64))
        lost |= ~(moved <= _SHIFT * scale)
    return Flaw(
        lost,
        f"has {parameter.words} {{value:.17g}} in row {{row}}, which {held.name} holds too "
        "coarsely for its scale",
        "subtract a constant from the variable; or compile with dtype='float64'",
        place,
    )
