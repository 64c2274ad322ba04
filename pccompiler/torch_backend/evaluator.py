"""Evaluation of a compiled circuit, as a torch module."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from pccompiler.errors import DataError
from pccompiler.ir import Circuit
from pccompiler.ir.generate import by_weight, materialize, unconstrain
from pccompiler.ir.layout import parameter_name
from pccompiler.ir.plan import Plan
from pccompiler.torch_backend.acceleration import Kernels, accelerate, in_kernels
from pccompiler.torch_backend.engine import Engine
from pccompiler.torch_backend.leaves import LeafInputs
from pccompiler.torch_backend.packed import one_thread
from pccompiler.torch_backend.program import Program, make_program
from pccompiler.torch_backend.states import check_values, wrong_shape
from pccompiler.torch_backend.weights import Weights

if TYPE_CHECKING:
    from pccompiler.torch_backend.budget import Budgeted
    from pccompiler.torch_backend.schedule import Schedule

_EVALUATION_BYTES = 2**30


class Evaluator(nn.Module):
    """A circuit that evaluates; `CompiledCircuit` answers queries too.

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
        self._kernels: tuple[tuple[torch.device, torch.dtype], Kernels | None] | None = None
        self._program: tuple[torch.device, Program] | None = None
        self._deterministic: bool | None = None
        self._planned: tuple[Schedule, Plan] | None = None
        self._budgeted: Budgeted | None = None
        self._leaf_inputs: LeafInputs | None = None
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
    def precision(self) -> Literal["float32", "float64"]:
        """The name of `dtype`, as `pccompiler.passes.plan` takes it."""
        return "float64" if self.dtype == torch.float64 else "float32"

    def nothing(self, rows: int) -> Tensor:
        """Rows in which everything is missing, shape (rows, variables)."""
        shape = (rows, len(self.circuit.variables))
        return torch.full(shape, torch.nan, dtype=self.dtype, device=self.device)

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

    @property
    def kernels(self) -> Kernels | None:
        """Fused kernels, where the plan and the device have some."""
        key = (self.device, self.dtype)
        if self._kernels is None or self._kernels[0] != key:
            with torch.inference_mode(False):  # its tensors take part in later gradients
                self._kernels = key, accelerate(self)
        return self._kernels[1]

    def without_kernels(self) -> None:
        """Evaluate layer by layer on this device from now on, for comparisons."""
        self._kernels = (self.device, self.dtype), None

    @property
    def program(self) -> Program:
        """The plan as steps over one arena, on the parameters' device: what queries run."""
        packed = self.engine.packed
        if packed is not None:
            return packed.program
        if self._program is None or self._program[0] != self.device:
            self._program = self.device, make_program(self.plan, self.device)
        return self._program[1]

    @property
    def leaf_inputs(self) -> LeafInputs:
        """What turns rows into the engine's inputs, on the parameters' device."""
        known = self._leaf_inputs
        if known is None or (known.device, known.dtype) != (self.device, self.dtype):
            known = self._leaf_inputs = LeafInputs(self.plan, self.device, self.dtype)
        return known

    def forward(self, x: Tensor, complete: bool = False) -> Tensor:
        """Log-likelihood of ``x`` without checks: floating, on the right device, NaN where missing.

        ``complete`` promises that nothing is missing, and makes the backward pass quicker.
        """
        budgeted = self.budgeted
        if budgeted is None:
            return self.evaluate_kept(x, complete)
        if torch.is_grad_enabled() and any(p.requires_grad for p in self.parameters()):
            return budgeted.differentiable(x, complete)
        return budgeted.evaluate(x)

    def evaluate_kept(self, x: Tensor, complete: bool = False) -> Tensor:
        """`forward` in fused kernels or level order, whatever the memory budget."""
        value = in_kernels(self, x, complete)
        if value is None:
            with self._threads():
                tables, leaves = self.weights()
                value = self.engine.run(self._inputs(x, leaves), tables, complete=complete)
        return value + self.plan.log_scale if self.plan.log_scale else value

    @property
    def budgeted(self) -> Budgeted | None:
        """Evaluation within the memory budget, if there is one."""
        if self._planned is None:
            return None
        known = self._budgeted
        if known is None or (known.engine.device, known.leaves.dtype) != (self.device, self.dtype):
            from pccompiler.torch_backend.budget import Budgeted

            known = self._budgeted = Budgeted(self, *self._planned)
        return known

    @property
    def schedule(self) -> Schedule | None:
        """How the memory budget is kept; ``None`` without one."""
        return None if self._planned is None else self._planned[0]

    def keep_within(self, budget: int) -> None:
        """Evaluate and train within ``budget`` bytes beyond parameters and data.

        Raises:
            OptionError: If one row takes more.
        """
        from pccompiler.torch_backend.budget import choose

        self._planned = choose(self.circuit, self.precision, self.numerics, budget, self.plan)
        self._budgeted = None

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
        with self._threads():
            rows = self.prepare(x, mask=mask, missing=missing)
            if check:
                check_values(rows, self.circuit.variables)
            if torch.is_grad_enabled():
                result: Tensor = self(rows)
                return result
            return torch.cat([self(part) for part in rows.split(self.evaluation_batch)])

    def _threads(self) -> AbstractContextManager[None]:
        """Packed plans run in one thread, see `one_thread`."""
        return one_thread() if self.plan.packed else nullcontext()

    @property
    def evaluation_batch(self) -> int:
        """Rows to evaluate at once without gradients: about 1 GiB of live values.

        Fewer on a CPU, where caches rule.
        """
        if self._planned is not None:
            return 32_768  # the schedule splits them up
        if self.plan.packed:  # evaluated in small parts whatever the batch
            return 32_768
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
            raise wrong_shape(tuple(rows.shape), self.circuit.variables)
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

    def _inputs(self, x: Tensor, leaves: Mapping[int, Tensor]) -> list[Tensor]:
        """The engine's inputs: states one-hot or in codes, or log-densities."""
        return self.leaf_inputs(x, leaves, lookup=not self.plan.packed)

    @torch.no_grad()
    def set_weights(self, values: Mapping[int, NDArray[np.float64]]) -> None:
        """Set weights that have parameters of their own: circuit weight id to values.

        Exact where the generator's floor is 0; a floor above lifts the values by it.
        """
        self._deterministic = None  # zeros may have come or gone
        for number, group in enumerate(self.plan.groups):
            places = [p for p, w in enumerate(group.weights.tolist()) if w in values]
            if group.generated or not places:
                continue
            parameter = self.weights.values[parameter_name(self.plan, number)]
            given = np.stack([values[weight] for weight in group.weights[places].tolist()])
            raw = torch.from_numpy(unconstrain(given, group)).to(parameter)
            parameter[torch.tensor(places, device=parameter.device)] = raw

    def parameters_as_numpy(self) -> dict[str, NDArray[np.floating]]:
        """The trainable parameters by name, as `pccompiler.ir.layout` names them."""
        return {n: p.detach().cpu().numpy().copy() for n, p in self.weights.values.items()}

    def weight_values(self) -> dict[int, NDArray[np.float64]]:
        """Circuit weight id to its current values (probabilities, or leaf parameters), float64."""
        groups = materialize(self.plan, self.weights.layout, self.parameters_as_numpy())
        return by_weight(self.plan, groups)

    def trained_circuit(self) -> Circuit:
        """The circuit with its present weights as given values, for passes, files and pictures.

        It has no generator and no sectors: compiled again, each weight has its own logit.
        """
        plain = self.circuit.replace(sectors=None, generator=None)
        return plain.with_values(self.weight_values())
