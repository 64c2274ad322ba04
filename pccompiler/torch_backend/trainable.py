"""The trainable parameters of a model, and the weights that they give, for NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from pccompiler.ir import Circuit
from pccompiler.ir.plan.materialize import by_weight, materialize, unconstrain
from pccompiler.ir.plan.parameters import parameter_name
from pccompiler.ir.plan.plan import Plan
from pccompiler.passes.check.precision import check_held
from pccompiler.torch_backend.data.entrance import Entrance


class Trainable(Entrance):
    """Reads and sets the weights of a plan.

    Attributes:
        plan: The plan.
    """

    plan: Plan
    _deterministic: bool | None = None

    @property
    def precision(self) -> Literal["float32", "float64"]:
        """The name of `dtype`, as `pccompiler.passes.lowering.lower` expects it."""
        return "float64" if self.dtype == torch.float64 else "float32"

    @property
    def num_parameters(self) -> int:
        """Number of trainable parameters, as allocated."""
        return self.weights.layout.num_parameters

    @torch.no_grad()
    def set_weights(self, values: Mapping[int, NDArray[np.float64]]) -> None:
        """Set weights that have their own parameters: circuit weight id to values.

        Exact if the generator's floor is 0; a positive floor lifts the values.

        Raises:
            CircuitError: If a value cannot be represented in the model's precision.
        """
        check_held(self.circuit, values, self.precision)
        self._deterministic = None  # zeros may have appeared or vanished
        for number, group in enumerate(self.plan.groups):
            places = [p for p, w in enumerate(group.weights.tolist()) if w in values]
            if group.generated or not places:
                continue
            parameter = self.weights.values[parameter_name(self.plan, number)]
            given = np.stack([values[weight] for weight in group.weights[places].tolist()])
            raw = torch.from_numpy(unconstrain(given, group)).to(parameter)
            parameter[torch.tensor(places, device=parameter.device)] = raw

    def parameters_as_numpy(self) -> dict[str, NDArray[np.floating]]:
        """The trainable parameters by name, as `pccompiler.ir.plan.parameters` names them."""
        return {n: p.detach().cpu().numpy().copy() for n, p in self.weights.values.items()}

    def weight_values(self) -> dict[int, NDArray[np.float64]]:
        """Circuit weight id to current values (probabilities or leaf parameters), in float64."""
        groups = materialize(self.plan, self.weights.layout, self.parameters_as_numpy())
        return by_weight(self.plan, groups)

    def trained_circuit(self) -> Circuit:
        """The circuit with its current weights as given values, for passes, files and pictures.

        It has no generator and no sectors: compiled again, each weight has its own logits.
        """
        plain = self.circuit.replace(sectors=None, generator=None)
        return plain.with_values(self.weight_values())
