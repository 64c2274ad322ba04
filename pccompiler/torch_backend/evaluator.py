"""Evaluation of a compiled circuit, as a torch module."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pccompiler.ir import Circuit
from pccompiler.ir.plan.materialize import by_weight, materialize, unconstrain
from pccompiler.ir.plan.parameters import parameter_name
from pccompiler.ir.plan.plan import Plan
from pccompiler.passes.check.precision import check_held
from pccompiler.torch_backend.data.entrance import Entrance
from pccompiler.torch_backend.data.inputs import Rows
from pccompiler.torch_backend.derivatives import evaluate
from pccompiler.torch_backend.engines.arena.program import Program, make_program
from pccompiler.torch_backend.engines.base import Kernels
from pccompiler.torch_backend.engines.layered.engine import Engine
from pccompiler.torch_backend.engines.select import accelerate, in_kernels
from pccompiler.torch_backend.leaves.inputs import LeafInputs
from pccompiler.torch_backend.runtime.threads import few_threads
from pccompiler.torch_backend.runtime.transforms import outside_graphs
from pccompiler.torch_backend.weights.weights import Weights

if TYPE_CHECKING:
    from pccompiler.torch_backend.engines.budgeted.budget import Budgeted
    from pccompiler.torch_backend.engines.budgeted.schedule import Schedule
    from pccompiler.torch_backend.engines.plain import Plain

_EVALUATION_BYTES = 2**30


class Evaluator(Entrance):
    """A circuit that evaluates; `CompiledCircuit` answers queries too.

    Attributes:
        circuit: What was compiled, with its sectors and generator.
        plan: How it runs.
        names: Of the variables, in the order of the columns.
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
        super().__init__(circuit)
        self.numerics = numerics
        self.plan = plan
        self.weights = Weights(plan, dtype, seed)
        self._engine: Engine | None = None
        self._kernels: tuple[tuple[torch.device, torch.dtype], Kernels | None] | None = None
        self._program: tuple[torch.device, Program] | None = None
        self._deterministic: bool | None = None
        self._planned: tuple[Schedule, Plan] | None = None
        self._budgeted: Budgeted | None = None
        self._leaf_inputs: LeafInputs | None = None
        self.plain: Plain | None = None
        self.to(device)

    def __getstate__(self) -> dict[str, Any]:
        """Without kernels and index tensors, which a copy makes anew: some cannot be pickled."""
        derived = ("_engine", "_program", "_budgeted", "_leaf_inputs", "plain", "_states")
        state = {**self.__dict__, **dict.fromkeys(derived)}
        if self._kernels is not None and self._kernels[1] is not None:  # not by `without_kernels`
            state["_kernels"] = None
        return state

    @property
    def precision(self) -> Literal["float32", "float64"]:
        """The name of `dtype`, as `pccompiler.passes.lowering.lower` takes it."""
        return "float64" if self.dtype == torch.float64 else "float32"

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

    @outside_graphs
    def forward(self, x: Rows, complete: bool = False) -> Tensor:
        """Log-likelihood of each row, checked: `log_likelihood` in one batch.

        Args:
            x: What `log_likelihood` takes.
            complete: Promises that nothing is missing, and makes the backward pass quicker.

        Returns:
            Shape ``(batch,)``, on the model's device. Differentiable, in ``x`` too.

        Raises:
            DataError: As `log_likelihood`, or if a value is missing from rows that are complete.
        """
        return self.evaluate_unchecked(self.checked(x, complete=complete), complete)

    def evaluate_unchecked(self, x: Tensor, complete: bool = False) -> Tensor:
        """Log-likelihood of rows that `checked` made; anything else may crash the process.

        It never waits for the device, so a CUDA graph may capture it.
        """
        if len(x) == 0:
            return self._of_no_rows(x)
        return evaluate(self, x, complete)

    def evaluate_once(self, x: Tensor, complete: bool = False) -> Tensor:
        """`evaluate_unchecked` in what is quickest within the budget; differentiable once."""
        budgeted = self.budgeted
        return self.evaluate_kept(x, complete) if budgeted is None else budgeted(x, complete)

    def _of_no_rows(self, x: Tensor) -> Tensor:
        """No values; gradients of their sum are zeros."""
        none = x.sum(1)
        for parameter in self.parameters():
            none = none + parameter.sum()
        return none

    def evaluate_kept(self, x: Tensor, complete: bool = False) -> Tensor:
        """`evaluate_once` in fused kernels or level order, whatever the memory budget."""
        with self.forward_threads(len(x)):
            value = in_kernels(self, x, complete)
            if value is None:
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
            from pccompiler.torch_backend.engines.budgeted.budget import Budgeted

            known = self._budgeted = Budgeted(self, *self._planned)
        return known

    @property
    def schedule(self) -> Schedule | None:
        """How the memory budget is kept; ``None`` without one."""
        return None if self._planned is None else self._planned[0]

    def keep_within(self, budget: int | str) -> None:
        """Evaluate and train within a budget of bytes beyond parameters and data.

        Args:
            budget: A number, or text such as ``"64 MiB"``.

        Raises:
            OptionError: If it is neither, or one row takes more.
        """
        from pccompiler.torch_backend.engines.budgeted.budget import choose
        from pccompiler.torch_backend.engines.budgeted.schedule import parse_bytes

        allowed = parse_bytes(budget)
        self._planned = choose(self.circuit, self.precision, self.numerics, allowed, self.plan)
        self._budgeted = None

    @outside_graphs
    def log_likelihood(
        self,
        x: Rows,
        *,
        mask: Rows | None = None,
        missing: float | None = None,
        check: bool = True,
    ) -> Tensor:
        """Log-likelihood of each row of ``x``, in nats; a density where variables are real.

        Missing values are integrated out exactly, so this is the log-marginal of what is there.
        Under ``torch.no_grad()`` rows are taken in batches that fit in memory.

        Args:
            x: Shape ``(batch, variables)``; NaN is a missing value. A tensor on any device, an
                array or nested list; a data frame, taken by the names of its columns, all of them
                there; or a dict, or a list of dicts, in which what is left out is missing.
            mask: Shape ``(batch, variables)``, true where a value is missing.
            missing: A number that stands for a missing value in integer input, such as -1.
            check: Whether to look for values out of range (reads the data once, and waits for a
                GPU once).

        Returns:
            Shape ``(batch,)``; ``-inf`` where the density is zero. Differentiable.

        Raises:
            DataError: If the columns do not fit the circuit's variables, or a value is no state of
                its variable.
        """
        taken = self.checked if check else self.prepare
        rows = taken(x, mask=mask, missing=missing)
        with self.forward_threads(len(rows)):
            if torch.is_grad_enabled():
                return self.evaluate_unchecked(rows)
            parts = rows.split(self.evaluation_batch)
            return torch.cat([self.evaluate_unchecked(part) for part in parts])

    def threads(self, rows: int) -> AbstractContextManager[None]:
        """`few_threads` for operations on so many rows."""
        return few_threads(self.plan, self.device, rows)

    def forward_threads(self, rows: int) -> AbstractContextManager[None]:
        """`threads` for `forward` and its gradient: kernels count their work themselves."""
        layered = self._planned is not None or self.plan.packed or self.kernels is None
        return self.threads(rows if layered else 0)

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

    def _inputs(self, x: Tensor, leaves: Mapping[int, Tensor]) -> list[Tensor]:
        """The engine's inputs: states one-hot or in codes, or log-densities."""
        return self.leaf_inputs(x, leaves, lookup=not self.plan.packed)

    @torch.no_grad()
    def set_weights(self, values: Mapping[int, NDArray[np.float64]]) -> None:
        """Set weights that have parameters of their own: circuit weight id to values.

        Exact where the generator's floor is 0; a floor above lifts the values by it.

        Raises:
            CircuitError: If the model's precision would change a value.
        """
        check_held(self.circuit, values, self.precision)
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
        """The trainable parameters by name, as `pccompiler.ir.plan.parameters` names them."""
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


class Unchecked(nn.Module):
    """`Evaluator.evaluate_once` as a module, for ``torch.func.functional_call``.

    Its parameters are the model's, under ``"model."``.
    """

    def __init__(self, model: Evaluator) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, complete: bool = False) -> Tensor:
        """See `Evaluator.evaluate_once`."""
        return self.model.evaluate_once(x, complete)
