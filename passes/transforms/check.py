"""The check, as a pass for pipelines and as functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pccompiler.ir import Circuit
from pccompiler.passes.base import Pass
from pccompiler.passes.check.wellformed import findings, verify

__all__ = ["Check", "findings", "verify"]


@dataclass(frozen=True)
class Check(Pass):
    """Leave a well-formed circuit unchanged, and refuse any other with all findings.

    Before::

        %p = product %rain %hose

    After, the same or an error::

        garden.pcir:6: error[PC102]: product %p is not decomposable: 2 children share variable 'wet'
    """

    name: ClassVar[str] = "check"
    requires: ClassVar[tuple[str, ...]] = ()

    def run(self, circuit: Circuit) -> Circuit:
        """Do nothing: the result of every pass is verified anyway."""
        return circuit
