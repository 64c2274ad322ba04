"""The pass that makes weights sum to one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pccompiler.errors import CircuitError
from pccompiler.ir import Circuit, Kind
from pccompiler.ir.arrays import Float
from pccompiler.ir.families.base import Bool, registered
from pccompiler.passes.base import Pass
from pccompiler.passes.check.wellformed import verify_structure
from pccompiler.passes.rewriting.constants import ROUNDING, Units, give_tables, normalize
from pccompiler.passes.rewriting.editor import Draft


@dataclass(frozen=True)
class NormalizeWeights(Pass):
    """Divide rows of given weights by their sums; the circuit's scale keeps the function the same.

    Weights may be any non-negative numbers; a normalized circuit stays as it is.

    Before::

        %r = sum 1 %a %b @r
        weight @r 3.0 1.0

    After::

        %r = sum 1 %a %b @r
        scale 1.3862943611198906
        weight @r 0.75 0.25

    Source:
        Peharz et al. (2015), "On Theoretical Properties of Sum-Product Networks", theorem 2.
    """

    name: ClassVar[str] = "normalize"
    requires: ClassVar[tuple[str, ...]] = ()  # it repairs what the check refuses

    def run(self, circuit: Circuit) -> Circuit:
        """Normalize leaves first, then sums from the bottom up.

        Raises:
            CircuitError: If a weight is negative or not finite, or the function is 0 everywhere.
        """
        verify_structure(circuit, "PC101", "PC105", "PC109")
        _check_values(circuit)
        scaled, leaves = _leaf_rows(circuit)
        return normalize(scaled, leaves)


def _check_values(circuit: Circuit) -> None:
    sums = np.isin(circuit.kind, (Kind.SUM, Kind.MIXTURE))
    sums |= _simplex(circuit)
    used = set(circuit.weight[sums].tolist())
    for weight, table in circuit.weights.values.items():
        if weight in used and not (np.isfinite(table).all() and (table >= 0).all()):
            node = int(np.flatnonzero(circuit.weight == weight)[0])
            bad = table[~(np.isfinite(table) & (table >= 0))][0]
            raise CircuitError.of(
                "PC106",
                f"weight {circuit.weights.label(weight)} of {circuit.label(node)} has {bad:g}, "
                "which cannot be normalized to a probability",
                location=circuit.where(node),
                help="give finite, non-negative weights",
            )


def _simplex(circuit: Circuit) -> Bool:
    """Inputs whose rows are probabilities that sum to one."""
    return np.isin(circuit.family, [f for f in registered() if f.simplex])


def _leaf_rows(circuit: Circuit) -> tuple[Circuit, Float]:
    """The circuit with normalized leaves, and the log-constants they were divided by."""
    units = Units.of(circuit)
    leaves = np.zeros(units.total)
    draft = Draft(circuit)
    tables: dict[int, Float] = {}
    for node in np.flatnonzero(_simplex(circuit)).tolist():
        table = circuit.weights.values.get(int(circuit.weight[node]))
        if table is None:
            continue
        total = table.sum(axis=1)
        if (np.abs(total - 1.0) > ROUNDING).any():
            start = units.offset[node]
            with np.errstate(divide="ignore"):
                leaves[start : start + len(total)] = np.log(total)
            safe = np.where(total > 0.0, total, 1.0)[:, None]
            tables[node] = np.where(total[:, None] > 0.0, table / safe, 1.0 / table.shape[1])
    if not tables:
        return circuit, leaves
    give_tables(draft, tables)
    return _same_nodes(draft, circuit), leaves


def _same_nodes(draft: Draft, circuit: Circuit) -> Circuit:
    """The same nodes with the draft's weights, so that units keep their places."""
    return circuit.replace(weight=draft.weight, weights=draft.weight_table())
