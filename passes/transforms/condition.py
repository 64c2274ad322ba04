"""The pass that conditions on evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pccompiler.errors import OptionError
from pccompiler.ir import Circuit
from pccompiler.ir.arrays import Float
from pccompiler.passes.base import Pass
from pccompiler.passes.rewriting.restrict import check_state, find, restrict


@dataclass(frozen=True)
class Condition(Pass):
    """Fix variables to values and drop them, leaving a circuit over the others.

    Needs given values. The result's ``log_scale`` is the log-probability of the evidence, so that
    the result is p(rest, evidence); with ``normalize`` it is 0 and the result is
    p(rest | evidence). A second run changes nothing.

    Before::

        %s = sum 1 %wet_rain %dry_calm @s
        weight @s 0.5 0.5

    After ``condition{evidence=rain:1}``::

        %s = sum 1 %wet %dry @s
        scale -0.6931471805599453
        weight @s 0.9 0.1

    Attributes:
        evidence: Names and values, as in ``"rain:1;wind:2.5"``. `Condition.on` takes a mapping.
        normalize: Whether to divide by the probability of the evidence.
    """

    name: ClassVar[str] = "condition"
    evidence: str = ""
    normalize: bool = False

    def __post_init__(self) -> None:
        self.values()

    @classmethod
    def on(cls, evidence: Mapping[str, float], *, normalize: bool = False) -> Condition:
        """The pass for a mapping from names to values."""
        text = ";".join(f"{name}:{float(value)!r}" for name, value in evidence.items())
        return cls(evidence=text, normalize=normalize)

    def values(self) -> dict[str, float]:
        """The evidence as a mapping.

        Raises:
            OptionError: If the text is malformed.
        """
        result: dict[str, float] = {}
        for pair in self.evidence.split(";") if self.evidence else ():
            name, colon, value = pair.partition(":")
            try:
                number = float(value)
            except ValueError:
                number = np.nan
            if not (name and colon) or np.isnan(number) or name in result:
                raise OptionError.of(
                    "PC329",
                    f"{pair!r} is not valid evidence" + (": repeated name" * (name in result)),
                    help="write evidence=NAME:VALUE;NAME:VALUE, each name once",
                )
            result[name] = number
        return result

    def run(self, circuit: Circuit) -> Circuit:
        """Fix the variables that are still there.

        Raises:
            CircuitError: If the evidence has probability 0, needed values are not given, or no
                variable is left.
            OptionError: If a value is not a value of its variable.
        """
        present = {v.name for v in circuit.variables}
        values: dict[int, float] = {}
        for name, value in self.values().items():
            if name in present:
                index = find(circuit, name)
                values[index] = check_state(circuit.variables[index], value)
        return restrict(circuit, values, keep_scale=not self.normalize)

    def meaning(self, before: Circuit, rows: Float, mass: Callable[[Float], Float]) -> Float:
        """The old circuit's mass with the evidence filled in."""
        evidence = {find(before, n): x for n, x in self.values().items() if _has(before, n)}
        full = np.empty((len(rows), len(before.variables)))
        full[:, [v for v in range(full.shape[1]) if v not in evidence]] = rows
        for variable, value in evidence.items():
            full[:, variable] = value
        masses = mass(full)
        if not (self.normalize and evidence):
            return masses
        given = np.full((1, full.shape[1]), np.nan)
        given[0, list(evidence)] = list(evidence.values())
        return np.asarray(masses / mass(given))


def _has(circuit: Circuit, name: str) -> bool:
    return any(v.name == name for v in circuit.variables)
