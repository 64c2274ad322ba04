"""Reads soft and interval evidence, and checks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from pccompiler.errors import DataError
from pccompiler.frames.columns import source_of
from pccompiler.ir import Variable
from pccompiler.options import shown
from pccompiler.tables import as_records, as_table, column_of, is_frame
from pccompiler.torch_backend.data.inputs import Rows, as_tensor
from pccompiler.torch_backend.leaves.likelihoods import Likelihoods
from pccompiler.torch_backend.runtime.transforms import transformed

EvidenceOrIntervals: TypeAlias = (
    Rows | Mapping[str, Any] | Mapping[int, Any] | Sequence[Mapping[str, Any]]
)
"""Rows, in whose dicts a value may also be an interval, ``(low, high)``.

For a data frame, a variable without a column is missing in all of them.
"""
Soft: TypeAlias = Mapping[str, Any] | Mapping[int, Any]
"""Name or column to log-likelihoods, shape (states,) or (batch, states), as a tensor or array."""
Intervals: TypeAlias = Mapping[str, tuple[Any, Any]] | Mapping[int, tuple[Any, Any]]
"""Name or column to both ends: numbers, ``None`` for an open end, or one number for each row."""


def has_intervals(x: object) -> bool:
    """Whether a row in a dict or a list of dicts holds an interval, ``(low, high)``."""
    if not isinstance(x, Mapping | list | tuple):  # at once for tensors and arrays
        return False
    rows = [row for row in as_records(x) or () if isinstance(row, Mapping)]
    return any(isinstance(value, tuple) for row in rows for value in row.values())


def apart(x: Any) -> tuple[Any, Intervals]:
    """Rows of evidence without their intervals, and the intervals, one row after another."""
    if not has_intervals(x):
        return x, {}
    records = [row if isinstance(row, Mapping) else {} for row in as_records(x) or ()]
    found: dict[Any, tuple[list[Any], list[Any]]] = {}
    for number, row in enumerate(records):
        for name, value in row.items():
            if isinstance(value, tuple):
                both = found.setdefault(name, ([None] * len(records), [None] * len(records)))
                both[0][number], both[1][number] = _pair(name, value)
    rest = [{k: v for k, v in row.items() if not isinstance(v, tuple)} for row in records]
    return rest, found


class Reader:
    """Reads likelihoods of a model's variables.

    Args:
        variables: One for each column.
        names: Their names.
        device: Device of the results.
    """

    def __init__(
        self, variables: Sequence[Variable], names: Sequence[str], device: torch.device
    ) -> None:
        self.variables, self.names, self.device = variables, names, device

    def __call__(self, soft: Soft | None, intervals: Intervals | None) -> Likelihoods:
        """The likelihoods, each of one row or of all.

        Raises:
            DataError: If they do not fit the variables.
        """
        states: dict[int, Tensor] = {}
        for name, given in _by_name("soft", soft).items():
            column = column_of(name, self.names)
            states[column] = self._soft(self.variables[column], given)
        found = Likelihoods(states)
        for name, ends in _by_name("intervals", intervals).items():
            column = column_of(name, self.names)
            found = found.times(self._interval(column, *_pair(name, ends)))
        return found

    def _soft(self, variable: Variable, given: object) -> Tensor:
        if not variable.discrete:
            raise DataError.of(
                "PC900",
                f"{variable.name!r} is a {variable.domain} variable, which has no list of states",
                help=f"give an interval instead: intervals={{{variable.name!r}: (low, high)}}",
            )
        if is_frame(given):  # as answers by name: a column for each label
            labels = source_of(variable).labels or range(variable.cardinality)
            given = as_table(given, [str(label) for label in labels])
        found = as_tensor(given)
        logs = found.to(self.device, torch.float64)
        logs = logs.unsqueeze(0) if logs.ndim == 1 else logs
        if logs.ndim != 2 or logs.shape[1] != variable.cardinality:
            raise DataError.of(
                "PC901",
                f"the soft evidence for {variable.name!r} has shape {tuple(found.shape)}, but the "
                f"variable has {variable.cardinality} states",
                help=f"give log-likelihoods of shape (batch, {variable.cardinality})",
            )
        wrong = logs.detach().isnan() | (logs.detach() == torch.inf)
        if not transformed() and bool(wrong.any()):
            row, state = (int(i) for i in wrong.nonzero()[0])
            raise DataError.of(
                "PC902",
                f"the soft evidence for {variable.name!r} is {float(logs[row, state]):g} in row "
                f"{row}, state {state}",
                help="give logarithms: -inf excludes a state; all zeros say nothing",
            )
        return logs

    def _interval(self, column: int, low: object, high: object) -> Likelihoods:
        variable = self.variables[column]
        if source_of(variable).labels:
            raise DataError.of(
                "PC904",
                f"{variable.name!r} has labels, so an interval of its states has no meaning",
                help=f"give log-likelihoods of its states: soft={{{variable.name!r}: ...}}",
            )
        ends = torch.broadcast_tensors(
            self._end(variable, low, -torch.inf), self._end(variable, high, torch.inf)
        )
        if not transformed():
            _check_ends(variable, *(end.detach() for end in ends))
        if not variable.discrete:
            return Likelihoods(intervals={column: (ends[0], ends[1])})
        states = torch.arange(variable.cardinality, device=self.device)
        inside = (states >= ends[0].unsqueeze(1)) & (states <= ends[1].unsqueeze(1))
        none = torch.zeros(inside.shape, dtype=torch.float64, device=self.device)
        return Likelihoods({column: none.masked_fill(~inside, -torch.inf)})

    def _end(self, variable: Variable, given: Any, blank: float) -> Tensor:
        """One end, shape (batch,), or (1,) for all rows."""
        many = isinstance(given, list | tuple)
        listed = [blank if one is None else one for one in given] if many else given
        found = as_tensor(blank if listed is None else listed).to(self.device, torch.float64)
        if found.ndim > 1:
            raise DataError.of(
                "PC904",
                f"an end of the interval of {variable.name!r} has shape {tuple(found.shape)}",
                help="give a number, None, or one number for each row",
            )
        return found.reshape(-1)


def aligned(rows: Tensor, likelihoods: Likelihoods) -> tuple[Tensor, Likelihoods]:
    """Rows and likelihoods of one length: a single row stands for all.

    Raises:
        DataError: If their lengths differ.
    """
    lengths = {len(rows), *(len(tensor) for tensor in likelihoods.tensors)} - {1}
    if len(lengths) > 1:
        raise DataError.of(
            "PC903",
            f"the evidence has {len(rows)} rows, its likelihoods have "
            + ", ".join(str(len(tensor)) for tensor in likelihoods.tensors),
            help="give as many for both, or one for all rows",
        )
    size = lengths.pop() if lengths else 1
    return rows.expand(size, -1), likelihoods.each(lambda each: each.expand(size, *each.shape[1:]))


def _by_name(option: str, given: object) -> Mapping[Any, Any]:
    """What is given for each variable; ``None`` is nothing."""
    if given is None or isinstance(given, Mapping):
        return given or {}
    raise DataError.of(
        "PC904",
        f"{option} is {shown(given)}, which names no variable",
        help=f"give a dict by name: {option}={{name: ...}}",
    )


def _pair(name: object, ends: object) -> tuple[Any, Any]:
    if not isinstance(ends, tuple | list) or len(ends) != 2:
        raise DataError.of(
            "PC904",
            f"the interval of {name!r} is {shown(ends)}",
            help="give both ends, (low, high), with None for an open one",
        )
    return ends[0], ends[1]


def _check_ends(variable: Variable, *ends: Tensor) -> None:
    low, high = ends
    wrong = (~(low <= high)).nonzero()
    if len(wrong):
        row = int(wrong[0])
        raise DataError.of(
            "PC905",
            f"the interval of {variable.name!r} in row {row} goes from {float(low[row]):g} to "
            f"{float(high[row]):g}",
            help="give the lower end first, and None or an infinity for an open end",
        )
