"""The compiled circuit as a torch module."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from pccompiler.errors import DataError
from pccompiler.ir import Circuit, Family, Variable
from pccompiler.ir.generate import by_weight, materialize, unconstrain
from pccompiler.ir.kinds import Kind
from pccompiler.ir.layout import parameter_name
from pccompiler.ir.plan import Plan
from pccompiler.torch_backend.engine import Engine
from pccompiler.torch_backend.weights import Weights

_EVALUATION_BYTES = 2**30
_LEAST_LOG_DENSITY = -1e30  # finite in float32: the forms rely on densities above zero
_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)


class CompiledCircuit(nn.Module):
    """A circuit that evaluates and trains.

    Attributes:
        circuit: What was compiled, with its sectors and generator.
        plan: How it runs.
        weights: The trainable parameters.
        numerics: How the plan's numeric forms were chosen.
    """

    def __init__(
        self,
        circuit: Circuit,
        plan: Plan,
        *,
        device: torch.device,
        dtype: torch.dtype,
        seed: int,
        numerics: str = "auto",
    ) -> None:
        super().__init__()
        self.numerics = numerics
        self.circuit = circuit
        self.plan = plan
        self.weights = Weights(plan, dtype, seed)
        self._engine: Engine | None = None
        self.to(device)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the parameters."""
        return next(self.parameters()).dtype

    @property
    def num_parameters(self) -> int:
        """Trainable numbers, as allocated."""
        return self.weights.layout.num_parameters

    @property
    def engine(self) -> Engine:
        """The plan's index tensors on the parameters' device."""
        if self._engine is None or self._engine.device != self.device:
            self._engine = Engine(self.plan, self.device)
        return self._engine

    def forward(self, x: Tensor, complete: bool = False) -> Tensor:
        """Log-likelihood of ``x`` without checks: floating, on the right device, NaN where missing.

        ``complete`` promises that nothing is missing, and makes the backward pass quicker.
        """
        tables, gaussians = self.weights()
        return self.engine.run(self._inputs(x, gaussians), tables, complete=complete)

    def log_likelihood(
        self,
        x: Tensor | ArrayLike,
        *,
        mask: Tensor | ArrayLike | None = None,
        missing: int | None = None,
        check: bool = True,
    ) -> Tensor:
        """Log-likelihood of each row of ``x``, in nats; a density where variables are real.

        Missing values are integrated out exactly, so this is the log-marginal of what is there.
        Under ``torch.no_grad()`` rows are taken in batches that fit in memory.

        Args:
            x: Shape ``(batch, variables)``; NaN is a missing value.
            mask: Shape ``(batch, variables)``, true where a value is missing.
            missing: A number that stands for a missing value in integer input, such as -1.
            check: Whether to look for values out of range (reads the data once).

        Returns:
            Shape ``(batch,)``; ``-inf`` where the density is zero. Differentiable.

        Raises:
            DataError: If the columns do not fit the circuit's variables, or a value is no state of
                its variable.
        """
        rows = self.prepare(x, mask=mask, missing=missing)
        if check:
            check_values(rows, self.circuit.variables)
        if torch.is_grad_enabled():
            result: Tensor = self(rows)
            return result
        return torch.cat([self(part) for part in rows.split(self.evaluation_batch)])

    @property
    def evaluation_batch(self) -> int:
        """Rows to evaluate at once without gradients: about 1 GiB of live values.

        Fewer on a CPU, where caches rule.
        """
        a_row = 2 * self.plan.cost(1).peak_values * self.dtype.itemsize
        most = 500 if self.device.type == "cpu" else 32_768
        return max(1, min(most, _EVALUATION_BYTES // max(a_row, 1)))

    def prepare(
        self,
        x: Tensor | ArrayLike,
        *,
        mask: Tensor | ArrayLike | None = None,
        missing: int | None = None,
    ) -> Tensor:
        """``x`` as the module takes it: this device and precision, NaN where missing."""
        rows = torch.as_tensor(x if isinstance(x, Tensor) else np.asarray(x))
        if rows.ndim != 2 or rows.shape[1] != len(self.circuit.variables):
            raise _wrong_shape(tuple(rows.shape), self.circuit.variables)
        gone = None if missing is None else rows == missing
        rows = rows.to(self.device, self.dtype)
        if gone is not None:
            rows = rows.masked_fill(gone.to(self.device), torch.nan)
        if mask is not None:
            holes = torch.as_tensor(mask if isinstance(mask, Tensor) else np.asarray(mask))
            if holes.shape != rows.shape:
                raise DataError.of(
                    "PC402",
                    f"the mask has shape {tuple(holes.shape)}, the data {tuple(rows.shape)}",
                    help="give the mask one entry for each value: true where it is missing",
                )
            rows = rows.masked_fill(holes.to(self.device, torch.bool), torch.nan)
        return rows

    def _inputs(self, x: Tensor, gaussians: dict[int, Tensor]) -> list[Tensor]:
        """The engine's inputs: states one-hot, or Gaussian log-densities."""
        columns = x.t().contiguous()
        inputs: list[Tensor] = []
        for number, layer in enumerate(self.plan.layers):
            if layer.kind != Kind.INPUT or layer.variables is None:
                continue
            column = self._columns(number, layer.variables, columns).unsqueeze(1)
            if number in gaussians:
                inputs.append(_gaussian(column, gaussians[number]))
            else:
                states = self._num_states(layer.family, int(layer.variables[0]))
                inputs.append(_one_hot(column, states))
        return inputs

    def _columns(self, number: int, variables: NDArray[np.int64], columns: Tensor) -> Tensor:
        if len(variables) == len(columns) and bool((variables == np.arange(len(columns))).all()):
            return columns
        key = (number, -1, 0)
        if key not in self.engine.index:
            index = torch.from_numpy(variables.copy()).to(self.device)
            self.engine.index[key] = (index, index)
        return columns.index_select(0, self.engine.index[key][0])

    def _num_states(self, family: Family | None, variable: int) -> int:
        return 2 if family == Family.BERNOULLI else self.circuit.variables[variable].cardinality

    @torch.no_grad()
    def set_weights(self, values: Mapping[int, NDArray[np.float64]]) -> None:
        """Set weights that have parameters of their own: circuit weight id to values.

        Exact where the generator's floor is 0; a floor above lifts the values by it.
        """
        for number, group in enumerate(self.plan.groups):
            places = [(place, int(w)) for place, w in enumerate(group.weights) if int(w) in values]
            if group.generated or not places:
                continue
            parameter = self.weights.values[parameter_name(self.plan, number)]
            for place, weight in places:
                raw = unconstrain(values[weight], group)
                parameter[place] = torch.from_numpy(raw).to(parameter)

    def parameters_as_numpy(self) -> dict[str, NDArray[np.floating]]:
        """The trainable parameters by name, as `pccompiler.ir.layout` names them."""
        return {n: p.detach().cpu().numpy().copy() for n, p in self.weights.values.items()}

    def weight_values(self) -> dict[int, NDArray[np.float64]]:
        """Circuit weight id to its current values (probabilities, or leaf parameters), float64."""
        groups = materialize(self.plan, self.weights.layout, self.parameters_as_numpy())
        return by_weight(self.plan, groups)


def check_values(x: Tensor, variables: tuple[Variable, ...]) -> None:
    """Refuse values that are no state of their variable.

    Raises:
        DataError: Naming the first culprit's row, column and variable.
    """
    states = [v.cardinality if v.discrete else 0 for v in variables]
    limit = torch.tensor(states, dtype=x.dtype, device=x.device)
    wrong = ((x < 0) | (x >= limit) | (x != x.floor())) & (limit > 0) & ~x.isnan()
    wrong |= x.isinf()
    if not bool(wrong.any()):
        return
    row, column = (int(i) for i in wrong.nonzero()[0])
    variable = variables[column]
    allowed = f"0 ... {variable.cardinality - 1}" if variable.discrete else "finite numbers"
    raise DataError.of(
        "PC401",
        f"value {float(x[row, column]):g} in row {row}, column {column} is no value of variable "
        f"{variable.name!r}",
        notes=(
            f"{int(wrong.sum())} values are out of range",
            f"allowed: {allowed}, or NaN if missing",
        ),
        help="recode the column, or declare the variable with more states",
    )


def _wrong_shape(shape: tuple[int, ...], variables: tuple[Variable, ...]) -> DataError:
    names = ", ".join(v.name for v in variables[:5]) + (", ..." if len(variables) > 5 else "")
    return DataError.of(
        "PC400",
        f"the data have shape {shape}, but the circuit has {len(variables)} variables",
        notes=(f"variables: {names}",),
        help=f"give a table of shape (rows, {len(variables)}), one column a variable, in order",
    )


def _one_hot(column: Tensor, states: int) -> Tensor:
    """Shape (rows, states, batch): 1 at the state, all ones where missing."""
    if states == 2:
        hidden = column.isnan()
        pair = torch.cat([1.0 - column, column], dim=1)
        return pair.masked_fill_(hidden, 1.0)
    values = torch.arange(states, dtype=column.dtype, device=column.device).view(1, -1, 1)
    return ((column == values) | column.isnan()).to(column.dtype)


def _gaussian(column: Tensor, parameters: Tensor) -> Tensor:
    """Log-densities, shape (rows, units, batch); 0 where missing."""
    missing = column.isnan()
    mean, deviation = parameters[..., :1], parameters[..., 1:]
    scaled = (column.masked_fill(missing, 0.0) - mean) / deviation
    out = -0.5 * scaled.square() - deviation.log() - _LOG_SQRT_2PI
    return out.clamp_min(_LEAST_LOG_DENSITY).masked_fill(missing, 0.0)
