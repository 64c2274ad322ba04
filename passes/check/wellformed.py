"""Whether a circuit is well-formed: every rule that backends rely on, all findings at once."""

from __future__ import annotations

from pccompiler.errors import CircuitError, Diagnostic
from pccompiler.ir import Circuit, WeightTable
from pccompiler.passes.check.column_rules import COLUMN_RULES, COUNT_RULES, REFERENCE_RULES
from pccompiler.passes.check.rule import Rule
from pccompiler.passes.check.structure_rules import STRUCTURE_RULES
from pccompiler.passes.check.weight_rules import SECTOR_RULES, WEIGHT_RULES

MOST = 20
"""How many findings of one rule are written out; the rest are counted."""
_STAGES = (COLUMN_RULES, REFERENCE_RULES, COUNT_RULES, STRUCTURE_RULES + WEIGHT_RULES)
"""Each stage relies on those before it; all but the last check the columns themselves."""


def findings(circuit: Circuit) -> tuple[Diagnostic, ...]:
    """Everything that is wrong with ``circuit``; empty if it is well-formed.

    Columns that refer to nothing (PC110) are found alone, since the other rules read them.

    Source:
        Choi, Vergari and Van den Broeck (2020), "Probabilistic Circuits", for smoothness and
        decomposability.
    """
    for rules in _STAGES:
        found = [finding for rule in rules for finding in apply(rule, circuit)]
        if found:
            return tuple(found)
    return ()


def verify(circuit: Circuit) -> None:
    """Raise all findings at once.

    Raises:
        CircuitError: If there are any.
    """
    found = findings(circuit)
    if found:
        raise CircuitError(found)


def verify_sectors(circuit: Circuit) -> None:
    """Raise all findings about the sectors of a circuit that is otherwise well-formed.

    Raises:
        CircuitError: If there are any.
    """
    found = [finding for rule in SECTOR_RULES for finding in apply(rule, circuit)]
    if found:
        raise CircuitError(found)


def verify_structure(circuit: Circuit, *apart_from: str) -> None:
    """Raise all findings except those about weight values or with a code in ``apart_from``.

    For passes that repair what `verify` refuses.

    Raises:
        CircuitError: If there are any.
    """
    weights = circuit.weights
    bare = circuit.replace(weights=WeightTable(weights.rows, weights.columns, weights.names))
    found = [finding for finding in findings(bare) if finding.code not in apart_from]
    if found:
        raise CircuitError(found)


def apply(rule: Rule, circuit: Circuit) -> list[Diagnostic]:
    """The first `MOST` findings of one rule."""
    culprits = rule.culprits(circuit)
    shown = culprits[:MOST].tolist()
    rest = len(culprits) - len(shown)
    found: list[Diagnostic] = []
    for culprit in shown:
        fault = rule.describe(circuit, culprit)
        closing = rest > 0 and culprit == shown[-1]
        more = (f"{rest:,} more findings of this rule are not shown",) if closing else ()
        found.append(
            Diagnostic(
                code=rule.code,
                message=fault.message,
                location=circuit.where(culprit) if culprit >= 0 else None,
                notes=(*fault.notes, *more),
                help=fault.help,
            )
        )
    return found
