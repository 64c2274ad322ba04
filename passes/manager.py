"""The pass manager: runs passes in order, times them, and can prove that they change nothing."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pccompiler.errors import CircuitError
from pccompiler.ir import Circuit, Direct
from pccompiler.ir.generate import by_group
from pccompiler.ir.interpret import log_likelihood
from pccompiler.passes.base import Pass
from pccompiler.passes.check import verify
from pccompiler.passes.pipeline import parse_passes
from pccompiler.passes.plan import plan

MOST_STATES = 4096


class Record(NamedTuple):
    """What one pass did. ``proven``: whether semantics were compared, and found equal."""

    name: str
    seconds: float
    nodes_before: int
    nodes_after: int
    proven: bool


@dataclass(eq=True)
class PassManager:
    """A pipeline of passes; itself callable like a pass.

    Attributes:
        passes: In order.
        verify_semantics: Compare total mass and all single-variable marginals before and after each
            pass, with the exact oracle. Circuits without given weights, with real variables, or
            with more than 4096 states are passed over.
        dump: Called with a pass's name and its result.
        trace: What the last run did.
    """

    passes: tuple[Pass, ...]
    verify_semantics: bool = False
    dump: Callable[[str, Circuit], None] | None = field(default=None, compare=False)
    trace: list[Record] = field(default_factory=list[Record], compare=False)

    @classmethod
    def parse(cls, text: str, *, verify_semantics: bool = False) -> PassManager:
        """A manager from pipeline text; ``str`` gives the text back."""
        return cls(parse_passes(text), verify_semantics=verify_semantics)

    def __str__(self) -> str:
        return ",".join(str(step) for step in self.passes)

    def __call__(self, circuit: Circuit) -> Circuit:
        """Run all passes.

        Raises:
            CircuitError: If the circuit is ill-formed before or after a pass, or a proof fails. The
                error's notes name the pass.
        """
        if not (self.passes and self.passes[0].name == "prune"):  # prune mends what check refuses
            verify(circuit)
        self.trace = []
        for step in self.passes:
            start = time.perf_counter()
            try:
                result = step(circuit)
                proven = self.verify_semantics and _prove(circuit, result, step.name)
            except Exception as error:
                done = ", ".join(record.name for record in self.trace) or "nothing"
                error.add_note(f"in pass '{step}', after {done}")
                raise
            seconds = time.perf_counter() - start
            self.trace.append(
                Record(step.name, seconds, circuit.num_nodes, result.num_nodes, proven)
            )
            circuit = result
            if self.dump is not None:
                self.dump(step.name, circuit)
        return circuit

    def timing_table(self) -> str:
        """One line a pass of the last run: name, milliseconds, nodes before and after."""
        lines = [f"{'pass':<12} {'ms':>10} {'nodes before':>13} {'after':>10}"]
        lines += [
            f"{r.name:<12} {1e3 * r.seconds:>10.2f} {r.nodes_before:>13,} {r.nodes_after:>10,}"
            for r in self.trace
        ]
        return "\n".join(lines) + "\n"


def _prove(before: Circuit, after: Circuit, name: str) -> bool:
    """Compare both circuits' answers; whether they could be compared."""
    old, new = _answers(before), _answers(after)
    if old is None or new is None:
        return False
    if old.shape != new.shape or not np.allclose(old, new, rtol=1e-10, atol=1e-14):
        raise CircuitError.of(
            "PC325",
            f"pass {name!r} changed the meaning of the circuit",
            notes=(f"mass before {old[0]:.12g}, after {new[0]:.12g}",) if len(old) else (),
            help="this is a fault of the pass: report it with the circuit's text",
        )
    return True


def _answers(circuit: Circuit) -> NDArray[np.float64] | None:
    """Total mass, then the marginal of every state, by summing over all worlds."""
    values = circuit.weights.values
    states = [v.cardinality for v in circuit.variables]
    small = all(states) and int(np.prod(states)) <= MOST_STATES
    if not small or len(values) < len(circuit.weights):
        return None
    lowered = plan(circuit.replace(generator=Direct(floor=0.0), sectors=None), dtype="float64")
    worlds = np.array(list(itertools.product(*(range(s) for s in states))), np.float64)
    mass = np.exp(log_likelihood(lowered, by_group(lowered, values), worlds))
    marginals = [
        mass[worlds[:, v] == s].sum() for v, number in enumerate(states) for s in range(number)
    ]
    return np.array([mass.sum(), *marginals])
