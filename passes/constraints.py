"""The product of a circuit and a logical constraint."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from pccompiler.errors import CircuitError, OptionError
from pccompiler.ir import Circuit, Variable
from pccompiler.options import shown
from pccompiler.passes.analysis.compatibility import compatibility
from pccompiler.passes.analysis.determinism.decide import determinism
from pccompiler.passes.check.rule import scope
from pccompiler.passes.check.wellformed import verify
from pccompiler.passes.rewriting.support import free, positive, support
from pccompiler.passes.transforms.keep_worlds import keep_worlds
from pccompiler.passes.transforms.multiply import multiply

MOST_WORLDS = 2**16
"""The most joint states of the variables of a constraint that are listed one by one."""
_CHUNK = 4096
_SHOWN = 4
"""The most operands of a product that a message shows."""


@dataclass(frozen=True, eq=False)
class Listed:
    """A constraint as a table.

    Attributes:
        columns: The variables of the circuit that it depends on.
        allowed: Which of their joint states satisfy it: an axis for each variable.
    """

    columns: tuple[int, ...]
    allowed: NDArray[np.bool_]


def constrain(circuit: Circuit, constraint: Circuit) -> Circuit:
    """The circuit of ``circuit(x)`` where ``constraint(x)`` is positive, and of 0 elsewhere.

    Its weights sum to one; its ``log_scale`` is that of ``circuit`` plus the log-probability of
    the constraint, in nats.

    Args:
        circuit: Smooth and decomposable, with given values.
        constraint: A formula: a circuit over some of the variables, all of them discrete. It is
            multiplied if it is deterministic and compatible with ``circuit``. Otherwise the joint
            states that satisfy it are listed, if there are at most 65,536 to consider.

    Raises:
        CircuitError: If the constraint has other variables, has probability 0, or is too large
            to be listed and cannot be multiplied.
        OptionError: If it is not a circuit.

    Source:
        Choi, Van den Broeck and Darwiche (2015), "Tractable Learning for Structured Probability
        Spaces"; Vergari et al. (2021), "A Compositional Atlas of Tractable Circuit Operations".
    """
    form = formula(circuit, constraint)
    try:
        if isinstance(form, Listed):
            return keep_worlds(circuit, form.columns, form.allowed)
        return multiply(circuit, form)
    except CircuitError as error:
        if error.diagnostics[0].code != "PC140":
            raise
        raise impossible() from None


def impossible() -> CircuitError:
    """The error for a constraint of probability 0."""
    return CircuitError.of(
        "PC852",
        "the constraint has probability 0: no world that satisfies it is possible",
        help="give a constraint that holds in some world of positive probability",
    )


def formula(circuit: Circuit, constraint: Circuit) -> Circuit | Listed:
    """The constraint in the form in which `constrain` multiplies it.

    Returns:
        A circuit that is 1 where the constraint holds and can be multiplied; otherwise a table.
    """
    columns = _columns(circuit, constraint)
    verify(constraint)
    proof = determinism(constraint)
    made = support(constraint, [circuit.variables[c] for c in columns])
    fit = compatibility(circuit, made)
    if proof.verdict == "yes" and fit.holds:
        return made
    bound = sorted(set(range(len(columns))) - set(free(constraint)))
    shape = [constraint.variables[v].cardinality for v in bound]
    if prod(shape) <= MOST_WORLDS:
        return Listed(tuple(columns[v] for v in bound), _listed(constraint, bound, shape))
    if proof.verdict != "yes":
        raise _derivations(constraint, proof.node, prod(shape))
    if fit.culprits is None:  # there were too many pairs of products to compare
        return made
    raise _crossing(circuit, made, fit.culprits, prod(shape))


def _columns(circuit: Circuit, constraint: object) -> list[int]:
    """The column of ``circuit`` for each variable of the constraint."""
    if not isinstance(constraint, Circuit):
        raise OptionError.of(
            "PC850",
            f"the constraint is {shown(constraint)}, not a circuit",
            help="read a file with pccompiler.read, or build a circuit that is positive "
            "where the constraint holds",
        )
    known = {variable.name: i for i, variable in enumerate(circuit.variables)}
    for variable in constraint.variables:
        mine = known.get(variable.name)
        if mine is None or not _alike(circuit.variables[mine], variable):
            raise _foreign(variable, None if mine is None else circuit.variables[mine])
    return [known[variable.name] for variable in constraint.variables]


def _alike(mine: Variable, other: Variable) -> bool:
    sources = mine.source, other.source
    labels = {source.labels for source in sources if source is not None}
    alike = mine.cardinality == other.cardinality and len(labels) < 2
    return mine.discrete and other.discrete and alike


def _foreign(variable: Variable, mine: Variable | None) -> CircuitError:
    if mine is None:
        return CircuitError.of(
            "PC851",
            f"the constraint has a variable {variable.name!r}, which the circuit lacks",
            help="rename the constraint's variables: constraint.rename({"
            f"{variable.name!r}: ...}})",
        )
    return CircuitError.of(
        "PC851",
        f"variable {variable.name!r} is {variable} in the constraint and {mine} in the circuit",
        help="constrain discrete variables, with as many states in both; real values and counts "
        "are fixed with evidence",
    )


def _listed(constraint: Circuit, bound: list[int], shape: list[int]) -> NDArray[np.bool_]:
    """Whether each joint state of the variables in ``bound`` satisfies the constraint."""
    parts: list[NDArray[np.bool_]] = []
    for start in range(0, prod(shape), _CHUNK):
        numbers = np.arange(start, min(start + _CHUNK, prod(shape)))
        worlds = np.zeros((len(numbers), len(constraint.variables)), np.int64)
        worlds[:, bound] = np.stack(np.unravel_index(numbers, shape), axis=1) if bound else 0
        parts.append(positive(constraint, worlds))
    return np.concatenate(parts).reshape(shape)


def _crossing(
    circuit: Circuit, made: Circuit, culprits: tuple[int, int], states: int
) -> CircuitError:
    """The error about a constraint that can neither be multiplied nor listed."""
    return CircuitError.of(
        "PC853",
        "the constraint splits its variables in other ways than the circuit does, and they have "
        f"{states:,} joint states; at most {MOST_WORLDS:,} are listed one by one",
        notes=[
            f"{whole.label(node)} of the {what} has the operands "
            + ", ".join(scope(whole, j) for j in whole.operands_of(node)[:_SHOWN].tolist())
            for what, whole, node in (
                ("circuit", circuit, culprits[0]),
                ("constraint", made, culprits[1]),
            )
        ],
        help="compile the formula for a vtree of the circuit ('pccompiler properties' shows one), "
        "or condition on parts of it that have fewer variables, one after the other",
    )


def _derivations(constraint: Circuit, node: int, states: int) -> CircuitError:
    """The error about a constraint whose worlds may be counted several times."""
    return CircuitError.of(
        "PC853",
        f"sum {constraint.label(node)} of the constraint is not known to be deterministic, and its "
        f"variables have {states:,} joint states; at most {MOST_WORLDS:,} are listed one by one",
        location=constraint.where(node),
        help="compile the formula to an SDD or a d-DNNF, whose disjunctions exclude each other; "
        "or condition on parts of it that have fewer variables, one after the other",
    )
