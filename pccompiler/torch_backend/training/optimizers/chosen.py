"""An optimizer and a scheduler of torch that the caller chose."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from pccompiler.errors import OptionError
from pccompiler.options import shown
from pccompiler.torch_backend.model import CompiledCircuit
from pccompiler.torch_backend.training.course import Facts
from pccompiler.torch_backend.training.history import trained_parameters
from pccompiler.torch_backend.training.optimizers.adam import torch_adam
from pccompiler.torch_backend.training.optimizers.encoding import decoded, encoded

OptimizerOption: TypeAlias = (
    torch.optim.Optimizer | Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
)
SchedulerOption: TypeAlias = LRScheduler | Callable[[torch.optim.Optimizer], LRScheduler]

_EXAMPLE = "functools.partial(torch.optim.AdamW, lr=1e-3)"


class Chosen:
    """An optimizer of torch, with its scheduler if any. See `Optimizer`.

    Args:
        model: The model whose parameters it changes.
        optimizer: Over some of the model's parameters.
        scheduler: Of this optimizer.
    """

    def __init__(
        self,
        model: CompiledCircuit,
        optimizer: torch.optim.Optimizer,
        scheduler: LRScheduler | None,
    ) -> None:
        self.torch_optimizer, self.scheduler = optimizer, scheduler
        self.parameters = list(trained_parameters(model).values())
        self.device = model.device
        trained = {id(parameter) for parameter in self.parameters}
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if id(parameter) not in trained:
                    parameter.grad = None  # torch steps whatever has a gradient, also a frozen one

    @property
    def not_captured(self) -> str | None:
        """Why a CUDA graph cannot hold its steps; ``None`` if one can."""
        name, groups = type(self.torch_optimizer).__name__, self.torch_optimizer.param_groups
        if not all(group.get("capturable") for group in groups):
            return f"{name} was not made with capturable=True"
        if self.scheduler is not None and not all(isinstance(g["lr"], Tensor) for g in groups):
            return f"{name} has a learning rate that is not a tensor, so a graph cannot change it"
        if self.scheduler is not None and any("max_momentum" in g for g in groups):
            return f"{type(self.scheduler).__name__} cycles the momentum, which a graph keeps"
        return None

    def step(self, gradients: Sequence[Tensor]) -> None:
        """See `Optimizer`."""
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self.torch_optimizer.step()

    def tensors(self) -> list[Tensor]:
        """See `Optimizer`."""
        states: list[dict[str, Any]] = list(self.torch_optimizer.state.values())
        return [value for state in states for value in state.values() if isinstance(value, Tensor)]

    def state(self) -> tuple[dict[str, Tensor], Facts]:
        """See `Optimizer`."""
        tensors: dict[str, Tensor] = {}
        facts = {"optimizer": encoded(self.torch_optimizer.state_dict(), tensors)}
        if self.scheduler is not None:
            facts["scheduler"] = encoded(self.scheduler.state_dict(), tensors)
        return {f"optimizer.{name}": tensor for name, tensor in tensors.items()}, facts

    def restore(self, tensors: Mapping[str, Tensor], facts: Facts) -> None:
        """See `Optimizer`."""
        own = {
            n.removeprefix("optimizer."): t
            for n, t in tensors.items()
            if n.startswith("optimizer.")
        }
        state = decoded(facts["optimizer"], own, self.device)
        self.torch_optimizer.load_state_dict(state)
        known = [p for group in self.torch_optimizer.param_groups for p in group["params"]]
        for number, values in state["state"].items():
            if isinstance(number, int):  # load_state_dict gave them the type of the parameters
                self.torch_optimizer.state[known[number]].update(values)
        if self.scheduler is not None:
            self.scheduler.load_state_dict(decoded(facts["scheduler"], own, self.device))

    def schedule(self, value: float | None = None) -> None:
        """One step of the scheduler; for `ReduceLROnPlateau`, with the value of an evaluation."""
        if isinstance(self.scheduler, ReduceLROnPlateau):
            if value is not None:
                self.scheduler.step(value if self.scheduler.mode == "max" else -value)
        elif self.scheduler is not None and value is None:
            self.scheduler.step()

    @property
    def identity(self) -> str:
        """What must be the same when a training continues."""
        name = type(self.torch_optimizer).__name__
        groups = [
            ", ".join(f"{k}={v}" for k, v in group.items() if k != "params")
            for group in self.torch_optimizer.param_groups
        ]
        moved = "" if self.scheduler is None else f" with {type(self.scheduler).__name__}"
        return f"{name}({'; '.join(groups)}){moved}"

    def finish(self) -> None:
        """Leave no gradients behind, which may lie in the memory of a graph."""
        for parameter in self.parameters:
            parameter.grad = None


def make_chosen(
    model: CompiledCircuit,
    optimizer: OptimizerOption | None,
    scheduler: SchedulerOption | None,
    rate: float,
    decay: float,
    *,
    with_valid: bool,
) -> Chosen | None:
    """What the caller chose; ``None`` if neither an optimizer nor a scheduler is given.

    Args:
        model: The model to train.
        optimizer: Makes an optimizer over parameters, or one made already.
        scheduler: Makes a scheduler of an optimizer, or one made already.
        rate: Learning rate of Adam, if only a scheduler is given that is not made yet.
        decay: Its L2 penalty.
        with_valid: Whether there are validation rows.

    Raises:
        OptionError: If they are of another kind, or belong to another model or optimizer.
    """
    if optimizer is None and scheduler is None:
        return None

    def default(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        on_cuda = model.device.type == "cuda"  # where a graph reads the rate from a tensor
        tensor = torch.tensor(rate, device=model.device) if on_cuda else rate
        return torch_adam(list(parameters), tensor, decay)

    if optimizer is None:
        optimizer = scheduler.optimizer if isinstance(scheduler, LRScheduler) else default
    made = _optimizer(model, optimizer)
    plan = None if scheduler is None else _scheduler(made, scheduler)
    if isinstance(plan, ReduceLROnPlateau) and not with_valid:
        raise OptionError.of(
            "PC832",
            "ReduceLROnPlateau follows the validation value, and there are no validation rows",
            help="give valid=",
        )
    return Chosen(model, made, plan)


def _optimizer(model: CompiledCircuit, given: object) -> torch.optim.Optimizer:
    parameters = list(trained_parameters(model).values())
    made = given
    if not isinstance(given, torch.optim.Optimizer) and callable(given):
        made = given(parameters)
    if not isinstance(made, torch.optim.Optimizer):
        raise OptionError.of(
            "PC831",
            f"optimizer is {shown(made)}, which is not a torch.optim.Optimizer",
            help=f"give a class or function that makes one of the parameters, such as {_EXAMPLE}",
        )
    closure = inspect.signature(type(made).step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise OptionError.of(
            "PC831",
            f"{type(made).__name__} evaluates the loss several times in a step, which fit does not",
            help="use it in a loop of your own: docs/howto/training-loop.md",
        )
    _check_parameters(model, made, parameters)
    return made


def _check_parameters(
    model: CompiledCircuit, optimizer: torch.optim.Optimizer, trained: Sequence[nn.Parameter]
) -> None:
    """Refuse an optimizer of other parameters, and one that has none of those to train."""
    own = {id(p) for p in model.parameters()}
    known = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if known - own:
        raise OptionError.of(
            "PC831",
            f"{len(known - own)} of the optimizer's {len(known)} parameters are not the model's",
            notes=("a copy or another model has parameters of its own",),
            help="make it over model.parameters(); a circuit within a larger module is trained in "
            "a loop of your own: docs/howto/circuit-in-a-module.md",
        )
    if not known & {id(p) for p in trained}:
        raise OptionError.of(
            "PC831",
            "all parameters of the optimizer are frozen",
            help="set requires_grad of some of them to True",
        )


def _scheduler(optimizer: torch.optim.Optimizer, given: object) -> LRScheduler:
    made = given
    if not isinstance(given, LRScheduler) and callable(given):
        made = given(optimizer)
    if not isinstance(made, LRScheduler):
        raise OptionError.of(
            "PC832",
            f"scheduler is {shown(made)}, which is not one of torch.optim.lr_scheduler",
            help="give a function of the optimizer, such as "
            "lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1000)",
        )
    if made.optimizer is not optimizer:
        raise OptionError.of(
            "PC832",
            "the scheduler belongs to another optimizer",
            help="give a function that makes it: lambda optimizer: ...",
        )
    return made
