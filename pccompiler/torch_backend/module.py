"""The compiled circuit as a torch module."""

from __future__ import annotations

from pccompiler.torch_backend.queries import Queries

__all__ = ["CompiledCircuit"]


class CompiledCircuit(Queries):
    """A circuit that evaluates, trains and answers queries.

    Attributes:
        circuit: What was compiled, with its sectors and generator.
        plan: How it runs.
        weights: The trainable parameters.
        numerics: How the plan's numeric forms were chosen.
    """
