"""Models in pickles: the circuit's text, and its parameters as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch

from pccompiler.api import compile
from pccompiler.ir import parse, to_text
from pccompiler.ir.arrays import Float
from pccompiler.torch_backend import CompiledCircuit

PRECISION: Final = "float64"
"""As in scikit-learn; in float32 the answer for a row would depend on the others in its batch."""


@dataclass(frozen=True, eq=False)
class Stored:
    """A model without torch.

    Attributes:
        circuit: The text of the circuit.
        parameters: The model's parameters, by the names of its ``state_dict``.
        device: Where the model was.
    """

    circuit: str
    parameters: dict[str, Float]
    device: str


def stored(model: CompiledCircuit) -> Stored:
    """What a pickle holds of a model of precision `PRECISION`."""
    arrays = {name: value.cpu().numpy() for name, value in model.state_dict().items()}
    return Stored(to_text(model.circuit), arrays, str(model.device))


def restored(found: Stored) -> CompiledCircuit:
    """The model, on its device if this machine has that, and otherwise on the CPU."""
    there = torch.device(found.device)
    lost = there.type == "cuda" and (there.index or 0) >= torch.cuda.device_count()
    device = "cpu" if lost else there
    model = compile(parse(found.circuit), device=device, dtype=PRECISION)
    tensors = {name: torch.from_numpy(value.copy()) for name, value in found.parameters.items()}
    model.load_state_dict(tensors)
    return model
