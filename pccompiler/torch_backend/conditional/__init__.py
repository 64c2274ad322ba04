"""Conditional circuits: weights that a module of the user's own makes, once or for each row."""

from pccompiler.torch_backend.conditional.external import Blockwise, External
from pccompiler.torch_backend.conditional.given import GivenCircuit
from pccompiler.torch_backend.conditional.model import ConditionalCircuit

__all__ = ["Blockwise", "ConditionalCircuit", "External", "GivenCircuit"]
