"""What a pass is: circuit to circuit, checked on both sides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple, final

from pccompiler.errors import CircuitError, OptionError
from pccompiler.ir import Circuit
from pccompiler.ir.arrays import Float
from pccompiler.passes.check.wellformed import verify

WELL_FORMED = "well-formed"


class Property(NamedTuple):
    """A property that one pass establishes and later passes rely on."""

    holds: Callable[[Circuit], bool]
    help: str


PROPERTIES = {
    "sectors": Property(
        lambda circuit: circuit.sectors is not None,
        "run the 'sectors' pass before it",
    ),
    "generator": Property(
        lambda circuit: circuit.generator is not None,
        "run the 'hypernet' or 'direct' pass before it",
    ),
}
"""All properties but ``well-formed``, which `verify` checks."""


@dataclass(frozen=True)
class Pass(ABC):
    """A rewrite or an annotation of a circuit. Its fields are its options.

    Subclasses set `name`, may set `requires` and `ensures`, and implement `run`. Calling a pass
    checks what it requires, runs it, and verifies the result.
    """

    name: ClassVar[str]
    requires: ClassVar[tuple[str, ...]] = (WELL_FORMED,)
    """Properties that must hold beforehand: ``"well-formed"``, and keys of `PROPERTIES`."""
    ensures: ClassVar[tuple[str, ...]] = ()
    """Properties that hold afterwards. Every result is well-formed, whether listed or not."""

    def __init_subclass__(cls, **options: Any) -> None:  # object's signature
        super().__init_subclass__(**options)
        unknown = {*cls.requires, *cls.ensures} - {WELL_FORMED, *PROPERTIES}
        if unknown:
            raise TypeError(f"{cls.__name__} names unknown properties: {sorted(unknown)}")

    @abstractmethod
    def run(self, circuit: Circuit) -> Circuit:
        """The circuit after the pass; ``circuit`` itself if nothing changes."""

    def meaning(self, before: Circuit, rows: Float, mass: Callable[[Float], Float]) -> Float:
        """The values that the result must have; for most passes, those of the old circuit.

        Args:
            before: What the pass was given.
            rows: Complete rows of the result's variables.
            mass: The old circuit's values for rows of its own variables, NaN where missing.
        """
        return mass(rows)

    @final
    def __call__(self, circuit: Circuit) -> Circuit:
        """Run the pass, with checks before and after.

        Raises:
            OptionError: If ``circuit`` lacks a required property.
            CircuitError: If ``circuit`` or the result breaks a rule, or the result lacks a property
                that the pass ensures.
        """
        if WELL_FORMED in self.requires:
            verify(circuit)
        self.check_before(circuit)
        result = self.run(circuit)
        self.check_after(result)
        return result

    @final
    def check_before(self, circuit: Circuit) -> None:
        """Refuse a circuit that lacks a required property; well-formedness is not checked."""
        for name in self.requires:
            require(name, circuit, self.name)

    @final
    def check_after(self, circuit: Circuit) -> None:
        """Refuse a result that is not well-formed, or lacks a property that the pass ensures."""
        verify(circuit)
        for name in self.ensures:
            if name != WELL_FORMED and not PROPERTIES[name].holds(circuit):
                raise CircuitError.of(
                    "PC326",
                    f"pass {self.name!r} ensures {name!r}, but its result lacks it",
                    help="fix the pass: give its result the property, or drop it from 'ensures'",
                )

    def __str__(self) -> str:
        """The pass as pipeline text: its name, and the options that differ from the defaults."""
        options = [
            f"{f.name}={_text(getattr(self, f.name)) if f.metadata.get('text', True) else '...'}"
            for f in fields(self)
            if getattr(self, f.name) != f.default
        ]
        return self.name + ("{" + ",".join(options) + "}" if options else "")


def require(name: str, circuit: Circuit, step: str) -> None:
    """Refuse ``circuit`` if it lacks the property ``name``, which pass ``step`` requires."""
    if name != WELL_FORMED and not PROPERTIES[name].holds(circuit):
        raise OptionError.of(
            "PC324",
            f"pass {step!r} requires {name!r}, which the circuit lacks",
            help=PROPERTIES[name].help,
        )


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "x".join(str(part) for part in value) or "none"
    return str(value)
