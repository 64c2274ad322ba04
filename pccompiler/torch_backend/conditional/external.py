"""A module of the user's own that makes weights."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Protocol, cast, runtime_checkable

from torch import Tensor, nn

from pccompiler.errors import DataError, OptionError
from pccompiler.ir import Circuit
from pccompiler.options import shown
from pccompiler.torch_backend.conditional.coverage import Chosen, cover

Entries = slice | Tensor
"""Some of the numbers of a row of output."""


@runtime_checkable
class InBlocks(Protocol):
    """A module that can make a few of its numbers at a time, such as `Blockwise`."""

    def features(self, context: Tensor) -> Tensor:
        """What all numbers need, computed once, shape (rows, ...)."""
        ...

    def logits(self, features: Tensor, entries: Entries) -> Tensor:
        """Some of the numbers of each row, shape (rows, entries)."""
        ...


class Blockwise(nn.Module):
    """A network with a linear last layer that is evaluated for one layer of a circuit at a time.

    The weights of a batch are never all in memory: in training they are made again on the way
    back.

    Args:
        trunk: Maps a context to features, shape (rows, ``width``).
        width: Number of features.
        size: How many numbers each row needs, see `External.size`.
    """

    def __init__(self, trunk: nn.Module, width: int, size: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.last = nn.Linear(width, size)

    def features(self, context: Tensor) -> Tensor:
        """Shape (rows, width)."""
        made: Tensor = self.trunk(context)
        return made

    def logits(self, features: Tensor, entries: Entries) -> Tensor:
        """Shape (rows, entries)."""
        return nn.functional.linear(features, self.last.weight[entries], self.last.bias[entries])

    def forward(self, context: Tensor) -> Tensor:
        """All numbers, shape (rows, size)."""
        return self.logits(self.features(context), slice(None))


class External:
    """Weights from a module: give it to `pccompiler.compile` in place of a hypernetwork.

    ``module(context)`` makes the numbers of each row of a context, shape (rows, size); or
    ``module()`` those of all rows, shape (size,), if its ``forward`` takes nothing. They become
    weights by a softmax, like a hypernetwork's, so circuits stay normalised. If the module has
    methods ``features`` and ``logits`` (`InBlocks`), they are called instead, a block at a time.

    Args:
        module: The module; or a function that makes one, given the size.
        weights: Which weights it makes: ``"all"``, ``"sums"``, ``"leaves"``, or a list of names or
            numbers. All others keep parameters of their own.
    """

    def __init__(
        self, module: nn.Module | Callable[[int], nn.Module], weights: Chosen = "all"
    ) -> None:
        self.module, self.weights = module, weights

    @staticmethod
    def size(circuit: Circuit, weights: Chosen = "all") -> int:
        """How many numbers a module makes for each row.

        They are the weights in the order of the text form (`pccompiler.ir.to_text`), each row by
        row.

        Raises:
            OptionError: If there are no such weights.
        """
        return cover(circuit, weights).size

    def build(self, size: int) -> nn.Module:
        """The module.

        Raises:
            OptionError: If it is not one.
        """
        made = self.module if isinstance(self.module, nn.Module) else cast(Any, self.module(size))
        if not isinstance(made, nn.Module):
            raise OptionError.of(
                "PC921",
                f"External was given {shown(made)}, which is not a torch module",
                help="give an nn.Module, or a function from the number of logits to one",
            )
        return made


def needs_context(module: nn.Module) -> bool:
    """Whether a module's weights depend on a context."""
    if isinstance(module, InBlocks):
        return True
    return any(
        parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        for parameter in inspect.signature(module.forward).parameters.values()
    )


def call(module: nn.Module, context: Tensor | None) -> Tensor:
    """Features or numbers, with a first axis of rows (one without a context).

    Raises:
        DataError: If a context is missing or unwanted.
    """
    needed = needs_context(module)
    name = type(module).__name__
    if needed and context is None:
        raise DataError.of(
            "PC922",
            f"the weights depend on a context: {name} makes them",
            help="give one row for all, or one for each row: log_likelihood(x, context=c)",
        )
    if not needed and context is not None:
        raise DataError.of(
            "PC922",
            f"a context was given, but {name}.forward takes none",
            help="leave out context=, or let forward take it",
        )
    if context is None:
        alone: Tensor = module()
        return alone.unsqueeze(0) if alone.ndim == 1 else alone
    if context.ndim < 2:
        raise DataError.of(
            "PC922",
            f"the context has shape {tuple(context.shape)}",
            help="give rows: context.unsqueeze(0) is one row for all",
        )
    made: Tensor = module.features(context) if isinstance(module, InBlocks) else module(context)
    return made
