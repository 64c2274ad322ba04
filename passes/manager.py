"""The pass manager: runs passes in order, times them, and can prove that they change nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import NamedTuple

from pccompiler.ir import Circuit
from pccompiler.passes.analysis.equivalence import EQUAL, compare
from pccompiler.passes.base import WELL_FORMED, Pass
from pccompiler.passes.check.wellformed import verify
from pccompiler.passes.pipeline import parse_passes

Dump = Callable[[str, Circuit], None]


class Record(NamedTuple):
    """What one pass did.

    Attributes:
        name: The pass.
        seconds: Time of the pass with its checks and proof; ``None`` if nothing is timed.
        nodes_before: Nodes of the circuit that it was given.
        nodes_after: Nodes of its result.
        proof: ``"equal"``, ``"skipped: "`` and the reason, or empty if no proof was asked for.
    """

    name: str
    seconds: float | None
    nodes_before: int
    nodes_after: int
    proof: str = ""

    @property
    def proven(self) -> bool:
        """Whether the answers were compared and found equal."""
        return self.proof == EQUAL


class PassManager:
    """A pipeline of passes; itself callable like a pass. Equal passes make equal managers.

    Args:
        passes: In order. A manager among them stands for its own passes.
        verify: Verify the circuit before the first pass that requires it, and after every pass.
            Otherwise passes are trusted, and only the properties that they require are checked.
        verify_semantics: Compare the answers before and after each pass with the exact oracle,
            under the given weights. Circuits without given weights, with real variables, with more
            than 12 variables or 4096 worlds are skipped; the trace says why.
        dump: Called after each pass with its name and its result, to print IR.
        time: Whether to time the passes.

    Attributes:
        trace: What each pass of the last run did; after an error, only the passes that completed.
    """

    def __init__(
        self,
        passes: Iterable[Pass | PassManager],
        *,
        verify: bool = True,
        verify_semantics: bool = False,
        dump: Dump | None = None,
        time: bool = True,
    ) -> None:
        self.passes = tuple(step for item in passes for step in _steps(item))
        self.verify = verify
        self.verify_semantics = verify_semantics
        self.dump = dump
        self.time = time
        self.trace: list[Record] = []

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        verify: bool = True,
        verify_semantics: bool = False,
        dump: Dump | None = None,
        time: bool = True,
    ) -> PassManager:
        """A manager from pipeline text; ``str`` gives canonical text back.

        Raises:
            OptionError: If the text is malformed, or names an unknown pass, option or value.
        """
        return cls(
            parse_passes(text),
            verify=verify,
            verify_semantics=verify_semantics,
            dump=dump,
            time=time,
        )

    def __str__(self) -> str:
        return ",".join(str(step) for step in self.passes)

    def __repr__(self) -> str:
        return f"PassManager.parse({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return self.passes == other.passes if isinstance(other, PassManager) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.passes)

    def __call__(self, circuit: Circuit) -> Circuit:
        """Run all passes.

        Raises:
            OptionError: If a pass requires a property that no earlier pass has established.
            CircuitError: If the circuit is ill-formed before or after a pass, or a proof fails.
                As with any error in a pass, the notes name the pass and what ran before it.
        """
        self.trace = []
        verified = not self.verify
        for step in self.passes:
            try:
                circuit = self._run(step, circuit, verified)
            except Exception as error:
                done = ", ".join(record.name for record in self.trace) or "nothing"
                error.add_note(f"in pass '{step}', after {done}")
                raise
            verified = True
            if self.dump is not None:
                self.dump(step.name, circuit)
        return circuit

    def timing_table(self) -> str:
        """One line per pass of the last run: name, milliseconds, nodes before and after, proof."""
        width = max([12, *(len(record.name) for record in self.trace)])
        lines = [f"{'pass':<{width}} {'ms':>10} {'nodes before':>13} {'after':>10}  proof"]
        for name, seconds, before, after, proof in self.trace:
            ms = "-" if seconds is None else f"{1e3 * seconds:.2f}"
            lines.append(f"{name:<{width}} {ms:>10} {before:>13,} {after:>10,}  {proof}")
        return "\n".join(line.rstrip() for line in lines) + "\n"

    def _run(self, step: Pass, circuit: Circuit, verified: bool) -> Circuit:
        """Run one pass like `Pass.__call__`, but without verifying the same circuit twice."""
        start = perf_counter()
        if WELL_FORMED in step.requires and not verified:
            verify(circuit)
        step.check_before(circuit)
        result = step.run(circuit)
        if self.verify:
            step.check_after(result)
        proof = self._prove(step, circuit, result) if self.verify_semantics else ""
        seconds = perf_counter() - start if self.time else None
        self.trace.append(Record(step.name, seconds, circuit.num_nodes, result.num_nodes, proof))
        return result

    def _prove(self, step: Pass, before: Circuit, after: Circuit) -> str:
        """Compare ``after`` with the pass's `meaning`; by default, the answers must not change."""
        own = type(step).meaning is not Pass.meaning
        return compare(before, after, step.name, step.meaning if own else None)


def _steps(item: Pass | PassManager) -> tuple[Pass, ...]:
    return item.passes if isinstance(item, PassManager) else (item,)
