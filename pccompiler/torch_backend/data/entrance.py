"""The input side of a model: moves rows to its device and checks them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from pccompiler.errors import OptionError
from pccompiler.frames import Schema
from pccompiler.ir import Circuit
from pccompiler.options import is_of, shown
from pccompiler.tables.labels import Codes
from pccompiler.torch_backend.data.inputs import Rows, as_rows
from pccompiler.torch_backend.data.likelihoods import (
    EvidenceOrIntervals,
    Intervals,
    Reader,
    Soft,
    aligned,
    apart,
)
from pccompiler.torch_backend.data.validation import StateCheck
from pccompiler.torch_backend.leaves.likelihoods import Likelihoods
from pccompiler.torch_backend.runtime.replays import Replays
from pccompiler.torch_backend.runtime.transforms import transformed

if TYPE_CHECKING:
    from pccompiler.torch_backend.weights.weights import Weights


_MADE = "give what pccompiler.compile or pccompiler.load returned"


def check_model(value: object, help: str = _MADE) -> None:
    """Refuse anything that is not a model.

    Args:
        value: Any object.
        help: The way out.

    Raises:
        OptionError: If ``value`` is not a compiled circuit.
    """
    if not isinstance(value, Entrance):
        raise OptionError.of(
            "PC315",
            f"{shown(value)} is not a compiled circuit",
            help=help,
        )


class Entrance(nn.Module):
    """Takes rows of a circuit's variables.

    Attributes:
        circuit: The circuit.
        names: Names of the variables, in the order of the columns; with a schema, of its columns.
        weights: The trainable parameters.
        replays: CUDA graphs of repeated calls, by what they ask.
        answers_by_name: Whether questions asked with data frames are answered with data frames;
            otherwise with tensors.
    """

    answers_by_name = True
    weights: Weights
    names: tuple[str, ...]
    _schema: Schema | None

    def __init__(self, circuit: Circuit) -> None:
        super().__init__()
        self._take(circuit)
        self.replays: dict[str, Replays] | None = None
        self._states: StateCheck | None = None

    @property
    def schema(self) -> Schema | None:
        """What the columns of data frames mean, if the circuit's variables come from a schema.

        It may be set, to a schema of the same variables in any order. Questions asked with data
        frames are then answered with data frames (docs/howto/frames.md).

        Raises:
            OptionError: If it is set to a schema of other variables.
        """
        return self._schema

    @schema.setter
    def schema(self, schema: Schema | None) -> None:
        if not is_of(schema, Schema | None):
            raise OptionError.of(
                "PC802",
                f"{shown(schema)} is not a schema",
                help="set model.schema to pccompiler.Schema.infer(frame), or to None",
            )
        known = self.circuit.variables
        bare = tuple(replace(variable, source=None) for variable in known)
        variables = bare if schema is None else schema.ordered_like(known).variables
        self._take(self.circuit.replace(variables=variables))

    def _take(self, circuit: Circuit) -> None:
        """Use a circuit, whose variables may come from a schema."""
        self.circuit, self._schema = circuit, Schema.of(circuit.variables)
        bare = tuple(variable.name for variable in circuit.variables)
        self.names = bare if self._schema is None else self._schema.names

    @property
    def codes(self) -> Codes:
        """The states of labels, for each variable; none without a schema."""
        return () if self._schema is None else self._schema.codes

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self._a_parameter.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the parameters."""
        return self._a_parameter.dtype

    @property
    def _a_parameter(self) -> Tensor:
        """The first parameter; ten times faster than by attributes, and needed in every call."""
        values = self._modules["weights"]._modules["values"]  # type: ignore[union-attr]
        found: Tensor = next(iter(values._parameters.values()))  # type: ignore[union-attr, assignment]
        return found

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """What ``.to()``, ``.half()``, ``.cuda()`` and the like call, also through a parent module.

        Raises:
            OptionError: If the parameters would get a type or a device that circuits cannot use.
        """
        probe = fn(self._a_parameter.detach().flatten()[:1])
        if probe.dtype not in (torch.float32, torch.float64) or probe.is_meta:
            what = "the meta device" if probe.is_meta else str(probe.dtype)
            raise OptionError.of(
                "PC840",
                f"a compiled circuit cannot be moved to {what}",
                help="keep it in torch.float32 or torch.float64: convert the other modules around "
                "it one by one, or run those under torch.autocast",
            )
        moved: Self = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch's stub
        return moved

    def nothing(self, rows: int) -> Tensor:
        """Rows with all values missing, shape (rows, variables)."""
        shape = (rows, len(self.circuit.variables))
        return torch.full(shape, torch.nan, dtype=self.dtype, device=self.device)

    def prepare(
        self,
        x: Rows,
        *,
        mask: Rows | None = None,
        missing: float | None = None,
        partial: bool = False,
    ) -> Tensor:
        """``x`` with the model's device and precision, NaN where missing.

        Values are not checked. See `pccompiler.torch_backend.data.inputs.as_rows`.
        """
        return as_rows(
            x,
            self.names,
            device=self.device,
            dtype=self.dtype,
            mask=mask,
            missing=missing,
            partial=partial,
            codes=self.codes,
        )

    def checked(
        self,
        x: Rows,
        *,
        mask: Rows | None = None,
        missing: float | None = None,
        partial: bool = False,
        complete: bool = False,
    ) -> Tensor:
        """Like `prepare`, and check that each value is a state of its variable or missing.

        Raises:
            DataError: Names the first invalid value; with ``complete``, missing ones are invalid.
            OptionError: If a CUDA graph is being captured, which cannot wait for the result.
        """
        if self.device.type == "cuda" and torch.cuda.is_current_stream_capturing():
            raise OptionError.of(
                "PC314",
                "a CUDA graph cannot capture the check of rows",
                help="check them before the capture, and call model.evaluate_unchecked(rows) in it",
            )
        rows = self.prepare(x, mask=mask, missing=missing, partial=partial)
        if not transformed():  # otherwise errors cannot depend on values, and results are NaN
            self.states(rows, complete=complete)
        return rows

    def known(
        self,
        x: EvidenceOrIntervals | None,
        soft: Soft | None,
        intervals: Intervals | None,
        *,
        mask: Rows | None = None,
        missing: float | None = None,
        check: bool = True,
        partial: bool = False,
    ) -> tuple[Tensor, Likelihoods]:
        """Rows, and the soft and interval evidence that comes with them, of one length.

        Args:
            x: Rows; in a dict or a list of dicts a value may be an interval, ``(low, high)``.
                ``None`` is one empty row.
            soft: Soft evidence.
            intervals: Interval evidence.
            mask: See `prepare`.
            missing: See `prepare`.
            check: Whether to look for values out of range.
            partial: See `prepare`.

        Raises:
            DataError: If something does not fit the variables.
        """
        rest, own = apart(self.nothing(1) if x is None else x)
        taken = self.checked if check else self.prepare
        rows = taken(rest, mask=mask, missing=missing, partial=partial)
        if soft is None and intervals is None and not own:
            return rows, Likelihoods()
        read = Reader(self.circuit.variables, self.names, self.device)
        return aligned(rows, read(soft, intervals).times(read(None, own)))

    @property
    def states(self) -> StateCheck:
        """The check of rows, on the device of the parameters."""
        known = self._states
        if known is None or (known.device, known.dtype) != (self.device, self.dtype):
            known = self._states = StateCheck(self.circuit.variables, self.device, self.dtype)
        return known
