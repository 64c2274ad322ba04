"""What a pass is: circuit to circuit, checked on both sides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import ClassVar, final

from pccompiler.errors import OptionError
from pccompiler.ir import Circuit
from pccompiler.passes.check import verify


@dataclass(frozen=True)
class Pass(ABC):
    """A rewrite or an annotation of a circuit. Its fields are its options.

    Subclasses set `name`, may set `requires`, and implement `run`. Calling a pass checks what it
    requires, runs it, and verifies the result.
    """

    name: ClassVar[str]
    requires: ClassVar[tuple[str, ...]] = ()
    """Names of passes whose work must be there: ``"sectors"``."""

    @abstractmethod
    def run(self, circuit: Circuit) -> Circuit:
        """The circuit after the pass; ``circuit`` itself if nothing changes."""

    def ensures(self, circuit: Circuit) -> None:
        """Raise if the result lacks what the pass promises. By default it promises rules only."""
        verify(circuit)

    @final
    def __call__(self, circuit: Circuit) -> Circuit:
        """Run the pass, with checks before and after.

        Raises:
            OptionError: If a pass that this one requires has not run.
            CircuitError: If the result breaks a rule.
        """
        for name in self.requires:
            self._require(name, circuit)
        result = self.run(circuit)
        self.ensures(result)
        return result

    def _require(self, name: str, circuit: Circuit) -> None:
        if name == "sectors" and circuit.sectors is None:
            raise OptionError.of(
                "PC324",
                f"pass {self.name!r} needs sectors, and the circuit has none",
                help="run 'sectors' before it, as in 'check,sectors,hypernet'",
            )

    def __str__(self) -> str:
        """The pass as pipeline text: its name, and the options that are not the default."""
        options = [
            f"{f.name}={_text(getattr(self, f.name))}"
            for f in fields(self)
            if getattr(self, f.name) != f.default
        ]
        return self.name + ("{" + ",".join(options) + "}" if options else "")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "x".join(str(part) for part in value) or "none"
    return str(value)
