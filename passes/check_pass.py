"""The check as a pass, so that pipelines can name it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pccompiler.ir import Circuit
from pccompiler.passes.base import Pass


@dataclass(frozen=True)
class Check(Pass):
    """Refuse a circuit that breaks a rule, with all findings; change nothing."""

    name: ClassVar[str] = "check"

    def run(self, circuit: Circuit) -> Circuit:
        """Nothing: every pass is followed by the check."""
        return circuit
