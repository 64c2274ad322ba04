"""What a conditional circuit is made of: a circuit, a module, and the weights that it makes."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pccompiler.drawing import inline_svg
from pccompiler.errors import OptionError
from pccompiler.frames import Schema
from pccompiler.ir import Circuit
from pccompiler.showing import Table, as_html
from pccompiler.torch_backend.conditional.coverage import check_free, cover
from pccompiler.torch_backend.conditional.external import External, InBlocks, call
from pccompiler.torch_backend.conditional.given import GivenCircuit
from pccompiler.torch_backend.conditional.row_weights import (
    Parts,
    RowWeights,
    check_output,
    raw_by_name,
)
from pccompiler.torch_backend.model import CompiledCircuit

Context = Tensor | NDArray[Any] | None
"""Rows that a module makes weights from: one for all rows of data, or one for each."""


class Conditioned(nn.Module):
    """A circuit with weights from a module.

    Attributes:
        base: The circuit, whose covered parameters are only places to write.
        module: The module.
        coverage: Which weights the module makes.
    """

    def __init__(self, base: GivenCircuit, external: External) -> None:
        super().__init__()
        self.base = base
        self.coverage = cover(base.circuit, external.weights)
        check_free(base.plan, base.circuit, self.coverage)
        self.module = external.build(self.coverage.size).to(base.device)
        base.freeze(self.coverage.weights)
        self._parts: Parts | None = None

    def _repr_html_(self) -> str:
        """HTML for notebooks: a picture of the circuit, and the module that makes its weights."""
        rows = [("circuit", repr(self.base)), ("module", " ".join(str(self.module).split()))]
        picture = inline_svg(self.base.circuit)
        return as_html(type(self).__name__, [Table(("", "compiled"), rows)], picture)

    def __getattr__(self, name: str) -> Any:  # torch's own signature
        """Names the way to what needs weights that are the same for all rows."""
        if not name.startswith("_") and hasattr(CompiledCircuit, name):
            self._needs_one(name)
        return super().__getattr__(name)

    def _needs_one(self, name: str) -> NoReturn:
        raise AttributeError(
            f"{name!r} needs weights that do not depend on a context: "
            f"use model.given(context).{name}, for one row of context"
        )

    answers_by_name = True

    @property
    def schema(self) -> Schema | None:
        """What the columns of data frames mean, see `CompiledCircuit.schema`."""
        return self.base.schema

    @schema.setter
    def schema(self, schema: Schema | None) -> None:
        self.base.schema = schema

    @property
    def circuit(self) -> Circuit:
        """The circuit."""
        return self.base.circuit

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the variables, in the order of the columns."""
        return tuple(self.base.names)

    def _made(self, context: Context) -> Tensor:
        rows = None if context is None else torch.as_tensor(context).to(self.base.device)
        made = call(self.module, rows)
        if not isinstance(self.module, InBlocks):
            number = 1 if rows is None else len(rows)
            check_output(made, number, self.coverage.size, self.module)
        return made

    def _once(self, made: Tensor) -> dict[str, Tensor]:
        """Raw values from the output for one row of context."""
        if isinstance(self.module, InBlocks):
            made = self.module.logits(made, slice(None))
            check_output(made, 1, self.coverage.size, self.module)
        return raw_by_name(self.base.weights, self.coverage, made[0])

    def _of_rows(self, made: Tensor) -> RowWeights:
        if self._parts is None or self._parts.device != self.base.device:
            self._parts = Parts(self.base.weights, self.coverage, self.base.device)
        return RowWeights(self.base.weights, self._parts, self.module, made)

    def _alone(self, made: Tensor) -> GivenCircuit | None:
        """The circuit with the weights of one row of context; ``None`` if there are others."""
        if len(made) != 1:
            return None
        self.base.put(self._once(made))
        return self.base

    @contextmanager
    def _with(self, context: Context) -> Generator[GivenCircuit]:
        """The circuit with the weights of a context, for log-likelihoods of any kind."""
        made = self._made(context)
        if len(made) == 1:
            with self.base.with_raw(self._once(made)):
                yield self.base
        else:
            with self.base.with_rows(self._of_rows(made)):
                yield self.base

    @torch.no_grad()
    def given(self, context: Context = None) -> CompiledCircuit:
        """An ordinary compiled circuit with the weights of one row of context, as a copy.

        It answers every query, trains, is saved and exported like any other.

        Args:
            context: One row, shape (1, ...).

        Raises:
            OptionError: If the context has several rows.
        """
        made = self._made(context)
        base = self._alone(made)
        if base is None:
            raise OptionError.of(
                "PC925",
                f"the context has {len(made)} rows, which make as many circuits",
                help="ask for them one by one: model.given(context[i : i + 1])",
            )
        seed = base.weights.seed or 0
        found = CompiledCircuit(
            base.circuit,
            base.plan,
            device=base.device,
            dtype=base.dtype,
            seed=seed,
            numerics=base.numerics,
        )
        for name, value in base.weights.values.items():
            found.weights.values[name].copy_(value)
        return found
