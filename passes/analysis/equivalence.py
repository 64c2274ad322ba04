"""Proof that a pass changed no answer, on circuits small enough to enumerate every world."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from math import prod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pccompiler.errors import CircuitError
from pccompiler.ir import Circuit, Direct, Variable
from pccompiler.ir.circuit import select
from pccompiler.ir.plan.materialize import by_group
from pccompiler.ir.plan.oracle import log_likelihood
from pccompiler.ir.topology import reachable
from pccompiler.passes.lowering.lower import plan

Float = NDArray[np.float64]
Meaning = Callable[[Circuit, Float, Callable[[Float], Float]], Float]

MOST_VARIABLES = 12
MOST_WORLDS = 4096
EQUAL = "equal"
_RELATIVE = 1e-9
"""Rounding in float64 stays far below this; a wrong weight exceeds it."""
_CHUNK = 512
"""Worlds evaluated at once, to bound memory."""


def compare(before: Circuit, after: Circuit, name: str, meaning: Meaning | None = None) -> str:
    """Compare both circuits' answers under their given weights.

    The total mass, every single-variable marginal, and the probability of every world must agree
    to a relative 1e-9.

    Args:
        before: The circuit that the pass was given.
        after: Its result.
        name: The pass.
        meaning: The values that ``after`` should have, see `Pass.meaning`; by default the same.

    Returns:
        ``"equal"``, or ``"skipped: "`` and the reason.

    Raises:
        CircuitError: If an answer changed; the notes say which.
    """
    old, new = (select(circuit, reachable(circuit)) for circuit in (before, after))
    reason = _too_large(old) or _too_large(new) or _no_values(old) or _no_values(new)
    if reason:
        return f"skipped: {reason}"
    if meaning is None and old.variables != new.variables:
        notes = [f"variables before: {_names(old)}; after: {_names(new)}"]
    else:  # one variable: worlds are states
        notes = list(dict.fromkeys(_differences(old, new, meaning or _same)))[:3]
    if notes:
        raise CircuitError.of(
            "PC325",
            f"pass {name!r} changed the meaning of the circuit",
            notes=notes,
            help="fix the pass, or report it with the circuit's text",
        )
    return EQUAL


def _same(_before: Circuit, rows: Float, mass: Callable[[Float], Float]) -> Float:
    return mass(rows)


def _too_large(circuit: Circuit) -> str | None:
    """Why the worlds cannot be enumerated, if they cannot."""
    real = [v.name for v in circuit.variables if not v.discrete]
    if real:
        return f"variable {real[0]!r} is real"
    if len(circuit.variables) > MOST_VARIABLES:
        return f"{len(circuit.variables):,} variables are more than {MOST_VARIABLES}"
    worlds = prod(v.cardinality for v in circuit.variables)
    return f"{worlds:,} worlds are more than {MOST_WORLDS:,}" if worlds > MOST_WORLDS else None


def _no_values(circuit: Circuit) -> str | None:
    """Which weight has no values, if any."""
    absent = sorted(set(range(len(circuit.weights))) - circuit.weights.values.keys())
    return f"weight {circuit.weights.label(absent[0])} has no given values" if absent else None


def _differences(old: Circuit, new: Circuit, meaning: Meaning) -> Iterator[str]:
    """The answers that differ: mass first, then marginals, then worlds."""
    variables = new.variables
    worlds = np.array(list(itertools.product(*(range(v.cardinality) for v in variables))))
    worlds = worlds.astype(np.float64)
    masses = meaning(old, worlds, lambda rows: _masses(old, rows)), _masses(new, worlds)
    yield from _unequal("total mass", *(mass.sum() for mass in masses))
    for column, variable in enumerate(variables):
        for state in range(variable.cardinality):
            where = worlds[:, column] == state
            what = f"P({variable.name}={state})"
            yield from _unequal(what, *(mass[where].sum() for mass in masses))
    for world in np.flatnonzero(~_close(*masses)).tolist():
        what = _world(variables, worlds[world].astype(int).tolist())
        yield from _unequal(what, *(mass[world] for mass in masses))


def _close(old: ArrayLike, new: ArrayLike) -> NDArray[np.bool_]:
    return np.isclose(new, old, rtol=_RELATIVE, atol=1e-290)  # near 0, doubles lose digits


def _unequal(what: str, old: float, new: float) -> Iterator[str]:
    if not _close(old, new).all():
        yield f"{what} was {old:.9g} and is now {new:.9g}"


def _masses(circuit: Circuit, worlds: Float) -> Float:
    masses: Float = np.exp(log_values(circuit, worlds))
    return masses


def log_values(circuit: Circuit, worlds: Float) -> Float:
    """The oracle's log-value of each row under the given weights, without floor or generator."""
    lowered = plan(circuit.replace(generator=Direct(floor=0.0), sectors=None), dtype="float64")
    weights = by_group(lowered, circuit.weights.values)
    chunks = [worlds[start : start + _CHUNK] for start in range(0, len(worlds), _CHUNK)]
    return np.concatenate([log_likelihood(lowered, weights, c) for c in chunks])


def _world(variables: tuple[Variable, ...], world: list[int]) -> str:
    states = (f"{v.name}={state}" for v, state in zip(variables, world, strict=True))
    return f"P({', '.join(states)})"


def _names(circuit: Circuit) -> str:
    return ", ".join(variable.name for variable in circuit.variables)
