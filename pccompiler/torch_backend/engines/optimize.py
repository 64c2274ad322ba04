"""Chooses the rewriting of a circuit that should evaluate fastest on a device, and proves it.

The cost of a plan is the number of values that it writes and reads for each row, weighted by how
fast the engine is that would run it. A rewriting is taken only if it saves a quarter: on measured
circuits with less to gain, other orders of the nodes cost as much as was saved.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pccompiler.errors import CircuitError
from pccompiler.ir import Circuit
from pccompiler.ir.plan.plan import Plan
from pccompiler.passes.analysis.equivalence import EQUAL, log_values
from pccompiler.passes.lowering.lower import plan
from pccompiler.passes.manager import PassManager
from pccompiler.torch_backend.engines.base import NoMatch, Target
from pccompiler.torch_backend.engines.questions import Wanted
from pccompiler.torch_backend.engines.select import engines

PIPELINES = ("share", "share,merge", "share,merge,pack")
"""Each does what the one before does, and more."""
_ROWS = 32
_LEAST_GAIN = 0.25
_RELATIVE = 1e-9
_RATES = {"general-cpu": 1.0, "general-cuda": 1.0, "layered": 4.0, "arena": 4.0}
"""What a value costs in each engine, as measured (docs/benchmarks.md); in all others less."""
_FASTER = 0.2


@dataclass(frozen=True, kw_only=True)
class Rewriting:
    """A circuit as it is, or after a pipeline of passes.

    Attributes:
        passes: The pipeline; empty for the circuit as it is.
        engine: The engine that would run its gradients.
        units: Values that it writes for each row.
        edges: Values that it reads for each row.
        cost: ``units + edges``, times what a value costs in the engine.
        proof: How it was shown to have the same values; empty if it was not chosen.
    """

    passes: str
    engine: str
    units: int
    edges: int
    cost: float
    proof: str = ""


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """The rewritings that were considered.

    Attributes:
        chosen: The one that was taken.
        considered: All of them, the circuit as it is first.
        reason: Why it was taken, as a clause.
    """

    chosen: Rewriting
    considered: tuple[Rewriting, ...]
    reason: str


def optimize(
    circuit: Circuit, target: Target, *, generated: bool = False
) -> tuple[Circuit, Optimization]:
    """The circuit that should evaluate fastest on a target, and what was considered.

    Only circuits with given weights are rewritten, since equal weights are what can be shared;
    training then changes shared weights together.

    Args:
        circuit: The circuit.
        target: Where it will run.
        generated: Whether sectors or a generator are given that refer to its weights.

    Raises:
        CircuitError: If the circuit breaks a rule, or a rewriting changes a value.
    """
    own = _rewriting("", circuit, target)
    absent = len(circuit.weights) - len(circuit.weights.values)
    if absent or generated or circuit.generator is not None:
        why = f"{absent} weights have no given values" if absent else "its weights are generated"
        return circuit, Optimization(chosen=own, considered=(own,), reason=why)
    made: dict[str, Circuit] = {"": circuit}
    considered = [own]
    for pipeline in PIPELINES:
        made[pipeline] = PassManager.parse(pipeline)(circuit)
        considered.append(_rewriting(pipeline, made[pipeline], target))
    best = min(considered, key=lambda each: each.cost)  # the first of equals
    if best.cost > (1.0 - _LEAST_GAIN) * own.cost:
        reason = f"no rewriting saves a quarter; the best one saves {_saved(best, own)}"
        return circuit, Optimization(chosen=own, considered=tuple(considered), reason=reason)
    best = replace(best, proof=_proof(circuit, made[best.passes], best.passes))
    listed = tuple(best if each.passes == best.passes else each for each in considered)
    reason = f"it saves {_saved(best, own)} of the cost"
    return made[best.passes], Optimization(chosen=best, considered=listed, reason=reason)


def _rewriting(passes: str, circuit: Circuit, target: Target) -> Rewriting:
    precision = "float64" if target.dtype.itemsize == 8 else "float32"
    lowered = plan(circuit, dtype=precision)
    engine = _engine(lowered, target)
    units = sum(layer.rows * layer.units for layer in lowered.layers)
    edges = sum(o.rows * o.arity * o.units for layer in lowered.layers for o in layer.operands)
    cost = (units + edges) * _RATES.get(engine, _FASTER)
    return Rewriting(passes=passes, engine=engine, units=units, edges=edges, cost=cost)


def _engine(lowered: Plan, target: Target) -> str:
    for kind in engines():
        if not isinstance(kind.match(lowered, target, Wanted.GRADIENT), NoMatch):
            return kind.name
    raise AssertionError("the arena runs every plan")  # pragma: no cover


def _saved(best: Rewriting, own: Rewriting) -> str:
    return f"{100 * (1 - best.cost / own.cost):.0f} %"


def _proof(before: Circuit, after: Circuit, passes: str) -> str:
    """Compare the circuits: in all worlds if they are few, and on random rows in any case.

    Two circuits that differ agree on a random row only by an accident of their weights.
    """
    prover = PassManager.parse(passes, verify_semantics=True)
    prover(before)
    rows = random_rows(before, _ROWS)
    old, new = (log_values(circuit, rows) for circuit in (before, after))
    if not np.allclose(new, old, rtol=_RELATIVE, atol=_RELATIVE, equal_nan=True):
        worst = int(np.nanargmax(np.abs(np.nan_to_num(new) - np.nan_to_num(old))))
        raise CircuitError.of(
            "PC325",
            f"the passes {passes!r} changed the meaning of the circuit",
            notes=[f"a row's log-value was {old[worst]:.9g} and is now {new[worst]:.9g}"],
            help="compile without optimize, and report it with the circuit's text",
        )
    if all(record.proof == EQUAL for record in prover.trace):
        return "equal in all worlds"
    return f"equal on {_ROWS} random rows, in float64"


def random_rows(circuit: Circuit, number: int) -> NDArray[np.float64]:
    """Rows of any states and of numbers around 0, of which a fifth is missing."""
    rng = np.random.default_rng(0)
    columns = [
        rng.integers(0, v.cardinality, number).astype(np.float64)
        if v.discrete
        else rng.integers(0, 6, number).astype(np.float64)
        if v.domain == "count"
        else rng.normal(size=number)
        for v in circuit.variables
    ]
    rows = np.stack(columns, axis=1)
    rows[rng.random(rows.shape) < 0.2] = np.nan
    return rows
