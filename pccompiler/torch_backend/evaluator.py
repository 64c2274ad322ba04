"""Evaluation of a compiled circuit, as a torch module."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Literal

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
from pccompiler.torch_backend.engines.base import Engine, NoMatch, Target, Wanted
from pccompiler.torch_backend.engines.budgeted.choose import choose
from pccompiler.torch_backend.engines.budgeted.schedule import Budget, Schedule, parse_bytes
from pccompiler.torch_backend.engines.plain import Plain
from pccompiler.torch_backend.engines.select import Engines, engines
from pccompiler.torch_backend.leaves.inputs import LeafInputs
from pccompiler.torch_backend.runtime.threads import few_threads
from pccompiler.torch_backend.runtime.transforms import outside_graphs
from pccompiler.torch_backend.weights.weights import Weights

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
        self._engines: Engines | None = None
        self._without_kernels: tuple[torch.device, torch.dtype] | None = None
        self._deterministic: bool | None = None
        self._budget: Budget | None = None
        self._leaf_inputs: LeafInputs | None = None
        self._plain: Plain | None = None
        self.to(device)

    def __getstate__(self) -> dict[str, Any]:
        """Without engines and index tensors, which a copy makes anew: some cannot be pickled."""
        derived = ("_engines", "_leaf_inputs", "_plain", "_states")
        return {**self.__dict__, **dict.fromkeys(derived)}

    @property
    def precision(self) -> Literal["float32", "float64"]:
        """The name of `dtype`, as `pccompiler.passes.lowering.lower` takes it."""
        return "float64" if self.dtype == torch.float64 else "float32"

    @property
    def num_parameters(self) -> int:
        """Trainable numbers, as allocated."""
        return self.weights.layout.num_parameters

    @property
    def engines(self) -> Engines:
        """What runs the plan, on the parameters' device and in their precision."""
        device, dtype = self.device, self.dtype
        known = self._engines
        if known is None or (known.target.device, known.target.dtype) != (device, dtype):
            target = Target(device, dtype, budget=self._budget)
            kernels = self._without_kernels != (device, dtype)
            known = self._engines = Engines(self.plan, target, self.weights, kernels=kernels)
        return known

    @property
    def kernels(self) -> Engine | None:
        """The engine with fused kernels that fits the plan and the device, if there is one."""
        for kind in engines():
            found = self.engines.ask(kind, Wanted.VALUE) if kind.in_kernels else None
            if found is not None and not isinstance(found, NoMatch):
                return found
        return None

    def without_kernels(self) -> None:
        """Evaluate layer by layer on this device from now on, for comparisons."""
        self._without_kernels = self.device, self.dtype
        self.engines.turn_off_kernels()

    def definition(self, device: torch.device, dtype: torch.dtype) -> Plain:
        """The definition of the plan's value in plain torch operations."""
        known = self._plain
        if known is None or (known.device, known.dtype) != (device, dtype):
            known = self._plain = Plain(self.plan, device, dtype)
        return known

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
        value = self.engines.evaluate(x, complete)
        return value + self.plan.log_scale if self.plan.log_scale else value

    def _of_no_rows(self, x: Tensor) -> Tensor:
        """No values; gradients of their sum are zeros."""
        none = x.sum(1)
        for parameter in self.parameters():
            none = none + parameter.sum()
        return none

    @property
    def schedule(self) -> Schedule | None:
        """How the memory budget is kept; ``None`` without one."""
        return None if self._budget is None else self._budget.schedule

    def keep_within(self, budget: int | str) -> None:
        """Evaluate and train within a budget of bytes beyond parameters and data.

        Args:
            budget: A number, or text such as ``"64 MiB"``.

        Raises:
            OptionError: If it is neither, or one row takes more.
        """
        allowed = parse_bytes(budget)
        self._budget = choose(self.circuit, self.precision, self.numerics, allowed, self.plan)
        self._engines = None

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
        return self.engines.choose(Wanted.VALUE).threads(rows)

    @property
    def evaluation_batch(self) -> int:
        """Rows to evaluate at once without gradients: about 1 GiB of live values.

        Fewer on a CPU, where caches rule.
        """
        if self.engines.choose(Wanted.VALUE).splits:
            return 32_768
        a_row = 2 * self.plan.cost(1).peak_values * self.dtype.itemsize
        most = 500 if self.device.type == "cpu" else 32_768
        return max(1, min(most, _EVALUATION_BYTES // max(a_row, 1)))

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
